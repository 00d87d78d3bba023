"""The drawn figures of a dataset card: from counted facts alone, always with the same bytes."""

import io
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.anatomy.classes import CURVATURE_CLASSES
from cspine_bench.anatomy.landmarks import CORNER_LEVELS, LANDMARK_INDEX
from cspine_bench.metrics.intervals import wilson_interval
from cspine_bench.release.edition import Edition
from cspine_bench.release.facts import ALIGNMENT_BINS, ReleaseFacts

SPLIT_COLOURS: Final = {"train": "#0072B2", "validation": "#E69F00", "test": "#009E73"}
SEX_COLOURS: Final = {"female": "#CC79A7", "male": "#0072B2", None: "#999999"}
"""Told apart by colour-blind readers too. Source: Okabe, Ito 2008, Color Universal Design."""
_INK, _MUTED, _LINE = "#222222", "#595959", "#DDDDDD"
_DPI: Final = 150
_AGE_STEP_YEARS: Final = 5
ALIGNMENT_TITLES: Final = {
    "cobb_c2_c7_deg": "C2-C7 Cobb angle, degrees",
    "sva_mm": "C2-C7 sagittal vertical axis, mm",
    "cci_percent": "Cervical curvature index, %",
}
_OUTLINE: Final = ("superior_anterior", "superior_posterior", "inferior_posterior", "inferior_anterior")


def draw_figures(edition: Edition) -> dict[str, bytes]:
    """PNG files by name: `class_balance`, `landmark_spread`, `alignment`, `age_and_sex`.

    One for which the dataset knows nothing is left out.
    """
    facts = edition.facts
    figures = {}
    if any(value is not None for value in facts.count("curvature")):
        figures["class_balance"] = _draw_class_balance(facts)
    if facts.num_points:
        figures["landmark_spread"] = _draw_landmark_spread(facts)
    if facts.alignment:
        figures["alignment"] = _draw_alignment(facts)
    if any(value is not None for pair in facts.ages_by_sex for value in pair):
        figures["age_and_sex"] = _draw_age_and_sex(facts)
    return {name: _render(figure) for name, figure in figures.items()}


def faces_one_way(facts: ReleaseFacts) -> bool:
    """Whether all radiographs face the same side, so that a mean of their landmarks shows a spine."""
    return len(facts.count("facing")) == 1


def _new_figure(width_inch: float, height_inch: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_inch, height_inch), dpi=_DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _render(figure: Any) -> bytes:
    from PIL import Image

    # `savefig` lays a figure out and draws it twice, and writes its own name and version into the file.
    figure.canvas.draw()
    stream = io.BytesIO()
    Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3]).save(stream, "PNG", dpi=(_DPI, _DPI))
    return stream.getvalue()


def _style(axes: Any, title: str, *, grid: str | None = "y") -> None:
    axes.set_title(title, loc="left", fontsize=10.5, color=_INK, pad=9)
    axes.tick_params(labelsize=8.5, colors=_MUTED, length=0)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#999999")
    if grid is not None:
        axes.grid(axis=grid, color=_LINE, linewidth=0.7)


def _label(axes: Any, *, x: str = "", y: str = "") -> None:
    axes.set_xlabel(x, fontsize=9, color=_MUTED)
    axes.set_ylabel(y, fontsize=9, color=_MUTED)


def _draw_class_balance(facts: ReleaseFacts) -> Any:
    """Shares with their intervals of each curvature class by split; beside it where the labels come from."""
    figure = _new_figure(9.0, 3.6)
    balance, sources = figure.subplots(1, 2, width_ratios=(3.2, 1))
    splits = list(facts.num_samples)
    width = 0.8 / len(splits)
    names = [*CURVATURE_CLASSES, *([None] if None in facts.count("curvature") else [])]
    for place, split in enumerate(splits):
        counts = facts.count("curvature", split)
        total = facts.num_samples[split]
        found = [wilson_interval(successes=counts.get(name, 0), total=total) for name in names]
        values = np.array([one.value for one in found])
        ends = np.array([[one.value - one.low, one.high - one.value] for one in found]).T
        balance.bar(
            np.arange(len(names)) + (place - (len(splits) - 1) / 2) * width,
            values * 100, width * 0.92, yerr=np.maximum(ends, 0) * 100, color=SPLIT_COLOURS[split],
            error_kw={"elinewidth": 0.9, "capsize": 2, "ecolor": _INK}, label=f"{split} (n = {total:,})",
        )  # fmt: skip
    balance.set_xticks(range(len(names)), [name or "not labelled" for name in names])
    balance.set_ylim(bottom=0)
    balance.legend(frameon=False, fontsize=8.5, labelcolor=_MUTED)
    _style(balance, "Curvature class by split, with 95 % Wilson intervals")
    _label(balance, y="share of the split, %")
    _stack_label_sources(sources, facts, splits)
    return figure


def _stack_label_sources(axes: Any, facts: ReleaseFacts, splits: Sequence[str]) -> None:
    colours = {
        "exact": "#0072B2",
        "conditioned": "#56B4E9",
        "measured": "#E69F00",
        "reader": "#009E73",
        None: "#BBBBBB",
    }
    bottom = np.zeros(len(splits))
    for name, colour in colours.items():
        counts = [facts.count("label_source", split).get(name, 0) for split in splits]
        if not any(counts):
            continue
        heights = np.array(
            [100 * count / facts.num_samples[split] for count, split in zip(counts, splits, strict=True)]
        )
        axes.bar(range(len(splits)), heights, 0.62, bottom=bottom, color=colour, label=name or "no labels")
        bottom += heights
    axes.set_xticks(range(len(splits)), splits)
    axes.set_ylim(0, 100)
    _style(axes, "Where labels come from")
    _label(axes, y="share of the split, %")
    axes.legend(
        frameon=False, fontsize=8.5, labelcolor=_MUTED, loc="upper center", bbox_to_anchor=(0.5, -0.1), handlelength=1.2
    )


def _draw_landmark_spread(facts: ReleaseFacts) -> Any:
    """Where labelled points lie, cut to where there are any; over it their means and ellipses of one SD."""
    left, right, top, bottom = _find_frame(facts.landmark_density)
    aspect = _mean_aspect(facts)
    shape = (right - left) * aspect / (bottom - top)
    height_inch = 5.2 if shape < 1.2 else 6.2 / shape
    figure = _new_figure(1.2 + height_inch * shape, 0.9 + height_inch)
    axes = figure.subplots()
    density = facts.landmark_density / facts.num_points
    # The square root lets rare places show.
    axes.imshow(
        np.sqrt(density), cmap="Greys", extent=(0, 1, 1, 0), interpolation="nearest", vmin=0,
        vmax=1.5 * float(np.sqrt(density.max())), zorder=0,
    )  # fmt: skip
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_aspect(1 / aspect)
    if faces_one_way(facts):
        _draw_mean_spine(axes, facts)
    _style(
        axes,
        "Landmarks: where they lie, mean and 1 SD" if faces_one_way(facts) else "Landmarks: where they lie",
        grid=None,
    )
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(True)
        axes.spines[side].set_color("#999999")
    _label(axes, x="share of the image's width", y="share of the image's height")
    return figure


def _draw_mean_spine(axes: Any, facts: ReleaseFacts) -> None:
    from matplotlib.patches import Ellipse, Polygon

    mean, sd = facts.landmark_mean, facts.landmark_sd
    for level in CORNER_LEVELS:
        corners = mean[[LANDMARK_INDEX[f"{level}_{corner}"] for corner in _OUTLINE]]
        axes.add_patch(Polygon(corners, closed=True, fill=False, edgecolor="#0072B2", linewidth=1.5, zorder=2))
    endplate = mean[[LANDMARK_INDEX["C2_inferior_anterior"], LANDMARK_INDEX["C2_inferior_posterior"]]]
    axes.plot(endplate[:, 0], endplate[:, 1], color="#0072B2", linewidth=1.5, zorder=2)
    for (x, y), (sd_x, sd_y) in zip(mean, sd, strict=True):
        axes.add_patch(Ellipse((x, y), 2 * sd_x, 2 * sd_y, facecolor="#D55E00", alpha=0.15, linewidth=0, zorder=1))
    axes.plot(mean[:, 0], mean[:, 1], linestyle="", marker="o", markersize=4, color="#D55E00", zorder=3)
    # Names stand behind the spine: to the right of it where the patient faces left.
    shift = -1 if "right" in facts.count("facing") else 1
    for level in ("C2", *CORNER_LEVELS):
        ends = ("inferior",) if level == "C2" else ("superior", "inferior")
        points = [LANDMARK_INDEX[f"{level}_{end}_posterior"] for end in ends]
        x, y = mean[points].mean(axis=0)
        if np.isfinite(x):
            place = x + shift * (1.6 * float(sd[points, 0].max()) + 0.01)
            axes.annotate(
                level, (place, y), color=_INK, fontsize=9.5, ha="left" if shift > 0 else "right", va="center", zorder=4
            )


def _find_frame(density: NDArray[np.int64]) -> tuple[float, float, float, float]:
    """Left, right, top and bottom edge of the part that holds points and a margin, as shares of the image."""
    num = len(density)
    edges = []
    for filled in (np.flatnonzero(density.any(axis=0)), np.flatnonzero(density.any(axis=1))):
        edges += [max(0, filled[0] - 2) / num, min(num, filled[-1] + 3) / num]
    return edges[0], edges[1], edges[2], edges[3]


def _mean_aspect(facts: ReleaseFacts) -> float:
    """Width over height, averaged over the radiographs."""
    ratios = [(width / height, count) for (width, height, _), count in facts.sizes.items()]
    return float(sum(ratio * count for ratio, count in ratios) / sum(count for _, count in ratios))


def _draw_alignment(facts: ReleaseFacts) -> Any:
    """Histograms of the alignment parameters that are known."""
    figure = _new_figure(9.0, 2.8)
    for axes, (name, moments) in zip(
        np.atleast_1d(figure.subplots(1, len(facts.alignment))), facts.alignment.items(), strict=True
    ):
        low, high, num = ALIGNMENT_BINS[name]
        edges = np.linspace(low, high, num + 1)
        axes.bar(
            edges[:-1], facts.alignment_histogram[name], np.diff(edges), align="edge", color="#0072B2", linewidth=0.3,
            edgecolor="white",
        )  # fmt: skip
        axes.axvline(np.clip(moments.mean, low, high), color="#D55E00", linewidth=1.3)
        axes.set_xlim(_find_limits(facts.alignment_histogram[name], edges))
        axes.yaxis.get_major_locator().set_params(integer=True)
        _style(axes, f"n = {moments.num:,}; mean {moments.mean:.1f}, SD {moments.sd:.1f}")
        axes.title.set_fontsize(9.5)
        _label(axes, x=ALIGNMENT_TITLES[name], y="radiographs" if name == next(iter(facts.alignment)) else "")
    return figure


def _find_limits(histogram: NDArray[np.int64], edges: NDArray[np.float64]) -> tuple[float, float]:
    filled = np.flatnonzero(histogram)
    first, last = max(0, filled[0] - 1), min(len(histogram) - 1, filled[-1] + 1)
    return float(edges[first]), float(edges[last + 1])


def _draw_age_and_sex(facts: ReleaseFacts) -> Any:
    """Ages by sex in bands of five years; beside it the sexes by split."""
    known = [(sex, age, count) for (sex, age), count in facts.ages_by_sex.items() if age is not None]
    figure = _new_figure(9.0 if known else 4.0, 3.2)
    if not known:
        _stack_sexes(figure.subplots(), facts)
        return figure
    ages, sexes = figure.subplots(1, 2, width_ratios=(3.2, 1))
    _stack_ages(ages, known)
    _stack_sexes(sexes, facts)
    return figure


def _stack_ages(axes: Any, known: Sequence[tuple[str | None, int, int]]) -> None:
    bands = [age // _AGE_STEP_YEARS for _, age, _ in known]
    starts = np.arange(min(bands), max(bands) + 1) * _AGE_STEP_YEARS
    bottom = np.zeros(len(starts))
    for sex, colour in SEX_COLOURS.items():
        heights = np.zeros(len(starts))
        for band, (other, _, count) in zip(bands, known, strict=True):
            if other == sex:
                heights[band - min(bands)] += count
        if heights.any():
            label = f"{sex or 'sex not known'} (n = {int(heights.sum()):,})"
            axes.bar(starts, heights, _AGE_STEP_YEARS * 0.9, bottom=bottom, align="edge", color=colour, label=label)
            bottom += heights
    axes.legend(frameon=False, fontsize=8.5, labelcolor=_MUTED)
    axes.set_ylim(0, 1.22 * bottom.max())
    axes.set_xticks(starts[:: max(1, len(starts) // 12)])
    axes.yaxis.get_major_locator().set_params(integer=True)
    _style(axes, "Age by sex, in bands of five years")
    _label(axes, x="age, years", y="radiographs")


def _stack_sexes(axes: Any, facts: ReleaseFacts) -> None:
    splits = list(facts.num_samples)
    bottom = np.zeros(len(splits))
    for sex, colour in SEX_COLOURS.items():
        heights = np.array([100 * facts.count("sex", split).get(sex, 0) / facts.num_samples[split] for split in splits])
        if heights.any():
            axes.bar(range(len(splits)), heights, 0.62, bottom=bottom, color=colour, label=sex or "not known")
        bottom += heights
    axes.set_xticks(range(len(splits)), splits)
    axes.set_ylim(0, 100)
    _style(axes, "Sex by split")
    _label(axes, y="share of the split, %")
    axes.legend(
        frameon=False, fontsize=8.5, labelcolor=_MUTED, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3,
        handlelength=1.0, columnspacing=1.0,
    )  # fmt: skip
