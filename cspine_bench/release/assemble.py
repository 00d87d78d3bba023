"""Write the files of a release into its staging folder: shards, tables, pictures, papers, seals, and the mirror."""

import functools
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from cspine_bench.dataset.files import explain_full_disk, move_into_place
from cspine_bench.dataset.manifest import ShardEntry, build_manifest, render_json, render_manifest
from cspine_bench.dataset.read import DatasetFolder
from cspine_bench.errors import DataError
from cspine_bench.provenance import find_clean_commit, package_version, sha256_bytes
from cspine_bench.release.balance import measure_balance
from cspine_bench.release.edition import Edition
from cspine_bench.release.facts import ROW_COLUMNS, ReleaseFacts, count_facts
from cspine_bench.release.layout import (
    ATTESTATION_NAME,
    CARD_NAME,
    CHANGELOG_NAME,
    CITATION_NAME,
    CROISSANT_NAME,
    DATASHEET_NAME,
    MANIFEST_NAME,
    MIRROR_NAME,
    PUBLIC_KEY_NAME,
    RELEASE_NAME,
    SCHEMA_NAME,
    SUMS_NAME,
    ZENODO_NAME,
    metadata_name,
)
from cspine_bench.release.mirror import write_tar
from cspine_bench.release.papers.card import render_card, render_mirror_card
from cspine_bench.release.papers.chain import build_release_json
from cspine_bench.release.papers.changelog import build_changelog
from cspine_bench.release.papers.citation import build_cff, build_zenodo
from cspine_bench.release.papers.croissant import build_croissant
from cspine_bench.release.papers.datasheet import render_datasheet
from cspine_bench.release.papers.figures import draw_figures
from cspine_bench.release.papers.licences import build_licence_files
from cspine_bench.release.preview import Credentials, draw_sheet, make_samples
from cspine_bench.release.recipe import ReleaseRecipe
from cspine_bench.release.seal import build_predicate, build_sums, sign_sums
from cspine_bench.release.staging import Staging, remove_unlisted
from cspine_bench.release.tables import write_table
from cspine_bench.results import Result, render_result
from cspine_bench.schema import build_json_schema

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

OnProgress = Callable[[int, int], None]
BALANCE_NAME: Final = "balance.json"
"""A result that every release has: see `measure_balance`."""
_BLOCK_BYTES: Final = 1 << 20
_SHEET_NAME: Final = "samples"
_ROOM: Final = 1.02
"""Free space asked for, as a multiple of the shards that are copied."""


@dataclass
class Assembly:
    """One build: what it is made from, and where it stands."""

    folder: DatasetFolder
    staging: Staging
    recipe: ReleaseRecipe
    results: dict[str, Result]
    fingerprint: str
    mirrored: bool
    changelog: str | None
    key: "Ed25519PrivateKey | None"
    credentials: Credentials | None
    on_progress: OnProgress | None
    num_done: int = 0
    """Radiographs copied so far."""
    hashes: dict[str, str] = field(default_factory=dict)
    mirror_hashes: dict[str, str] = field(default_factory=dict)

    def tell(self, num_rows: int) -> None:
        self.num_done += num_rows
        if self.on_progress is not None:
            self.on_progress(self.num_done, len(self.folder) * (2 if self.mirrored else 1))

    def put(self, name: str, data: bytes) -> None:
        self.staging.put(self.staging.release, name, data)
        self.hashes[name] = sha256_bytes(data)

    def put_mirror(self, name: str, data: bytes) -> None:
        self.staging.put(self.staging.mirror, name, data)
        self.mirror_hashes[name] = sha256_bytes(data)


def write_release(assembly: Assembly) -> None:
    """Fill the staging folder.

    Raises:
        DataError: the disk is full, or a shard is damaged.
        ReleaseError: the licence has no text, or the credentials cannot be used.
        OSError: the staging folder cannot be written.
    """
    _refuse_full_disk(assembly)
    _copy_shards(assembly)
    # From here on the copies are read, which have the right hashes, whatever becomes of the dataset meanwhile.
    assembly.folder = DatasetFolder(assembly.staging.release, assembly.folder.manifest)
    facts = count_facts(iter_tables(assembly.folder))
    tables = _write_tables(assembly, facts)
    edition = _draw_pictures(assembly, facts, tables)
    _write_papers(assembly, edition)
    _seal(assembly)
    if assembly.mirrored:
        _write_mirror(assembly, edition)


def _copy_shards(assembly: Assembly) -> None:
    for shard in assembly.folder.manifest.shards:
        source, target = assembly.folder.path / shard.path, assembly.staging.release / shard.path
        assembly.staging.make(target, functools.partial(_copy, source, target, shard, assembly.staging))
        assembly.hashes[shard.path] = shard.sha256
        assembly.tell(shard.num_rows)


def _copy(source: Path, target: Path, shard: ShardEntry, staging: Staging) -> dict[str, Any]:
    temporary = staging.scratch / f"{target.name}.tmp"
    digest = hashlib.sha256()
    try:
        with explain_full_disk(target, lambda: shard.num_bytes):
            with explain_unreadable(source), source.open("rb") as reader, temporary.open("wb") as writer:
                while block := reader.read(_BLOCK_BYTES):
                    digest.update(block)
                    writer.write(block)
                writer.flush()
                os.fsync(writer.fileno())
            if digest.hexdigest() != shard.sha256:
                raise DataError(
                    f"{source}: its SHA-256 is {digest.hexdigest()}, the dataset's manifest says {shard.sha256}; "
                    "run `cspine-bench dataset verify` on the dataset, and fetch or make it again"
                )
            move_into_place(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return {"sha256": shard.sha256}


def _write_tables(assembly: Assembly, facts: ReleaseFacts) -> dict[str, dict[str, Any]]:
    """Receipts of the tables without pixels, by split that has rows; one whose shards hold none has a table too."""
    receipts = {}
    manifest = assembly.folder.manifest
    for split in dict.fromkeys([*facts.num_samples, *(shard.split for shard in manifest.shards)]):
        shards = [assembly.folder.path / shard.path for shard in manifest.shards if shard.split == split]
        target = assembly.staging.release / metadata_name(split)

        def write(shards: list[Path] = shards, target: Path = target) -> dict[str, Any]:
            with explain_unreadable(shards[0].parent):
                return write_table(shards, target, scratch=assembly.staging.scratch).__dict__

        receipts[split] = assembly.staging.make(target, write)
        assembly.hashes[metadata_name(split)] = receipts[split]["sha256"]
    return {split: receipts[split] for split in facts.num_samples}


def _draw_pictures(assembly: Assembly, facts: ReleaseFacts, tables: dict[str, dict[str, Any]]) -> Edition:
    with explain_unreadable(assembly.folder.path):
        samples = make_samples(assembly.folder, facts.first_ids, assembly.staging, assembly.credentials)
        sheet = draw_sheet(assembly.folder, assembly.staging.scratch / "sheet.png", name=assembly.recipe.name or "")
    for name, data in samples.items():
        assembly.put(f"samples/{name}.png", data)
    edition = Edition(
        recipe=assembly.recipe,
        manifest=assembly.folder.manifest,
        facts=facts,
        results=assembly.results
        | {BALANCE_NAME: measure_balance(str(assembly.recipe.name), assembly.folder.manifest, facts)},
        mirrored=assembly.mirrored,
        metadata_bytes={split: receipt["num_bytes"] for split, receipt in tables.items()},
        metadata_arrow_bytes={split: receipt["arrow_bytes"] for split, receipt in tables.items()},
        samples=tuple(samples),
        figures=(),
        commit=find_clean_commit(),
        package_version=package_version(),
    )
    figures = {_SHEET_NAME: sheet, **draw_figures(edition)}
    for name, data in figures.items():
        assembly.put(f"figures/{name}.png", data)
    return replace(edition, figures=tuple(figures))


def _write_papers(assembly: Assembly, edition: Edition) -> None:
    schema = render_json(build_json_schema())
    release = render_json({**build_release_json(edition), "fingerprint": assembly.fingerprint})
    shared = {
        SCHEMA_NAME: schema,
        RELEASE_NAME: release,
        CITATION_NAME: build_cff(edition).encode(),
        CHANGELOG_NAME: build_changelog(edition, assembly.changelog).encode(),
        **build_licence_files(edition),
    }
    for name, data in shared.items():
        assembly.put(name, data)
        if assembly.mirrored:
            assembly.put_mirror(name, data)
    for name, result in edition.results.items():
        assembly.put(f"evaluation/{name}", render_result(result))
    assembly.put(CARD_NAME, render_card(edition).encode())
    assembly.put(DATASHEET_NAME, render_datasheet(edition).encode())
    assembly.put(CROISSANT_NAME, render_json(build_croissant(edition)))
    assembly.put(ZENODO_NAME, render_json(build_zenodo(edition)))


def _seal(assembly: Assembly) -> None:
    manifest = assembly.folder.manifest
    shards = {shard.path for shard in manifest.shards}
    papers = {name: sha256 for name, sha256 in sorted(assembly.hashes.items()) if name not in shards}
    names = ("fingerprint", "source", "fractions", "seed", "shards")
    whole = build_manifest(**{name: getattr(manifest, name) for name in names}, files=papers)
    assembly.put(MANIFEST_NAME, render_manifest(whole))
    _seal_folder(assembly, assembly.staging.release, assembly.hashes)


def _write_mirror(assembly: Assembly, edition: Edition) -> None:
    folder, sizes = assembly.staging.mirror, {}
    for shard in assembly.folder.manifest.shards:
        name = f"{shard.path.removesuffix('.parquet')}.tar"

        def write(source: Path = assembly.staging.release / shard.path, target: Path = folder / name) -> dict[str, Any]:
            sha256, num_bytes = write_tar(source, target, scratch=assembly.staging.scratch)
            return {"sha256": sha256, "num_bytes": num_bytes}

        receipt = assembly.staging.make(folder / name, write)
        assembly.mirror_hashes[name], sizes[name] = receipt["sha256"], receipt["num_bytes"]
        assembly.tell(shard.num_rows)
    mirrors = {
        "release": assembly.recipe.name,
        "version": assembly.recipe.version,
        "sums_sha256": sha256_bytes(build_sums(assembly.hashes)),
        "fingerprint": assembly.fingerprint,
    }
    assembly.put_mirror(MIRROR_NAME, render_json(mirrors))
    assembly.put_mirror(CARD_NAME, render_mirror_card(edition, shard_bytes=sizes).encode())
    _seal_folder(assembly, folder, assembly.mirror_hashes)


def _seal_folder(assembly: Assembly, folder: Path, hashes: dict[str, str]) -> None:
    """SHA256SUMS comes last of all files that it lists, the signature over it after that."""
    sums = build_sums(hashes)
    names = {*hashes, SUMS_NAME}
    if assembly.key is not None:
        signature = sign_sums(sums, assembly.key, predicate=_build_predicate(assembly))
        assembly.staging.put(folder, ATTESTATION_NAME, signature.attestation)
        assembly.staging.put(folder, PUBLIC_KEY_NAME, signature.public_key)
        names |= {ATTESTATION_NAME, PUBLIC_KEY_NAME}
    remove_unlisted(folder, frozenset(names))
    assembly.staging.put(folder, SUMS_NAME, sums)


def _build_predicate(assembly: Assembly) -> dict[str, Any]:
    recipe = assembly.recipe
    return build_predicate(
        name=str(recipe.name),
        version=recipe.version,
        recipe_sha256=recipe.compute_sha256(),
        dataset_digest=assembly.folder.manifest.digest,
        package_version=package_version(),
    )


def _refuse_full_disk(assembly: Assembly) -> None:
    present = sum(path.stat().st_size for path in assembly.staging.scratch.rglob("*") if path.is_file())
    shards = sum(shard.num_bytes for shard in assembly.folder.manifest.shards)
    needed = int(shards * _ROOM * (2 if assembly.mirrored else 1)) - present
    free = shutil.disk_usage(assembly.staging.scratch).free
    if needed > free:
        raise DataError(
            f"{assembly.staging.out}: about {needed / 1e9:.1f} GB more are needed, {free / 1e9:.1f} GB are free; "
            "free some space, or build the release on another disk"
        )


def iter_tables(folder: DatasetFolder) -> Iterator[pa.Table]:
    """What `count_facts` counts, a shard at a time.

    Raises:
        DataError: a shard cannot be read.
    """
    for shard in folder.manifest.shards:
        path = folder.path / shard.path
        with explain_unreadable(path):
            yield pq.read_table(path, columns=list(ROW_COLUMNS))


@contextmanager
def explain_unreadable(path: Path) -> Iterator[None]:
    """Turn what pyarrow raises on a damaged shard into a DataError that says what to do."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        # pyarrow too says OSError, of what it cannot read in a file; it has no number then.
        if isinstance(error, OSError) and error.errno is not None and not isinstance(error, FileNotFoundError):
            raise
        raise DataError(
            f"{path}: cannot be read ({error}); run `cspine-bench dataset verify` on the dataset, "
            "and fetch or make it again"
        ) from error
