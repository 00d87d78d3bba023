"""Licences: one text for all files, as `reuse lint` reads it; names of it in each vocabulary; what is refused."""

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import cffconvert
import pytest
from awkward import AWKWARD, TERMS
from editions import make_edition

from cspine_bench.errors import ReleaseError
from cspine_bench.release.layout import LICENCE_NAME, REUSE_NAME
from cspine_bench.release.licence_ids import HUB_LICENCES, hub_licence_fields, licence_url, zenodo_licence_id
from cspine_bench.release.papers.licences import build_licence_files, list_licences, read_licence_text
from cspine_bench.release.recipe import ReleaseRecipe


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, "-m", "reuse", "--root", str(folder), "lint"]
    return subprocess.run(script, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("which", ["release", "mirror"])
def test_every_file_of_a_release_has_licence_and_copyright(which: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(which)
    answer = lint(folder)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    num_files = sum(path.is_file() for path in folder.rglob("*"))
    # LICENSE, the one text in LICENSES/ and REUSE.toml itself need none.
    assert f"Files with license information: {num_files - 3} / {num_files - 3}" in answer.stdout


def test_terms_of_the_publishers_own_and_odd_names_pass_too(dataset: Path, tmp_path: Path) -> None:
    edition = make_edition(dataset, tmp_path / "scratch", **AWKWARD)
    shutil.copytree(dataset, tmp_path / "rel")
    files = build_licence_files(edition)
    for name, data in files.items():
        (tmp_path / "rel" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "rel" / name).write_bytes(data)
    answer = lint(tmp_path / "rel")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert sorted(files) == [LICENCE_NAME, f"LICENSES/{TERMS}.txt", REUSE_NAME]
    assert files[LICENCE_NAME] == files[f"LICENSES/{TERMS}.txt"] == 'Ask us first: "please".\n\n© someone\n'.encode()
    values = tomllib.loads(files[REUSE_NAME].decode())
    assert values["SPDX-PackageName"] == "cspine.synth_2"
    assert values["SPDX-PackageDownloadLocation"] == "https://doi.org/10.5281/zenodo.1234567"
    assert values["annotations"] == [
        {
            "path": "**",
            "precedence": "override",
            "SPDX-FileCopyrightText": [
                '2026 Anna "Ann" O\'Brien-Núñez, Jr.',
                "2026 Salt and Pepper {X} & Y_Z",
                "2026 null yes",
            ],
            "SPDX-License-Identifier": TERMS,
        }
    ]


def test_a_lint_without_our_annotations_fails(release: Path, tmp_path: Path) -> None:
    shutil.copytree(release, tmp_path / "rel")
    reuse = tmp_path / "rel" / REUSE_NAME
    reuse.write_text(reuse.read_text().replace('path = "**"', 'path = "data/**"'))
    assert lint(tmp_path / "rel").returncode == 1


@pytest.mark.parametrize("spdx", sorted(list_licences()))
def test_a_shipped_licence_has_its_text_and_a_name_on_the_hub(spdx: str) -> None:
    text = read_licence_text(ReleaseRecipe(license=spdx))
    assert len(text) > 4000 and text.decode()
    assert hub_licence_fields(spdx) == {"license": HUB_LICENCES[spdx]}
    assert licence_url(spdx) == f"https://spdx.org/licenses/{spdx}"
    assert zenodo_licence_id(spdx) == spdx.lower()


def test_every_paper_can_name_each_licence() -> None:
    [schema] = Path(cffconvert.__file__).parent.glob("**/1.2.0/schema.json")
    known = json.loads(schema.read_text())["definitions"]["license-enum"]["enum"]
    assert set(HUB_LICENCES) <= set(known)
    assert set(list_licences()) <= set(HUB_LICENCES)


def test_a_licence_that_the_hub_does_not_know_is_named_and_linked() -> None:
    fields = {"license": "other", "license_name": "our-terms", "license_link": "LICENSE"}
    assert hub_licence_fields(TERMS) == fields
    assert licence_url(TERMS) == "LICENSE"
    assert zenodo_licence_id(TERMS) == "other-closed"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"license": "MIT"}, r"'MIT': no text .* CC-BY-4.0, .* `license: LicenseRef-NAME`"),
        ({"license": "cc-by-4.0"}, r"no text of it .* did you mean CC-BY-4\.0\?"),
        ({"license": "CC-BY-9.9", "license_text": "x"}, "no text of it"),
        ({"license": "LicenseRef-../up", "license_text": "x"}, "no text of it"),
        ({"license": "LicenseRef-Ours"}, "no text of it .* `license_text`"),
        ({"license": "CC-BY-4.0", "license_text": "x"}, "the text of CC-BY-4.0 is known; leave it out"),
    ],
)
def test_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ReleaseError, match=message):
        read_licence_text(ReleaseRecipe(**settings))


def test_a_known_licence_whose_text_is_brought() -> None:
    assert read_licence_text(ReleaseRecipe(license="MIT", license_text="Permission is hereby granted")).endswith(b"d\n")
