"""Every kind of change between two releases is counted, named, and asks for its version step."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from toy_source import ToySource

from cspine_bench.cli.release_diff import diff
from cspine_bench.dataset.manifest import load_manifest
from cspine_bench.dataset.source import Radiograph
from cspine_bench.dataset.write import write_dataset
from cspine_bench.errors import DataError, ReleaseError
from cspine_bench.release.diff import diff_releases
from cspine_bench.release.layout import RELEASE_NAME
from cspine_bench.results import Figure, Input, Interval, Result, render_result

COUNT = 30


def write(folder: Path, source: ToySource | None = None, **settings: Any) -> Path:
    write_dataset(source or ToySource(COUNT), folder, **settings)
    return folder


def state(folder: Path, version: str, **recipe: Any) -> None:
    """Make a release of a dataset folder, as far as a comparison reads it."""
    (folder / "provenance").mkdir(exist_ok=True)
    values = {"version": version, "recipe": {"version": version, "license": "CC-BY-4.0", **recipe}}
    (folder / RELEASE_NAME).write_text(json.dumps(values))


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write(tmp_path_factory.mktemp("old") / "rel")
    state(folder, "1.2.0")
    return folder


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, and four radiographs more."""
    return write(tmp_path_factory.mktemp("larger") / "rel", ToySource(COUNT + 4))


@pytest.fixture(scope="module")
def two_and_one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two datasets of one file: `one` lacks a radiograph of `two`."""
    folder = tmp_path_factory.mktemp("tiny")
    for name, count in (("two", 2), ("one", 1)):
        write(folder / name, ToySource(count), fractions=(1, 0, 0))
    return folder


def edit_rows(folder: Path, edit: Any) -> None:
    """Change the table of the first file: `edit` gets it and returns another."""
    path = folder / load_manifest(folder).shards[0].path
    pq.write_table(edit(pq.read_table(path)), path)


def replace_column(table: pa.Table, name: str, values: list[Any]) -> pa.Table:
    place = table.column_names.index(name)
    return table.set_column(place, table.schema.field(name), pa.array(values, table.schema.field(name).type))


def test_nothing_changed(old: Path) -> None:
    found = diff_releases(old, old)
    assert (found.bump, found.reasons, found.obeyed) == ("none", (), True)
    assert not any((found.added, found.removed, found.relabelled, found.described, found.files, found.landmarks))
    assert found.old == found.new and found.old.num_samples == {"train": 24, "validation": 4, "test": 2}


def test_rows_added_and_removed(old: Path, larger: Path) -> None:
    found = diff_releases(old, larger)
    assert found.added.count == 4 and found.removed.count == 0
    assert sorted(found.added.first_ids) == [f"toy{index:08d}" for index in range(30, 34)]
    assert found.obeyed is None
    back = diff_releases(larger, old)
    assert back.removed == replace(found.added, first_ids=back.removed.first_ids)
    assert set(back.removed.first_ids) == set(found.added.first_ids)
    assert back.bump == "major" and "rows were removed" in back.reasons


@pytest.mark.parametrize(
    ("change", "field", "reason", "bump"),
    [
        ({"image": np.full((24, 24), 7, np.uint8)}, "repixelled", "pixels changed", "major"),
        ({"mask": np.full((24, 24), 2, np.uint8)}, "remasked", "masks changed", "major"),
        ({"generator_version": "2"}, "reencoded", "files were written anew", "minor"),
    ],
)
def test_what_a_row_holds(
    old: Path, tmp_path: Path, change: dict[str, Any], field: str, reason: str, bump: str
) -> None:
    found = diff_releases(old, write(tmp_path / "rel", ToySource(COUNT, broken={3: change, 9: change})))
    assert getattr(found, field).count == 2
    assert set(getattr(found, field).first_ids) == {"toy00000003", "toy00000009"}
    assert found.bump == bump and reason in found.reasons
    others = {"repixelled", "remasked", "reencoded", "moved", "regrouped", "added", "removed"} - {field}
    assert not any(getattr(found, name) for name in others)
    assert set(found.described) == ({"generator_version"} if field == "reencoded" else set())


def test_labels_and_how_far_landmarks_moved(old: Path, tmp_path: Path) -> None:
    source = ToySource(COUNT)
    (before,) = (item for item in source.iter_radiographs([source.list_samples()[4]]) if isinstance(item, Radiograph))
    moved = before.landmarks_xy.copy()
    moved[0] += (3, 4)  # by 5 px
    moved[1] += (0, 1)
    moved[2] = np.nan
    moved[4] = 8, 8  # of sample 4, this one was not labelled
    found = diff_releases(
        old, write(tmp_path / "rel", ToySource(COUNT, broken={4: {"landmarks_xy": moved}, 7: {"age": None}}))
    )
    assert found.landmarks is not None
    assert (found.landmarks.num_moved, found.landmarks.num_gained, found.landmarks.num_lost) == (2, 1, 1)
    assert found.landmarks.median_px == pytest.approx(3, abs=1e-4)
    assert found.landmarks.max_px == pytest.approx(5, abs=1e-4)
    assert found.relabelled["landmarks_xy"].first_ids == ("toy00000004",)
    assert found.relabelled["age"].first_ids == ("toy00000007",)
    assert set(found.relabelled) <= {"landmarks_xy", "age", "cobb_c2_c7_deg", "sva_mm", "cci_percent"}
    assert (found.bump, found.reasons) == ("major", ("labels changed",))


def test_splits_and_groups(old: Path, tmp_path: Path) -> None:
    found = diff_releases(old, write(tmp_path / "rel", seed=5))
    assert found.moved.count == sum(found.moves.values()) > 0
    assert not found.added and not found.removed and not found.repixelled
    assert found.reasons == ("rows moved between splits",)
    other = shutil.copytree(old, tmp_path / "other")
    edit_rows(other, lambda table: replace_column(table, "group_id", ["one"] * len(table)))
    found = diff_releases(old, other)
    assert found.regrouped.count == load_manifest(other).shards[0].num_rows
    assert found.reasons == ("rows moved between groups",)


def test_the_order_of_rows_and_files_is_no_change(old: Path, tmp_path: Path) -> None:
    found = diff_releases(old, write(tmp_path / "rel", shard_rows=5))
    assert set(found.files) <= {"README.md"}
    assert found.bump in ("none", "patch") and not found.moved


def test_a_list_column_and_numbers(old: Path, tmp_path: Path) -> None:
    new = shutil.copytree(old, tmp_path / "rel")
    affine = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    edit_rows(new, lambda table: replace_column(table, "source_affine", [affine] + [None] * (len(table) - 1)))
    assert diff_releases(old, new).described["source_affine"].count == 1
    assert diff_releases(new, new).bump == "none"


def test_another_schema(old: Path, tmp_path: Path) -> None:
    new = shutil.copytree(old, tmp_path / "rel")
    values = json.loads((new / "dataset.json").read_bytes()) | {"schema_version": "9.0.0"}
    (new / "dataset.json").write_text(json.dumps(values))
    for shard in values["shards"]:
        table = (
            pq.read_table(new / shard["path"]).drop_columns(["eta"]).append_column("dose", pa.nulls(shard["num_rows"]))
        )
        pq.write_table(table, new / shard["path"])
    found = diff_releases(old, new)
    assert (found.columns_added, found.columns_removed) == (("dose",), ("eta",))
    assert (found.bump, found.reasons) == ("major", ("the schema changed",))
    values["shards"][0]["path"] = "../../etc/passwd"
    (new / "dataset.json").write_text(json.dumps(values))
    with pytest.raises(DataError, match="is no shard"):
        diff_releases(old, new)


def test_ids_that_stand_twice(old: Path, tmp_path: Path) -> None:
    new = shutil.copytree(old, tmp_path / "rel")
    edit_rows(new, lambda table: replace_column(table, "sample_id", ["toy00000001"] * len(table)))
    with pytest.raises(ReleaseError, match=r"of 30 ids stand twice"):
        diff_releases(old, new)


def make_result(value: float, interval: tuple[float, float] | None, *, train: str = "1") -> Result:
    counts = {"synthetic": 30}
    return Result(
        measure="memorization",
        measure_version="1.0",
        inputs=(Input(role="train", name="films", digest=train * 64, num_samples=9),),
        figures=(
            Figure(
                name="copy_rate", value=value, unit="share", direction="lower",
                interval=None if interval is None else Interval(low=interval[0], high=interval[1], method="exact"),
                n_used=counts, n_available=counts, subgroup={"sex": "female"},
            ),
        ),
        package_version="0.1.0",
    )  # fmt: skip


def test_papers_and_evidence(old: Path, tmp_path: Path) -> None:
    sides = []
    for name, version, license, result in (
        ("old", "1.2.0", "CC-BY-4.0", make_result(0.2, (0.1, 0.3))),
        ("near", "1.2.1", "CC0-1.0", make_result(0.25, (0.15, 0.35))),
        ("far", "1.2.1", "CC0-1.0", make_result(0.5, (0.4, 0.6), train="2")),
        ("bare", "1.2.1", "CC0-1.0", make_result(0.5, None)),
    ):
        folder = shutil.copytree(old, tmp_path / name)
        state(folder, version, license=license)
        (folder / "evaluation").mkdir()
        (folder / "evaluation" / "memorization.json").write_bytes(render_result(result))
        sides.append(folder)
    before, near, far, bare = sides
    found = diff_releases(before, near)
    assert [(field.name, field.old, field.new) for field in found.papers] == [
        ("version", "1.2.0", "1.2.1"), ("license", "CC-BY-4.0", "CC0-1.0"),
    ]  # fmt: skip
    (figure,) = found.figures
    assert figure.old is not None and figure.new is not None
    assert (figure.old.value, figure.old.interval, figure.new.value, figure.new.interval) == (
        0.2, (0.1, 0.3), 0.25, (0.15, 0.35),
    )  # fmt: skip
    assert figure.overlap is True and figure.unlike == "" and figure.subgroup == {"sex": "female"}
    assert (found.bump, found.obeyed) == ("patch", True)
    (figure,) = diff_releases(before, far).figures
    assert figure.overlap is False and figure.unlike == "other train data"
    (figure,) = diff_releases(before, bare).figures
    assert figure.overlap is None
    (figure,) = diff_releases(old, near).figures
    assert figure.old is None and figure.new is not None
    (near / "evaluation" / "memorization.json").write_text("{}")
    with pytest.raises(DataError, match="not a result file"):
        diff_releases(before, near)


@pytest.mark.parametrize(
    ("before", "after", "obeyed"),
    [
        ("1.2.0", "2.0.0", True),
        ("1.2.0", "1.3.0", False),
        ("1.2.0", "1.2.0", False),
        ("0.2.0", "0.3.0", True),
        ("0.2.0", "0.2.1", False),
        ("2.0.0", "1.9.0", False),
        ("1.9.0", "1.10.0", False),
        ("0.9.0", "0.10.0", True),
    ],
)
def test_a_removal_needs_a_step(two_and_one: Path, before: str, after: str, obeyed: bool) -> None:
    """Rows were removed: a major step, or a minor one below 1.0.0."""
    first, second = two_and_one / "two", two_and_one / "one"
    state(first, before)
    state(second, after)
    assert diff_releases(first, second).obeyed is obeyed


def test_the_command_prints_text_and_json(old: Path, tmp_path: Path) -> None:
    change = {"image": np.full((24, 24), 7, np.uint8)}
    new = write(tmp_path / "new", ToySource(COUNT, broken={3: change}))
    state(new, "1.2.1", license="CC0-1.0")
    text = CliRunner().invoke(diff, [str(old), str(new)])
    assert text.exit_code == 0
    assert "other pixels: 1 radiograph (toy00000003)" in text.stdout
    assert "recipe, license: 'CC-BY-4.0' -> 'CC0-1.0'" in text.stdout
    assert "Asks for a major version step (pixels changed); 1.2.0 -> 1.2.1 is not enough." in text.stdout
    document = json.loads(CliRunner().invoke(diff, [str(old), str(new), "--json"]).stdout)
    assert document["repixelled"] == {"count": 1, "first_ids": ["toy00000003"]}
    assert (document["bump"], document["obeyed"]) == ("major", False)
