"""Plots of single test radiographs: agreement, reliability, and radiographs with truth and prediction drawn."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from cspine_bench.baselines.page.records import Agreement, Example, Reliability
from cspine_bench.metrics.intervals import wilson_interval
from cspine_bench.page.images import show
from cspine_bench.page.svg import Panel, Scale, fit_scale
from cspine_bench.page.wording import format_number

_MOST_POINTS: Final = 600
"""Points of an agreement plot; of more, as many are drawn, evenly through the order of the radiographs."""
_SHOWN_PX: Final = 256
_HIGHEST_LABEL: Final = 8


def draw_agreement(found: Agreement) -> tuple[Markup, str] | None:
    """A Bland-Altman plot, and its numbers in words; None where fewer than 3 radiographs have both values.

    Bias is the mean difference, the limits of agreement lie 1.96 standard deviations (n - 1) around it.

    Source: Bland, Altman 1986, Lancet 327, 307-310.
    """
    both = np.isfinite(found.truth) & np.isfinite(found.predicted)
    if both.sum() < 3:
        return None
    truth, predicted = found.truth[both].astype(np.float64), found.predicted[both].astype(np.float64)
    mean, difference = (truth + predicted) / 2, predicted - truth
    bias, spread = float(difference.mean()), float(difference.std(ddof=1))
    low, high = bias - 1.96 * spread, bias + 1.96 * spread
    panel = Panel(f"Bland-Altman plot of {found.name}, arm {found.arm}", height=230, right=52, top=26)
    x = fit_scale([float(one) for one in mean], *panel.x_range)
    y = fit_scale([*(float(one) for one in difference), low, high], *panel.y_range)
    panel.draw_y(y, f"predicted less true, {found.unit}", count=5)
    panel.draw_x(x, f"mean of both, {found.unit}", grid=False, count=4)
    step = max(1, math.ceil(len(mean) / _MOST_POINTS))
    for place, value in zip(mean[::step], difference[::step], strict=True):
        panel.dot(x(float(place)), y(float(value)), "speck synthetic", size=2)
    for value, style in ((bias, "curve synthetic"), (low, "reference"), (high, "reference")):
        panel.line(panel.x_range[0], y(value), panel.x_range[1], y(value), style)
        panel.text(panel.x_range[1] + 4, y(value) + 4, format_number(value, width=max(spread, 1e-9)))
    panel.line(panel.x_range[0], y(0), panel.x_range[1], y(0), "axis")
    width = max(spread, 1e-9)
    low_text, high_text = (format_number(end, width=width) for end in (low, high))
    words = f"Bias {format_number(bias, width=width)}, limits of agreement {low_text} to {high_text} {found.unit}"
    return panel.render(), f"{words}; n = {int(both.sum()):,}{'' if step == 1 else f', every {step}th drawn'}."


def draw_reliability(found: Reliability) -> Markup | None:
    """How often the named class is right, by how sure the network was; None for no radiograph."""
    curve = found.curve
    if not len(curve.count):
        return None
    panel = Panel(f"Reliability of {found.arm}: share right by probability", height=250, top=26)
    x, y = Scale(0, 1, *panel.x_range), Scale(0, 1, *panel.y_range)
    panel.draw_y(y, "share right", count=5)
    panel.draw_x(x, "highest probability", grid=False)
    panel.line(x(0), y(0), x(1), y(1), "reference")
    points = []
    for confidence, share, count in zip(curve.confidence, curve.share_correct, curve.count, strict=True):
        ends = wilson_interval(successes=round(float(share * count)), total=int(count))
        place = x(float(confidence))
        panel.line(place, y(ends.low), place, y(ends.high), "whisker synthetic")
        points.append((place, y(float(share))))
    panel.path(points, "curve synthetic")
    for place, height in points:
        panel.dot(place, height, "mark synthetic", size=3.5)
    return panel.render()


def draw_example(example: Example, *, real_pixels: bool) -> Markup:
    """A radiograph with truth and prediction drawn; without pixels, these alone on black."""
    height, width = example.image.shape
    picture = show(example.image, "radiograph", side_px=_SHOWN_PX) if real_pixels else None
    marks = [] if picture is None else [f'<image href="{picture.uri}" width="{width}" height="{height}"/>']
    # Marks are as thick on a radiograph of 64 px as on one of 512.
    unit = max(height, width) / 100
    if example.truth_mask is not None:
        marks.append(_outline(example.truth_mask, "truth", unit))
    if example.predicted_mask is not None:
        marks.append(_outline(example.predicted_mask, "guess", unit))
    marks += _draw_points(example.truth_xy, example.predicted_xy, unit)
    label = escape(f"{example.rank} of {example.arm}: radiograph {example.sample_id}")
    return Markup(
        f'<svg class="overlay" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">{"".join(marks)}</svg>'
    )


def _draw_points(truth: NDArray[np.floating] | None, predicted: NDArray[np.floating] | None, unit: float) -> list[str]:
    marks = []
    for points, style in ((truth, "truth"), (predicted, "guess")):
        for place in [] if points is None else points:
            if not np.isfinite(place).all():
                continue
            # The centre of the first pixel is (0, 0); the picture's own corner is half a pixel before it.
            x, y = (float(one) + 0.5 for one in place)
            arm = 1.1 * unit
            if style == "truth":
                marks.append(f'<circle class="truth" cx="{x:.2f}" cy="{y:.2f}" r="{1.3 * unit:.2f}"/>')
            else:
                cross = f"M{x - arm:.2f} {y - arm:.2f}L{x + arm:.2f} {y + arm:.2f}"
                cross += f"M{x - arm:.2f} {y + arm:.2f}L{x + arm:.2f} {y - arm:.2f}"
                marks.append(f'<path class="guess" d="{cross}"/>')
    return [f'<g stroke-width="{0.5 * unit:.2f}">{"".join(marks)}</g>'] if marks else []


def _outline(mask: NDArray[np.uint8], style: str, unit: float) -> str:
    """Lines along the edges of pixels between different labels; where nobody looked counts as background."""
    labels = np.pad(np.where(mask > _HIGHEST_LABEL, 0, mask), 1)
    steps = []
    for across in (labels, labels.T):
        rows, columns = np.nonzero(across[:-1, 1:-1] != across[1:, 1:-1])
        for row, start, length in _join_runs(rows, columns):
            steps.append(f"M{start} {row}h{length}" if across is labels else f"M{row} {start}v{length}")
    return f'<path class="{style}" stroke-width="{0.6 * unit:.2f}" d="{"".join(steps)}"/>'


def _join_runs(rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Sequence[tuple[int, int, int]]:
    """(row, first column, length) of neighbouring columns, given row by row."""
    if not len(rows):
        return []
    begins = np.flatnonzero(np.r_[True, (np.diff(rows) != 0) | (np.diff(columns) != 1)])
    lengths = np.diff(np.r_[begins, len(rows)])
    return [(int(rows[k]), int(columns[k]), int(n)) for k, n in zip(begins, lengths, strict=True)]
