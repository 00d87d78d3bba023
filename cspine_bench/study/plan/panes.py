"""Which image goes into which pane: balanced for every reader and for every display set, and the same for all images.

In a block of as many readers as there are panes, the images of a display set move on by one pane from reader to reader:
each is in each pane once, so the real image is in pane (pi + r) mod P, with pi and the readers' places drawn from the
secret. The images that share the set follow in each of their (P - 1)! cyclic orders equally often. Nothing here knows
which image is real: every image is dealt alike, so a schedule does not tell the real one by how it moves.
"""

import itertools
from collections.abc import Sequence

from cspine_bench.study.plan.secret import SecretDraws

Arrangement = tuple[int, ...]
"""Member of the display set, from 0, in each pane from left to right."""


def deal_panes(
    *, num_cases: int, num_panes: int, num_readers: int, draws: SecretDraws, stream: str
) -> list[list[Arrangement]]:
    """An arrangement for each reader and display set.

    Args:
        num_cases: display sets, 0 or more.
        num_panes: P, images of each.
        num_readers: R.
        draws: of the study.
        stream: name of this use.

    Returns:
        By reader, then by display set. Over readers, each member of a set is in each pane R / P times, within one. Over
        display sets, each reader sees each member in each pane equally often, within one.
    """
    cycles = [(0, *rest) for rest in itertools.permutations(range(1, num_panes))]
    dealt: list[list[Arrangement]] = [[()] * num_cases for _ in range(num_readers)]
    for first in range(0, num_readers, num_panes):
        block = f"{stream}|block {first // num_panes}"
        order = draws.shuffle(f"{block}|cases", range(num_cases))
        places = draws.shuffle(f"{block}|readers", range(num_panes))
        classes = draws.shuffle(f"{block}|cycles", cycles)
        for start in range(0, num_cases, num_panes):
            cycle = classes[start // num_panes % len(classes)]
            shifts = draws.shuffle(f"{block}|shifts {start}", range(num_panes))
            for case, shift in zip(order[start : start + num_panes], shifts, strict=False):
                for reader, place in enumerate(places[: num_readers - first]):
                    dealt[first + reader][case] = turn(cycle, shift + place)
    return dealt


def deal_new_panes(
    shown: Sequence[Sequence[Arrangement]], *, num_panes: int, draws: SecretDraws, stream: str
) -> list[list[Arrangement]]:
    """Arrangements for a second look, with every image in another pane than at the first.

    Args:
        shown: at the first look, by reader, then by display set.
        num_panes: P; with one pane there is no other.
        draws: of the study.
        stream: name of this use.

    Returns:
        As `shown`. Over readers, each member is in each pane R / P times, within one, as at the first look.
    """
    steps = list(range(1, num_panes)) or [0]
    again: list[list[Arrangement]] = []
    for reader, arrangements in enumerate(shown):
        block = f"{stream}|block {reader // num_panes}"
        order = draws.shuffle(f"{block}|repeats", range(len(arrangements)))
        moves = {case: steps[place % len(steps)] for place, case in enumerate(order)}
        again.append([turn(arrangement, moves[case]) for case, arrangement in enumerate(arrangements)])
    return again


def turn(arrangement: Arrangement, steps: int) -> Arrangement:
    """All images moved to the right by some panes; what leaves at the right comes in at the left."""
    count = len(arrangement)
    return tuple(arrangement[(pane - steps) % count] for pane in range(count))
