"""The figures of a baseline's result arm by arm: what its page, its tables and the leaderboard have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, get_args

from cspine_bench.baselines.arm_facts import FACTS, MARGIN, NUM_REAL, P_VALUE
from cspine_bench.baselines.frozen import PROBE, ZERO_SHOT
from cspine_bench.baselines.recipe import ARMS
from cspine_bench.baselines.verdict import Label
from cspine_bench.page.wording import describe_conditions
from cspine_bench.results import Figure, Result

BASELINE_VERSION: Final = "1"
"""Raised when the same inputs would give other figures."""
MEASURE_PREFIX: Final = "baseline-"
REFERENCE: Final = "real"
SUBMISSION: Final = "submission"
DIFFERENCE: Final = "_difference"
PARTS: Final = frozenset(
    {"level", "landmark", "class", "region", "artefact", "parameter", "segment", "disc", "edge", "attack"}
    | {"degradation", "tested_on", "against"}
)
"""Conditions of figures that are of a part of what was tested, or of something else than the test split."""
_CELL: Final = frozenset({"arm", "fraction"})


@dataclass(frozen=True)
class ArmRow:
    """One arm at one label fraction.

    Attributes:
        arm: its label, such as `mixed-1`; of a floor: its name.
        fraction: as the result spells it; "": of none of the real labels.
        num_labels: real labelled radiographs that it learnt from, the most of its seeds; None: not stated.
        num_test: test radiographs that the primary score rests on.
        num_seeds: networks; None: not stated.
        scores: of `ArmTable.columns`, None where there is none; the primary one first.
        difference: from the arm `real`, of the primary score; None for that arm itself, and for floors.
        p_value: adjusted for the number of arms; None: not tested.
        verdict: one of `verdict.Label`, or "".
        sentence: the verdict with its figures, or "".
    """

    arm: str
    fraction: str
    num_labels: int | None
    num_test: int
    num_seeds: int | None
    scores: tuple[Figure | None, ...]
    difference: Figure | None
    p_value: float | None
    verdict: str
    sentence: str

    @property
    def is_floor(self) -> bool:
        """Whether it is no network of the protocol, but what needs no learning."""
        return is_floor(self.arm)

    @property
    def primary(self) -> Figure:
        """The primary score; a row without it is not made."""
        first = self.scores[0]
        if first is None:
            raise ValueError(f"{self.arm} at {self.fraction}: has no primary score")
        return first


@dataclass(frozen=True)
class ArmTable:
    """Rows of a result: floors, then fraction by fraction the arms in their order.

    An arm that learns from no real label has a row at every fraction that it was compared at.

    Attributes:
        task: such as `landmarking`.
        primary: name of the primary score.
        columns: (name, condition in words) of each score, the primary one first.
        rows: one for each arm and fraction.
    """

    task: str
    primary: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[ArmRow, ...]

    @property
    def reference(self) -> tuple[ArmRow, ...]:
        """The rows of the arm that the others are compared with."""
        return tuple(row for row in self.rows if row.arm == REFERENCE)


def is_floor(arm: str) -> bool:
    """Whether an arm's label is the name of something that needs no learning."""
    return arm not in ARMS and arm != SUBMISSION and not arm.startswith("mixed-") and not is_frozen(arm)


def is_frozen(arm: str) -> bool:
    """Whether an arm's label is that of an encoder that others have trained: probed, or asked in words."""
    return arm.startswith((PROBE, ZERO_SHOT))


def find_task(result: Result) -> str:
    """The task of a baseline's result: what follows `baseline-` in its measure."""
    return result.measure.removeprefix(MEASURE_PREFIX)


def find_primary(result: Result) -> str:
    """Name of the primary score: the first figure of an arm.

    Raises:
        ValueError: the result has no figure of an arm.
    """
    for figure in result.figures:
        if "arm" in figure.condition and figure.name not in FACTS and not figure.name.endswith(DIFFERENCE):
            return figure.name
    raise ValueError(f"{result.measure}: no figure names its arm, so there is no table to make of it")


def find_margin(result: Result) -> float | None:
    """The largest difference of the primary score that does not matter; None: not stated."""
    return next((figure.value for figure in result.figures if figure.name == MARGIN), None)


def list_rest(figure: Figure) -> dict[str, str]:
    """What a figure is of besides its arm and fraction: {"level": "C3"}."""
    return {name: value for name, value in figure.condition.items() if name not in _CELL}


def read_arms(result: Result) -> ArmTable:
    """The rows of a result.

    Columns are the scores of the whole test split: those of single levels, classes or regions are on the page alone.

    Args:
        result: of a baseline. An arm and fraction without its primary score has no row.

    Raises:
        ValueError: the result has no figure of an arm.
    """
    primary = find_primary(result)
    scores: dict[tuple[str, str], dict[tuple[str, str], Figure]] = {}
    facts: dict[tuple[str, str, str], Figure] = {}
    for figure in result.figures:
        if "arm" not in figure.condition or figure.subgroup:
            continue
        cell = (figure.condition["arm"], figure.condition.get("fraction", ""))
        if _is_score(figure):
            scores.setdefault(cell, {})[_column_of(figure)] = figure
        elif figure.condition.get("against", REFERENCE) == REFERENCE and not PARTS & set(figure.condition) - {
            "against"
        }:
            facts[*cell, figure.name] = figure
    columns = list(dict.fromkeys(column for found in scores.values() for column in found))
    columns.sort(key=lambda column: column != (primary, ""))
    difference = f"{primary}{DIFFERENCE}"
    rows = []
    for (arm, fraction), found in scores.items():
        if (primary, "") not in found:
            continue
        shown = tuple(found.get(column) for column in columns)
        # An arm without real labels is one network for all fractions, and a comparison at each.
        places = [at for one, at, name in facts if (one, name) == (arm, difference) and not fraction] or [fraction]
        for at in places:
            count = facts.get((arm, fraction, NUM_REAL))
            rows.append(
                _build_row(arm, at, shown, count, facts.get((arm, at, difference)), facts.get((arm, at, P_VALUE)))
            )
    rows.sort(key=lambda row: (not row.is_floor, float(row.fraction or 0)))
    return ArmTable(find_task(result), primary, tuple(columns), tuple(rows))


def _build_row(
    arm: str, fraction: str, scores: Sequence[Figure | None], count: Figure | None, difference: Figure | None,
    p_value: Figure | None,
) -> ArmRow:  # fmt: skip
    first = scores[0]
    used = {} if first is None else first.n_used
    label = "" if difference is None else difference.note.partition(";")[0]
    return ArmRow(
        arm=arm,
        fraction=fraction,
        num_labels=None if count is None else int(count.value),
        num_test=used.get("test", 0),
        num_seeds=used.get("seeds"),
        scores=tuple(scores),
        difference=difference,
        p_value=None if p_value is None else p_value.value,
        verdict=label if label in get_args(Label) else "",
        sentence=_find_sentence(difference, p_value),
    )


def _find_sentence(difference: Figure | None, p_value: Figure | None) -> str:
    """That of the verdict; of one that was not tested, what is said of its difference: why not."""
    if p_value is not None or difference is None:
        return "" if p_value is None else p_value.note
    return f"{difference.condition.get('arm', '')}: {difference.note}"


def _column_of(figure: Figure) -> tuple[str, str]:
    rest = list_rest(figure)
    return figure.name, describe_conditions(rest) if rest else ""


def _is_score(figure: Figure) -> bool:
    """Whether a figure is a score of the whole test split."""
    return not (figure.name.endswith(DIFFERENCE) or figure.name in FACTS or PARTS & set(figure.condition))
