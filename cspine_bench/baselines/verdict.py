"""What a run shows for each arm that uses synthetic data: it helps, hurts, makes no difference, or nobody can tell.

Every arm is compared with real radiographs alone at the same label fraction and the same number of updates. The arms of
one fraction are one family for Holm. "No difference was found" is never read as "there is none": that has a test of its
own, against the margin. And an arm that helps may do no more than a control does without any synthetic radiograph.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from cspine_bench.metrics.equivalence import ALPHA, find_standing
from cspine_bench.metrics.intervals import Estimate
from cspine_bench.metrics.multiplicity import adjust_holm
from cspine_bench.metrics.paired import SeedMean
from cspine_bench.page.wording import format_number
from cspine_bench.results import Direction

Label = Literal["helps", "no difference within the margin", "hurts", "underpowered"]

TWO_STAGES: Final = ("pretrained", "self-supervised")
"""Arms whose schedule `real-restarted` has too, so that it is a control of theirs."""
CONTROL_WORDS: Final = {
    "real-augmented": "classical augmentation",
    "real-restarted": "the same schedule on real radiographs alone",
}


@dataclass(frozen=True)
class Difference:
    """The primary score of an arm less that of another, on the same test radiographs, seed by seed.

    Attributes:
        arm: label of the arm.
        against: label of the other.
        fraction: of the real labels.
        name: of the score.
        unit: of the score.
        direction: of the score.
        condition: of the score.
        used: test radiographs that it rests on.
        mean: over the seeds that both have.
    """

    arm: str
    against: str
    fraction: float
    name: str
    unit: str
    direction: Direction
    condition: Mapping[str, str]
    used: int
    mean: SeedMean

    @property
    def gain(self) -> float:
        """How much better the arm is; below 0: worse."""
        return -self.mean.value if self.direction == "lower" else self.mean.value

    @property
    def p_value(self) -> float:
        """Two-sided, of no difference; NaN: it cannot be tested, see `why_untested`."""
        return float("nan") if self.why_untested else self.mean.p_value()

    @property
    def why_untested(self) -> str:
        """Why no test is made; "" where there is one."""
        if self.mean.num_seeds < 2:
            return "one seed, so that the chance of training is not known"
        return self.mean.why_no_interval


@dataclass(frozen=True)
class ArmVerdict:
    """The finding for one arm at one fraction.

    Attributes:
        arm: label of the arm.
        fraction: of the real labels.
        label: one of four.
        sentence: the finding with its figures.
        difference: that it rests on.
        interval: 95 %, for both sources of chance; None: there is none.
        images_interval: 95 %, for the test radiographs alone.
        p_value: two-sided, of no difference; None: not tested.
        p_adjusted: the same after Holm over the arms of this fraction.
        p_within: of a difference as large as the margin, after Holm over the same arms.
        margin: largest difference that does not matter.
        smallest_margin: that could have been supported, had there been no difference; None: not known.
        beyond_controls: whether it was shown to be better than its controls too; None: it does not help, or none ran.
        better_than_floor: whether it was shown to be better than what needs no learning; None: not measured.
    """

    arm: str
    fraction: float
    label: Label
    sentence: str
    difference: Difference
    interval: Estimate | None
    images_interval: Estimate | None
    p_value: float | None
    p_adjusted: float | None
    p_within: float | None
    margin: float
    smallest_margin: float | None
    beyond_controls: bool | None = None
    better_than_floor: bool | None = None


def judge_arms(
    differences: Sequence[Difference],
    *,
    controls: Mapping[str, Sequence[Difference]],
    floors: Mapping[str, Difference],
    margin: float,
) -> tuple[ArmVerdict, ...]:
    """Verdicts on the arms of one label fraction.

    Args:
        differences: of each arm that uses synthetic data from real radiographs alone; these are the family.
        controls: by arm, its differences from the controls that it must be held against; empty where none ran.
        floors: by arm, its difference from what needs no learning.
        margin: largest difference that does not matter, above 0, in the score's unit.

    Raises:
        ValueError: the score has no better end.
    """
    for difference in differences:
        if difference.direction == "none":
            raise ValueError(f"{difference.name} has no better end, so no arm can help; name another score first")
    p_values = np.array([difference.p_value for difference in differences])
    p_within = np.array(
        [float("nan") if item.why_untested else item.mean.p_within(margin) for item in differences], np.float64
    )
    beyond = np.array([_p_beyond(item, controls.get(item.arm, ())) for item in differences], np.float64)
    family = int(np.isfinite(p_values).sum())
    adjusted = [adjust_holm(values) for values in (p_values, p_within, beyond)]
    return tuple(
        _judge(
            difference,
            p_value=float(p_values[place]),
            p_adjusted=float(adjusted[0][place]),
            p_within=float(adjusted[1][place]),
            p_beyond=float(adjusted[2][place]),
            controls=controls.get(difference.arm, ()),
            floor=floors.get(difference.arm),
            margin=margin,
            family=family,
        )
        for place, difference in enumerate(differences)
    )


def is_shown_better(difference: Difference) -> bool:
    """Whether a single comparison shows the arm to be better, at 5 %."""
    return difference.gain > 0 and difference.p_value <= ALPHA


def summarise_verdicts(verdicts: Sequence[ArmVerdict], *, cautions: Sequence[str] = ()) -> str:
    """The finding of a whole run in a few sentences, fraction by fraction.

    Args:
        verdicts: of all fractions.
        cautions: sentences that must be read first, such as that real radiographs alone did not beat the floor.
    """
    parts = list(cautions)
    for fraction in dict.fromkeys(item.fraction for item in verdicts):
        here = [item for item in verdicts if item.fraction == fraction]
        found = []
        labels: tuple[Label, ...] = ("helps", "hurts", "no difference within the margin", "underpowered")
        for label in labels:
            if arms := [_name_arm(item) for item in here if item.label == label]:
                found.append(f"{label}: {', '.join(arms)}")
        parts.append(f"{spell_fraction(fraction)}: {'; '.join(found)}.")
    if verdicts:
        first = verdicts[0]
        parts.append(
            f"Each arm is compared with real radiographs alone at equal updates by {first.difference.name}, margin "
            f"{_number(first.margin, first.difference.unit)}; Holm over the arms of a fraction."
        )
    else:
        parts.append("No arm with synthetic radiographs was compared; what was not measured says why.")
    return " ".join(parts)


def _p_beyond(difference: Difference, controls: Sequence[Difference]) -> float:
    """Of the arm being no better than real radiographs alone, or than one of the controls: the largest of all."""
    if difference.why_untested or not controls:
        return float("nan")
    every = (difference, *controls)
    return max(item.p_value if item.gain > 0 and not item.why_untested else 1.0 for item in every)


def _judge(
    difference: Difference,
    *,
    p_value: float,
    p_adjusted: float,
    p_within: float,
    p_beyond: float,
    controls: Sequence[Difference],
    floor: Difference | None,
    margin: float,
    family: int,
) -> ArmVerdict:
    mean = difference.mean
    label: Label = "underpowered"
    smallest = None
    if not mean.why_no_interval:
        smallest = mean.half_width(tails=2 * ALPHA / max(1, family)) if mean.num_seeds > 1 else None
    if not difference.why_untested:
        standing = find_standing(p_different=p_adjusted, p_equivalent=p_within)
        if standing == "different":
            label = "helps" if difference.gain > 0 else "hurts"
        elif standing in ("equivalent", "both"):
            label = "no difference within the margin"
    tested = not difference.why_untested
    verdict = ArmVerdict(
        arm=difference.arm,
        fraction=difference.fraction,
        label=label,
        sentence="",
        difference=difference,
        interval=None if mean.why_no_interval else mean.interval(),
        images_interval=None if mean.why_no_interval else mean.images_interval(),
        p_value=p_value if tested else None,
        p_adjusted=p_adjusted if tested else None,
        p_within=p_within if tested else None,
        margin=margin,
        smallest_margin=smallest,
        beyond_controls=p_beyond <= ALPHA if label == "helps" and controls else None,
        better_than_floor=None if floor is None else is_shown_better(floor),
    )
    return replace(verdict, sentence=_spell(verdict, controls, family))


def _spell(verdict: ArmVerdict, controls: Sequence[Difference], family: int) -> str:
    difference = verdict.difference
    unit = difference.unit
    where = spell_fraction(verdict.fraction)
    seen = f"{difference.name} {_spell_gain(difference)} than with real radiographs alone"
    if verdict.p_adjusted is not None:
        seen += f", p {_p(verdict.p_adjusted)} after Holm over {_count(family, 'arm')}"
    basis = f"{_count(difference.mean.num_seeds, 'seed')}, {_count(difference.mean.num_groups, 'test group')}"
    sentence = f"{where}, {verdict.arm}: {verdict.label}. {seen}; {basis}."
    if verdict.label == "no difference within the margin":
        sentence += f" It lies within the margin of {_number(verdict.margin, unit)} (p {_p(verdict.p_within)})."
        if verdict.p_adjusted is not None and verdict.p_adjusted <= ALPHA:
            sentence += " A difference was seen, but one too small to matter."
    elif verdict.label == "underpowered":
        sentence += f" {_spell_weakness(verdict)}"
    else:
        least = abs(difference.mean.value) - difference.mean.half_width(tails=ALPHA)
        more = "more than" if least > verdict.margin else "not shown to be more than"
        sentence += f" That is {more} the margin of {_number(verdict.margin, unit)}."
    if verdict.label == "helps":
        sentence += f" {_spell_controls(verdict, controls)}"
    if verdict.better_than_floor is False:
        sentence += " It was not shown to be better than what needs no learning."
    return sentence


def _spell_controls(verdict: ArmVerdict, controls: Sequence[Difference]) -> str:
    if not controls:
        return "No control ran, so classical augmentation might do as much."
    beaten: list[str] = []
    others: list[str] = []
    for item in controls:
        words = f"{CONTROL_WORDS.get(item.against, item.against)} ({_spell_gain(item)}, p {_p(item.p_value)})"
        (beaten if is_shown_better(item) else others).append(words)
    if verdict.beyond_controls:
        return f"It is better than {' and '.join(beaten)} too."
    if others:
        return f"No more than {' or '.join(others)} was seen to."
    return f"Against {' and '.join(beaten)} it is better too, but not after Holm: no more than a control was seen to."


def _spell_weakness(verdict: ArmVerdict) -> str:
    difference, unit = verdict.difference, verdict.difference.unit
    if reason := difference.why_untested:
        return f"Not tested: {reason}."
    mean = difference.mean
    text = "Neither a difference nor its absence is shown."
    if verdict.smallest_margin is not None:
        least = _number(verdict.smallest_margin, unit)
        text += f" Had there been none, this run could have supported a margin of {least}"
        if verdict.smallest_margin > verdict.margin:
            text += f", not {_number(verdict.margin, unit)}."
        else:
            text += f"; what it saw is too near to that of {_number(verdict.margin, unit)}."
    # What the interval would be with the other source of chance gone.
    images = mean.half_width(tails=ALPHA) ** 2
    seeds = max(0.0, images - _images_half(mean) ** 2)
    return f"{text} {'More seeds' if seeds > images / 2 else 'More test radiographs'} would help most."


def _images_half(mean: SeedMean) -> float:
    return replace(mean, num_seeds=1, bootstrap_variance=mean.images_variance).half_width(tails=ALPHA)


def _name_arm(verdict: ArmVerdict) -> str:
    if verdict.label == "helps" and verdict.beyond_controls is False:
        return f"{verdict.arm} (no more than a control was seen to)"
    if verdict.label == "helps" and verdict.beyond_controls is None:
        return f"{verdict.arm} (no control ran)"
    if verdict.label == "underpowered" and verdict.smallest_margin is not None:
        margin = _number(verdict.smallest_margin, verdict.difference.unit)
        return f"{verdict.arm} (could support a margin of {margin})"
    return verdict.arm


def _spell_gain(difference: Difference) -> str:
    """`better by 0.31 px (95 % interval 0.12 to 0.50)`: both in the sense that is named."""
    mean, unit = difference.mean, difference.unit
    sense = "worse" if difference.gain < 0 else "better"
    size = abs(difference.gain)
    if mean.why_no_interval:
        return f"{sense} by {_number(size, unit)}"
    half = mean.half_width(tails=ALPHA)
    value, low, high = (format_number(end, width=2 * half) for end in (size, size - half, size + half))
    return f"{sense} by {_attach(value, unit)} (95 % interval {low} to {high})"


def spell_fraction(fraction: float) -> str:
    """How a sentence on a label fraction begins."""
    return f"With {100 * fraction:g} % of the real labels"


def _number(value: float, unit: str) -> str:
    return _attach(format_number(value), unit)


def _attach(number: str, unit: str) -> str:
    return f"{number} {unit}" if unit and unit != "share" else number


def _p(value: float | None) -> str:
    if value is None or np.isnan(value):
        return "not known"
    return "< 0.001" if value < 0.001 else f"= {value:.2g}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
