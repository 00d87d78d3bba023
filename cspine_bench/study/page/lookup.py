"""Figures of a result by name, and the few that the page reads together: a mean with its test, an agreement."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cspine_bench.results import Figure


@dataclass(frozen=True)
class Reading:
    """A value with what surrounds it; None: the result does not have it.

    Attributes:
        value: the estimate.
        low: of its interval.
        high: likewise.
        p_two: two-sided.
        p_greater: one-sided, of so large a value.
    """

    value: float | None
    low: float | None
    high: float | None
    p_two: float | None
    p_greater: float | None

    @property
    def ends(self) -> tuple[float, float] | None:
        """Both ends, or None."""
        return None if self.low is None or self.high is None else (self.low, self.high)


@dataclass(frozen=True)
class Tost:
    """Two one-sided tests; None: the result does not have it.

    Attributes:
        margin: asked about.
        p: the larger of the two.
        low: of the interval of the distance from chance, or of the difference.
        high: likewise.
        smallest: margin that is supported.
    """

    margin: float
    p: float | None
    low: float | None
    high: float | None
    smallest: float | None


_KEYED: Final = {
    "source": re.compile(r"(?:rate\.mean|wil\.reader\.zeros)\.([^.]+)|(?:source|diff|pick)\.([^.]+)\.\w+(?:\.\w+)?"),
    "reader": re.compile(r"(?:intra\.kappa_quadratic)\.([^.]+)|(?:reader|control)\.([^.]+)\.\w+"),
}
"""Where the key of a source or a reader stands in names of figures that are of one."""


def _find_key(figure: Figure, kind: str) -> re.Match[str] | None:
    return _KEYED[kind].fullmatch(figure.name) if kind in figure.subgroup else None


class Lookup:
    """The figures of a result, found by name."""

    def __init__(self, figures: Sequence[Figure]) -> None:
        """Of figures of one name the first without a subgroup counts, then the first of all."""
        self._figures = tuple(figures)
        self._found: dict[str, Figure] = {}
        for figure in sorted(figures, key=lambda one: (bool(one.subgroup), bool(one.condition))):
            self._found.setdefault(figure.name, figure)
        self._keys = {
            kind: {
                one.subgroup[kind]: found[1] or found[2]
                for one in figures
                if (found := _find_key(one, kind)) is not None
            }
            for kind in _KEYED
        }

    def figure(self, *names: str) -> Figure | None:
        """The first of some names that there is."""
        return next((self._found[name] for name in names if name in self._found), None)

    def value(self, *names: str) -> float | None:
        """Its value."""
        found = self.figure(*names)
        return None if found is None else found.value

    def key(self, kind: str, name: str) -> str:
        """How a reader or a source is spelled in names of figures: some names no name of a figure can hold."""
        return self._keys[kind].get(name, name)

    def indexed(self, stem: str, place: int, **subgroup: str) -> float | None:
        """The value of `STEM[k]` of a subgroup; where none says what it is of, of a place."""
        known = [one for one in self._figures if one.name.startswith(f"{stem}[")]
        own = next((one for one in known if one.subgroup == subgroup), None)
        if own is None and not any(one.subgroup for one in known):
            own = next((one for one in known if one.name == f"{stem}[{place}]"), None)
        return None if own is None else own.value

    def read(self, stem: str, *, rule: str = "") -> Reading | None:
        """The value of a stem such as `acc.twoway` with its ends and p values; None where it has no value.

        Args:
            stem: without the last part.
            rule: before the last part: `nn_`.
        """
        values = [f"{stem}.{rule}{last}" for last in ("mean", "est", "phat", "auc")]
        figure = self.figure(*values, *([f"{stem}.mean", f"{stem}.est"] if rule else []), *([] if rule else [stem]))
        if figure is None:
            return None
        low, high = self.value(f"{stem}.{rule}lo"), self.value(f"{stem}.{rule}hi")
        if (low is None or high is None) and figure.interval is not None and (figure.name in values or not rule):
            low, high = figure.interval.low, figure.interval.high
        return Reading(
            figure.value, low, high, self.value(f"{stem}.{rule}p_two", f"{stem}.{rule}p"),
            self.value(f"{stem}.{rule}p_greater"),
        )  # fmt: skip

    def tost(self, stem: str, *, margin: float, rule: str = "") -> Tost | None:
        """Two one-sided tests at a margin, of a stem such as `acc.twoway_tost` or `diff.s1.tost`.

        Digits behind the stem are a margin of their own ("10" is 0.10); they count where they are the margin asked for.
        """
        own = list(dict.fromkeys([f"{stem}{100 * margin:02.0f}", f"{stem}{100 * margin:.6g}", stem]))
        for name in own:
            sides = [self.value(f"{name}.{rule}{side}") for side in ("p_lower", "p_upper")]
            known = [side for side in sides if side is not None]
            smallest = self.value(f"{name}.{rule}min_margin")
            if known or smallest is not None:
                return Tost(
                    margin, self.value(f"{name}.{rule}p") or (max(known) if known else None),
                    self.value(f"{name}.{rule}lo90", f"{name}.{rule}lo"),
                    self.value(f"{name}.{rule}hi90", f"{name}.{rule}hi"), smallest,
                )  # fmt: skip
        return None
