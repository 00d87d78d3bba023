"""Figures of a result from estimates, so that none is built without its counts."""

from collections.abc import Mapping
from typing import Literal

from cspine_bench.metrics.intervals import CONFIDENCE, Estimate
from cspine_bench.results import Direction, Figure, Floor, Interval

CLOPPER_PEARSON = "Clopper-Pearson"
WILSON = "Wilson"
Standing = Literal["beyond", "better", "within", "none"]

JACKKNIFE = "delete-a-group jackknife over patients or anatomies"


def build_figure(
    name: str,
    estimate: Estimate | float,
    *,
    direction: Direction,
    used: Mapping[str, int],
    available: Mapping[str, int],
    method: str = "",
    unit: str = "",
    subgroup: Mapping[str, str] | None = None,
    condition: Mapping[str, str] | None = None,
    floor: Floor | None = None,
    note: str = "",
    level: float = CONFIDENCE,
) -> Figure:
    """A figure.

    Args:
        name: see `cspine_bench.results.Figure`, likewise the others.
        estimate: with its interval; a bare number has none, and passes no gate.
        direction: which is better.
        used: images that it rests on, by role.
        available: images that there were.
        method: of the interval; needed where there is one.
        unit: "" where it has none.
        subgroup: what the images have in common.
        condition: how it was measured.
        floor: what real images score against real ones.
        note: one sentence that a reader needs.
        level: what the estimate's ends cover.
    """
    interval = None
    if isinstance(estimate, Estimate):
        interval = Interval(low=estimate.low, high=estimate.high, level=level, method=method)
    return Figure(
        name=name,
        value=estimate.value if isinstance(estimate, Estimate) else estimate,
        unit=unit,
        direction=direction,
        interval=interval,
        n_used=dict(used),
        n_available=dict(available),
        subgroup=dict(subgroup or {}),
        condition=dict(condition or {}),
        floor=floor,
        note=note,
    )


def compare_with_floor(figure: Figure) -> Standing:
    """Where a figure lies beside what real images score against real ones, at the floor's numbers of images if known.

    Returns:
        `beyond`: worse than the floor's worse end, and its own interval, moved there, does not reach the floor's value;
        `better`: likewise at the better end; `within`: no difference was found, which is not the same as none; `none`:
        there is no floor, or no better end.
    """
    floor = figure.floor
    if floor is None or figure.direction == "none":
        return "none"
    value = figure.value if floor.matched is None else floor.matched
    low, high = (value, value)
    if figure.interval is not None:
        low, high = (value + end - figure.value for end in (figure.interval.low, figure.interval.high))
    above = value > floor.high and low > floor.value
    below = value < floor.low and high < floor.value
    if above or below:
        return "beyond" if above == (figure.direction == "lower") else "better"
    return "within"
