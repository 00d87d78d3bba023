"""`baseline annotate`: the same images with measured labels, what is flagged, and labels held against measured ones."""

import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from cspine_bench.anatomy.classes import CURVATURE_CLASSES
from cspine_bench.anatomy.landmarks import LANDMARK_INDEX, LEVELS
from cspine_bench.baselines.annotate.flags import RULES, find_flags
from cspine_bench.baselines.annotate.measure import Measured, Said
from cspine_bench.baselines.annotate.run import annotate, annotate_part
from cspine_bench.baselines.annotate.teachers import Teachers, open_teachers
from cspine_bench.baselines.cases import load_cases
from cspine_bench.baselines.curvature_agreement import classify_landmarks
from cspine_bench.baselines.model import load_model
from cspine_bench.baselines.train_model import train_model
from cspine_bench.cli import cli
from cspine_bench.dataset.parts import parse_part
from cspine_bench.dataset.read import open_dataset
from cspine_bench.dataset.verify import verify_dataset
from cspine_bench.dataset.write import write_dataset
from cspine_bench.errors import CheckpointError, CspineBenchError, DataError
from cspine_bench.imaging.body_masks import draw_whole_bodies
from cspine_bench.imaging.png import decode_png
from cspine_bench.measurement.inputs import open_images
from cspine_bench.results import load_result

sys.path.insert(0, str(Path(__file__).parent))

from folders import hash_tree
from phantom_folders import WORKED_AT_PX, Stripped, build_recipe, write_phantoms

MakeOnce = Callable[[str, Callable[[Path], object]], Path]
COUNT = 12


@pytest.fixture(scope="module")
def phantoms(make_once: MakeOnce) -> Path:
    return make_once("baseline-phantoms", write_phantoms)


@pytest.fixture(scope="module")
def teacher(make_once: MakeOnce, phantoms: Path) -> Path:
    return make_once("baseline-teacher", lambda folder: train_model(build_recipe(updates=10), phantoms, folder))


@pytest.fixture(scope="module")
def drawer(make_once: MakeOnce, phantoms: Path) -> Path:
    recipe = build_recipe("segmentation", updates=10)
    return make_once("baseline-drawer", lambda folder: train_model(recipe, phantoms, folder))


@pytest.fixture(scope="module")
def some(make_once: MakeOnce) -> Path:
    """Phantoms of which every third has its labels."""
    source = Stripped(COUNT, 11, every=3)
    return make_once("baseline-some-labels", lambda folder: write_dataset(source, folder, fractions=(0.5, 0.0, 0.5)))


def read_all(folder: Path) -> dict[str, dict[str, Any]]:
    return {record.sample_id: record.model_dump() for record in open_dataset(folder).iter_records()}


def test_every_radiograph_gets_labels_at_its_own_size(some: Path, teacher: Path, drawer: Path, tmp_path: Path) -> None:
    teachers = open_teachers(landmarks=teacher, masks=drawer)
    done = annotate(some, teachers, out=tmp_path / "new", labelled="replace")
    assert (done.num_annotated, done.num_kept) == (COUNT, 0)
    assert verify_dataset(tmp_path / "new") == []
    before, after = read_all(some), read_all(tmp_path / "new")
    assert list(before) == list(after)
    untouched = ("image", "image_sha256", "split", "group_id", "generator_parameters", "sex", "synthetic", "seed")
    assert all(before[name][field] == after[name][field] for name in before for field in untouched)
    images = open_images("dataset", some)
    cases = load_cases(images, WORKED_AT_PX)
    said = teachers.landmarks.task.predict(teachers.landmarks.network, cases, device="cpu", seed=0)  # type: ignore[union-attr]
    drawn = teachers.masks.task.predict(teachers.masks.network, cases, device="cpu", seed=0)  # type: ignore[union-attr]
    for row, name in enumerate(images.sample_ids):
        found = np.array(after[name]["landmarks_xy"])
        expected = 2 * said["landmarks_xy"][row] + 0.5  # the middle of four pixels
        there = np.isfinite(found).all(axis=1)
        assert np.allclose(found[there], expected[there], atol=1e-4)
        assert np.all(np.any((expected[~there] < -0.5) | (expected[~there] > 63.5), axis=1))
        assert after[name]["label_source"] == "measured" and after[name]["facing"] in ("left", "right")
        mask = decode_png(after[name]["mask"], where="mask")
        assert mask.shape == (64, 64) and np.array_equal(mask[::2, ::2], drawn["masks"][row])
        assert np.array_equal(mask[::2, ::2], mask[1::2, 1::2])
        assert after[name]["mask_levels"] == ",".join(LEVELS)
    table = pq.read_table(tmp_path / "new" / "annotation" / "labels.parquet")
    assert table.column("sample_id").to_pylist() == list(images.sample_ids)
    assert np.allclose(table.column("least_landmark_confidence").to_numpy(), said["confidence"].min(axis=1))
    assert sum(table.column("flagged").to_pylist()) == done.num_flagged
    [told] = open_dataset(tmp_path / "new").manifest.source["annotations"]
    assert told["teachers"]["landmarks"]["weights_sha256"] == load_model(teacher).weights_sha256
    assert told["of"] == open_dataset(some).manifest.digest and told["flags"] == dict(done.flags)
    assert json.loads(table.schema.metadata[b"cspine_bench.teachers"]) == told["teachers"]
    # Whoever loads the dataset by its README finds the table there too.
    loaded = datasets.load_dataset(str(tmp_path / "new"), "labels")["train"]
    assert loaded["sample_id"][:] == table.column("sample_id").to_pylist()
    assert len(datasets.load_dataset(str(tmp_path / "new"))["test"]) == 6
    # Groups of it are still those of the source that numbered them.
    assert set(open_images("new", tmp_path / "new").group_ids) == set(images.group_ids)


def test_labels_that_are_there_are_kept_only_on_request(some: Path, teacher: Path, tmp_path: Path) -> None:
    teachers = open_teachers(landmarks=teacher)
    with pytest.raises(DataError, match=r"4 of 12 radiographs have labels already.*--labelled keep"):
        annotate(some, teachers, out=tmp_path / "new")
    assert not (tmp_path / "new").exists()
    done = annotate(some, teachers, out=tmp_path / "new", labelled="keep")
    assert (done.num_annotated, done.num_kept) == (8, 4)
    before, after = read_all(some), read_all(tmp_path / "new")
    kept = [name for name in before if before[name]["label_source"] == "exact"]
    assert len(kept) == 4 and all(repr(before[name]) == repr(after[name]) for name in kept)
    assert {after[name]["label_source"] for name in before if name not in kept} == {"measured"}
    table = pq.read_table(tmp_path / "new" / "annotation" / "labels.parquet").to_pydict()
    assert [flagged is None for flagged in table["flagged"]] == [name in kept for name in table["sample_id"]]
    # Again the same bytes, and not in the place of another one.
    manifest = (tmp_path / "new" / "dataset.json").read_bytes()
    assert annotate(some, teachers, out=tmp_path / "new", labelled="keep") == done
    assert (tmp_path / "new" / "dataset.json").read_bytes() == manifest
    with pytest.raises(DataError, match="holds another dataset"):
        annotate(some, teachers, out=tmp_path / "new", labelled="replace")
    with pytest.raises(DataError, match="every radiograph has labels"):
        annotate(tmp_path / "new", teachers, out=tmp_path / "twice", labelled="keep")
    with pytest.raises(DataError, match="is the dataset that is read"):
        annotate(some, teachers, out=some, labelled="keep")
    # A plain dataset in its place leaves nothing of the annotation behind.
    write_dataset(Stripped(4, 12), tmp_path / "new", overwrite=True)
    assert verify_dataset(tmp_path / "new") == []


def test_fidelity_is_the_tasks_score_beside_the_teachers_own(some: Path, teacher: Path, tmp_path: Path) -> None:
    words = [
        "baseline",
        "annotate",
        str(some),
        "--landmarks",
        str(teacher),
        "--report",
        str(tmp_path / "fidelity.json"),
    ]
    run = CliRunner().invoke(cli, [*words, "--json"])
    assert run.exit_code == 0, run.output
    result = load_result(tmp_path / "fidelity.json")
    assert json.loads(run.stdout)["fidelity"]["figures"][0]["value"] == result.figures[0].value
    model = load_model(teacher)
    cases = load_cases(open_images("dataset", some), WORKED_AT_PX)
    labelled = cases.take(np.isfinite(cases.landmarks_xy).all(axis=(1, 2)))
    said = model.task.predict(model.network, labelled, device="cpu", seed=0)
    first = result.figures[0]
    expected = np.linalg.norm(said["landmarks_xy"] - labelled.landmarks_xy, axis=2).mean(axis=1)
    assert first.name == "mean_radial_error" and first.n_used == {"labelled": 4}
    assert first.value == pytest.approx(np.mean(expected * labelled.pixel_spacing_mm), rel=1e-5)
    own = model.facts.figures[0]
    assert first.floor is not None and own.interval is not None
    assert (first.floor.value, first.floor.low, first.floor.high) == (own.value, own.interval.low, own.interval.high)
    [same] = [figure for figure in result.figures if figure.name == "curvature_agreement"]
    classes = classify_landmarks(said["landmarks_xy"], labelled.facing, labelled.pixel_spacing_mm)
    given = [CURVATURE_CLASSES.index(name) for name in labelled.labels("curvature")]  # type: ignore[arg-type]
    assert same.value == pytest.approx(np.mean(classes == given))
    assert same.floor is not None and result.verdict.startswith("Landmarks: mean_radial_error ")
    again = CliRunner().invoke(cli, words)
    assert again.exit_code == 0 and load_result(tmp_path / "fidelity.json") == result


def test_a_teacher_is_not_asked_about_what_it_learnt_from(phantoms: Path, teacher: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the teacher of landmarks learnt from this very dataset"):
        annotate(phantoms, open_teachers(landmarks=teacher), out=None, report=tmp_path / "fidelity.json")
    write_dataset(Stripped(4, 13), tmp_path / "plain")
    annotate(tmp_path / "plain", open_teachers(landmarks=teacher), out=tmp_path / "measured")
    with pytest.raises(DataError, match="the teacher of landmarks measured these very labels"):
        annotate(tmp_path / "measured", open_teachers(landmarks=teacher), out=None, report=tmp_path / "fidelity.json")


def test_teachers_that_cannot_be_used_are_refused(teacher: Path, some: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is a model of landmarking; --masks needs one of segmentation"):
        open_teachers(masks=teacher)
    with pytest.raises(CspineBenchError, match="no model is named"):
        open_teachers()
    with pytest.raises(CspineBenchError, match="curvature follows from landmarks that no model measures"):
        open_teachers(curvature="from-landmarks")
    with pytest.raises(CspineBenchError, match="name --out, --report, or both"):
        annotate(some, open_teachers(landmarks=teacher), out=None)
    write_dataset(Stripped(4, 13), tmp_path / "plain")
    with pytest.raises(DataError, match="has none of the labels that are measured"):
        annotate(tmp_path / "plain", open_teachers(landmarks=teacher), out=None, report=tmp_path / "fidelity.json")


def build_measured(phantoms: Path, change: Callable[[dict[str, Any]], None]) -> Measured:
    """True labels of two phantoms as if teachers had measured them, the second one changed."""
    images = open_images("dataset", phantoms, splits=("train",))
    cases = load_cases(images, 64).take(np.arange(2))
    values: dict[str, Any] = {
        "landmarks_xy": cases.landmarks_xy.copy(),
        "landmark_confidence": np.full((2, 23), 0.9, np.float32),
        "masks": draw_whole_bodies(cases.landmarks_xy, 64),
        "mask_confidence": np.full(2, 0.9),
    }
    change(values)
    said = {name: Said({}, np.ones(2)) for name in ("landmarks", "masks")}
    return Measured(
        rows=np.arange(2),
        sample_ids=cases.sample_ids,
        facing=cases.facing,
        pixel_spacing_mm=cases.pixel_spacing_mm,
        side_px=np.full(2, 64.0),
        said=said,
        mask_levels=("C3", "C4", "C5", "C6", "C7"),
        level_confidence=np.full((2, 8), np.nan, np.float32),
        curvature=np.zeros(2, np.int64),
        curvature_confidence=np.full(2, 0.9),
        **values,
    )


def swap(values: dict[str, Any], first: str, second: str) -> None:
    """Exchange two vertebrae of the second radiograph."""
    points = values["landmarks_xy"][1]
    one, two = (
        [LANDMARK_INDEX[name] for name in LANDMARK_INDEX if name.startswith(level)] for level in (first, second)
    )
    points[[*one, *two]] = points[[*two, *one]]


def erase(values: dict[str, Any], label: int) -> None:
    values["masks"][1][values["masks"][1] == label] = 0


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        (lambda values: None, set()),
        (lambda values: swap(values, "C4", "C5"), {"order", "discs", "mask-against-landmarks", "shape"}),
        (lambda values: values["landmark_confidence"].__setitem__((1, 4), 0.1), {"unsure-landmarks"}),
        (lambda values: values["mask_confidence"].__setitem__(1, 0.1), {"unsure-masks"}),
        (lambda values: erase(values, 5), {"mask-levels", "mask-against-landmarks"}),
        (lambda values: values["masks"].__setitem__(1, values["masks"][1][::-1]), {"mask-order"}),
        (lambda values: values["landmarks_xy"].__setitem__(1, values["landmarks_xy"][1] + (40, 0)), {"inside"}),
        (lambda values: values["landmarks_xy"].__setitem__(1, 0), {"corners", "order", "shape"}),
    ],
)
def test_what_speaks_against_a_label_is_said(
    phantoms: Path, teacher: Path, drawer: Path, change: Callable[[dict[str, Any]], None], broken: set[str]
) -> None:
    models = [load_model(folder) for folder in (teacher, drawer)]
    # The limits of a model of ten updates would let everything pass: those of a good one are put in their place.
    sure = [replace(model, facts=model.facts.model_copy(update={"least_confidence": 0.5})) for model in models]
    assert sure[0].shapes is not None and sure[0].shapes["limit"] >= sure[0].shapes["true_limit"]
    sure[0] = replace(sure[0], shapes={**sure[0].shapes, "limit": sure[0].shapes["true_limit"]})
    flags = find_flags(build_measured(phantoms, change), Teachers(landmarks=sure[0], masks=sure[1]))
    assert flags.rules[0] == () and flags.reasons[0] == ""
    assert broken <= set(flags.rules[1]) <= set(RULES)
    assert bool(flags.rules[1]) == bool(broken) == bool(flags.reasons[1])
    assert flags.count() == dict.fromkeys(flags.rules[1], 1)


def test_a_run_that_was_stopped_goes_on_from_what_teachers_said(
    some: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Stopped while it writes: a file stands where the dataset shall be made.
    teachers = open_teachers(landmarks=teacher)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "notes.txt").touch()
    with pytest.raises(DataError, match="holds files that are not of a dataset"):
        annotate(some, teachers, out=tmp_path / "new", labelled="keep")
    kept = [np.load(io.BytesIO(path.read_bytes())) for path in (tmp_path / ".new.annotation").glob("*.npz")]
    assert len(kept) == 2 and sum(len(part["landmarks_xy"]) for part in kept) == 8  # one for each file
    (tmp_path / "new" / "notes.txt").unlink()
    annotate(some, teachers, out=tmp_path / "new", labelled="keep")
    assert not (tmp_path / ".new.annotation").exists() and verify_dataset(tmp_path / "new") == []


def test_parts_give_what_one_run_gives(some: Path, teacher: Path, tmp_path: Path) -> None:
    teachers = open_teachers(landmarks=teacher)
    alone = annotate(some, teachers, out=tmp_path / "alone", labelled="keep")
    words = ["baseline", "annotate", str(some), "--landmarks", str(teacher), "--labelled", "keep", "--json"]
    plan = json.loads(CliRunner().invoke(cli, [*words, "--dry-run"]).stdout)
    assert plan == {"num_radiographs": 12, "num_files": 2}  # nothing is kept without --out
    words += ["--out", str(tmp_path / "new")]
    assert json.loads(CliRunner().invoke(cli, [*words, "--dry-run"]).stdout)["num_radiographs"] == 8
    first = json.loads(CliRunner().invoke(cli, [*words, "--shard", "2/3"]).stdout)
    assert (first["part_files"], first["missing_files"], first["complete"]) == (0, 2, False)
    second = json.loads(CliRunner().invoke(cli, [*words, "--shard", "1/3"]).stdout)
    assert (second["part_files"], second["missing_files"], second["complete"]) == (1, 1, False)
    assert len(list((tmp_path / ".new.annotation").glob("*.npz"))) == 1
    # Another number of parts takes up what there is.
    third = annotate_part(some, teachers, parse_part("0/1"), out=tmp_path / "new", labelled="keep")
    assert third.annotation is not None and third.missing_files == 0
    assert hash_tree(tmp_path / "new") == hash_tree(tmp_path / "alone")
    # One that comes late finds the dataset finished, and begins nothing.
    late = annotate_part(some, teachers, parse_part("1/3"), out=tmp_path / "new", labelled="keep")
    assert late.annotation == replace(alone, dataset=third.annotation.dataset)
    assert not (tmp_path / ".new.annotation").exists()
    with pytest.raises(DataError, match="holds another dataset"):
        annotate_part(some, teachers, parse_part("1/3"), out=tmp_path / "new", labelled="replace")
    refused = CliRunner().invoke(cli, [*words, "--shard", "0/2", "--report", str(tmp_path / "fidelity.json")])
    assert refused.exit_code == 2 and "--shard needs --out, and no --report" in refused.stderr
