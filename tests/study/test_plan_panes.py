"""Panes, orders and the secret that they come from, counted."""

from collections import Counter
from itertools import pairwise

import pytest

from cspine_bench.study.plan.order import draw_order
from cspine_bench.study.plan.panes import deal_new_panes, deal_panes, turn
from cspine_bench.study.plan.secret import SecretDraws, make_secret

DRAWS = SecretDraws("7a" * 32)


def spread(counts: Counter[int], num_panes: int) -> int:
    each = [counts[pane] for pane in range(num_panes)]
    return max(each) - min(each)


def test_every_image_is_in_every_pane_alike_for_each_reader_and_each_case() -> None:
    for num_panes in (1, 2, 4):
        for num_readers in (1, 3, 4, 8):
            for num_cases in (2, 7, 50):
                dealt = deal_panes(
                    num_cases=num_cases, num_panes=num_panes, num_readers=num_readers, draws=DRAWS, stream="x"
                )
                assert all(sorted(one) == list(range(num_panes)) for reader in dealt for one in reader)
                for member in range(num_panes):
                    for reader in dealt:
                        assert spread(Counter(one.index(member) for one in reader), num_panes) <= 1
                    for case in range(num_cases):
                        counts = Counter(reader[case].index(member) for reader in dealt)
                        assert spread(counts, num_panes) <= 1
                        if num_readers % num_panes == 0:
                            assert set(counts.values()) == {num_readers // num_panes}


def test_the_real_pane_moves_as_specified_and_so_does_every_other() -> None:
    dealt = deal_panes(num_cases=48, num_panes=4, num_readers=8, draws=DRAWS, stream="x")
    for block in (dealt[:4], dealt[4:]):
        # (pi(q) + r) mod 4 up to the readers' places: the step between two readers is the same in all cases, for all.
        for one, other in pairwise(block):
            steps = {(b.index(m) - a.index(m)) % 4 for a, b in zip(one, other, strict=True) for m in range(4)}
            assert len(steps) == 1 and steps != {0}
    cycles = Counter(turn(one, -one.index(0)) for one in dealt[0])
    assert len(cycles) == 6 and set(cycles.values()) == {8}


def test_a_second_look_has_every_image_in_a_new_pane_and_stays_balanced_over_readers() -> None:
    for num_panes in (1, 2, 4):
        shown = deal_panes(num_cases=9, num_panes=num_panes, num_readers=8, draws=DRAWS, stream="x")
        again = deal_new_panes(shown, num_panes=num_panes, draws=DRAWS, stream="y")
        for first, second in zip(shown, again, strict=True):
            for one, other in zip(first, second, strict=True):
                assert num_panes == 1 or all(a != b for a, b in zip(one, other, strict=True))
        for case in range(9):
            assert set(Counter(reader[case].index(0) for reader in again).values()) == {8 // num_panes}


def test_orders_keep_the_lag_and_spread_the_controls() -> None:
    cases = [f"Q{number}" for number in range(42)]
    repeats = [(f"F{number}", f"S{number}") for number in range(8)]
    controls = [f"P{number}" for number in range(6)]
    seen = set()
    firsts = Counter()
    for reader in range(12):
        order = draw_order(
            cases=cases, repeats=repeats, controls=(controls, ["N"]), lag=15, draws=DRAWS, stream=f"order {reader}"
        )
        assert sorted(order) == sorted([*cases, *(one for pair in repeats for one in pair), *controls, "N"])
        place = {trial: number for number, trial in enumerate(order)}
        assert all(place[second] - place[first] - 1 >= 15 for first, second in repeats)
        halves = [place[one] < len(order) / 2 for one in controls]
        assert 2 <= sum(halves) <= 4, "three stretches of six lie in each half, but for the repeats between"
        seen.add(tuple(order))
        firsts[order[0]] += 1
    assert len(seen) == 12 and max(firsts.values()) < 6


def test_the_tightest_order_is_found_and_a_tighter_one_refused() -> None:
    repeats = [(f"F{number}", f"S{number}") for number in range(4)]
    asked = {"repeats": repeats, "controls": (), "draws": DRAWS, "stream": "tight"}
    order = draw_order(cases=["a", "b"], lag=5, **asked)
    place = {trial: number for number, trial in enumerate(order)}
    assert min(place[second] - place[first] - 1 for first, second in repeats) == 5
    with pytest.raises(ValueError, match="10 trials cannot hold 4 repeats with 6 trials between"):
        draw_order(cases=["a", "b"], lag=6, **asked)
    assert draw_order(cases=[], repeats=(), controls=(), lag=3, draws=DRAWS, stream="none") == []


def test_draws_follow_from_the_secret_alone() -> None:
    again = SecretDraws("7a" * 32)
    assert DRAWS.shuffle("a", range(30)) == again.shuffle("a", range(30))
    others = [SecretDraws("7b" * 32).shuffle("a", range(30)), DRAWS.shuffle("b", range(30)), list(range(30))]
    assert DRAWS.shuffle("a", range(30)) not in others
    # By hand: HMAC-SHA-256 of the name under the secret, so that anybody can make the draws again in any language.
    import hashlib
    import hmac

    by_hand = sorted(range(30), key=lambda i: hmac.new(b"\x7a" * 32, f"a|{i}".encode(), hashlib.sha256).hexdigest())
    assert DRAWS.shuffle("a", range(30)) == by_hand
    counts = Counter(DRAWS.pick(f"die {number}", 6) for number in range(1200))
    assert len(counts) == 6 and max(abs(count - 200) for count in counts.values()) < 60
    assert len(make_secret()) == 64 and make_secret() != make_secret()
    with pytest.raises(ValueError, match="64 lower-case"):
        SecretDraws("0" * 63)
