"""Sign a finished release: by its publisher, perhaps on another machine than the one that built it."""

import json
from pathlib import Path
from typing import Any

from cspine_bench.dataset.files import write_file
from cspine_bench.errors import ReleaseError
from cspine_bench.release.layout import ATTESTATION_NAME, PUBLIC_KEY_NAME, RELEASE_NAME, SUMS_NAME
from cspine_bench.release.seal import build_predicate, fingerprint, load_private_key, parse_sums, sign_sums


def sign_release(folder: Path, key: Path) -> str:
    """Write the two files of a signature into a release or a mirror.

    Args:
        folder: the release. Only SHA256SUMS and its provenance are read: validate it first.
        key: PEM file of an Ed25519 private key.

    Returns:
        Fingerprint of the public key.

    Raises:
        ReleaseError: the folder is no finished release, or the key cannot be used.
        MissingExtraError: cryptography is not installed.
        OSError: the folder cannot be written.
    """
    private_key = load_private_key(key)
    try:
        sums = (folder / SUMS_NAME).read_bytes()
        provenance: dict[str, Any] = json.loads((folder / RELEASE_NAME).read_bytes())
        predicate = build_predicate(
            name=provenance["name"],
            version=provenance["version"],
            recipe_sha256=provenance["recipe_sha256"],
            dataset_digest=provenance["dataset"]["digest"],
            package_version=provenance["code"]["version"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReleaseError(f"{folder}: is no finished release ({error}); build it first, then sign it") from error
    parse_sums(sums)
    signature = sign_sums(sums, private_key, predicate=predicate)
    write_file(folder / ATTESTATION_NAME, signature.attestation, scratch=folder)
    write_file(folder / PUBLIC_KEY_NAME, signature.public_key, scratch=folder)
    return fingerprint(signature.public_key)
