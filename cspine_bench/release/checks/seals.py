"""Rules SUM-01, SUM-02, SUM-03 and SUM-05: are these the files that were released, all of them, and by whom?"""

from collections.abc import Mapping

from cspine_bench.dataset.manifest import Manifest
from cspine_bench.errors import ReleaseError
from cspine_bench.release.checks.tree import MAX_LIST_BYTES, GoneError, Tree
from cspine_bench.release.layout import ATTESTATION_NAME, MANIFEST_NAME, PUBLIC_KEY_NAME, SEALS, SUMS_NAME
from cspine_bench.release.rules import Tally
from cspine_bench.release.seal import Signature, check_signature, parse_sums


def read_sums(tree: Tree, tally: Tally) -> dict[str, str] | None:
    """SHA-256 by path from SHA256SUMS, after SUM-01: it is there, in its one spelling, and lists exactly the files."""
    if SUMS_NAME not in tree.files:
        tally.add("SUM-01", SUMS_NAME, "it is not there: nothing says what the files should be")
        return None
    try:
        sums = parse_sums(tree.read(SUMS_NAME, MAX_LIST_BYTES))
    except (ReleaseError, GoneError) as error:
        tally.add("SUM-01", SUMS_NAME, str(error))
        return None
    except OSError:
        return None
    for name in sums:
        if name in SEALS:
            tally.add("SUM-01", SUMS_NAME, f"it lists {name}, which is written after it")
        elif name not in tree.files:
            tally.add("SUM-01", name[:300], f"{SUMS_NAME} lists it, and it is not there")
    for name in tree.files:
        if name not in sums and name not in SEALS:
            tally.add("SUM-01", name, f"{SUMS_NAME} does not list it")
    return sums


def check_hash(name: str, found: str, sums: Mapping[str, str], tally: Tally) -> None:
    """SUM-02: the hash of a file is the one that is listed."""
    if name in sums and sums[name] != found:
        tally.add("SUM-02", name, f"its SHA-256 is {found}, {SUMS_NAME} says {sums[name]}")


def check_signed(tree: Tree, trusted_key: bytes | None, tally: Tally) -> str | None:
    """SUM-03.

    Returns:
        Why there was nothing to check; None: it was checked.

    Raises:
        MissingExtraError: the release is signed and cryptography is not installed.
    """
    present = [name for name in (ATTESTATION_NAME, PUBLIC_KEY_NAME) if name in tree.files]
    if not present:
        if trusted_key is None:
            return "the release is not signed"
        tally.add("SUM-03", ATTESTATION_NAME, "a key is trusted, and the release is not signed")
        return None
    if len(present) == 1:
        tally.add("SUM-03", present[0], "a signature is two files, and this one is alone")
        return None
    if SUMS_NAME not in tree.files:
        tally.add("SUM-03", ATTESTATION_NAME, f"it is a signature over {SUMS_NAME}, which is not there")
        return None
    try:
        signature = Signature(tree.read(ATTESTATION_NAME), tree.read(PUBLIC_KEY_NAME))
        sums = tree.read(SUMS_NAME, MAX_LIST_BYTES)
    except GoneError as error:
        tally.add("SUM-03", ATTESTATION_NAME, str(error))
        return None
    except OSError:
        return "a file of the signature cannot be read"
    if (fault := check_signature(signature, sums, trusted_key=trusted_key)) is not None:
        tally.add("SUM-03", ATTESTATION_NAME, fault)
    return None


def check_manifest(tree: Tree, manifest: Manifest, tally: Tally) -> None:
    """SUM-05: dataset.json lists exactly the files that are there, with their sizes."""
    listed = {*manifest.files, *(shard.path for shard in manifest.shards)}
    for name in sorted(listed - set(tree.files)):
        tally.add("SUM-05", name[:300], f"{MANIFEST_NAME} lists it, and it is not there")
    for name in tree.files:
        if name not in listed and name not in SEALS and name != MANIFEST_NAME:
            tally.add("SUM-05", name, f"{MANIFEST_NAME} does not list it")
    for shard in manifest.shards:
        size = tree.files.get(shard.path)
        if size is not None and size != shard.num_bytes:
            tally.add("SUM-05", shard.path, f"it has {size:,} bytes, {MANIFEST_NAME} says {shard.num_bytes:,}")


def compare_lists(manifest: Manifest, sums: Mapping[str, str], tally: Tally) -> None:
    """SUM-05: dataset.json and SHA256SUMS give every file the same hash."""
    expected = dict(manifest.files) | {shard.path: shard.sha256 for shard in manifest.shards}
    for name, sha256 in expected.items():
        if sums.get(name, sha256) != sha256:
            tally.add("SUM-05", name, f"{MANIFEST_NAME} says SHA-256 {sha256}, {SUMS_NAME} {sums[name]}")
