"""Share of spines that cannot be: bodies out of order, upside down or through each other, and shapes beyond the real.

Two kinds of rule. Fixed ones follow from anatomy; their limits are wide, four standard deviations of published sizes,
because they are to catch what is broken and not what is rare: see `spine_rules`. The one on shape is calibrated: its
limit is what real spines reach that the shapes were not fitted to. The share of the real set stands beside the
synthetic one, for real landmarks are mislabelled too.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.anatomy.spine_rules import FIXED_RULES, Check, iter_checks
from cspine_bench.anatomy.spine_shapes import (
    LEAST_SHAPES,
    NUM_FOLDS,
    SpineShapes,
    deal_folds,
    find_limit,
    turn_left,
)
from cspine_bench.measurement.figures import CLOPPER_PEARSON, build_figure
from cspine_bench.measurement.inputs import Images
from cspine_bench.metrics.intervals import clopper_pearson_interval
from cspine_bench.results import Figure
from cspine_bench.seeding import numpy_generator

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

RULES: Final[dict[str, str]] = FIXED_RULES | {
    "inside": "All points lie inside the image.",
    "shape": "The shape is no farther from the mean of the real ones than nearly all real spines held out are.",
}
"""What each rule asks."""


@dataclass(frozen=True)
class ImplausibleSpine:
    """A spine that breaks a rule.

    Attributes:
        role: of its side.
        sample_id: of its image.
        rules: that it breaks.
        reason: which vertebra, by how much.
    """

    role: str
    sample_id: str
    rules: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Plausibility:
    """Shares of implausible spines.

    Attributes:
        figures: `implausible_share`: of each side, then of each side by rule.
        implausible: which they are, the real ones first.
        not_measured: why, by what: a side without landmarks, or the rule `shape`.
    """

    figures: tuple[Figure, ...]
    implausible: tuple[ImplausibleSpine, ...]
    not_measured: dict[str, str]


@dataclass(frozen=True)
class _Spines:
    """The spines of a side with all landmarks; points face left."""

    images: Images
    rows: NDArray[np.int64]
    points: Floats
    checks: tuple[Check, ...]

    @property
    def keeps_rules(self) -> Bools:
        return np.asarray(~np.any([check.bad for check in self.checks], axis=0))


def measure_plausibility(real: Images, synthetic: Images, *, seed: int) -> Plausibility:
    """Share of spines that break a rule of `RULES`, on each side.

    Args:
        real: spines that the shapes are fitted to; only those with all 23 landmarks count, likewise below.
        synthetic: spines that are judged by the same rules.
        seed: deals the real ones into folds.

    Returns:
        Shares with exact intervals, in which images of one patient or anatomy count as one. Where a side has no spine
        with all landmarks, its figures are missing and the reason is given.

    Source: landmarks out of order or overlapping as signs of a broken sample: this package. Shape: distance under a
    probabilistic principal component model, Tipping, Bishop 1999, JRSS B 61, 611-622, of Procrustes-aligned points.
    """
    sides = [_read_spines(images) for images in (real, synthetic)]
    not_measured = {
        f"implausible spines, {side.images.role}": f"none of {len(side.images):,} images has all 23 landmarks"
        for side in sides
        if not len(side.rows)
    }
    limit = _calibrate_shapes(sides, seed)
    chance = 0.0
    if isinstance(limit, str):
        not_measured["rule shape"] = limit
    else:
        checks, chance = limit
        sides = [
            _Spines(side.images, side.rows, side.points, (*side.checks, check))
            for side, check in zip(sides, checks, strict=True)
        ]
    figures, rows = [], []
    for side in sides:
        if len(side.rows):
            figures += _build_figures(side, chance)
            rows += _list_implausible(side)
    figures.sort(key=lambda figure: "rule" in figure.condition)
    return Plausibility(tuple(figures), tuple(rows), not_measured)


def _read_spines(images: Images) -> _Spines:
    points = images.landmarks_xy.astype(np.float64)
    rows = np.flatnonzero(np.isfinite(points).all(axis=(1, 2)))
    points = points[rows]
    left = turn_left(points, [images.facing[row] for row in rows])
    with np.errstate(all="ignore"):  # A body without extent, and points far outside, are what is looked for.
        checks = tuple(iter_checks(left, images.pixel_spacing_mm[rows])) + (_check_inside(images, rows, points),)
    return _Spines(images, rows, left, checks)


def _check_inside(images: Images, rows: NDArray[np.int64], points: Floats) -> Check:
    sizes = np.concatenate(
        [
            np.column_stack([table.column(name).to_numpy() for name in ("width", "height")])
            for table in (images.folder.read_table(["width", "height"], split) for split in images.splits)
        ]
    )[rows, None]
    margin = np.minimum(points, sizes - 1 - points).min(axis=(1, 2))
    return Check("inside", "nearest edge of the image, px", margin, -0.5 - 1e-6)


def _calibrate_shapes(sides: list[_Spines], seed: int) -> tuple[list[Check], float] | str:
    """The check of both sides' shapes, and the chance of an honest one to fail it; or why there is none."""
    real = sides[0]
    groups = np.array(real.images.group_ids, dtype=object)[real.rows]
    sound = real.keeps_rules
    num_groups = len(set(groups[sound]))
    if num_groups < LEAST_SHAPES:
        return (
            f"{num_groups} real patients or anatomies have spines with all landmarks that break no other rule; "
            f"{LEAST_SHAPES} are the least to learn shapes from"
        )
    folds = np.full(len(real.rows), -1)
    folds[sound] = deal_folds(groups[sound].tolist(), numpy_generator(seed, "evaluate.plausible.folds"))
    distances = [np.empty((NUM_FOLDS, len(side.rows))) for side in sides]
    for fold in range(NUM_FOLDS):
        model = SpineShapes.fit(real.points[sound & (folds != fold)])
        for side, found in zip(sides, distances, strict=True):
            found[fold] = model.measure(side.points)
    # A real spine by the model that has not seen it; a spine that no model saw by all of them.
    held_out = np.where(folds >= 0, distances[0][folds, np.arange(len(folds))], np.median(distances[0], axis=0))
    limit, chance = find_limit(held_out[sound])
    part = "distance from the mean real shape"
    both = (held_out, np.median(distances[1], axis=0))
    return [Check("shape", part, values, -math.inf, limit) for values in both], chance


def _build_figures(side: _Spines, chance: float) -> list[Figure]:
    groups = np.unique(np.array(side.images.group_ids, dtype=object)[side.rows].astype(str))
    independent = len(groups) / len(side.rows)
    asked = [rule for rule in RULES if any(check.rule == rule for check in side.checks)]
    broken = {rule: np.any([check.bad for check in side.checks if check.rule == rule], axis=0) for rule in asked}
    figures = []
    for rule, bad in {"": np.any(list(broken.values()), axis=0), **broken}.items():
        share = clopper_pearson_interval(successes=bad.sum() * independent, total=len(groups))
        figures.append(
            build_figure(
                "implausible_share",
                share,
                direction="lower",
                used={side.images.role: len(side.rows)},
                available={side.images.role: len(side.images)},
                method=CLOPPER_PEARSON,
                unit="share",
                condition={"side": side.images.role} | ({"rule": rule} if rule else {}),
                note=_describe_share(rule, asked, chance),
            )
        )
    return figures


def _describe_share(rule: str, asked: list[str], chance: float) -> str:
    if rule == "shape":
        return f"{RULES[rule]} Of honest spines {100 * chance:.1f} % are beyond, by its making."
    if rule:
        return RULES[rule]
    return f"Breaks one of the rules {', '.join(asked)}; a spine that breaks none may still be impossible."


def _list_implausible(side: _Spines) -> list[ImplausibleSpine]:
    bad = np.array([check.bad for check in side.checks])
    found = []
    for row in np.flatnonzero(bad.any(axis=0)):
        broken = [check for check, is_bad in zip(side.checks, bad[:, row], strict=True) if is_bad]
        # The first of each rule says it; a body out of place breaks many.
        first = {check.rule: check.describe(int(row)) for check in reversed(broken)}
        rules = tuple(rule for rule in RULES if rule in first)
        sample_id = side.images.sample_ids[side.rows[row]]
        reason = "; ".join(first[rule] for rule in rules)
        found.append(ImplausibleSpine(side.images.role, sample_id, rules, reason))
    return found
