"""What a dataset folder will hold, fixed before the first pixel is made: splits, shards and their rows."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cspine_bench.dataset.source import SampleKey, Source
from cspine_bench.dataset.splits import assign_splits
from cspine_bench.errors import DataError
from cspine_bench.provenance import sha256_json
from cspine_bench.schema import SCHEMA_VERSION, SPLITS, Split
from cspine_bench.seeding import derive_key

FORMAT_VERSION: Final = 1

MAX_SHARD_BYTES: Final = 400_000_000
MAX_SHARD_ROWS: Final = 10_000
MIN_SHARD_ROWS: Final = 256
_MOST_SHARDS: Final = 99_999
MIN_SHARDS: Final = 16
"""A split gets this many shards as soon as each can hold `MIN_SHARD_ROWS`, so that as many readers have work."""


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """One Parquet file to be made: its name inside the folder, its split, and its samples in order."""

    path: str
    split: Split
    keys: tuple[SampleKey, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that decides the bytes of a dataset folder."""

    fingerprint: str
    source: dict[str, Any]
    fractions: tuple[float, float, float]
    seed: int
    shards: tuple[ShardPlan, ...]
    estimated_bytes: int

    @property
    def num_samples(self) -> int:
        """Samples asked for, before any is rejected."""
        return sum(len(shard.keys) for shard in self.shards)


def build_plan(
    source: Source,
    *,
    fractions: tuple[float, float, float],
    seed: int,
    splits: Mapping[str, Split] | None = None,
    shard_rows: int | None = None,
) -> Plan:
    """List a source's samples and lay them out in shards.

    Inside a split the order is shuffled by a seeded hash, so that no shard holds one kind of film only.

    Args:
        source: where the samples come from.
        fractions: shares of train, validation and test.
        seed: decides splits and order.
        splits: the split of every sample by `sample_id`, to keep splits that exist; None draws them.
        shard_rows: the most samples in a shard; None: as `count_shards` has it.

    Raises:
        DataError: the source holds no samples, two with one name, or one without a split in `splits`; or there are too
            many shards to name.
        ValueError: `fractions` are no shares, or `shard_rows` is not positive.
    """
    if shard_rows is not None and shard_rows < 1:
        raise ValueError(f"shard_rows must be at least 1, got {shard_rows}")
    keys = source.list_samples()
    if not keys:
        raise DataError("the source holds no samples; check its path and its options")
    seen: set[str] = set()
    for key in keys:
        if key.sample_id in seen:
            raise DataError(
                f"the source lists sample {key.sample_id} twice (again as {key.origin!r}); ids must be unique"
            )
        seen.add(key.sample_id)
    chosen = assign_splits(keys, fractions=fractions, seed=seed) if splits is None else _keep_splits(keys, splits)
    description = source.describe()
    decides = {
        "format": FORMAT_VERSION,
        "schema": SCHEMA_VERSION,
        "source": description,
        "fractions": None if splits is not None else list(fractions),
        "seed": seed,
        "samples": [[key.sample_id, key.group_id, key.origin, split] for key, split in zip(keys, chosen, strict=True)],
    }
    if shard_rows is not None:
        decides["shard_rows"] = shard_rows
    digest = sha256_json(decides)
    sample_bytes = max(1, source.estimate_bytes())
    shards: list[ShardPlan] = []
    for split in SPLITS:
        members = [key for key, name in zip(keys, chosen, strict=True) if name == split]
        members.sort(key=lambda key: (derive_key(seed, f"dataset.order/{key.sample_id}"), key.sample_id))
        shards += _cut_shards(members, split, sample_bytes, shard_rows)
    return Plan(digest, description, fractions, seed, tuple(shards), sample_bytes * len(keys))


def count_shards(num_rows: int, sample_bytes: int, shard_rows: int | None = None) -> int:
    """Number of shards of a split with `num_rows` rows of about `sample_bytes` bytes, at most `shard_rows` in one."""
    if num_rows == 0:
        return 0
    most_rows = max(1, min(MAX_SHARD_ROWS, MAX_SHARD_BYTES // sample_bytes, shard_rows or MAX_SHARD_ROWS))
    for_size = -(-num_rows // most_rows)
    for_readers = min(MIN_SHARDS, max(1, num_rows // MIN_SHARD_ROWS))
    return max(for_size, for_readers)


def _cut_shards(
    members: Sequence[SampleKey], split: Split, sample_bytes: int, shard_rows: int | None
) -> list[ShardPlan]:
    count = count_shards(len(members), sample_bytes, shard_rows)
    if count > _MOST_SHARDS:
        raise DataError(
            f"split {split} would have {count:,} shards, {_MOST_SHARDS:,} can be named; allow more rows in one"
        )
    edges = [index * len(members) // count for index in range(count + 1)] if count else []
    return [
        ShardPlan(f"data/{split}-{index:05d}-of-{count:05d}.parquet", split, tuple(members[start:stop]))
        for index, (start, stop) in enumerate(itertools.pairwise(edges))
    ]


def _keep_splits(keys: Sequence[SampleKey], splits: Mapping[str, Split]) -> list[Split]:
    missing = [key.sample_id for key in keys if key.sample_id not in splits]
    if missing:
        raise DataError(f"{len(missing)} samples have no split, the first is {missing[0]}; name one for each sample")
    groups: dict[str, Split] = {}
    for key in keys:
        if groups.setdefault(key.group_id, splits[key.sample_id]) != splits[key.sample_id]:
            raise DataError(
                f"the given splits cut group {key.group_id!r} (sample {key.sample_id}); keep a group together"
            )
    return [splits[key.sample_id] for key in keys]
