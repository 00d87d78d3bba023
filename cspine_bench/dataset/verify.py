"""Verify a dataset folder, whatever its bytes: every fault is named, and none hides the others."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from cspine_bench.dataset.examine import examine_record
from cspine_bench.dataset.manifest import MANIFEST_NAME, README_NAME, SEALS, Manifest, ShardEntry, parse_manifest
from cspine_bench.dataset.readme import describe_readme_fault
from cspine_bench.dataset.rules import RULES, Issue, Rule, report
from cspine_bench.dataset.shard import iter_batches, read_footer
from cspine_bench.errors import DataError
from cspine_bench.provenance import sha256_file
from cspine_bench.schema import Record, build_arrow_schema, read_record

__all__ = ["RULES", "Issue", "Rule", "verify_dataset"]

_NOT_OURS: Final = frozenset((".cache", ".git", ".gitattributes"))
"""What git and the Hub's client leave in a folder that they fetched."""

# What pyarrow was seen to raise on damaged files; a damaged length field ends as MemoryError.
_UNREADABLE: Final = (
    pa.ArrowException,
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    MemoryError,
)


def verify_dataset(path: Path, on_progress: Callable[[int, int], None] | None = None) -> list[Issue]:
    """Check a dataset folder: its files against the manifest, each row against itself, and all rows against each other.

    Memory holds one row group, and about 200 bytes for each radiograph of the dataset.

    Args:
        path: the folder.
        on_progress: called with (rows checked, rows in all).

    Returns:
        Every fault, in the order of the files; empty for a sound dataset. `RULES` lists what can be found.
    """
    if not path.is_dir():
        return [report("folder-missing", ".", f"{path} is no folder")]
    issues: list[Issue] = []
    manifest = _read_manifest(path, issues)
    listed: dict[str, ShardEntry | None] = {}
    if manifest is None:
        listed |= {f"data/{file.name}": None for file in sorted((path / "data").glob("*.parquet"))}
    else:
        listed |= {shard.path: shard for shard in manifest.shards}
        issues += _compare_files(path, manifest)
    state = _State(manifest, on_progress)
    for name, entry in listed.items():
        if (path / name).is_file():
            issues += state.check_shard(path / name, name, entry)
    return issues


def _read_manifest(path: Path, issues: list[Issue]) -> Manifest | None:
    file = path / MANIFEST_NAME
    if not file.is_file():
        issues.append(report("manifest-missing", MANIFEST_NAME, "there is no such file: the dataset is not finished"))
        return None
    try:
        return parse_manifest(file.read_bytes(), where=MANIFEST_NAME)
    except DataError as error:
        issues.append(report("manifest-damaged", MANIFEST_NAME, str(error)))
    except OSError as error:
        issues.append(report("file-unreadable", MANIFEST_NAME, str(error)))
    return None


def _compare_files(path: Path, manifest: Manifest) -> Iterator[Issue]:
    expected = dict(manifest.files) | {shard.path: shard.sha256 for shard in manifest.shards}
    present = set(_list_files(path))
    for name in sorted(present - set(expected) - {MANIFEST_NAME} - SEALS):
        yield report("file-extra", name, "the manifest does not list it")
    for name, sha256 in expected.items():
        if name not in present:
            yield report("file-missing", name, "the manifest lists it")
            continue
        try:
            found = sha256_file(path / name)
        except OSError as error:
            yield report("file-unreadable", name, str(error))
            continue
        if found != sha256:
            yield report("file-hash", name, f"its SHA-256 is {found}, the manifest says {sha256}")
        elif name == README_NAME:
            text = (path / name).read_text(encoding="utf-8", errors="replace")
            if (fault := describe_readme_fault(text, manifest.shards)) is not None:
                yield report("readme-mismatch", name, fault)


def _list_files(path: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(set(folders) - _NOT_OURS)
        for name in files:
            if name not in _NOT_OURS:
                yield (Path(folder) / name).relative_to(path).as_posix()


@dataclass
class _State:
    """What rows of all shards are compared with."""

    manifest: Manifest | None
    on_progress: Callable[[int, int], None] | None
    num_checked: int = 0
    ids: dict[str, str] = field(default_factory=dict)
    pixels: dict[bytes, tuple[str, str]] = field(default_factory=dict)
    groups: dict[str, tuple[str, str]] = field(default_factory=dict)

    def check_shard(self, path: Path, name: str, entry: ShardEntry | None) -> Iterator[Issue]:
        num_rows = 0
        try:
            with pq.ParquetFile(path) as file:
                drift = _describe_drift(file.schema_arrow)
                if drift is not None:
                    yield report("schema-drift", name, drift)
                footer = read_footer(file.metadata.metadata) or {}
                wanted = (
                    {"path": name}
                    if self.manifest is None
                    else {"path": name, "fingerprint": self.manifest.fingerprint}
                )
                if any(footer.get(key) != value for key, value in wanted.items()):
                    text = f"its footer names {footer.get('path')} of dataset {footer.get('fingerprint')}"
                    yield report("shard-foreign", name, text)
                for batch in iter_batches(file):
                    for row in batch.to_pylist():
                        num_rows += 1
                        yield from self._check_row(row, name, entry)
                    self._tell(len(batch))
        except _UNREADABLE as error:
            yield report(
                "shard-torn", name, f"unreadable after row {num_rows}: {str(error)[:300] or type(error).__name__}"
            )
        else:
            if entry is not None and num_rows != entry.num_rows:
                yield report("row-count", name, f"it holds {num_rows} rows, the manifest says {entry.num_rows}")

    def _tell(self, num_rows: int) -> None:
        self.num_checked += num_rows
        if self.on_progress is not None:
            total = self.num_checked if self.manifest is None else sum(self.manifest.num_samples.values())
            self.on_progress(self.num_checked, total)

    def _check_row(self, row: dict[str, Any], where: str, entry: ShardEntry | None) -> Iterator[Issue]:
        sample_id = row.get("sample_id")
        name = sample_id if isinstance(sample_id, str) else None
        try:
            record = read_record(row)
        except ValidationError as error:
            for fault in error.errors():
                field_name = ".".join(map(str, fault["loc"])) or "row"
                yield report("row-invalid", where, f"{field_name}: {fault['msg']}, got {fault['input']!r:.80}", name)
            return
        except (KeyError, TypeError, IndexError, ValueError) as error:
            yield report("row-invalid", where, f"the row has another structure ({type(error).__name__}: {error})", name)
            return
        yield from examine_record(record, where)
        yield from self._compare(record, where, entry)

    def _compare(self, record: Record, where: str, entry: ShardEntry | None) -> Iterator[Issue]:
        name = record.sample_id
        if entry is not None and record.split != entry.split:
            yield report("split-mismatch", where, f"the row says {record.split}, the shard is {entry.split}", name)
        if (other := self.ids.get(name)) is not None:
            yield report("duplicate-id", where, f"the id is also in {other}", name)
        self.ids[name] = where
        first, split = self.groups.setdefault(record.group_id, (name, record.split))
        if split != record.split:
            text = f"group {record.group_id} is in {record.split} here and in {split} with {first}"
            yield report("group-cut", where, text, name)
        first, split = self.pixels.setdefault(bytes.fromhex(record.pixel_sha256), (name, record.split))
        if first != name:
            code = "duplicate-pixels" if split == record.split else "duplicate-across-splits"
            yield report(code, where, f"its pixels are those of {first} in {split}", name)


def _describe_drift(found: pa.Schema) -> str | None:
    expected = build_arrow_schema()
    differing = sorted(
        {name for name in (*expected.names, *found.names) if name not in found.names or name not in expected.names}
        | {item.name for item in expected if item.name in found.names and found.field(item.name).type != item.type}
    )
    if differing:
        return f"columns that are missing, new, or of another type: {', '.join(differing)}"
    if found.names != expected.names:
        return "the columns have another order"
    if (found.metadata or {}).get(b"huggingface") != expected.metadata[b"huggingface"]:
        return "the Hugging Face features in the footer are other ones"
    return None
