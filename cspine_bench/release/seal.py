"""The seals over a release: SHA256SUMS over every file, and one signature over SHA256SUMS.

The signature is a DSSE envelope around an in-toto Statement whose subject is SHA256SUMS, made with an Ed25519 key: such
a signature has no random part, so that a signed release has the same bytes whenever it is built. Everything is verified
offline. Source: in-toto Attestation Framework, Statement v1; DSSE v1.0.2, secure-systems-lab/dsse.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cspine_bench.errors import MissingExtraError, ReleaseError
from cspine_bench.provenance import canonical_json, sha256_bytes
from cspine_bench.release.layout import SUMS_NAME

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
_PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
PREDICATE_TYPE: Final = "https://slsa.dev/provenance/v1"
_BUILD_TYPE: Final = "tag:cspine-bench,2026:release-build/1"
_LINE: Final = re.compile(r"([0-9a-f]{64})  ([^\n\\]+)")


@dataclass(frozen=True)
class Signature:
    """The two files of a signature."""

    attestation: bytes
    public_key: bytes


def build_sums(hashes: Mapping[str, str]) -> bytes:
    """SHA256SUMS, as `sha256sum -c` reads it.

    Args:
        hashes: SHA-256 by path inside the release.
    """
    return "".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes, key=str.encode)).encode()


def parse_sums(data: bytes) -> dict[str, str]:
    """SHA-256 by path from the bytes of SHA256SUMS.

    Raises:
        ReleaseError: the bytes are not what `build_sums` writes; says in which line.
    """
    hashes: dict[str, str] = {}
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ReleaseError(f"{SUMS_NAME}: is not UTF-8 text; fetch it again") from error
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else [], start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ReleaseError(f"{SUMS_NAME}: line {number} is not `HASH  PATH` ({line!r:.100}); fetch it again")
        hashes[match[2]] = match[1]
    if build_sums(hashes) != data:
        raise ReleaseError(f"{SUMS_NAME}: its lines are doubled, not sorted, or end otherwise; fetch it again")
    return hashes


def load_private_key(path: Path) -> "Ed25519PrivateKey":
    """An Ed25519 private key from a PEM file without a password.

    Raises:
        ReleaseError: the file cannot be read or holds another kind of key; says how to make one.
        MissingExtraError: cryptography is not installed.
    """
    serialization, ed25519 = import_cryptography()
    how = "make one with: cspine-bench release key release.key"
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise ReleaseError(f"{path}: cannot be read ({error.strerror}); {how}") from error
    except (ValueError, TypeError) as error:
        raise ReleaseError(f"{path}: is no private key in PEM without a password ({error}); {how}") from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise ReleaseError(f"{path}: holds a key of another kind ({type(key).__name__}), Ed25519 is needed; {how}")
    found: Ed25519PrivateKey = key
    return found


def build_predicate(
    *, name: str, version: str, recipe_sha256: str, dataset_digest: str, package_version: str
) -> dict[str, Any]:
    """How a release was built, as SLSA provenance: from which dataset, by which recipe, with which package.

    Source: SLSA specification 1.0, Provenance.
    """
    return {
        "buildDefinition": {
            "buildType": _BUILD_TYPE,
            "externalParameters": {"name": name, "version": version, "recipe_sha256": recipe_sha256},
            "resolvedDependencies": [{"name": "dataset.json", "digest": {"sha256": dataset_digest}}],
        },
        "runDetails": {"builder": {"id": f"cspine-bench {package_version}"}},
    }


def sign_sums(sums: bytes, key: "Ed25519PrivateKey", *, predicate: Mapping[str, Any]) -> Signature:
    """Sign SHA256SUMS. The same bytes, key and predicate give the same signature.

    Args:
        sums: the bytes of SHA256SUMS.
        key: of the publisher.
        predicate: SLSA provenance: how the release was built.
    """
    payload = canonical_json(_build_statement(sums, predicate)).encode()
    public = render_public_key(key.public_key())
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": _PAYLOAD_TYPE,
        "signatures": [{"keyid": fingerprint(public), "sig": base64.b64encode(key.sign(_frame(payload))).decode()}],
    }
    return Signature((canonical_json(envelope) + "\n").encode(), public)


def check_signature(signature: Signature, sums: bytes, *, trusted_key: bytes | None = None) -> str | None:
    """What is wrong with a signature; None: it is that of this key over these sums.

    Args:
        signature: the two files as they are.
        sums: the bytes of SHA256SUMS as they are.
        trusted_key: PEM of the key that the publisher is known to use; None: only that the files belong together is
            checked, which says nothing about who signed.

    Raises:
        MissingExtraError: cryptography is not installed.
    """
    from_pem = _load_public_key(signature.public_key)
    if isinstance(from_pem, str):
        return from_pem
    if trusted_key is not None:
        trusted = _load_public_key(trusted_key)
        if isinstance(trusted, str):
            return f"the trusted key cannot be used: {trusted}"
        if render_public_key(trusted) != signature.public_key:
            return (
                f"it was made with key {fingerprint(signature.public_key)}, "
                f"the trusted one is {fingerprint(render_public_key(trusted))}"
            )
    return _check_envelope(signature, sums, from_pem)


def fingerprint(public_key: bytes) -> str:
    """Name of a key: SHA-256 of its PEM file, first 32 digits."""
    return sha256_bytes(public_key)[:32]


def name_key(key: "Ed25519PrivateKey") -> str:
    """Fingerprint of the public key that belongs to a private one."""
    return fingerprint(render_public_key(key.public_key()))


def read_predicate(attestation: bytes) -> dict[str, Any]:
    """What a signature says of how the release was built. Only for one that `check_signature` found sound."""
    envelope = json.loads(attestation)
    predicate: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))["predicate"]
    return predicate


def _check_envelope(signature: Signature, sums: bytes, key: "Ed25519PublicKey") -> str | None:
    from cryptography.exceptions import InvalidSignature

    try:
        envelope = json.loads(signature.attestation)
        payload = base64.b64decode(envelope["payload"], validate=True)
        [entry] = envelope["signatures"]
        made = base64.b64decode(entry["sig"], validate=True)
        statement = json.loads(payload)
        [subject] = statement["subject"]
        expected = _build_statement(sums, statement["predicate"])
        respelled = {
            "payload": base64.b64encode(canonical_json(statement).encode()).decode(),
            "payloadType": _PAYLOAD_TYPE,
            "signatures": [
                {"keyid": fingerprint(signature.public_key), "sig": base64.b64encode(made).decode()},
            ],
        }
        spelling = (canonical_json(respelled) + "\n").encode()
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        return f"it is no DSSE envelope around an in-toto Statement ({type(error).__name__}: {str(error)[:100]})"
    if spelling != signature.attestation:
        return "it is not spelled as it was signed, or names another key"
    try:
        key.verify(made, _frame(payload))
    except InvalidSignature:
        return f"the signature is not that of key {fingerprint(signature.public_key)} over this statement"
    if statement != expected:
        found = subject.get("digest") if isinstance(subject, dict) else subject
        return f"it was made for a {SUMS_NAME} with digest {str(found)[:120]}, this one has {sha256_bytes(sums)}"
    return None


def _build_statement(sums: bytes, predicate: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "_type": _STATEMENT_TYPE,
        "subject": [{"name": SUMS_NAME, "digest": {"sha256": hashlib.sha256(sums).hexdigest()}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": dict(predicate),
    }


def _frame(payload: bytes) -> bytes:
    """Pre-authentication encoding of DSSE."""
    return b"DSSEv1 %d %s %d %s" % (len(_PAYLOAD_TYPE), _PAYLOAD_TYPE.encode(), len(payload), payload)


def render_public_key(key: "Ed25519PublicKey") -> bytes:
    serialization, _ = import_cryptography()
    pem: bytes = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return pem


def _load_public_key(pem: bytes) -> "Ed25519PublicKey | str":
    serialization, ed25519 = import_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        return f"it is no public key in PEM ({str(error)[:100]})"
    if not isinstance(key, ed25519.Ed25519PublicKey):
        return f"it is a key of another kind ({type(key).__name__}), Ed25519 is needed"
    return key if render_public_key(key) == pem else "the PEM file is not in its one spelling"


def import_cryptography() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise MissingExtraError("cryptography", "sign") from error
    return serialization, ed25519
