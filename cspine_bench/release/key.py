"""Make the key that a publisher signs releases with."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cspine_bench.errors import ReleaseError
from cspine_bench.release.seal import fingerprint, import_cryptography, load_private_key, render_public_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def write_key(path: Path) -> tuple[Path, str]:
    """Write a new Ed25519 private key, readable by its owner alone, and its public key beside it.

    A key that is there already is kept, never replaced.

    Args:
        path: of the private key (PEM, without a password); the public key gets the ending `.pub`.

    Returns:
        Path of the public key, and its fingerprint.

    Raises:
        ReleaseError: what lies there is no such key, or the public key is another's.
        MissingExtraError: cryptography is not installed.
        OSError: they cannot be written.

    Source: RFC 8032; PKCS #8 and SubjectPublicKeyInfo as `openssl genpkey -algorithm ed25519` writes them.
    """
    serialization, ed25519 = import_cryptography()
    public_path = path.with_suffix(".pub")
    if path.exists():
        key = load_private_key(path)
    elif public_path.exists():
        raise ReleaseError(f"{public_path}: is a public key without {path}; put its private key there, or name another")
    else:
        key = ed25519.Ed25519PrivateKey.generate()
        _write_private(path, key, serialization)
    public = render_public_key(key.public_key())
    if public_path.exists() and public_path.read_bytes() != public:
        raise ReleaseError(f"{public_path}: belongs to another key than {path}; move one of them away")
    public_path.write_bytes(public)
    return public_path, fingerprint(public)


def _write_private(path: Path, key: "Ed25519PrivateKey", serialization: Any) -> None:
    pem = serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(serialization.Encoding.PEM, pem, serialization.NoEncryption())
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.unfinished")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(secret)
    draft.rename(path)
