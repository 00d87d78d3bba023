"""Signatures: over the release as a whole, and C2PA inside the samples."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from folders import hash_tree

from cspine_bench.cli import cli
from cspine_bench.errors import ReleaseError
from cspine_bench.imaging.png import decode_png
from cspine_bench.release.build import build_release
from cspine_bench.release.layout import ATTESTATION_NAME, PUBLIC_KEY_NAME, SUMS_NAME
from cspine_bench.release.preview import Credentials
from cspine_bench.release.seal import Signature, check_signature, read_predicate
from cspine_bench.release.sign import sign_release

from .conftest import RECIPE

serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")


def make_key(path: Path) -> Path:
    """A key pair: the private one in `path`, the public one beside it as .pub."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path.write_bytes(key.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    path.with_suffix(".pub").write_bytes(public)
    return path


def read_signature(folder: Path) -> Signature:
    return Signature((folder / ATTESTATION_NAME).read_bytes(), (folder / PUBLIC_KEY_NAME).read_bytes())


@pytest.fixture(scope="module")
def signed(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signed")
    build_release(plain, folder / "rel", RECIPE, mirror=True, key=make_key(folder / "release.key"))
    return folder


def test_a_signed_release_verifies_and_is_the_same_each_time(signed: Path, plain: Path, tmp_path: Path) -> None:
    for name in ("rel", "rel-wds"):
        sums = (signed / name / SUMS_NAME).read_bytes()
        trusted = (signed / "release.pub").read_bytes()
        assert check_signature(read_signature(signed / name), sums, trusted_key=trusted) is None
    build_release(plain, tmp_path / "rel", RECIPE, mirror=True, key=signed / "release.key")
    assert hash_tree(tmp_path / "rel") == hash_tree(signed / "rel")
    dependencies = read_predicate(read_signature(signed / "rel").attestation)["buildDefinition"]["resolvedDependencies"]
    assert dependencies[0]["digest"]["sha256"] == json.loads((plain / "dataset.json").read_text())["digest"]


def test_signed_later_it_is_as_if_signed_at_once(release: Path, signed: Path, tmp_path: Path) -> None:
    late = shutil.copytree(release, tmp_path / "rel")
    for name in (ATTESTATION_NAME, PUBLIC_KEY_NAME):
        assert not (late / name).exists()
    result = CliRunner().invoke(cli, ["release", "sign", str(late), "--key", str(signed / "release.key")])
    assert result.exit_code == 0, result.stderr
    assert check_signature(read_signature(late), (late / SUMS_NAME).read_bytes()) is None


def test_every_flipped_bit_of_a_signature_is_found(signed: Path) -> None:
    sums = (signed / "rel" / SUMS_NAME).read_bytes()
    whole = read_signature(signed / "rel")
    silent = []
    for part in ("attestation", "public_key"):
        data = getattr(whole, part)
        for position in range(0, 8 * len(data), 3):
            torn = bytearray(data)
            torn[position // 8] ^= 1 << position % 8
            damaged = Signature(**{**whole.__dict__, part: bytes(torn)})
            if check_signature(damaged, sums) is None:
                silent.append((part, position))
    assert silent == []


def test_another_key_and_other_files_are_told_apart(signed: Path, tmp_path: Path) -> None:
    sums = (signed / "rel" / SUMS_NAME).read_bytes()
    signature = read_signature(signed / "rel")
    other = make_key(tmp_path / "other.key").with_suffix(".pub").read_bytes()
    assert "the trusted one is" in (check_signature(signature, sums, trusted_key=other) or "")
    assert "it was made for a SHA256SUMS with digest" in (check_signature(signature, sums + b"\n") or "")


@pytest.mark.parametrize("content", ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key_says_how_to_make_one(release: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "bad.key").write_text(content)
    with pytest.raises(ReleaseError, match=r"cspine-bench release key release\.key"):
        sign_release(release, tmp_path / "bad.key")


def test_a_key_of_another_kind_is_refused(release: Path, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec

    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(pem, pkcs8, serialization.NoEncryption())
    (tmp_path / "ec.key").write_bytes(key)
    with pytest.raises(ReleaseError, match="Ed25519 is needed"):
        sign_release(release, tmp_path / "ec.key")


def make_credentials(folder: Path) -> Credentials:
    """A certificate for signing content, issued by an authority of our own."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)

    def issue(name: str, key: ec.EllipticCurvePrivateKey, issuer: str, signer: ec.EllipticCurvePrivateKey, ca: bool):
        def spell(text: str) -> x509.Name:
            organisation = x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Spine Group")
            return x509.Name([organisation, x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only")
            + ("decipher_only",),
            False,
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(spell(name))
            .issuer_name(spell(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + datetime.timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, **usage), critical=True
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        )
        if not ca:
            usages = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.EMAIL_PROTECTION])
            builder = builder.add_extension(usages, critical=True)
        return builder.sign(signer, hashes.SHA256())

    authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    pem = serialization.Encoding.PEM
    chain = issue("Signer", key, "Root", authority, ca=False), issue("Root", authority, "Root", authority, ca=True)
    (folder / "chain.pem").write_bytes(b"".join(item.public_bytes(pem) for item in chain))
    pkcs8 = serialization.PrivateFormat.PKCS8
    (folder / "c2pa.key").write_bytes(key.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    return Credentials(folder / "chain.pem", folder / "c2pa.key")


def test_samples_carry_a_content_credential_on_request(plain: Path, release: Path, tmp_path: Path) -> None:
    c2pa = pytest.importorskip("c2pa")
    build_release(plain, tmp_path / "rel", RECIPE, credentials=make_credentials(tmp_path))
    for path in sorted((tmp_path / "rel/samples").glob("*.png")):
        plain = (release / "samples" / path.name).read_bytes()
        data = path.read_bytes()
        assert (decode_png(data, where=path.name) == decode_png(plain, where=path.name)).all()
        with c2pa.Reader.try_create(path) as reader:
            found = json.loads(reader.json())
        assert found["validation_state"] == "Valid"
        assert "algorithmicMedia" in json.dumps(found)
        assert len(data) - len(plain) < 6000, "a preview would be larger than the image"


def test_credentials_that_cannot_sign_are_refused(plain: Path, tmp_path: Path) -> None:
    pytest.importorskip("c2pa")
    (tmp_path / "empty.pem").write_text("")
    with pytest.raises(ReleaseError, match="samples cannot be signed"):
        credentials = Credentials(tmp_path / "empty.pem", tmp_path / "empty.pem")
        build_release(plain, tmp_path / "rel", RECIPE, credentials=credentials)
    assert not (tmp_path / "rel").exists()
