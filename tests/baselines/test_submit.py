"""Predictions that were handed in: read strictly, each fault named with its row, scored as our own are."""

import csv
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))

from baseline_example import draw_spines

from cspine_bench.anatomy.landmarks import LANDMARK_NAMES
from cspine_bench.baselines.leaderboard import build_boards
from cspine_bench.baselines.prediction_files import read_landmark_file, read_mask_files, read_probability_file
from cspine_bench.baselines.submit import Submission, build_submission_recipe, read_predictions
from cspine_bench.cli import cli
from cspine_bench.dataset.write import write_dataset
from cspine_bench.errors import DataError, RecipeError
from cspine_bench.imaging.png import decode_png, encode_mask_png, encode_png
from cspine_bench.measurement.inputs import Images, open_images
from cspine_bench.results import load_result
from cspine_bench.sources.phantom.recipe import PhantomRecipe
from cspine_bench.sources.phantom.source import PhantomSource

IDS = ("ex0000001", "ex0000002")
CLASSES = ("lordotic", "straight-sigmoid", "kyphotic")
Rows = list[list[Any]]


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[Any]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([list(header), *rows])
    return path


def list_points(ids: Iterable[str], points: NDArray[np.floating]) -> Rows:
    return [
        [sample_id, name, float(x), float(y)]
        for sample_id, places in zip(ids, points, strict=True)
        for name, (x, y) in zip(LANDMARK_NAMES, places, strict=True)
    ]


def write_points(path: Path, rows: Rows) -> Path:
    return write_csv(path, ("sample_id", "landmark", "x", "y"), rows)


@pytest.fixture
def rows() -> Rows:
    return list_points(IDS, draw_spines(2, 0))


@pytest.fixture(scope="module")
def images(make_once: Callable[[str, Callable[[Path], object]], Path]) -> Images:
    """12 phantoms of 64 px, all in the test split."""
    source = PhantomSource(PhantomRecipe(size=64), 12, 3)
    folder = make_once("phantoms-to-submit", lambda path: write_dataset(source, path, fractions=(0, 0, 1)))
    return open_images("real", folder, splits=("test",))


def test_landmarks_are_read_from_both_formats(tmp_path: Path, rows: Rows) -> None:
    points = draw_spines(2, 0)
    read = read_landmark_file(write_points(tmp_path / "p.csv", rows[::-1]), IDS)
    np.testing.assert_allclose(read, points, rtol=1e-6)
    columns = dict(zip(("y", "x", "landmark", "sample_id"), list(zip(*rows, strict=True))[::-1], strict=True))
    pq.write_table(pa.table({name: list(values) for name, values in columns.items()}), tmp_path / "p.parquet")
    np.testing.assert_allclose(read_landmark_file(tmp_path / "p.parquet", IDS), points, rtol=1e-6)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda rows: rows[:23], r"sample ids of the split are missing \(1\): ex0000002"),
        (lambda rows: [*rows, ["zz0000001", *rows[0][1:]]], r"sample ids are not in the split \(1\): zz0000001"),
        (lambda rows: [*rows, rows[0]], r"stand there twice \(1\): line 48: C2_centroid of ex0000001, as in line 2"),
        (lambda rows: rows[1:], r"radiographs lack landmarks \(1\): ex0000001 lacks C2_centroid"),
        (
            lambda rows: [[*rows[0][:2], "nan", "1e999"], *rows[1:]],
            r"no finite numbers \(2\): line 2: x = 'nan', line 2: y = '1e999'",
        ),
        (lambda rows: [[*rows[0][:2], "", "1_0"], *rows[1:]], r"line 2: x = '', line 2: y = '1_0'"),
        (
            lambda rows: [[rows[0][0], "C2 centroid", 1, 2], *rows[1:]],
            r"unknown \(1\): line 2: 'C2 centroid' \(here it is C2_centroid\)",
        ),
        (
            lambda rows: [[rows[0][0], "C2_centriod", 1, 2], *rows[1:]],
            r"'C2_centriod' \(did you mean C2_centroid\?\)",
        ),
        (lambda rows: [[*rows[0][:2], 3, "-1e300"], *rows[1:]], r"beyond 1,000,000 px \(1\): line 2: y = '-1e300'"),
        (lambda rows: [[rows[0][0], "z" * 9999, 1, 2], *rows[1:]], r"line 2: 'z{110,120} \.\.\.; radiographs lack"),
        (lambda rows: [rows[0][:3], *rows[1:]], r"do not have the header's 4 values \(1\): line 2"),
        (
            lambda rows: [[f"zz000000{number}", *row[1:]] for number, row in enumerate(rows[:5])],
            r"not in the split \(5\): zz0000000, zz0000001, zz0000002 and 2 more",
        ),
    ],
)
def test_each_fault_of_landmarks_is_named(tmp_path: Path, rows: Rows, spoil: Callable[[Rows], Rows], said: str) -> None:
    path = write_points(tmp_path / "p.csv", spoil(rows))
    with pytest.raises(DataError, match=said) as found:
        read_landmark_file(path, IDS)
    assert str(found.value).startswith(str(path)) and "submit-predictions.md" in str(found.value)


def test_faults_of_the_file_itself_are_named(tmp_path: Path, rows: Rows) -> None:
    path = write_csv(tmp_path / "p.csv", ("sample_id", "point", "x", "y"), rows)
    with pytest.raises(DataError, match="it lacks landmark and has 'point', which nobody asked for"):
        read_landmark_file(path, IDS)
    with pytest.raises(DataError, match="names a column twice"):
        read_landmark_file(write_csv(tmp_path / "p.csv", ("x", "x", "y", "sample_id"), rows), IDS)
    (tmp_path / "p.csv").write_text("sample_id;landmark;x;y\na;b;1;2\n")
    with pytest.raises(DataError, match="separate them by commas"):
        read_landmark_file(tmp_path / "p.csv", IDS)
    columns = {"sample_id": ["ex0000001"], "landmark": [["C2_centroid"]], "x": [1.0], "y": [2.0]}
    pq.write_table(pa.table(columns), tmp_path / "p.parquet")
    with pytest.raises(DataError, match=r"names are unknown \(1\): row 1: \['C2_centroid'\]"):
        read_landmark_file(tmp_path / "p.parquet", IDS)
    pq.write_table(pa.Table.from_arrays([pa.array([1.0])] * 2, names=["x", "x"]), tmp_path / "p.parquet")
    with pytest.raises(DataError, match=r"names a column twice \(x\)"):
        read_landmark_file(tmp_path / "p.parquet", IDS)
    (tmp_path / "p.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read_landmark_file(tmp_path / "p.parquet", IDS)
    (tmp_path / "p.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read as CSV in UTF-8"):
        read_landmark_file(tmp_path / "p.csv", IDS)
    with pytest.raises(DataError, match="there is no such file"):
        read_landmark_file(tmp_path / "none.csv", IDS)
    (tmp_path / "p.json").write_text("{}")
    with pytest.raises(DataError, match=r"neither in \.csv nor in \.parquet"):
        read_landmark_file(tmp_path / "p.json", IDS)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ((0.5, 0.4, 0.2), r"do not add up to 1 \(1\): line 3: ex0000002 has 1\.1"),
        ((0.5, 0.5, "nan"), r"no numbers from 0 to 1 \(1\): line 3: kyphotic = 'nan'"),
        ((-0.5, 1.5, 0), r"\(2\): line 3: lordotic = '-0.5', line 3: straight-sigmoid = '1.5'"),
    ],
)
def test_each_fault_of_probabilities_is_named(tmp_path: Path, row: tuple[Any, ...], said: str) -> None:
    good = ["ex0000001", 0.2, 0.3, 0.5]
    path = write_csv(tmp_path / "p.csv", ("sample_id", *CLASSES), [good, ["ex0000002", *row]])
    with pytest.raises(DataError, match=said):
        read_probability_file(path, IDS, CLASSES)


def test_probabilities_follow_the_names_of_their_columns(tmp_path: Path) -> None:
    table = [["ex0000002", 0.7, 0.1, 0.2], ["ex0000001", 0.1001, 0.3, 0.6]]
    path = write_csv(tmp_path / "p.csv", ("sample_id", *CLASSES[::-1]), table)
    found = read_probability_file(path, IDS, CLASSES)
    np.testing.assert_allclose(found, [[0.6, 0.3, 0.1001], [0.2, 0.1, 0.7]] / np.array([[1.0001], [1.0]]))
    with pytest.raises(DataError, match="it lacks disc"):
        read_probability_file(path, IDS, ("disc", *CLASSES[1:]))


def test_masks_are_read_from_both_formats_and_each_fault_is_named(tmp_path: Path) -> None:
    masks = np.arange(2 * 12, dtype=np.uint8).reshape(2, 3, 4) % 9
    sizes = [(3, 4)] * 2
    folder = tmp_path / "masks"
    folder.mkdir()
    data = [encode_mask_png(mask) for mask in masks]
    for sample_id, one in zip(IDS, data, strict=True):
        (folder / f"{sample_id}.png").write_bytes(one)
    np.testing.assert_array_equal(read_mask_files(folder, IDS, sizes), masks)
    pq.write_table(pa.table({"sample_id": IDS[::-1], "mask": data[::-1]}), tmp_path / "m.parquet")
    np.testing.assert_array_equal(read_mask_files(tmp_path / "m.parquet", IDS, sizes), masks)
    with pytest.raises(DataError, match=r"another size than their images \(2\): ex0000001.png: 4 x 3 px, the image"):
        read_mask_files(folder, IDS, [(3, 5)] * 2)
    for spoilt, said in (
        (encode_mask_png(masks[0] + 30), r"label ids above 8 \(T1\) \(1\): ex0000002.png: 30"),
        (encode_png(masks[0].astype(np.uint16)), r"16 bits, not 8 \(1\): ex0000002.png"),
        (data[0][:40], r"no gray PNG of 8 or 16 bits \(1\): ex0000002.png"),
    ):
        (folder / "ex0000002.png").write_bytes(spoilt)
        with pytest.raises(DataError, match=said):
            read_mask_files(folder, IDS, sizes)
    (folder / "ex0000002.png").rename(folder / "other.png")
    (folder / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=r"are no PNG \(1\): notes.txt; .* missing \(1\): ex0000002; .* \(1\): other"):
        read_mask_files(folder, IDS, sizes)


def test_the_very_truth_scores_best_at_any_size(tmp_path: Path, images: Images) -> None:
    path = write_points(tmp_path / "p.csv", list_points(images.sample_ids, images.landmarks_xy.astype(np.float64)))
    recipe = build_submission_recipe("landmarking", images, size=32, overrides=())
    submission = Submission(path, "truth", recipe, images)
    cases, usable, _ = submission.load_truth()
    predictions, warnings = read_predictions(path, recipe, images)
    assert usable.all() and not warnings
    seen = np.isfinite(cases.landmarks_xy)
    np.testing.assert_allclose(predictions["landmarks_xy"][seen], cases.landmarks_xy[seen], atol=1e-4)


def test_a_submission_becomes_a_row_of_the_leaderboard(tmp_path: Path, images: Images) -> None:
    folder = tmp_path / "masks"
    folder.mkdir()
    for record in images.folder.iter_records("test", ("sample_id", "mask")):
        mask = np.roll(decode_png(record.mask or b"", where="mask"), 1, axis=0)
        (folder / f"{record.sample_id}.png").write_bytes(encode_mask_png(mask))
    command = ["baseline", "submit", str(folder), "--task", "segmentation", "--real", str(images.folder.path)]
    command += ["--name", "mine & <b>", "--out", str(tmp_path / "mine"), "--no-real-pixels", "--quiet"]
    answer = CliRunner().invoke(cli, command)
    assert answer.exit_code == 0, answer.output
    result = load_result(tmp_path / "mine" / "baseline-segmentation.json")
    [board] = build_boards({"mine.json": result})
    [entry] = board.entries
    assert (entry.name, entry.rank, entry.network, board.num_test) == ("mine & <b>", 1, "not ours", 12)
    # All masks are a pixel too low, on structures that are a few pixels high.
    assert 0.3 < entry.row.primary.value < 0.95 and entry.row.primary.interval is not None
    page = (tmp_path / "mine" / "baseline-segmentation.html").read_bytes()
    assert b"data:image" not in page and b"mine &amp; &lt;b&gt;" in page
    rows = pq.read_table(tmp_path / "mine" / "baseline-segmentation.samples.parquet")
    assert rows.column("sample_id").to_pylist() == list(images.sample_ids)


def test_what_cannot_be_scored_says_so(tmp_path: Path, images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match="'quality' cannot be handed in; name one of landmarking"):
        build_submission_recipe("quality", images, size=None, overrides=())
    recipe = build_submission_recipe("landmarking", images, size=None, overrides=())
    hidden = Images(**{**vars(images), "landmarks_xy": np.full_like(images.landmarks_xy, np.nan)})
    with pytest.raises(DataError, match="none of its 12 radiographs has landmarks that you can see"):
        Submission(tmp_path, "mine", recipe, hidden).load_truth()
    with pytest.raises(DataError, match="1 to 80 printable characters"):
        Submission(tmp_path, "two\nlines", recipe, images)


def test_points_outside_are_warned_of(tmp_path: Path, images: Images) -> None:
    points = images.landmarks_xy.astype(np.float64)
    points = np.where(np.isfinite(points), points, 10.0)
    points[2, 0] = (-1.0, 5.0)
    path = write_points(tmp_path / "p.csv", list_points(images.sample_ids, points))
    recipe = build_submission_recipe("landmarking", images, size=None, overrides=())
    [warning] = read_predictions(path, recipe, images)[1]
    assert warning.startswith("1 predicted landmarks lie outside") and images.sample_ids[2] in warning
