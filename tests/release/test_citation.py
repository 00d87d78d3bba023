"""Citations: valid CFF whatever the names hold, BibTeX that LaTeX reads, a Zenodo deposit that names its origins."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from awkward import AWKWARD
from cffconvert import Citation
from editions import FULL_RECIPE, make_edition
from jsonschema import ValidationError
from sampled_source import SampledSource

from cspine_bench.dataset.write import write_dataset
from cspine_bench.release.papers.citation import build_bibtex, build_cff, build_zenodo

# cffconvert reads its schema through what jsonschema has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sampled") / "ds"
    write_dataset(SampledSource(6), folder)
    return folder


@pytest.mark.parametrize("settings", [{}, FULL_RECIPE, AWKWARD], ids=["plain", "full", "awkward"])
def test_cff_is_valid_and_says_what_the_recipe_says(sampled: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    edition = make_edition(sampled, tmp_path / "scratch", **settings)
    text = build_cff(edition)
    Citation(text).validate()
    values = yaml.safe_load(text)
    assert (values["type"], values["title"], values["version"]) == (
        "dataset",
        edition.recipe.title,
        edition.recipe.version,
    )
    assert values["date-released"] == "2026-01-02"
    assert values.get("license") == (None if settings is AWKWARD else "CC-BY-4.0")
    if settings is AWKWARD:
        assert values["abstract"].startswith(AWKWARD["description"])
        assert values["keywords"] == ["a: b", "# c", "ja"]
        assert [author.get("family-names", author.get("name")) for author in values["authors"]] == [
            creator.name for creator in AWKWARD["creators"]
        ]


def test_texts_that_look_like_numbers_stay_texts(sampled: Path, tmp_path: Path) -> None:
    texts = ("1e3", "08", "0o17", "+.5", "1.", "-3", "0x1F", "1_000", "12:30", "no", "~", ".inf", "2026-01-01", "1.0.0")
    text = build_cff(make_edition(sampled, tmp_path / "scratch", title="2e6", keywords=texts))
    # cffconvert reads YAML 1.2, PyYAML 1.1: they disagree on which of these are numbers.
    Citation(text).validate()
    assert Citation(text).cffobj["keywords"] == yaml.safe_load(text)["keywords"] == list(texts)


def test_the_validation_of_cff_finds_faults(sampled: Path, tmp_path: Path) -> None:
    text = build_cff(make_edition(sampled, tmp_path / "scratch"))
    with pytest.raises(ValidationError):
        Citation(text.replace("type: dataset", "type: data")).validate()


def test_cff_by_hand(sampled: Path, tmp_path: Path) -> None:
    plain = yaml.safe_load(build_cff(make_edition(sampled, tmp_path / "scratch")))
    assert plain["authors"] == [{"name": "Anonymous"}]
    assert not {"doi", "url", "repository-artifact", "repository-code"} & set(plain)
    (method,) = plain["references"]
    assert (method["authors"][0]["family-names"], method["year"]) == ("Barr", 2025)
    full = yaml.safe_load(build_cff(make_edition(sampled, tmp_path / "scratch", **FULL_RECIPE)))
    assert full["authors"] == [
        {
            "family-names": "Doe",
            "given-names": "Jane",
            "orcid": "https://orcid.org/0000-0002-1825-0097",
            "affiliation": "A & B University",
        },
        {"name": "Spine Group"},
    ]
    assert (full["doi"], full["url"]) == ("10.5281/zenodo.1234567", "https://example.org/cspine-synth")
    assert full["repository-artifact"] == "https://huggingface.co/datasets/spine-group/cspine-synth"
    assert [item["title"] for item in full["references"]] == [method["title"], "CSXA", "Phantoms"]
    assert full["references"][1]["authors"][0] == {"family-names": "Ran", "given-names": "Yu"}
    assert full["references"][2]["authors"] == [{"name": "Authors of Phantoms"}]


def test_an_odd_doi_becomes_an_address(sampled: Path, tmp_path: Path) -> None:
    edition = make_edition(sampled, tmp_path / "scratch", doi="10.1002/(SICI)1096<1::AID>3.0.CO;2-#")
    text = build_cff(edition)
    Citation(text).validate()
    assert yaml.safe_load(text)["url"] == "https://doi.org/10.1002/(SICI)1096<1::AID>3.0.CO;2-#"


def test_bibtex(sampled: Path, tmp_path: Path) -> None:
    assert build_bibtex(make_edition(sampled, tmp_path / "scratch", **FULL_RECIPE)) == (
        "@misc{doe2026-cspine-synth,\n"
        "  author = {Doe, Jane and {Spine Group}},\n"
        "  title = {{CSpine-Synth: made-up radiographs | a test}},\n"
        "  year = {2026},\n"
        "  version = {1.2.0},\n"
        "  howpublished = {Dataset},\n"
        "  doi = {10.5281/zenodo.1234567},\n"
        "  url = {https://example.org/cspine-synth},\n"
        "  note = {Version 1.2.0. AI-generated; no patient is depicted; not for diagnosis.},\n"
        "}\n"
    )
    plain = build_bibtex(make_edition(sampled, tmp_path / "scratch"))
    assert plain.startswith("@misc{anonymous2026-toy,\n  author = {{Anonymous}},\n")
    assert "doi" not in plain and "url" not in plain


def test_bibtex_of_odd_names(sampled: Path, tmp_path: Path) -> None:
    text = build_bibtex(make_edition(sampled, tmp_path / "scratch", **AWKWARD))
    assert text.startswith("@misc{obrien-nunez2026-cspinesynth2,\n")
    # BibTeX counts an escaped brace too: braces are spelled by name.
    plain = text.replace(r"\textbraceleft{}", "<").replace(r"\textbraceright{}", ">")
    assert r"""author = {{O'Brien-Núñez, Jr.}, Anna "Ann" and {Salt and Pepper <X> \& Y\_Z} and yes, null},""" in plain
    assert r"""title = {{Spines: "left" \& 'right' <50 \%> – Wirbelsäule \# not a comment}},""" in plain
    depth = 0
    for sign in text:
        depth += {"{": 1, "}": -1}.get(sign, 0)
        assert depth >= 0
    assert depth == 0


def test_zenodo(sampled: Path, tmp_path: Path) -> None:
    values = build_zenodo(make_edition(sampled, tmp_path / "scratch", **FULL_RECIPE))
    assert values["creators"] == [
        {"name": "Doe, Jane", "orcid": "0000-0002-1825-0097", "affiliation": "A & B University"},
        {"name": "Spine Group"},
    ]
    assert (values["upload_type"], values["access_right"], values["license"]) == ("dataset", "open", "cc-by-4.0")
    assert (values["publication_date"], values["version"]) == ("2026-01-02", "1.2.0")
    assert [(item["relation"], item["identifier"]) for item in values["related_identifiers"]] == [
        ("cites", "arXiv:2510.22166"),
        ("isDerivedFrom", "10.57760/sciencedb.15391"),
        ("isCompiledBy", "https://example.org/code"),
        ("isIdenticalTo", "https://huggingface.co/datasets/spine-group/cspine-synth"),
    ]
    assert values["notes"].startswith("<p>AI-generated; no patient is depicted; not for diagnosis.</p>")


def test_zenodo_of_odd_texts(sampled: Path, tmp_path: Path) -> None:
    values = build_zenodo(make_edition(sampled, tmp_path / "scratch", **AWKWARD))
    assert "<b>" not in values["description"] and "&lt;b&gt;tag&lt;/b&gt; 脊椎 🦴" in values["description"]
    assert values["license"] == "other-closed"
    assert "LicenseRef-Our-Terms, whose text is the file LICENSE" in values["notes"]
    assert "Grant &lt;1&gt;" in values["notes"]
    plain = build_zenodo(make_edition(sampled, tmp_path / "scratch"))
    assert plain["creators"] == [{"name": "Anonymous"}] and "doi" not in plain
