"""Plots of the page of memorization."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from markupsafe import Markup

from cspine_bench.evaluate.page.records import AttackScores, Scores
from cspine_bench.page.images import Values
from cspine_bench.page.svg import Panel, Scale, fit_scale, fit_text
from cspine_bench.results import Figure

_MOST_POINTS: Final = 300
_BINS: Final = 20


def draw_p_values(p_values: Values) -> Markup:
    """Histogram of p values beside what honest, exchangeable images would give."""
    panel = Panel("Histogram of the p values beside a uniform one", height=210, left=42, top=24)
    shares = np.histogram(p_values, np.linspace(0, 1, _BINS + 1))[0] / len(p_values)
    x = Scale(0, 1, *panel.x_range)
    y = fit_scale([100 * float(share) for share in shares] + [100 / _BINS], *panel.y_range, zero=True)
    panel.draw_y(y, "% of synthetic images", count=4)
    for number, share in enumerate(shares):
        panel.band(x(number / _BINS) + 0.5, y(0), x((number + 1) / _BINS) - 0.5, y(100 * float(share)), "bar synthetic")
    panel.line(x(0), y(100 / _BINS), x(1), y(100 / _BINS), "reference")
    panel.draw_x(x, "p value", grid=False)
    return panel.render()


def draw_scores(scores: Scores) -> Markup:
    """Share of images at a score or a more suspicious one, synthetic and held-out, on a logarithmic axis."""
    panel = Panel(f"Share of images at or beyond a {scores.name}", height=230, left=48, top=24)
    sides = [np.sort(side.astype(np.float64)) for side in (scores.synthetic, scores.holdout)]
    pooled = np.concatenate(sides)
    more = [] if scores.threshold is None else [scores.threshold]
    x = fit_scale([float(pooled.min()), float(pooled.max()), *more], *panel.x_range, room=0.02)
    y = Scale(0.5 / max(map(len, sides)), 1.0, *panel.y_range, log=True)
    panel.draw_y(y, f"share of images with a {'higher' if scores.suspicious == 'high' else 'lower'} score", count=4)
    panel.draw_x(x, fit_text(scores.name, panel.width - panel.left))
    for ordered, style in zip(sides, ("curve synthetic", "curve holdout dashed"), strict=True):
        beyond = np.arange(1, len(ordered) + 1) / len(ordered)
        ranked = ordered[::-1] if scores.suspicious == "high" else ordered
        # Close together at the suspicious end, where single images count.
        kept = np.unique(np.geomspace(1, len(ranked), _MOST_POINTS).astype(int)) - 1
        corners: list[tuple[float, float]] = []
        for place in kept:
            before = corners[-1][1] if corners else y(y.low)
            corners += [(x(float(ranked[place])), before), (x(float(ranked[place])), y(float(beyond[place])))]
        panel.path(corners, style)
    if scores.threshold is not None:
        panel.line(x(scores.threshold), y(y.low), x(scores.threshold), y(1), "reference")
    return panel.render()


def draw_roc(attack: AttackScores, points: Sequence[Figure]) -> Markup:
    """Hits against false alarms on logarithmic axes, with the intervals of the operating points."""
    label = f"Hits against false alarms of the attack {attack.attack} {attack.space}"
    panel = Panel(label.strip(), height=260, left=48, top=24)
    thresholds = np.unique(np.concatenate([attack.members, attack.others]))[::-1]
    false, true = (
        1 - np.searchsorted(np.sort(side), thresholds, side="left") / len(side)
        for side in (attack.others, attack.members)
    )
    low = min(0.01, 0.7 / max(len(attack.members), len(attack.others)))
    x, y = Scale(low, 1, *panel.x_range, log=True), Scale(low, 1, *panel.y_range, log=True)
    panel.draw_y(y, "share of training films recognised")
    panel.draw_x(x, "false alarms: share of films held out")
    panel.path([(x(low), y(low)), (x(1), y(1))], "reference")
    kept = np.unique(np.geomspace(1, len(thresholds), _MOST_POINTS).astype(int)) - 1
    corners = [(x(low), y(low))]
    for place in kept:
        corners += [(corners[-1][0], y(float(true[place]))), (x(float(false[place])), y(float(true[place])))]
    panel.path(corners, "curve synthetic")
    for figure in points:
        place = x(float(figure.condition["fpr"]))
        if figure.interval is not None:
            panel.line(place, y(figure.interval.low), place, y(figure.interval.high), "whisker alarm")
        panel.dot(place, y(figure.value), "mark alarm")
    return panel.render()
