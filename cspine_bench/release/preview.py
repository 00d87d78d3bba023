"""Pictures of a release: single radiographs in `samples/`, and a sheet of many for the card."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cspine_bench.dataset.read import DatasetFolder
from cspine_bench.dataset.sheet import write_sheet
from cspine_bench.errors import MissingExtraError, ReleaseError
from cspine_bench.provenance import canonical_json, sha256_bytes
from cspine_bench.release.staging import Staging
from cspine_bench.schema import Record

_SHEET_COUNT = 18


@dataclass(frozen=True)
class Credentials:
    """What C2PA marks are signed with.

    Attributes:
        certificate: PEM file of the certificate chain, the signer's own first.
        key: PEM file of its private key (ES256).
    """

    certificate: Path
    key: Path


def make_samples(
    folder: DatasetFolder, ids: Sequence[str], staging: Staging, credentials: Credentials | None
) -> dict[str, bytes]:
    """PNG files of the first radiographs by id, as they are in their rows; with a C2PA mark on request.

    Args:
        folder: the dataset.
        ids: of the first radiographs, in order.
        staging: keeps signed files for a build that goes on, since no two marks are alike.
        credentials: None: no C2PA mark.

    Raises:
        MissingExtraError: c2pa is not installed.
        ReleaseError: the credentials cannot be used.
    """
    wanted = len(ids)
    samples: dict[str, bytes] = {}
    for record in folder.iter_records(columns=("sample_id", "image", "digital_source_type", "generator")):
        if len(samples) == wanted:
            break
        samples[record.sample_id] = record.image if credentials is None else _keep_signed(record, staging, credentials)
    return samples


def draw_sheet(folder: DatasetFolder, scratch: Path, *, name: str) -> bytes:
    """A contact sheet as PNG.

    Args:
        folder: the dataset.
        scratch: a temporary file.
        name: of the release, for the title.
    """
    try:
        write_sheet(folder, scratch, count=_SHEET_COUNT, with_labels=True, tile_px=224, name=name)
        return scratch.read_bytes()
    finally:
        scratch.unlink(missing_ok=True)


def _keep_signed(record: Record, staging: Staging, credentials: Credentials) -> bytes:
    path = staging.scratch / "receipts" / f"{record.sample_id}.{sha256_bytes(record.image)[:16]}.c2pa.png"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        staging.put(staging.scratch / "receipts", path.name, sign_png(record, credentials))
    return path.read_bytes()


def sign_png(record: Record, credentials: Credentials) -> bytes:
    """The PNG of a radiograph with a C2PA manifest that says what made it; its pixels stay as they are.

    Args:
        record: with `image`, `sample_id`, `digital_source_type` and `generator`.
        credentials: of the publisher.

    Raises:
        MissingExtraError: c2pa is not installed.
        ReleaseError: the credentials cannot be used.

    Source: C2PA specification 2.1, action c2pa.created with digitalSourceType.
    """
    try:
        import c2pa
    except ImportError as error:
        raise MissingExtraError("c2pa-python", "c2pa") from error
    action = {"action": "c2pa.created", "digitalSourceType": record.digital_source_type}
    manifest: dict[str, Any] = {
        "claim_generator_info": [{"name": record.generator or "cspine-bench"}],
        "title": f"{record.sample_id}.png",
        "format": "image/png",
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
    }
    # A preview would be larger than the radiograph itself.
    context = c2pa.Context.from_dict({"builder": {"thumbnail": {"enabled": False}}})
    try:
        signer = c2pa.Signer.from_info(
            c2pa.C2paSignerInfo(
                alg=c2pa.C2paSigningAlg.ES256,
                sign_cert=credentials.certificate.read_bytes(),
                private_key=credentials.key.read_bytes(),
                ta_url=None,
            )
        )
        out = io.BytesIO()
        with c2pa.Builder(canonical_json(manifest), context) as builder:
            builder.sign(signer, "image/png", io.BytesIO(record.image), out)
        return out.getvalue()
    except (c2pa.C2paError, OSError) as error:
        raise ReleaseError(
            f"{credentials.certificate}: samples cannot be signed with it and {credentials.key} ({error}); give a "
            "certificate chain for signing (ES256, extended key usage emailProtection) and its key, both in PEM"
        ) from error
