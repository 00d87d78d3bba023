"""Splits: whole groups, right shares, in every stratum, whatever the order."""

import random
from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cspine_bench.dataset.plan import count_shards
from cspine_bench.dataset.source import SampleKey
from cspine_bench.dataset.splits import age_band, assign_splits, tabulate_strata

FRACTIONS = (0.8, 0.1, 0.1)


def _keys(groups: list[tuple[str, int]]) -> list[SampleKey]:
    return [
        SampleKey(f"s{group:05d}{member:05d}", f"g{group}", "", {"sex": stratum})
        for group, (stratum, size) in enumerate(groups)
        for member in range(size)
    ]


_groups = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5)), min_size=1, max_size=80)


@given(_groups, st.integers(0, 2**63 - 1))
def test_groups_stay_whole_and_order_does_not_matter(groups: list[tuple[str, int]], seed: int) -> None:
    keys = _keys(groups)
    splits = assign_splits(keys, fractions=FRACTIONS, seed=seed)
    by_group = defaultdict(set)
    for key, split in zip(keys, splits, strict=True):
        by_group[key.group_id].add(split)
    assert all(len(names) == 1 for names in by_group.values())
    assert len(set(splits)) == min(3, len(groups))

    order = list(range(len(keys)))
    random.Random(seed).shuffle(order)
    shuffled = assign_splits([keys[index] for index in order], fractions=FRACTIONS, seed=seed)
    assert shuffled == [splits[index] for index in order]


@given(_groups.filter(lambda groups: len(groups) >= 30), st.integers(0, 1000))
def test_shares_are_right_to_one_group(groups: list[tuple[str, int]], seed: int) -> None:
    keys = _keys(groups)
    counts = Counter(assign_splits(keys, fractions=FRACTIONS, seed=seed))
    largest = max(size for _, size in groups)
    for split, share in zip(("train", "validation", "test"), FRACTIONS, strict=True):
        assert abs(counts[split] - share * len(keys)) <= largest


def test_every_stratum_is_divided_alike() -> None:
    keys = _keys([("a", 1)] * 1000 + [("b", 1)] * 100 + [("c", 1)] * 10)
    splits = assign_splits(keys, fractions=FRACTIONS, seed=3)
    table = tabulate_strata((split, key.strata) for key, split in zip(keys, splits, strict=True))
    for size, value in ((1000, "a"), (100, "b"), (10, "c")):
        for split, share in zip(("train", "validation", "test"), FRACTIONS, strict=True):
            assert abs(table["sex"][value][split] - share * size) <= 1
    assert table["disease"] == {"unknown": {"train": 888, "validation": 111, "test": 111}}


def test_another_seed_draws_other_groups() -> None:
    keys = _keys([("a", 1)] * 50)
    assert assign_splits(keys, fractions=FRACTIONS, seed=1) != assign_splits(keys, fractions=FRACTIONS, seed=2)


def test_one_radiograph_trains_and_a_share_of_zero_stays_empty() -> None:
    assert assign_splits(_keys([("a", 1)]), fractions=FRACTIONS, seed=0) == ["train"]
    assert assign_splits([], fractions=FRACTIONS, seed=0) == []
    assert set(assign_splits(_keys([("a", 1)] * 30), fractions=(0.0, 0.0, 1.0), seed=0)) == {"test"}


@pytest.mark.parametrize("fractions", [(0.8, 0.1, 0.2), (1.2, -0.1, -0.1), (float("nan"), 0.5, 0.5)])
def test_impossible_shares_are_refused(fractions: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="add up to 1"):
        assign_splits(_keys([("a", 1)]), fractions=fractions, seed=0)


@pytest.mark.parametrize(
    ("rows", "sample_bytes", "shards"),
    [(0, 1, 0), (1, 1, 1), (511, 1, 1), (512, 1, 2), (4096, 42_000, 16), (1_000_000, 42_000, 106), (3, 10**9, 3)],
)
def test_shards_are_many_enough_and_small_enough(rows: int, sample_bytes: int, shards: int) -> None:
    assert count_shards(rows, sample_bytes) == shards


def test_age_bands() -> None:
    assert [age_band(age) for age in (None, 0, 19, 20, 99, 100)] == [
        "unknown", "00-19", "00-19", "20-39", "80-99", "100-119",
    ]  # fmt: skip
