"""Figures of a comparison: of one arm's score, and of the difference between two arms."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from cspine_bench.baselines.task import Score
from cspine_bench.baselines.verdict import ArmVerdict, Difference
from cspine_bench.measurement.figures import build_figure
from cspine_bench.metrics.intervals import Estimate
from cspine_bench.metrics.paired import SeedMean
from cspine_bench.results import Figure


@dataclass(frozen=True)
class Method:
    """How the intervals of a run were found.

    Attributes:
        num_bootstrap: resamples.
        num_groups: test groups that there are.
    """

    num_bootstrap: int
    num_groups: int

    def describe(self, num_seeds: int) -> str:
        """In words, for a figure of that many seeds."""
        drawn = f"{self.num_bootstrap:,} bootstrap resamples of {self.num_groups:,} test groups"
        if num_seeds < 2:
            return f"one seed: Student's t on {drawn}; the chance of training is not in it"
        return f"mean over {num_seeds} seeds; Student half-widths of the seeds and of {drawn}, added as squares"


def build_score_figure(
    score: Score,
    mean: SeedMean,
    *,
    arm: str,
    fraction: float | None,
    tested_on: str,
    used: int,
    available: Mapping[str, int],
    method: Method,
) -> Figure:
    """A score of one arm at one label fraction, as the mean over its networks.

    Args:
        score: of one of the networks: its name, unit, direction, condition and note.
        mean: of all of them.
        arm: label.
        fraction: of the real labels; None: it learnt from none.
        tested_on: role of the radiographs that it was tested on; one other than `test` joins the condition.
        used: radiographs that it rests on.
        available: of those radiographs, and `seeds`.
        method: of the interval.
    """
    condition = {"arm": arm, **({} if fraction is None else {"fraction": f"{fraction:g}"}), **(score.condition or {})}
    if tested_on != "test":
        condition["tested_on"] = tested_on
    reason = mean.why_no_interval
    estimate, scale = (mean.value, "") if reason else _find_interval(score, mean)
    notes = [score.note, f"no interval: {reason}" if reason else ""]
    return build_figure(
        score.name,
        estimate,
        direction=score.direction,
        used={tested_on: used, "seeds": mean.num_seeds},
        available=available,
        method=method.describe(mean.num_seeds) + scale,
        unit=score.unit,
        condition=condition,
        note="; ".join(note for note in notes if note),
    )


def build_difference_figure(
    difference: Difference, verdict: ArmVerdict | None, available: Mapping[str, int], method: Method
) -> Figure:
    """The difference between two arms; its note has the p values, and the interval of the bootstrap alone.

    Args:
        difference: of the primary score.
        verdict: that rests on it, or None.
        available: test radiographs and seeds that there are.
        method: of the interval.
    """
    mean = difference.mean
    pooled = ""
    if mean.seeds_freedom is not None:
        pooled = f"; spread of the seeds pooled over the arms, {mean.seeds_freedom} degrees of freedom"
    notes: list[str] = [] if verdict is None else [verdict.label]
    if mean.why_no_interval:
        notes.append(f"no interval: {mean.why_no_interval}")
    else:
        ends = mean.images_interval()
        notes.append(f"percentile bootstrap over the test groups alone: {ends.low:.4g} to {ends.high:.4g}")
    if verdict is not None and verdict.p_adjusted is not None:
        notes.append(
            f"p of no difference {verdict.p_value:.3g}, after Holm {verdict.p_adjusted:.3g}; p of a difference beyond "
            f"the margin of {verdict.margin:g}, after Holm {verdict.p_within:.3g}"
        )
    elif not math.isnan(difference.p_value):
        notes.append(f"p of no difference {difference.p_value:.3g}, not adjusted")
    return build_figure(
        f"{difference.name}_difference",
        mean.value if mean.why_no_interval else mean.interval(),
        direction=difference.direction,
        used={"test": difference.used, "seeds": mean.num_seeds},
        available=available,
        method=f"paired by seed and radiograph, {method.describe(mean.num_seeds)}{pooled}",
        unit=difference.unit,
        condition={
            "arm": difference.arm,
            "against": difference.against,
            "fraction": f"{difference.fraction:g}",
            **difference.condition,
        },
        note="; ".join(notes),
    )


def _find_interval(score: Score, mean: SeedMean) -> tuple[Estimate, str]:
    """The interval, and what its method's text adds: an error is not negative, a share lies in 0..1."""
    if score.direction == "higher" and score.unit in ("", "share") and 0 < mean.value < 1:
        return mean.share_interval(), ", on the scale of the logit"
    return mean.interval(least=0.0 if score.direction == "lower" else -math.inf), ""
