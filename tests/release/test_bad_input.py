"""What a build is given and cannot use: refused in one message, before anything is written; other files stay."""

import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import cspine_bench
from cspine_bench.cli import cli
from cspine_bench.dataset.manifest import load_manifest
from cspine_bench.dataset.write import write_dataset
from cspine_bench.errors import DataError, RecipeError
from cspine_bench.recipe import build_recipe
from cspine_bench.release.recipe import ReleaseRecipe, order_version
from cspine_bench.release.validate import validate_release

from .conftest import RECIPE, Unlabelled, build_release


def refuse(*arguments: object, env: dict[str, str] | None = None) -> str:
    """The message of a command that must exit with 2."""
    ran = CliRunner().invoke(cli, ["release", *map(str, arguments)], env=env)
    assert ran.exit_code == 2, ran.output
    assert "fault of cspine-bench" not in ran.stderr
    assert len(ran.stderr) < 2000
    return ran.stderr


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"title": "red \x1b[31m"}, "control character '\\x1b'"),
        ({"license_text": "a\0"}, "control character"),
        ({"date": 0}, "YEAR-MONTH-DAY"),
        ({"version": "1.0.0-.."}, "version = '1.0.0-..'"),
        ({"version": "1.٣.0"}, "version = "),
        ({"version": "1.0.0", "supersedes": "1.0.1"}, "cannot supersede 1.0.1"),
        ({"version": "1.0.0-rc.9", "supersedes": "1.0.0-rc.10"}, "cannot supersede"),
        ({"hub_id": "lab/a--b"}, "owner/name"),
        ({"hub_id": "läb/spines"}, "owner/name"),
        ({"hub_id": "lab/spines.git"}, "owner/name"),
        ({"url": 'https://x"><script>'}, "url = "),
        ({"creators": [{"name": "Doe", "orcid": "0000-0002-1825-0098"}]}, "last digit"),
        ({"description": "x" * 50_000, "name": "y z" * 50_000}, "name = 'y zy"),
    ],
)
def test_settings_that_the_papers_or_the_hub_cannot_carry_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        build_recipe(values, ReleaseRecipe, where="release.yaml")
    assert said in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_versions_are_ordered_as_semantic_versioning_says() -> None:
    ordered = ["1.0.0-1", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-rc.9", "1.0.0-rc.10", "1.0.0", "1.2.0", "1.10.0"]
    shuffled = random.Random(0).sample(ordered, len(ordered))
    assert sorted(shuffled, key=order_version) == ordered


@pytest.mark.parametrize("text", ["date: 2026-02-30", "title: !!int x", "title: !!timestamp x", "[" * 600, "a: {{b}}"])
def test_yaml_that_its_parser_stumbles_over_is_refused(dataset: Path, tmp_path: Path, text: str) -> None:
    recipe = tmp_path / "release.yaml"
    recipe.write_text(text)
    assert str(recipe) in refuse("build", dataset, "--out", tmp_path / "rel", "--recipe", recipe, "--dry-run")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("title=TODO name it", "title: 'TODO' looks like text of a template"),
        ("creators=[{name: '<your name>'}]", "creators.0.name"),
        ("description='{{ x }}'", "description: '{{'"),
        ("license=cc-by-4.0", "did you mean CC-BY-4.0?"),
        ("license=CC-BY-4.0 OR MIT", "no text of it is known here"),
        ("license_text=Ask us.", "leave it out"),
        ("title=" + "[" * 600, "not YAML"),
    ],
)
def test_what_would_not_validate_is_refused_before_anything_is_copied(
    dataset: Path, tmp_path: Path, setting: str, said: str
) -> None:
    assert said in refuse("build", dataset, "--out", tmp_path / "rel", "--set", setting)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("epoch", ["yesterday", "1e9", "9" * 20, "253402300800"])
def test_a_broken_source_date_epoch_is_no_reason_to_take_today(dataset: Path, tmp_path: Path, epoch: str) -> None:
    env = {"SOURCE_DATE_EPOCH": epoch}
    assert "SOURCE_DATE_EPOCH" in refuse("build", dataset, "--out", tmp_path / "rel", "--dry-run", env=env)


def test_a_release_never_grows_inside_its_dataset_nor_in_a_place_that_is_taken(dataset: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(dataset)
    for out in (link / "rel", dataset / "new" / ".." / "rel", tmp_path / "no" / ".." / "link" / "rel"):
        assert "lies in the dataset folder" in refuse("build", dataset, "--out", out, "--set", "name=x")
    assert "inside another one" in refuse("build", dataset, "--out", "/", "--set", "name=x")
    taken = tmp_path / ".rel.unfinished"
    taken.mkdir()
    (taken / "thesis.txt").write_text("mine")
    assert "thesis.txt" in refuse("build", dataset, "--out", tmp_path / "rel")
    assert (taken / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["a\nb.json", ".hidden.json", "a\\b.json", "TODO.json", "{{x}}.json", "Balance.json"])
def test_evidence_whose_name_no_list_of_files_can_spell_is_refused(
    release: Path, dataset: Path, tmp_path: Path, name: str
) -> None:
    evidence = tmp_path / name
    shutil.copy(release / "evaluation" / "balance.json", evidence)
    asked = ("build", dataset, "--out", tmp_path / "rel", "--dry-run", "--evaluation")
    assert "name" in refuse(*asked, evidence)
    shutil.copy(evidence, tmp_path / "sound.json")
    assert CliRunner().invoke(cli, ["release", *map(str, asked), str(tmp_path / "sound.json")]).exit_code == 0


def test_a_release_is_not_replaced_by_the_one_that_supersedes_it(dataset: Path, release: Path) -> None:
    asked = ("--supersedes", release, "--set", "version=1.1.0", "--overwrite")
    assert "would be replaced" in refuse("build", dataset, "--out", release, *asked)


def test_an_export_never_lands_inside_its_release(release: Path, tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    link = tmp_path / "link"
    link.symlink_to(release)
    assert "lies in the release" in refuse("export", "dicom", release, link / "dicom")
    assert not (release / "dicom").exists()


@pytest.mark.parametrize("streaming", [False, True])
def test_a_release_that_was_fetched_in_part_is_not_loaded(release: Path, tmp_path: Path, streaming: bool) -> None:
    folder = tmp_path / "rel"
    shutil.copytree(release, folder)
    shard = next((folder / "data").glob("train-*"))
    whole = shard.read_bytes()
    for left, said in (
        (whole[:-9], "of its"),
        (b"", "has 0 of"),
        (None, "is not there"),
        (bytes(len(whole)), "cannot be"),
    ):
        shard.unlink() if left is None else shard.write_bytes(left)
        with pytest.raises(DataError, match=said):
            list(cspine_bench.load(folder, "train", streaming=streaming))
    with pytest.raises(ValueError, match="give a list"):
        cspine_bench.load(release, fields="image", streaming=streaming)


@pytest.mark.slow  # builds and validates a release
def test_a_split_whose_radiographs_were_all_rejected_makes_a_valid_release(tmp_path: Path) -> None:
    source = Unlabelled(20, rejected=frozenset(range(12)))
    write_dataset(source, tmp_path / "ds", shard_rows=6, skip_bad=True)
    assert any(shard.num_rows == 0 for shard in load_manifest(tmp_path / "ds").shards), "nothing is tested otherwise"
    build_release(tmp_path / "ds", tmp_path / "rel", RECIPE, mirror=True)
    assert validate_release(tmp_path / "rel", level="full").findings == ()
