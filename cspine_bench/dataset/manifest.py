"""`dataset.json`: what a finished dataset folder holds, with the hash of every file and of itself.

It is written last, so that its presence means "complete". Its bytes are fixed by its values, so that any change shows.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cspine_bench.dataset.plan import FORMAT_VERSION
from cspine_bench.errors import DataError
from cspine_bench.provenance import sha256_json
from cspine_bench.schema import SCHEMA_VERSION, SPLITS, Split

MANIFEST_NAME: Final = "dataset.json"
README_NAME: Final = "README.md"
ANNOTATION_FOLDER: Final = "annotation"
"""Tables about labels that a model measured, where there are any; the manifest lists them."""
SUMS_NAME: Final = "SHA256SUMS"
ATTESTATION_NAME: Final = "provenance/release.intoto.jsonl"
PUBLIC_KEY_NAME: Final = "provenance/release.pub"
SEALS: Final = frozenset((SUMS_NAME, ATTESTATION_NAME, PUBLIC_KEY_NAME))
"""Files of a release that are written after its manifest, over it: the manifest cannot list them."""

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RejectedSample(_Frozen):
    """A sample that the source listed and could not make."""

    sample_id: str
    group_id: str
    origin: str
    reason: str


class ShardEntry(_Frozen):
    """A finished Parquet file. `arrow_bytes` is the size of its rows in memory, which dataset cards call num_bytes."""

    path: Annotated[str, Field(pattern=r"^data/[a-z]+-\d{5}-of-\d{5}\.parquet$")]
    split: Split
    num_rows: Count
    num_bytes: Count
    arrow_bytes: Count
    sha256: Digest
    rejected: tuple[RejectedSample, ...]


class Manifest(_Frozen):
    """The whole of `dataset.json`. `digest` is the hash of everything else in it, as canonical JSON."""

    format: Literal[1] = FORMAT_VERSION
    schema_version: Literal["1.1.0"] = SCHEMA_VERSION
    fingerprint: Digest
    source: dict[str, Any]
    fractions: tuple[float, float, float]
    seed: Count
    num_samples: dict[Split, Count]
    shards: tuple[ShardEntry, ...]
    files: dict[str, Digest]
    digest: Digest

    @property
    def rejected(self) -> tuple[RejectedSample, ...]:
        """All samples that could not be made, in the order of the shards."""
        return tuple(sample for shard in self.shards for sample in shard.rejected)

    def shards_of(self, split: Split | None) -> tuple[ShardEntry, ...]:
        """Shards of one split, or of all."""
        return tuple(shard for shard in self.shards if split is None or shard.split == split)


def list_tables(source: dict[str, Any]) -> dict[str, str]:
    """Hashes of the files in `ANNOTATION_FOLDER` by their names, as a source tells them of its last annotation."""
    annotations = source.get("annotations")
    last = annotations[-1] if isinstance(annotations, list) and annotations else None
    tables = last.get("tables") if isinstance(last, dict) else None
    if not isinstance(tables, dict):
        return {}
    return {name: sha256 for name, sha256 in tables.items() if isinstance(sha256, str)}


def compute_digest(values: dict[str, Any]) -> str:
    """Digest of a manifest given as JSON values, with or without its `digest`."""
    return sha256_json({name: value for name, value in values.items() if name != "digest"})


def build_manifest(**values: Any) -> Manifest:
    """A manifest from all its fields but `num_samples` and `digest`."""
    shards: tuple[ShardEntry, ...] = values["shards"]
    counts = {split: sum(shard.num_rows for shard in shards if shard.split == split) for split in SPLITS}
    draft = Manifest(**values, num_samples=counts, digest="0" * 64)
    return draft.model_copy(update={"digest": compute_digest(draft.model_dump(mode="json"))})


def render_manifest(manifest: Manifest) -> bytes:
    """The bytes of `dataset.json`."""
    return render_json(manifest.model_dump(mode="json"))


def render_json(value: Any) -> bytes:
    """JSON for a file that people may open: sorted keys, indented, one newline at the end."""
    return (json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def parse_manifest(data: bytes, *, where: str) -> Manifest:
    """A manifest from the bytes of `dataset.json`.

    Raises:
        DataError: not JSON, not a manifest of this format, or changed since it was written.
    """
    hint = "the file was changed or damaged: fetch or make the dataset again"
    try:
        values = json.loads(data)
        manifest = Manifest.model_validate(values)
        digest = compute_digest(manifest.model_dump(mode="json"))
        unchanged = render_manifest(manifest) == data
    except (ValueError, RecursionError) as error:
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            found = f"{'.'.join(map(str, first['loc'])) or 'top level'}: {first['msg']}"
        else:
            found = str(error) or type(error).__name__
        raise DataError(f"{where}: not a dataset manifest of format {FORMAT_VERSION} ({found}); {hint}") from error
    if digest != manifest.digest or not unchanged:
        raise DataError(f"{where}: its digest is {manifest.digest}, its content gives {digest}; {hint}")
    return manifest


def load_manifest(folder: Path) -> Manifest:
    """The manifest of a dataset folder.

    Raises:
        DataError: no such folder, no finished dataset in it, or its manifest is damaged.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such dataset folder; check the path")
    path = folder / MANIFEST_NAME
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(
            f"{folder}: not a finished dataset folder, it has no {MANIFEST_NAME}; "
            "if it was being written, run the same command again: it goes on where it stopped"
        ) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    return parse_manifest(data, where=str(path))
