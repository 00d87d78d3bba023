"""In which order a reader sees the display sets: at random, repeats late enough, controls spread over all of it."""

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Sequence
from typing import Final, TypeVar

from cspine_bench.study.plan.secret import SecretDraws

T = TypeVar("T", bound=Hashable)
_ATTEMPTS: Final = 32


def draw_order(
    *,
    cases: Sequence[T],
    repeats: Sequence[tuple[T, T]],
    controls: Sequence[Sequence[T]],
    lag: int,
    draws: SecretDraws,
    stream: str,
) -> list[T]:
    """An order of all trials after training.

    Args:
        cases: trials that may stand anywhere.
        repeats: (first look, second look).
        controls: kinds of control; those of a kind stand one in each of as many stretches of the order.
        lag: fewest trials between a first look and its second.
        draws: of the study.
        stream: name of this use: one for each reader.

    Raises:
        ValueError: there are too few trials for the lag.
    """
    total = len(cases) + 2 * len(repeats) + sum(map(len, controls))
    if repeats and total - len(repeats) <= lag:
        raise ValueError(f"{total} trials cannot hold {len(repeats)} repeats with {lag} trials between; set less")
    order: dict[int, T] = {}
    pairs = _draw_places(total, len(repeats), lag, draws, stream)
    for (first, second), (early, late) in zip(draws.shuffle(f"{stream}|pairs", repeats), pairs, strict=True):
        order |= {early: first, late: second}
    for number, kind in enumerate(controls):
        free = [place for place in range(total) if place not in order]
        for index, trial in enumerate(draws.shuffle(f"{stream}|controls {number}", kind)):
            low, high = (len(free) * end // len(kind) for end in (index, index + 1))
            order[free[low + draws.pick(f"{stream}|control {number} {index}", high - low)]] = trial
    rest = iter(draws.shuffle(f"{stream}|cases", cases))
    return [order[place] if place in order else next(rest) for place in range(total)]


def _draw_places(total: int, count: int, lag: int, draws: SecretDraws, stream: str) -> list[tuple[int, int]]:
    """Places of first and second looks; drawn in turn, and anew where a draw leaves no room for the rest."""
    for attempt in range(_ATTEMPTS):
        free = list(range(total))
        pairs: list[tuple[int, int]] = []
        while len(pairs) < count:
            early = bisect_left(free, free[-1] - lag) if free else 0
            if not early:
                break
            name = f"{stream}|places {attempt} {len(pairs)}"
            first = free[draws.pick(f"{name} early", early)]
            low = bisect_right(free, first + lag)
            second = free[low + draws.pick(f"{name} late", len(free) - low)]
            free.remove(first)
            free.remove(second)
            pairs.append((first, second))
        if len(pairs) == count:
            return pairs
    # Hardly any room: all first looks at the beginning, all second ones at the end, each as late as can be.
    return [(place, total - count + place) for place in range(count)]
