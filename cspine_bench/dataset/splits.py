"""Train, validation and test: balanced over sex, age, curvature and disease, and never cutting a group.

Groups are lined up stratum by stratum, inside a stratum by a seeded hash of their name. Walking down the line, each
group goes to the split that is furthest behind its share. So every stratum is divided in the asked fractions as far as
whole groups allow, what one stratum could not settle is settled in the next, and
the whole comes out right to within one group.
The result depends on the samples, the fractions and the seed, not on the order of the samples.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from cspine_bench.dataset.source import UNKNOWN_STRATUM, SampleKey
from cspine_bench.schema import SPLITS, Split
from cspine_bench.seeding import derive_key

STRATA: Final = ("disease", "curvature", "sex", "age_band")
"""Balanced over, the scarcest first: neighbours in the line share it longest."""

_AGE_BAND_YEARS: Final = 20


def age_band(age: int | None) -> str:
    """The stratum of an age in years: "00-19", "20-39" .. or "unknown"."""
    if age is None:
        return UNKNOWN_STRATUM
    start = age // _AGE_BAND_YEARS * _AGE_BAND_YEARS
    return f"{start:02d}-{start + _AGE_BAND_YEARS - 1}"


def assign_splits(keys: Sequence[SampleKey], *, fractions: tuple[float, float, float], seed: int) -> list[Split]:
    """Give each sample a split.

    Args:
        keys: the samples, in any order.
        fractions: shares of train, validation and test; each at least 0, together 1.
        seed: 0 <= seed < 2**63.

    Returns:
        One split for each key, in the order of `keys`. A split with a share above 0 is empty only if there are fewer
        groups than such splits; then the splits with the larger shares come first.

    Raises:
        ValueError: the fractions are not three shares that add up to 1.
    """
    shares = _check_fractions(fractions)
    members = defaultdict(list)
    for index, key in enumerate(keys):
        members[key.group_id].append(index)
    line = sorted(
        members, key=lambda name: (_stratum_of(keys[index] for index in members[name]), _hash(seed, name), name)
    )

    counts = dict.fromkeys(shares, 0)
    chosen: dict[str, Split] = {}
    total = 0
    for name in line:
        size = len(members[name])
        total += size
        # Rounded, so that two splits equally far behind are told apart by their order and not by float noise.
        split = max(shares, key=lambda split: round(shares[split] * total - counts[split], 6))
        chosen[name] = split
        counts[split] += size
    _fill_empty_splits(chosen, line, members, shares)

    splits: list[Split] = ["train"] * len(keys)
    for name, indices in members.items():
        for index in indices:
            splits[index] = chosen[name]
    return splits


def tabulate_strata(rows: Iterable[tuple[str, Mapping[str, str]]]) -> dict[str, dict[str, dict[str, int]]]:
    """Count samples by stratum name, value and split.

    Args:
        rows: (split, strata) of each sample; a stratum that is absent counts as unknown.

    Returns:
        counts[stratum][value][split]; values sorted, every split in every row, in the order of `SPLITS`.
    """
    counter: Counter[tuple[str, str, str]] = Counter()
    for split, strata in rows:
        for name in STRATA:
            counter[name, strata.get(name, UNKNOWN_STRATUM), split] += 1
    table: dict[str, dict[str, dict[str, int]]] = {name: {} for name in STRATA}
    for name, value in sorted({(name, value) for name, value, _ in counter}):
        table[name][value] = {split: counter[name, value, split] for split in SPLITS}
    return table


def _check_fractions(fractions: tuple[float, float, float]) -> dict[Split, float]:
    if (
        len(fractions) != len(SPLITS)
        or any(not 0 <= share <= 1 for share in fractions)
        or abs(sum(fractions) - 1) > 1e-9
    ):
        raise ValueError(f"fractions must be {len(SPLITS)} shares between 0 and 1 that add up to 1, got {fractions}")
    shares: dict[Split, float] = {}
    for split, share in zip(SPLITS, fractions, strict=True):
        if share > 0:
            shares[split] = share
    return shares


def _stratum_of(keys: Iterable[SampleKey]) -> tuple[str, ...]:
    # A group of several strata stands where most of its samples do.
    counter = Counter(tuple(key.strata.get(name, UNKNOWN_STRATUM) for name in STRATA) for key in keys)
    return min(counter, key=lambda stratum: (-counter[stratum], stratum))


def _hash(seed: int, group_id: str) -> int:
    return derive_key(seed, f"dataset.splits/{group_id}")


def _fill_empty_splits(
    chosen: dict[str, Split], line: Sequence[str], members: Mapping[str, list[int]], shares: Mapping[Split, float]
) -> None:
    # Only tiny or lumpy sets come here: the last group of the split with the most groups moves over.
    for split in sorted(shares, key=lambda split: -shares[split]):
        groups = Counter(chosen.values())
        if groups[split] > 0:
            continue
        donor = max(shares, key=lambda other: groups[other])
        if groups[donor] < 2:
            return
        candidates = [name for name in line if chosen[name] == donor]
        chosen[min(reversed(candidates), key=lambda name: len(members[name]))] = split
