"""Broken releases for the rules on layout, cards, papers, evidence and seals; those on shards are in broken_shards.

Each known trap in how `datasets` reads a repository has a case, with a comment that says what happens to who meets
it; those inside archives are in broken_shards.
"""

import os
from pathlib import Path

from broken import Broken, Change, add, all_of, edit, edit_all, put, remove, rename, set_json, set_manifest, set_source
from broken_shards import cut_first_png, edit_tar
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cspine_bench.release.layout import ATTESTATION_NAME, PUBLIC_KEY_NAME
from cspine_bench.release.policy import Gate, Policy
from cspine_bench.release.seal import sign_sums

TRAIN = "data/train-00000-of-00002.parquet"
TEST = "data/test-00000-of-00001.parquet"
TRAIN_TAR = "data/train-00000-of-00002.tar"
CARD, CFF, RELEASE, REUSE, ZENODO = "README.md", "CITATION.cff", "provenance/release.json", "REUSE.toml", "zenodo.json"
CROISSANT, BALANCE = "croissant.json", "evaluation/balance.json"
NOBODY = "0" * 64


def link(name: str, to: str) -> Change:
    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(to)

    return change


def pipe(name: str) -> Change:
    return lambda folder: os.mkfifo(folder / name)


def flip(name: str, at: int) -> Change:
    def change(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[at] ^= 1
        put(folder, name, bytes(data))

    return change


def empty(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def grow(name: str, size: int) -> Change:
    """A sparse file: a size without the bytes."""

    def change(folder: Path) -> None:
        put(folder, name, b"")
        os.truncate(folder / name, size)

    return change


def sign(folder: Path) -> None:
    """Sign, and change a file afterwards."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    signature = sign_sums((folder / "SHA256SUMS").read_bytes(), key, predicate={})
    put(folder, ATTESTATION_NAME, signature.attestation)
    put(folder, PUBLIC_KEY_NAME, signature.public_key)
    add("LICENSE", "mine")(folder)


def no_yaml(folder: Path) -> None:
    put(folder, CARD, (folder / CARD).read_text().split("---\n", 2)[2])


def gates(figure: str = "share_sex_female", **values: object) -> dict[str, object]:
    gate = Gate.model_validate({"name": "g", "measure": "balance", "figure": figure, **values})
    return {"policy": Policy(gates=(gate,))}


def train_on(**stated: object) -> Change:
    """The images come from a trained model, of which this is stated."""
    base = {"stated": True, "status": "named", "summary": "x", "recorded": None, "datasets": [], **stated}
    return all_of(set_source(kind="ddpm"), set_json(RELEASE, base, "training_data"))


FILMS = {"name": "CSXA", "version": None, "url": None, "doi": None, "license": "x", "terms": None, "patients": True}
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)

CASES = [
    # Layout
    Broken("LAY-01", rename(TRAIN, "data/train-0.parquet"), "data/train-0.parquet", "is not of the form"),
    Broken("LAY-01", remove(TRAIN), "data/train", "of 2 shards 1 are missing: 00000"),
    Broken("LAY-01", rename(TRAIN, "data/train-00000-of-00003.parquet"), "data/train", "disagree on how many"),
    Broken("LAY-01", add("metadata/extra.txt"), "metadata/extra.txt", "metadata/ holds SPLIT.parquet alone"),
    # img2dataset layout, 00000.tar beside 00000.parquet: the images are silently missing
    Broken("LAY-01", rename(TRAIN, "00000.parquet"), "00000.parquet", "is not of the form"),
    # A tar configuration beside a Parquet one: "Parquet magic bytes not found"
    Broken("LAY-02", add("wds/train-00000.tar"), "wds/train-00000.tar", "data of another format"),
    Broken("LAY-02", add("data/train.parquet"), "data/train.parquet", "data of another format", mirror=True),
    Broken("LAY-03", add("data/train-extra.parquet"), "data/train-extra.parquet", "would load it as data"),
    Broken("LAY-03", edit(CARD, "data/test-*", "data/tests-*"), "data/tests-*.parquet", "matches no file"),
    Broken("LAY-03", edit(CARD, "data/test-*", "data/t*"), TRAIN, "would load it as data of split test"),
    # Loading scripts are no longer supported
    Broken("LAY-04", add("rel.py", "print()"), "rel.py", "is a script"),
    Broken("LAY-04", link("LICENSE", "/etc/passwd"), "LICENSE", "it is a link"),
    Broken("LAY-04", pipe("data/pipe"), "data/pipe", "neither a file nor a folder"),
    # macOS files
    Broken("LAY-04", add("samples/._x.png"), "samples/._x.png", "it is hidden"),
    Broken("LAY-04", add("a\nb"), "'a\\nb'", "no list of files can spell", sealed=False),
    Broken("LAY-05", grow("data/train-00001-of-00002.parquet", 600_000_000), "data/train-00001-of-00002.parquet",
           "at most 500,000,000", sealed=False),
    Broken("LAY-06", remove("CHANGELOG.md"), "CHANGELOG.md", "it is not there"),
    Broken("LAY-06", remove("metadata/test.parquet"), "metadata/test.parquet", "it is not there"),
    Broken("LAY-06", remove("LICENSE"), "LICENSE", "it is not there", mirror=True),
    Broken("LAY-07", empty, ".", "it is empty", sealed=False),
    Broken("LAY-07", remove("dataset.json"), "dataset.json", "stopped before its end"),
    Broken("LAY-07", remove("SHA256SUMS"), "SHA256SUMS", "stopped before its end", sealed=False),
    Broken("LAY-07", add("data/x.parquet.incomplete"), "data/x.parquet.incomplete", "was not finished"),
    # Card
    Broken("CARD-01", no_yaml, CARD, "does not begin with `---`"),
    Broken("CARD-01", edit(CARD, "language:", "langauge:"), CARD, "keys that the Hub does not know: langauge"),
    Broken("CARD-01", edit(CARD, "license:", "license: mit\nlicense:"), CARD, "key 'license' is there twice"),
    Broken("CARD-01", edit(CARD, "---\n", f"---\n{BOMB}"), CARD, "anchors and aliases are not allowed"),
    Broken("CARD-01", edit(CARD, "language:", f"language: {'[' * 5000}"), CARD, "levels deep"),
    Broken("CARD-01", edit(CARD, "language:", "language: !!python/object:os.system x"), CARD, "is not allowed"),
    Broken("CARD-01", edit(CARD, "---\n", "---\nx: " + "y" * 500_000), CARD, "at most 400,000 are read"),
    Broken("CARD-02", edit(CARD, "license: cc-by-4.0", "license: mit"), CARD, "the licence is {'license': 'mit'}"),
    Broken("CARD-02", edit(CFF, "license: CC-BY-4.0", "license: MIT"), CFF, "so 'CC-BY-4.0' is expected"),
    Broken("CARD-02", edit("LICENSE", "Creative", "Uncreative"), "LICENSE", "is not that of LICENSES/CC-BY-4.0.txt"),
    Broken("CARD-02", add("LICENSES/MIT.txt"), "LICENSES/", "texts of several licences"),
    Broken("CARD-02", set_json(ZENODO, "cc0-1.0", "license"), ZENODO, "the licence is 'cc0-1.0'"),
    Broken("CARD-02", set_json(CROISSANT, "https://x.org", "license"), CROISSANT, "the licence is 'https://x.org'"),
    Broken("CARD-02", edit(REUSE, '"CC-BY-4.0"', '"MIT"'), REUSE, "the licence is 'MIT'", mirror=True),
    # What is inferred from the first samples is cut or dropped; what is declared is not
    Broken("CARD-03", edit(CARD, "configs:", "viewer: true\nxconfigs:"), CARD, "there are no configs"),
    Broken("CARD-03", edit(CARD, "sequence: float32", "sequence: int32"), CARD, "of another type: landmarks_xy"),
    Broken("CARD-03", edit(CARD, "  - name: age\n    dtype: int32\n", ""), CARD, "of another type: age"),
    Broken("CARD-03", edit(CARD, "  - name: mask.png\n    dtype: image\n", ""), CARD, "mask.png", mirror=True),
    Broken("CARD-03", edit(CARD, "    - name: age\n      dtype: int32\n", ""), CARD, "json.age", mirror=True),
    Broken("CARD-03", edit(CARD, "    - name: cci_percent\n      dtype: float32\n",
                           "    - name: cci_percent\n      dtype: int32\n"), CARD, "json.cci_percent", mirror=True),
    Broken("CARD-03", edit(CARD, "- config_name: metadata", "- config_name: wds"), CARD, "configs are default, wds"),
    # The number of examples is what a load that is no stream is held against
    Broken("CARD-04", edit(CARD, "num_examples: 24", "num_examples: 25"), CARD, "25 examples in the card, 24"),
    Broken("CARD-04", edit(CARD, "num_examples: 24", "num_examples: 25"), CARD, "train has 25 examples", mirror=True),
    Broken("CARD-05", edit(CARD, "n<1K", "1K<n<10K"), CARD, "the data are n<1K"),
    Broken("CARD-06", edit(CARD, "- image-segmentation", "- spine-segmentation"), CARD, "spine-segmentation"),
    Broken("CARD-07", edit(CARD, "## Citation", "## Reference"), CARD, "no heading speaks of: citation"),
    Broken("CARD-07", edit(CARD, "## Uses", "{{ uses }}\n\n## Uses"), CARD, "'{{' in line"),
    Broken("CARD-07", edit(CARD, "## Uses", "## Uses\n\n[More Information Needed]"), CARD, "More Information Needed"),
    Broken("CARD-07", add("DATASHEET.md", "# Datasheet\n\nTODO"), "DATASHEET.md", "'TODO' in line 3"),
    Broken("CARD-08", edit(CARD, "not for diagnosis", "for diagnosis"), CARD, "do not hold"),
    Broken("CARD-08", edit(CARD, "Computer-generated phantoms", "AI-generated"), CARD, "'Computer-generated phantoms"),
    Broken("CARD-08", edit(CARD, "> **", "x" * 600 + "\n\n> **"), CARD, "the first 500 characters", mirror=True),
    Broken("CARD-09", edit(CFF, "version: 1.0.0", "version: 1.0.1"), CFF, "the version is '1.0.1' here, '1.0.0' in"),
    Broken("CARD-09", edit("CHANGELOG.md", "[1.0.0]", "[2.0.0]"), "CHANGELOG.md", "the version is '2.0.0' here"),
    Broken("CARD-09", edit(CARD, "version = {1.0.0}", "version = {1.0.2}"), CARD, "the version is '1.0.2' here"),
    Broken("CARD-09", set_json(ZENODO, "2020-01-01", "publication_date"), ZENODO, "the date is '2020-01-01' here"),
    Broken("CARD-09", set_json(ZENODO, "10.5281/zenodo.1", "doi"), ZENODO, "the DOI is '10.5281/zenodo.1' here, None"),
    Broken("CARD-09", edit(CARD, "pretty_name: 'rel", "pretty_name: 'X"), CARD, "the title is", mirror=True),
    Broken("CARD-10", edit(CFF, "- family-names: Doe\n  given-names: Jane", "- name: Anonymous"), CFF, "no maker"),
    Broken("CARD-11", edit(CARD, "| train | 24 |", "| train | 25 |"), CARD, "radiographs is 25 in the card, 24",
           level="standard"),
    Broken("CARD-11", edit(CARD, "| train | 24 | 12 |", "| train | 24 | 24 |"), CARD, "groups is 24 in the card, 12",
           level="standard"),
    Broken("CARD-11", edit(CARD, "| split | radio", "| part | radio"), CARD, "it has no table", level="standard"),
    Broken("CARD-11", edit(CARD, "| radiographs | 30", "| radiographs | 3,000"), CARD, "3,000 radiographs in the card",
           level="standard"),
    Broken("CARD-11", edit("DATASHEET.md", "| sex | female | 14 |", "| sex | female | 15 |"), "DATASHEET.md",
           "sex female in train: 15 in the paper, 14 in the data", level="standard"),
    Broken("CARD-11", edit("DATASHEET.md", "| exact | 30 |", "| reader | 30 |"), "DATASHEET.md",
           "label_source exact: 0 in the paper, 30 in the data", level="standard"),
    Broken("CARD-11", edit(CARD, "| -170.9 |", "| -17.9 |"), CARD, "least is -17.9 in the paper, -170.9",
           level="standard"),
    # Privacy and evidence
    Broken("PRIV-01", train_on(datasets=[FILMS]), "evaluation/", "no result of memorization"),
    Broken("PRIV-01", train_on(recorded={"sources": {"csxa": 9}}), "evaluation/", "no result of memorization"),
    Broken("PRIV-03", train_on(status="not stated"), RELEASE, "training data are not stated"),
    Broken("PRIV-03", train_on(datasets=[FILMS | {"license": None}]), RELEASE, "neither licence nor terms"),
    Broken("PRIV-03", set_json(RELEASE, None, "training_data"), RELEASE, "does not say what is known"),
    Broken("PRIV-04", set_json(BALANCE, NOBODY, "inputs", 0, "digest"), BALANCE, "measured on synthetic rel (0000"),
    Broken("PRIV-04", add("evaluation/fidelity.json", "{}"), "evaluation/fidelity.json", "not a result file"),
    Broken("PRIV-04", add("evaluation/notes.txt"), "evaluation/notes.txt", "it is no result file"),
    # Integrity
    Broken("SUM-01", remove("SHA256SUMS"), "SHA256SUMS", "it is not there", level="standard", sealed=False),
    # Stray files, `eval/` or `results.eval`, which newer readers take for data where there are no configs
    Broken("SUM-01", add("results.eval"), "results.eval", "does not list it", level="standard", sealed=False),
    Broken("SUM-01", remove("figures/samples.png"), "figures/samples.png", "lists it, and it is not there",
           level="standard", sealed=False),
    Broken("SUM-01", edit("SHA256SUMS", "  ", " *"), "SHA256SUMS", "not `HASH  PATH`", level="standard", sealed=False),
    Broken("SUM-02", flip(TRAIN, 9000), TRAIN, "its SHA-256 is", level="standard", sealed=False),
    Broken("SUM-02", edit("LICENSE", "a", "b"), "LICENSE", "its SHA-256 is", level="standard", sealed=False),
    Broken("SUM-02", flip(TRAIN_TAR, 9000), TRAIN_TAR, "its SHA-256 is", mirror=True, level="standard", sealed=False),
    Broken("SUM-03", add(ATTESTATION_NAME), ATTESTATION_NAME, "this one is alone"),
    Broken("SUM-03", all_of(add(ATTESTATION_NAME), add(PUBLIC_KEY_NAME)), ATTESTATION_NAME, "no public key in PEM"),
    Broken("SUM-03", sign, ATTESTATION_NAME, "was made for a SHA256SUMS with digest"),
    Broken("SUM-04", lambda folder: folder.with_name("rel-wds").mkdir(), TRAIN, "the mirror has no such shard",
           level="standard"),
    Broken("SUM-05", add("eval/results.csv"), "eval/results.csv", "dataset.json does not list it", sealed=False),
    Broken("SUM-05", remove(TEST), TEST, "lists it, and it is not there", sealed=False),
    Broken("SUM-05", edit("dataset.json", '"seed": 0', '"seed": 1'), "dataset.json", "its digest is", sealed=False),
    Broken("SUM-05", set_manifest(files={"README.md": NOBODY}), CARD, "SHA-256 000", level="standard", sealed=False),
    # Papers
    Broken("DOC-01", edit(CFF, "cff-version: 1.2.0", "cff-version: 9"), CFF, "cff-version is 9"),
    Broken("DOC-01", edit(CFF, "type: dataset", "type: software\ncolour: red"), CFF, "unknown keys: colour"),
    Broken("DOC-01", edit(CFF, "'2026-11-23'", "'23.11.2026'"), CFF, "YYYY-MM-DD is expected", mirror=True),
    Broken("DOC-01", edit(CFF, "  given-names: Jane", "  forename: Jane"), CFF, "author 1 is no person or body"),
    Broken("DOC-01", edit(CFF, "- type: article", "- kind: article"), CFF, "references is no list of entries"),
    Broken("DOC-02", set_json(CROISSANT, False, "rai:hasSyntheticData"), CROISSANT, "rai:hasSyntheticData is not true"),
    Broken("DOC-02", set_json(CROISSANT, None, "creator"), CROISSANT, "missing or empty: creator"),
    Broken("DOC-02", set_json(CROISSANT, NOBODY, "distribution", 1, "sha256"), CROISSANT, "has SHA-256 '0000"),
    Broken("DOC-02", edit_all(CROISSANT, TRAIN, "data/other.parquet"), CROISSANT, "which is not there"),
    Broken("DOC-02", add(CROISSANT, '{"a": NaN}'), CROISSANT, "NaN is no JSON"),
    Broken("DOC-03", edit(REUSE, 'path = "**"', 'path = "data/*"'), CARD, "no annotation in REUSE.toml covers it"),
    Broken("DOC-03", edit(REUSE, "SPDX-FileCopyrightText", "SPDX-FileCopyright"), REUSE, "no SPDX-FileCopyrightText"),
    Broken("DOC-03", add(REUSE, "version = ["), REUSE, "it is no TOML", mirror=True),
    Broken("DOC-04", add(RELEASE, "{" * 90_000), RELEASE, "it is no JSON"),
    Broken("DOC-04", add(RELEASE, "[" * 90_000), RELEASE, "it is no JSON"),
    Broken("DOC-04", add(RELEASE, '{"recipe": "\\ud800"}'), RELEASE, "surrogates not allowed"),
    Broken("DOC-04", set_json(RELEASE, 25, "num_samples", "train"), RELEASE, "the data hold {'train': 24"),
    Broken("DOC-04", set_json(RELEASE, NOBODY, "dataset", "digest"), RELEASE, "that holds these shards has"),
    Broken("DOC-04", set_json(RELEASE, "x@y", "recipe", "contact"), RELEASE, "recipe_sha256 is"),
    Broken("DOC-04", set_json(RELEASE, 3, "num_groups", "train"), RELEASE, "num_groups is 3", level="standard"),
    Broken("DOC-04", set_json(ZENODO, "software", "upload_type"), ZENODO, "dataset is expected"),
    Broken("DOC-04", set_json("provenance/mirror.json", None, "sums_sha256"), "provenance/mirror.json", "is missing",
           mirror=True),
    Broken("DOC-05", set_json("schema/record-1.1.0.schema.json", {}, "properties"), "schema/record-1.1.0.schema.json",
           "describes other rows"),
    # Gates
    Broken("GATE-01", lambda folder: None, BALANCE, "the whole interval misses it", options=gates(at_least=0.99)),
    Broken("GATE-01", lambda folder: None, "evaluation", "no evidence", options=gates("share_x", at_least=0.1)),
    Broken("GATE-02", lambda folder: None, BALANCE, "reaches to both sides", options=gates(at_least=0.5)),
    Broken("GATE-03", lambda folder: None, BALANCE, "on too few samples",
           options=gates(at_least=0.01, least_samples={"synthetic": 99}, when_underpowered="warn")),
    # Loading: a truncated PNG fails only when its row is decoded
    Broken("LOAD-02", edit_tar(cut_first_png), ".", "webdataset: it fails", mirror=True, level="full",
           also=("LOAD-01", "PNG-01")),
]  # fmt: skip
