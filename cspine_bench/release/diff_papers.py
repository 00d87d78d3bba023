"""What changed between two releases in what they say: the recipe's fields, and the figures of their evaluations."""

from dataclasses import dataclass
from typing import Any

from cspine_bench.results import Direction, Figure, Result


@dataclass(frozen=True)
class FieldChange:
    """A field of the release recipe, for example `license`."""

    name: str
    old: Any
    new: Any


@dataclass(frozen=True)
class FigureValue:
    """A figure's value, and the two ends of its interval (None: it has none)."""

    value: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class FigureChange:
    """A figure that moved, came or went.

    Attributes:
        file: name of the result file.
        name: of the figure.
        subgroup: what its samples have in common; empty: all.
        direction: whether more is better.
        unit: "" where it has none.
        old: None where the figure is new.
        new: None where it is gone.
        overlap: whether the two intervals have a value in common; None where one is missing. It is no test.
        unlike: why the two cannot be compared, for example another encoder; "" where they can.
    """

    file: str
    name: str
    subgroup: dict[str, str]
    direction: Direction
    unit: str
    old: FigureValue | None
    new: FigureValue | None
    overlap: bool | None
    unlike: str


def compare_recipes(old: dict[str, Any], new: dict[str, Any]) -> tuple[FieldChange, ...]:
    """Fields that differ, in the order of the newer recipe; an absent field counts as None."""
    names = [*new, *(name for name in old if name not in new)]
    return tuple(FieldChange(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name))


def compare_figures(old: dict[str, Result], new: dict[str, Result]) -> tuple[FigureChange, ...]:
    """Figures whose value or interval differs, by file, name and subgroup.

    Args:
        old: results by file name.
        new: as `old`.
    """
    changes = []
    for file in sorted(old.keys() | new.keys()):
        before, after = old.get(file), new.get(file)
        unlike = "" if before is None or after is None else _tell_apart(before, after)
        olds, news = _index(before), _index(after)
        for key in (*news, *(key for key in olds if key not in news)):
            figure, a, b = news.get(key) or olds[key], _read(olds.get(key)), _read(news.get(key))
            if a != b:
                changes.append(_compare(file, figure, a, b, unlike))
    return tuple(changes)


def _index(result: Result | None) -> dict[tuple[Any, ...], Figure]:
    figures: dict[tuple[Any, ...], Figure] = {}
    for figure in () if result is None else result.figures:
        key = (figure.name, *sorted(figure.subgroup.items()))
        # Of two with one name, the second is another figure.
        number = sum(1 for other in figures if other[:-1] == key)
        figures[(*key, number)] = figure
    return figures


def _read(figure: Figure | None) -> FigureValue | None:
    if figure is None:
        return None
    interval = figure.interval
    return FigureValue(figure.value, None if interval is None else (interval.low, interval.high))


def _compare(file: str, figure: Figure, old: FigureValue | None, new: FigureValue | None, unlike: str) -> FigureChange:
    overlap = None
    if old is not None and new is not None and old.interval is not None and new.interval is not None:
        overlap = old.interval[0] <= new.interval[1] and new.interval[0] <= old.interval[1]
    return FigureChange(
        file=file,
        name=figure.name,
        subgroup=figure.subgroup,
        direction=figure.direction,
        unit=figure.unit,
        old=old,
        new=new,
        overlap=overlap,
        unlike=unlike,
    )


def _tell_apart(old: Result, new: Result) -> str:
    """Why figures of the two results measure different things, or ""."""
    reasons = []
    if (old.measure, old.measure_version) != (new.measure, new.measure_version):
        reasons.append(f"measure {old.measure} {old.measure_version} became {new.measure} {new.measure_version}")
    if old.encoder != new.encoder:
        reasons.append("another encoder")
    # The synthetic data are what the release holds: they are meant to differ.
    before, after = (
        {item.role: item.digest for item in result.inputs if item.role != "synthetic"} for result in (old, new)
    )
    reasons += [
        f"other {role} data" for role in sorted(before.keys() | after.keys()) if before.get(role) != after.get(role)
    ]
    return ", ".join(reasons)
