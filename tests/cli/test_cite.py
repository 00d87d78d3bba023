"""`cspine-bench cite`: BibTeX that holds what the citation files hold, and nothing else."""

import json
import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from cspine_bench.citation import build_apa, build_bibtex, list_works, parse_works
from cspine_bench.cli import cli
from cspine_bench.errors import DataError

OWN = (Path(__file__).parents[2] / "CITATION.cff").read_text(encoding="utf-8")
RELEASE = r"""
cff-version: 1.2.0
message: cite it
type: dataset
title: "Necks & {braces: 100 % of C2_C7"
version: 1.10
date-released: 2026-01-02
doi: 10.5281/zenodo.1234567
url: https://example.org/a_b?c={d}
authors:
  - {family-names: Muñoz and Sons, given-names: Ana María}
  - {name: "Spine Group, Inc."}
references:
  - type: article
    title: another spelling of the same preprint
    authors: [{name: Somebody}]
    identifiers: [{type: other, value: "arXiv:2510.22166"}]
"""


def parse_bibtex(text: str) -> dict[str, dict[str, str]]:
    """A strict reader of `@misc` entries: braces balance, fields end with a comma, nothing comes twice."""
    entries: dict[str, dict[str, str]] = {}
    rest = text
    while rest.strip():
        head = re.match(r"\s*@misc\{([a-z0-9-]+),\n", rest)
        assert head is not None, rest[:80]
        key, rest, fields = head[1], rest[head.end() :], {}
        while (field := re.match(r"  ([a-z]+) = \{", rest)) is not None:
            depth, end = 1, field.end()
            while depth:
                depth += {"{": 1, "}": -1}.get(rest[end], 0)  # escaped or not, as BibTeX counts
                end += 1
            assert rest[end : end + 2] == ",\n" and field[1] not in fields
            fields[field[1]] = rest[field.end() : end - 1]
            rest = rest[end + 2 :]
        assert rest.startswith("}\n") and key not in entries
        entries[key], rest = fields, rest[2:]
    return entries


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["cite", *arguments])


def test_bibtex_is_the_citation_file(tmp_path: Path) -> None:
    own = yaml.safe_load(OWN)
    paper, data = own["references"]
    entries = parse_bibtex(run().stdout)
    key = "expert-validation-of-synthetic-cervical-spine"
    assert list(entries) == ["cspine-bench", key, "csxa"]
    assert entries["cspine-bench"] == {
        "author": f"{{{own['authors'][0]['name']}}}",
        "title": f"{{{own['title']}}}",
        "version": own["version"],
        "howpublished": "Software",
    }
    assert entries[key] == {
        "author": " and ".join(f"{author['family-names']}, {author['given-names']}" for author in paper["authors"]),
        "title": f"{{{paper['title']}}}",
        "year": "2025",
        "eprint": "2510.22166",
        "archiveprefix": "arXiv",
        "url": paper["url"],
        "note": paper["notes"],
    }
    assert entries["csxa"] == {
        "author": " and ".join(f"{author['family-names']}, {author['given-names']}" for author in data["authors"]),
        "title": f"{{{data['title']}}}",
        "year": str(data["year"]),
        "howpublished": "Dataset",
        "journal": data["journal"],
        "doi": data["doi"],
        "url": data["url"],
        "note": data["notes"],
    }
    assert run("--format", "cff").stdout == OWN
    document = json.loads(run("--json").stdout)
    assert parse_bibtex(document["text"]) == entries and [work["title"] for work in document["works"]][2] == "CSXA"


def test_a_release_comes_first_and_each_work_once(tmp_path: Path) -> None:
    (tmp_path / "CITATION.cff").write_text(RELEASE)
    entries = parse_bibtex(run("--release", str(tmp_path)).stdout)
    key = "necks-braces-100-of-c2-c7"
    assert list(entries) == [key, "cspine-bench", "another-spelling-of-the-same-preprint", "csxa"]
    assert entries[key] == {
        "author": "{Muñoz and Sons}, Ana María and {Spine Group, Inc.}",
        "title": r"{Necks \& \textbraceleft{}braces: 100 \% of C2\_C7}",
        "year": "2026",
        "version": "1.1",  # YAML 1.1 reads 1.10 so; a release writes its version as a text
        "howpublished": "Dataset",
        "doi": "10.5281/zenodo.1234567",
        "url": "https://example.org/a_b?c=%7Bd%7D",
    }
    assert run("--release", str(tmp_path), "--format", "cff").stdout.strip() == RELEASE.strip()
    apa = run("--release", str(tmp_path), "--format", "apa").stdout.splitlines()
    assert apa[0] == (
        "Muñoz and Sons, A. M., & Spine Group, Inc. (2026). Necks & {braces: 100 % of C2_C7 (Version 1.1) [Data set]. "
        "https://doi.org/10.5281/zenodo.1234567"
    )
    assert build_bibtex(parse_works("title: x\nauthors: [{name: Ran et al.}]", where="x")).splitlines()[1:2] == [
        "  author = {{Ran} and others},"
    ]
    assert apa[1] == "The cspine-bench contributors. (n.d.). cspine-bench (Version 0.1.0) [Computer software]."


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[1, 2]", "the file: "),
        ("title: x", "authors: field required"),
        ("title: x\nauthors: []", "authors: "),
        ("a: [", "is no citation"),
        ("title: x\nauthors: [{name: y}]\nreferences: [{title: z}]", "references.0.authors: field required"),
    ],
)
def test_a_file_that_is_no_citation_is_named(text: str, fault: str) -> None:
    with pytest.raises(DataError, match=re.escape(fault)) as error:
        parse_works(text, where="rel/CITATION.cff")
    assert str(error.value).startswith("rel/CITATION.cff: ")


def test_a_release_without_a_citation(tmp_path: Path) -> None:
    result = run("--release", str(tmp_path))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "CITATION.cff: cannot be read" in result.stderr and "release build" in result.stderr


def test_titles_that_are_alike_get_keys_of_their_own() -> None:
    named = [(f"title: {title}\nauthors: [{{name: y}}]", title) for title in ("Necks!", "necks", "颈")]
    works = list_works(*named)
    assert list(parse_bibtex(build_bibtex(works))) == ["necks", "necks-2", "work"]
    assert build_apa(works).splitlines()[0] == "y. (n.d.). Necks! [Computer software]."
