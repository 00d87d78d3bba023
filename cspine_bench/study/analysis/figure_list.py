"""Figures of an analysis as they are found, and what has no value, with the reason: nothing is left out silently."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from cspine_bench.metrics.intervals import Estimate
from cspine_bench.results import Direction, Figure, Interval

NO_REASON: Final = "not defined for these answers"
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Ends:
    """Of an interval; None: there is none.

    Attributes:
        low: lower end.
        high: upper end.
        method: how they were found.
        level: what they cover.
    """

    low: float | None
    high: float | None
    method: str
    level: float


@dataclass
class FigureList:
    """Figures by name, in the order in which they were found.

    Attributes:
        available: readers, cases, answers and ratings that there were.
        level: of intervals.
        figures: by name.
        not_defined: why, by name; a name that ends in `.*` is all that begin so.
    """

    available: Mapping[str, int]
    level: float
    figures: dict[str, Figure] = field(default_factory=dict)
    not_defined: dict[str, str] = field(default_factory=dict)

    def add(
        self,
        name: str,
        value: float | None,
        *,
        used: Mapping[str, int],
        reason: str = "",
        ends: Ends | Estimate | None = None,
        method: str = "",
        direction: Direction = "none",
        unit: str = "",
        subgroup: Mapping[str, str] | None = None,
        note: str = "",
        available: Mapping[str, int] | None = None,
    ) -> None:
        """Add a figure, or the reason why it has no value.

        Args:
            name: of the figure; each once.
            value: None or not finite: it has none.
            used: what it rests on.
            reason: why it may have no value.
            ends: of its interval; an estimate's, with `method`.
            method: of an estimate's interval.
            direction: which is better.
            unit: "" where it has none.
            subgroup: the reader or source that it is of; left out of the figure where its name spells it.
            note: one sentence that a reader needs.
            available: what there was, where it is not the study's.
        """
        if name in self.figures or name in self.not_defined:
            raise ValueError(f"figure {name!r} is added twice")
        if value is None or not math.isfinite(value):
            infinite = "" if value is None or math.isnan(value) else f"it is {'minus ' if value < 0 else ''}infinity"
            self.not_defined[name] = reason or infinite or NO_REASON
            return
        if isinstance(ends, Estimate):
            ends = Ends(ends.low, ends.high, method, self.level)
        interval = None
        if ends is not None and _is_number(ends.low) and _is_number(ends.high):
            low, high = float(ends.low or 0.0), float(ends.high or 0.0)
            interval = Interval(low=low, high=high, level=ends.level, method=ends.method)
        spelled = re.split(r"[.\[]", name)
        if available is None:
            available = {role: self.available[role] for role in used}
        self.figures[name] = Figure(
            name=name,
            value=float(value),
            unit=unit,
            direction=direction,
            interval=interval,
            n_used=dict(used),
            n_available=dict(available),
            subgroup={role: named for role, named in (subgroup or {}).items() if named not in spelled},
            note=note,
        )

    def withdraw(self, name: re.Pattern[str], why: str) -> None:
        """Take away figures whose names match, which have no meaning here; the reason stays."""
        for one in [one for one in self.figures if name.fullmatch(one)]:
            del self.figures[one]
            self.not_defined[one] = why

    def add_all(
        self,
        prefix: str,
        values: Mapping[str, float | None],
        *,
        used: Mapping[str, int],
        reason: str = "",
        subgroup: Mapping[str, str] | None = None,
    ) -> None:
        """Add `PREFIX.KEY` for each key, all of them without an interval."""
        for key, value in values.items():
            self.add(f"{prefix}.{key}", value, used=used, reason=reason, subgroup=subgroup)

    def leave_out(self, name: str, reason: str) -> None:
        """Say why something is not there; `name` may end in `.*`."""
        self.not_defined[name] = reason

    def value(self, name: str) -> float | None:
        """The value of a figure; None: it has none."""
        figure = self.figures.get(name)
        return None if figure is None else figure.value


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def build_keys(names: Iterable[str], *, prefix: str) -> dict[str, str]:
    """How readers or sources are spelled in names of figures: by their own names where these can hold them.

    Args:
        names: in the order in which those that cannot be spelled are numbered.
        prefix: of the number.

    Returns:
        Key by name, all different.
    """
    names = list(names)
    keys = {name: name for name in names if _PLAIN.fullmatch(name)}
    for number, name in enumerate(names, 1):
        if name in keys:
            continue
        key = "-".join(re.findall(r"[A-Za-z0-9_]+", name)) if name.isascii() else ""
        if not _PLAIN.fullmatch(key) or key in keys.values():
            key = f"{prefix}{number}"
        while key in keys.values():
            key += "_"
        keys[name] = key
    return keys
