"""What each shard is held against: what the papers say of its rows and runs."""

from typing import Any

from cspine_bench.release.checks.reading import Papers
from cspine_bench.release.checks.shards import ShardTask
from cspine_bench.release.checks.tree import Kind, Tree
from cspine_bench.release.layout import SHARD_PATTERN
from cspine_bench.release.rules import Level


def plan_tasks(tree: Tree, kind: Kind, level: Level, papers: Papers) -> list[ShardTask]:
    """A task for each shard, in the order of their paths.

    Args:
        tree: the release or mirror that holds the shards.
        kind: of the shards.
        level: of the checks.
        papers: of the release or mirror that is validated; a tar has the rows of the Parquet shard of its name.
    """
    manifest, release = papers.manifest, papers.release or {}
    files = release.get("files")
    rows: dict[str, Any] = {}
    if manifest is not None:
        rows = {_stem(shard.path): shard.num_rows for shard in manifest.shards}
    elif isinstance(files, list):
        rows = {_stem(str(item.get("path"))): item.get("num_rows") for item in files if isinstance(item, dict)}
    run_ids = _list_run_ids(release)
    return [
        ShardTask(
            root=str(tree.root),
            name=name,
            split=name.removeprefix("data/").split("-")[0],
            level=level,
            num_rows=rows[_stem(name)] if type(rows.get(_stem(name))) is int else None,
            fingerprint=None if manifest is None else manifest.fingerprint,
            run_ids=run_ids,
        )
        for name in tree.shards(kind)
    ]


def _stem(name: str) -> str:
    match = SHARD_PATTERN.fullmatch(name)
    return name if match is None else name.removesuffix(f".{match[4]}")


def _list_run_ids(release: dict[str, Any]) -> frozenset[str] | None:
    runs = release.get("runs")
    if not isinstance(runs, list):
        return None
    ids = [item.get("run_id") for item in runs if isinstance(item, dict)]
    return frozenset(name for name in ids if isinstance(name, str))
