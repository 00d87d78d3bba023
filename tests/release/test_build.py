"""Building a release: the same bytes each time, whatever happens on the way; and what is refused."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from folders import hash_tree
from toy_source import ToySource

from cspine_bench.dataset.lock import hold_folder
from cspine_bench.dataset.manifest import load_manifest
from cspine_bench.dataset.source import Radiograph
from cspine_bench.dataset.verify import verify_dataset
from cspine_bench.dataset.write import write_dataset
from cspine_bench.errors import CspineBenchError, DataError, RecipeError, ReleaseError
from cspine_bench.imaging.png import read_xmp
from cspine_bench.release.build import build_release, plan_release
from cspine_bench.release.layout import MIRROR_PAPERS, RELEASE_PAPERS, SEALS
from cspine_bench.release.recipe import ReleaseRecipe
from cspine_bench.release.seal import build_sums, parse_sums
from cspine_bench.results import parse_result

from .conftest import RECIPE

ROOT = str(Path(__file__).parents[2])


class RealFilms(ToySource):
    """Films of patients, by their source kind."""

    def _make(self, key: Any, index: int) -> Radiograph:
        made = super()._make(key, index)
        fields = {name: value for name, value in made.fields.items() if not name.startswith("generator")}
        return Radiograph(made.key, made.image, made.mask, made.landmarks_xy, fields | {"source_kind": "images"})


def test_built_twice_the_bytes_are_the_same(dataset: Path, release: Path, mirror: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(dataset, tmp_path / "elsewhere" / "another-name")
    built = build_release(moved, tmp_path / "rel", RECIPE, mirror=True)
    assert hash_tree(tmp_path / "rel") == hash_tree(release)
    assert hash_tree(tmp_path / "rel-wds") == hash_tree(mirror)
    assert built.num_samples == load_manifest(dataset).num_samples
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "rel", "rel-wds"]


@pytest.mark.slow
def test_killed_anywhere_a_build_ends_in_the_same_bytes(tmp_path: Path) -> None:
    script = [sys.executable, str(Path(__file__).with_name("kill_builds.py")), str(tmp_path), "6"]
    answer = subprocess.run(script, stdout=subprocess.PIPE, check=True, env={**os.environ, "PYTHONPATH": ROOT})
    seen = json.loads(answer.stdout)
    whole = seen["undisturbed"]
    mirror = {name: digest for name, digest in whole.items() if name.startswith("rel-wds/")}
    assert len(seen["left"]) >= 6
    for left in seen["left"]:
        assert left in ({}, mirror, whole), "a folder that bears the name is whole"
    assert len(set(seen["begun"])) > 2, "the kills must fall on different stages"
    assert all(finished == whole for finished in seen["finished"])


def test_every_paper_is_there_and_every_file_is_listed(release: Path, mirror: Path) -> None:
    for folder, papers in ((release, RELEASE_PAPERS), (mirror, MIRROR_PAPERS)):
        files = hash_tree(folder)
        assert set(papers) <= set(files)
        listed = parse_sums((folder / "SHA256SUMS").read_bytes())
        assert listed == {name: digest for name, digest in files.items() if name not in SEALS}
        done = subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=folder, check=False)
        assert done.returncode == 0


def test_a_release_is_a_sound_dataset_folder(dataset: Path, release: Path) -> None:
    assert verify_dataset(release) == []
    assert load_manifest(release).fingerprint == load_manifest(dataset).fingerprint
    for shard in load_manifest(release).shards:
        assert (release / shard.path).read_bytes() == (dataset / shard.path).read_bytes()


def test_a_finished_release_is_left_alone(release: Path, tmp_path: Path, dataset: Path) -> None:
    shutil.copytree(release, tmp_path / "rel")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "rel").rglob("*")}
    # The date is that of the release that is there: a day later nothing is built anew.
    undated = RECIPE.model_copy(update={"date": None})
    with pytest.raises(ReleaseError, match="another release"):
        build_release(dataset, tmp_path / "rel", undated)  # it was built with a mirror
    shutil.copytree(release.with_name("rel-wds"), tmp_path / "rel-wds")
    build_release(dataset, tmp_path / "rel", undated, mirror=True)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "rel").rglob("*")} == before


def test_another_release_is_replaced_only_on_request(release: Path, tmp_path: Path, plain: Path) -> None:
    for name in ("rel", "rel-wds"):
        shutil.copytree(release.with_name(name), tmp_path / name)
    newer = RECIPE.model_copy(update={"version": "1.1.0"})
    with pytest.raises(ReleaseError, match="holds another release"):
        build_release(plain, tmp_path / "rel", newer)
    built = build_release(plain, tmp_path / "rel", newer, overwrite=True, supersedes=release)
    assert json.loads((tmp_path / "rel/provenance/release.json").read_text())["supersedes"] == "1.0.0"
    assert "1.0.0" in (tmp_path / "rel/CHANGELOG.md").read_text()
    assert built.mirror is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rel"], "the old mirror is of another release"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "no spaces"}, "name = 'no spaces' is not possible"),
        ({"version": "1.0"}, "version = '1.0' is not possible"),
        ({"creators": [{"name": "Doe", "orcid": "12"}]}, "orcid = '12' is not possible"),
        ({"license": "GPL-9.9"}, "GPL-9.9"),
    ],
)
def test_an_impossible_recipe_is_refused(settings: dict[str, Any], message: str, dataset: Path, tmp_path: Path) -> None:
    from cspine_bench.recipe import build_recipe

    with pytest.raises(CspineBenchError, match=message):
        build_release(dataset, tmp_path / "rel", build_recipe(settings, ReleaseRecipe, where="recipe.yaml"))
    assert not (tmp_path / "rel").exists()


def test_a_folder_name_that_is_no_name_says_how_to_give_one(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"--set name="):
        build_release(dataset, tmp_path / "my release", RECIPE)


def test_real_films_are_refused(tmp_path: Path) -> None:
    write_dataset(RealFilms(6), tmp_path / "films")
    with pytest.raises(ReleaseError, match=r"6 of 6 radiographs are real films \(source: images\)"):
        build_release(tmp_path / "films", tmp_path / "rel", RECIPE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["films"]


def test_a_damaged_dataset_is_refused(plain: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(plain, tmp_path / "ds")
    [shard] = broken.glob("data/test-*.parquet")
    data = bytearray(shard.read_bytes())
    data[200] ^= 1
    shard.write_bytes(data)
    with pytest.raises(DataError, match=r"test-00000-of-00001\.parquet"):
        build_release(broken, tmp_path / "rel", RECIPE)
    assert not (tmp_path / "rel").exists()
    shutil.copy(plain / "data" / shard.name, shard)
    assert build_release(broken, tmp_path / "rel", RECIPE).path.is_dir()


def test_a_dataset_that_changes_while_a_build_is_stopped_changes_nothing(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(plain, tmp_path / "ds")

    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        # As if it were stopped when all shards are copied.
        patch.setattr("cspine_bench.release.assemble._write_tables", stop)
        build_release(copy, tmp_path / "rel", RECIPE)
    [shard] = copy.glob("data/test-*.parquet")
    table = pq.read_table(shard)
    ages = pa.array([99] * len(table), pa.int32())
    pq.write_table(table.set_column(table.column_names.index("age"), table.field("age"), ages), shard)
    build_release(copy, tmp_path / "rel", RECIPE)
    build_release(plain, tmp_path / "undisturbed" / "rel", RECIPE)
    assert hash_tree(tmp_path / "rel") == hash_tree(tmp_path / "undisturbed" / "rel")


@pytest.mark.parametrize("name", ["rel", "rel-wds"])
def test_files_of_others_are_never_touched(name: str, dataset: Path, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.docx").write_text("three years")
    with pytest.raises(ReleaseError, match=r"no release \(thesis.docx\)"):
        build_release(dataset, tmp_path / "rel", RECIPE, mirror=True, overwrite=True)
    assert (tmp_path / name / "thesis.docx").read_text() == "three years"


def test_a_release_inside_its_dataset_is_refused(dataset: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(dataset, tmp_path / "ds")
    with pytest.raises(ReleaseError, match="lies in the dataset folder"):
        build_release(copy, copy / "release", RECIPE)
    assert hash_tree(copy) == hash_tree(dataset)


def test_two_builders_do_not_meet(dataset: Path, tmp_path: Path) -> None:
    with hold_folder(tmp_path / ".rel.unfinished"), pytest.raises(DataError, match="another process is building"):
        build_release(dataset, tmp_path / "rel", RECIPE)


def test_a_disk_that_is_too_small_is_said_before_anything_is_copied(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(DataError, match="are free; free some space"):
        build_release(dataset, tmp_path / "rel", RECIPE)
    assert not (tmp_path / "rel").exists()


def test_evidence_about_other_data_is_refused(dataset: Path, plain: Path, release: Path, tmp_path: Path) -> None:
    balance = json.loads((release / "evaluation/balance.json").read_bytes())
    assert balance["inputs"][0]["digest"] == load_manifest(dataset).digest
    balance["inputs"][0]["digest"] = load_manifest(plain).digest
    (tmp_path / "good.json").write_text(json.dumps(balance | {"measure": "toy"}))
    balance["inputs"][0]["digest"] = "0" * 64
    (tmp_path / "other.json").write_text(json.dumps(balance))
    with pytest.raises(ReleaseError, match=r"other.json: was measured on synthetic rel \(000000000000\)"):
        build_release(plain, tmp_path / "rel", RECIPE, evaluations=[tmp_path / "other.json"])
    (tmp_path / "none.json").write_text("[1]")
    with pytest.raises(DataError, match="not a result file"):
        build_release(plain, tmp_path / "rel", RECIPE, evaluations=[tmp_path / "none.json"])
    build_release(plain, tmp_path / "rel", RECIPE, evaluations=[tmp_path / "good.json"])
    assert parse_result((tmp_path / "rel/evaluation/good.json").read_bytes(), where="good").measure == "toy"
    assert "toy" in (tmp_path / "rel/README.md").read_text()


@pytest.mark.parametrize("source", [ToySource(1), ToySource(5, bits=16, size=33)], ids=["one image", "16 bits"])
def test_small_and_deep_datasets(source: ToySource, tmp_path: Path) -> None:
    write_dataset(source, tmp_path / "ds", fractions=(1, 0, 0))
    built = build_release(tmp_path / "ds", tmp_path / "rel", RECIPE, mirror=True)
    assert built.num_samples == {"train": source.count}
    assert verify_dataset(tmp_path / "rel") == []


def test_a_date_comes_from_the_environment_where_none_is_given(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    undated = RECIPE.model_copy(update={"date": None})
    assert plan_release(dataset, tmp_path / "rel", undated)["date"] == "2001-09-09"


def test_a_dry_run_writes_nothing(dataset: Path, tmp_path: Path) -> None:
    plan = plan_release(dataset, tmp_path / "rel", RECIPE, mirror=True)
    assert plan["num_samples"] == load_manifest(dataset).num_samples
    assert plan["license"] == "CC-BY-4.0"
    assert list(tmp_path.iterdir()) == []


def test_pictures_say_what_they_are(release: Path) -> None:
    for path in [*release.glob("samples/*.png"), release / "figures/samples.png"]:
        assert "algorithmicMedia" in (read_xmp(path.read_bytes()) or ""), path.name


def test_sums_have_one_spelling() -> None:
    sums = build_sums({"b": "1" * 64, "a/ü": "0" * 64})
    assert parse_sums(sums) == {"a/ü": "0" * 64, "b": "1" * 64}
    for damaged in (sums[:-1], sums + b"\n", sums.replace(b"  ", b" "), sums + sums, sums[::-1], b"\xff" + sums):
        with pytest.raises(ReleaseError, match="SHA256SUMS"):
            parse_sums(damaged)
