"""CSXA's import, on a drawn folder that has the faults of the real one."""

import json
import pickle
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from cspine_bench.dataset.source import Radiograph, Rejected
from cspine_bench.errors import DataError
from cspine_bench.imaging.fit import apply_affine
from cspine_bench.sources.csxa import CsxaSource, write_import_report
from cspine_bench.sources.csxa.labelme import read_labelme
from cspine_bench.sources.csxa.sheet import read_sheet

sys.path.insert(0, str(Path(__file__).parent))
from csxa_folder import HEADER, NUM_FILMS, build_labels, draw_csxa, pack, stems, write_sheet


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("csxa")
    return root, draw_csxa(root)


@pytest.fixture(scope="module")
def made(folder):
    source = CsxaSource(folder[0], size=128)
    return {item.key.origin: item for item in source.iter_radiographs(source.list_samples())}


def stem_of(number):
    return next(stem for stem in stems() if int(stem[:4]) == number)


def test_keys_carry_the_sheet_s_strata(folder):
    keys = {key.origin: key for key in CsxaSource(folder[0]).list_samples()}
    assert list(keys) == sorted(stems())
    first = keys[stem_of(1)]
    assert (first.sample_id, first.group_id) == (f"csxa{stem_of(1)}", "csxa-0001")
    assert first.strata == {"sex": "female", "age_band": "20-39", "curvature": "lordotic", "disease": "spondylosis"}
    assert keys[stem_of(9)].strata == {"sex": "female", "age_band": "60-79"}


def test_films_come_with_points_labels_and_origin(folder, made):
    _, truth = folder
    for stem, (clean, points, kinds) in truth.items():
        item = made[stem]
        if stem == stem_of(13):
            assert isinstance(item, Rejected)
            assert "was annotated on" in item.reason and "find the image that belongs to it" in item.reason
            continue
        assert isinstance(item, Radiograph)
        fields = item.fields
        assert item.image.shape == (128, 128) and item.image.dtype == np.uint8
        assert set(fields["overlays_found"].split(",")) == set(kinds)
        assert (fields["facing"], fields["flipped"], fields["overlays_action"]) == ("left", False, "mask")
        assert fields["source_id"] == stem and fields["source_kind"] == "csxa"
        if stem == stem_of(11):
            assert np.isnan(item.landmarks_xy).all()
            continue
        np.testing.assert_allclose(item.landmarks_xy, apply_affine(fields["source_affine"], points), atol=1e-3)
        if stem != stem_of(9):
            assert fields["pixel_spacing_mm"] == pytest.approx(0.25 * max(clean.shape) / 128)
            assert fields["label_source"] == "reader"
    assert made[stem_of(5)].fields["age"] == int(stem_of(5)[5:]) + 1
    assert made[stem_of(7)].fields["sex"] == "male"
    lonely = made[stem_of(9)].fields
    assert (lonely["curvature"], lonely["disease"], lonely["sex"], lonely["pixel_spacing_mm"]) == (
        None,
        None,
        "female",
        None,
    )


def test_the_report_lists_every_disagreement(folder, tmp_path):
    report = CsxaSource(folder[0]).build_report()
    assert report["images"] == NUM_FILMS and report["sheet_rows"] == NUM_FILMS - 1 + 3
    assert report["counts"] == {
        "age_disagrees": 1,
        "image_without_json": 1,
        "image_without_sheet_row": 1,
        "repeated_label": 1,
        "sex_disagrees": 1,
        "sheet_row_without_image": 3,
        "size_disagrees": 1,
    }
    assert report["spacing_column"] == "Pixel equivalent (mm)"
    write_import_report(report, tmp_path / "import-report.json")
    assert json.loads((tmp_path / "import-report.json").read_text()) == report


def test_zips_give_the_same_samples_as_folders(folder, made, tmp_path):
    shutil.copytree(folder[0], tmp_path / "zipped")
    pack(tmp_path / "zipped")
    source = pickle.loads(pickle.dumps(CsxaSource(tmp_path / "zipped", size=128)))
    keys = source.list_samples()
    assert len(keys) == NUM_FILMS
    for item in source.iter_radiographs(keys[:5]):
        np.testing.assert_array_equal(item.image, made[item.key.origin].image)
        assert item.fields == made[item.key.origin].fields
    assert not list((tmp_path / "zipped").glob("datasets-*/"))


def test_the_fingerprint_sees_one_changed_byte(folder, tmp_path):
    shutil.copytree(folder[0], tmp_path / "other")
    source, other = CsxaSource(folder[0]), CsxaSource(tmp_path / "other")
    assert source.describe()["size"] == 256
    json_file = tmp_path / "other" / "datasets-JSON" / f"{stem_of(1)}.json"
    data = bytearray(json_file.read_bytes())
    data[-3] ^= 1
    json_file.write_bytes(bytes(data))
    assert source.describe() != other.describe()


@pytest.mark.parametrize("action", ["mask", "crop", "keep"])
def test_overlays_are_handled_the_same_way_for_every_film(folder, action):
    root, truth = folder
    source = CsxaSource(root, size=None, overlays=action)
    for item in source.iter_radiographs(source.list_samples()[:6]):
        clean, points, _ = truth[item.key.origin]
        assert item.fields["overlays_action"] == action
        assert item.fields["overlays_found"]
        if action != "mask":
            continue
        assert item.image.shape == clean.shape
        # The neighbourhood of each landmark is the film's own.
        for x, y in points.astype(int):
            near = (slice(y - 6, y + 7), slice(x - 6, x + 7))
            np.testing.assert_array_equal(item.image[near], clean[near])


def test_refuse_rejects_films_with_overlays(folder):
    source = CsxaSource(folder[0], overlays="refuse")
    (item,) = source.iter_radiographs(source.list_samples()[:1])
    assert isinstance(item, Rejected)
    assert "has overlays (marker,text,toolbar); import with overlays mask, crop or keep" in item.reason


def test_without_a_pixel_size_millimetres_cannot_be_asked_for(folder, tmp_path):
    shutil.copytree(folder[0], tmp_path / "a")
    write_sheet(tmp_path / "a" / "datasets.xlsx", [(1, 1, 29, 1, 1, 0, 0, 0.25)], (*HEADER[:-1], "something else"))
    source = CsxaSource(tmp_path / "a")
    (item,) = source.iter_radiographs(source.list_samples()[:1])
    assert item.fields["pixel_spacing_mm"] is None
    with pytest.raises(
        DataError, match=r"it has: 'Number', .* 'something else'\. Rename the right one to 'Pixel size'"
    ):
        CsxaSource(tmp_path / "a", need_spacing=True).list_samples()


@pytest.mark.parametrize(
    "name", ["Pixel size", "pixel spacing/mm", "PixelSize(mm)", "mm per pixel", "Pixel scale", "spacing"]
)
def test_names_of_the_pixel_size(tmp_path, name):
    write_sheet(tmp_path / "s.xlsx", [(1, 1, 33, 1, 5, 0, 0, 0.2)], (*HEADER[:-1], name))
    table = read_sheet((tmp_path / "s.xlsx").read_bytes(), where="s.xlsx")
    assert table.spacing_column == name
    row = table.rows[1]
    assert (row.sex, row.age, row.disease, row.curvature, row.spacing_mm) == (
        "female",
        33,
        "spondylosis",
        "kyphotic",
        0.2,
    )


def test_odd_cells_are_remarks_not_guesses(tmp_path):
    rows = [
        (1, 2, 33.5, 3, 6, 0, 0, 55),
        ("x", 0, 1, 1, 1, 0, 0, 0.2),
        (1, 0, 1, 1, 1, 0, 0, 0.2),
        (2, "female", "40", 2, "4", 0, 0, None),
    ]
    write_sheet(tmp_path / "s.xlsx", rows)
    table = read_sheet((tmp_path / "s.xlsx").read_bytes(), where="s.xlsx")
    assert set(table.rows) == {1, 2}
    first, second = table.rows[1], table.rows[2]
    assert (first.sex, first.age, first.disease, first.curvature, first.spacing_mm) == (None,) * 5
    assert (second.sex, second.age, second.disease, second.curvature) == ("female", 40, "healthy", "sigmoid2")
    assert len(table.remarks) == 7
    assert "row 3: sex is 2; allowed are 0, 1, male, female" in table.remarks


POINTS = np.array([[100 + 20 * (i % 2), 50 + 11.0 * i] for i in range(23)])
for _k in range(5):  # bodies as parallelograms
    POINTS[3 + 4 * _k : 7 + 4 * _k] = np.array([(0, 0), (20, 1), (1, 15), (21, 16)]) + (100 - _k, 100 + 20 * _k)


def labels_with(change):
    labels = build_labels(POINTS, 400, 500, b"png" * 1000)
    change(labels)
    return json.dumps(labels).encode()


def test_points_come_in_order_and_the_image_is_skipped():
    found = read_labelme(labels_with(lambda labels: labels["shapes"].reverse()), where="a.json")
    np.testing.assert_array_equal(found.landmarks_xy, POINTS)
    assert (found.width, found.height, found.remark) == (400, 500, None)


def test_a_repeated_label_is_decided_by_position():
    def swap(labels):  # the true "top right" comes second, under the same name as the missing "bottom right"
        labels["shapes"][4]["label"], labels["shapes"][6]["label"] = "C3 top right", "C3 top right"
        labels["shapes"].reverse()

    found = read_labelme(labels_with(swap), where="a.json")
    np.testing.assert_array_equal(found.landmarks_xy, POINTS)
    assert "'C3 top right' is given 2 times; by position taken" in found.remark

    def stray(labels):
        labels["shapes"].insert(0, labels["shapes"][4] | {"points": [[300.0, 20.0]]})

    found = read_labelme(labels_with(stray), where="a.json")
    np.testing.assert_array_equal(found.landmarks_xy, POINTS)

    def same(labels):
        labels["shapes"].append(labels["shapes"][4])

    found = read_labelme(labels_with(same), where="a.json")
    np.testing.assert_array_equal(found.landmarks_xy, POINTS)
    assert "more than once at one place" in found.remark


def set_point(index, point):
    return lambda labels: labels["shapes"][index].update(points=[point])


BAD_LABELS = [
    ("nan", set_point(4, [float("nan"), 1.0]), "'C3 top right' is at [nan, 1.0]; it needs two finite numbers"),
    ("infinite", set_point(4, [1.0, float("inf")]), "it needs two finite numbers"),
    ("text", set_point(0, ["1", 2]), "'C2 centroid' is at ['1', 2]; it needs two finite numbers"),
    (
        "missing",
        lambda labels: labels["shapes"].pop(7),
        "has no point 'C4 top left'; annotate it, or leave the film out",
    ),
    ("two points", lambda labels: labels["shapes"][1].update(points=[[1, 2], [3, 4]]), "'C2 bottom left' has 2 points"),
    (
        "unknown",
        lambda labels: labels["shapes"][1].update(label="C8 top"),
        "unknown label 'C8 top'; allowed are CSXA's 23",
    ),
    ("no shapes", lambda labels: labels.pop("shapes"), "has no list 'shapes'; is it a LabelMe file?"),
    ("no size", lambda labels: labels.update(imageWidth=None), "'imageWidth' is None; it needs a number of pixels"),
    (
        "c2 twice",
        lambda labels: labels["shapes"].append(labels["shapes"][0] | {"points": [[1.0, 2.0]]}),
        "'C2 centroid' is given 2 times and nothing tells which is right",
    ),
]


@pytest.mark.parametrize(("change", "message"), [case[1:] for case in BAD_LABELS], ids=[case[0] for case in BAD_LABELS])
def test_bad_labels_say_which_point_and_what_to_do(change, message):
    with pytest.raises(DataError) as caught:
        read_labelme(labels_with(change), where="a.json")
    assert str(caught.value).startswith("a.json: ") and message in str(caught.value)


def test_a_json_cut_anywhere_is_refused():
    data = labels_with(lambda labels: None)
    for share in (0.1, 0.5, 0.7, 0.9, 0.999):
        with pytest.raises(DataError, match=r"a\.json: is (cut short|no whole JSON file)"):
            read_labelme(data[: int(len(data) * share)], where="a.json")


def test_wrong_folders_are_named(folder, tmp_path):
    with pytest.raises(DataError, match="holds no image named like CSXA's"):
        CsxaSource(tmp_path).list_samples()
    shutil.copytree(folder[0], tmp_path / "a")
    (tmp_path / "a" / "datasets.xlsx").rename(tmp_path / "a" / "datasets.txt")
    with pytest.raises(DataError, match=r"needs one sheet datasets\.xlsx, found none"):
        CsxaSource(tmp_path / "a").list_samples()
    (tmp_path / "a" / "datasets.xlsx").write_bytes(b"PK not a sheet")
    with pytest.raises(DataError, match="is no whole Excel file"):
        CsxaSource(tmp_path / "a").list_samples()
    write_sheet(tmp_path / "a" / "datasets.xlsx", [], ("Number", "Age"))
    with pytest.raises(DataError, match=r"no column for sex, disease, curvature .* it has: 'Number', 'Age'"):
        CsxaSource(tmp_path / "a").list_samples()
    with pytest.raises(DataError, match="CSXA's patients face left"):
        CsxaSource(tmp_path, source_facing="right")


def test_end_to_end(folder, tmp_path):
    from cspine_bench.dataset.read import open_dataset
    from cspine_bench.dataset.verify import verify_dataset
    from cspine_bench.dataset.write import write_dataset

    summary = write_dataset(CsxaSource(folder[0], size=64), tmp_path / "ds", skip_bad=True)
    assert [item.origin for item in summary.rejected] == [stem_of(13)]
    assert sum(summary.num_samples.values()) == NUM_FILMS - 1
    assert verify_dataset(tmp_path / "ds") == []
    kinds = Counter(record.sex for record in open_dataset(tmp_path / "ds").iter_records())
    assert set(kinds) == {"male", "female"}
    with pytest.raises(DataError, match="was annotated on"):
        write_dataset(CsxaSource(folder[0], size=64), tmp_path / "strict")
