"""Folders and archives of image files: labels, groups, and everything that can be wrong with them."""

import io
import os
import pickle
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cspine_bench.dataset.read import open_dataset
from cspine_bench.dataset.source import Radiograph, Rejected
from cspine_bench.dataset.write import write_dataset
from cspine_bench.errors import DataError
from cspine_bench.sources.files import list_files
from cspine_bench.sources.images import ImagesSource, read_labels


def encode(seed=0, image_format="PNG", *, wide=False, shape=(40, 30)):
    generator = np.random.default_rng(seed)
    smooth = np.add.outer(np.linspace(0, 90, shape[0]), np.linspace(0, 90, shape[1])) + generator.integers(0, 40)
    pixels = (smooth * 256).astype(np.uint16) if wide else smooth.astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, image_format)
    return buffer.getvalue()


def write_files(root, files):
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())


def make_all(source):
    return list(source.iter_radiographs(source.list_samples()))


FILMS = {
    "a/one.png": encode(1),
    "a/two.JPG": encode(2, "JPEG"),
    "b/three.tiff": encode(3, "TIFF", wide=True),
    "four.png": encode(4, wide=True),
    "notes.txt": "not a film",
    ".hidden.png": b"",
    "__MACOSX/a/._one.png": b"",
}


def test_a_folder_and_its_archive_give_the_same(tmp_path):
    write_files(tmp_path / "films", FILMS)
    with zipfile.ZipFile(tmp_path / "films.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in FILMS.items():
            archive.writestr(name, data)
    folder = ImagesSource(tmp_path / "films", size=32, keep_names=True)
    zipped = pickle.loads(pickle.dumps(ImagesSource(tmp_path / "films.zip", size=32, keep_names=True)))
    made, again = make_all(folder), make_all(zipped)
    assert [item.key.origin for item in made] == ["a/one.png", "a/two.JPG", "b/three.tiff", "four.png"]
    assert [item.key.sample_id for item in made] == [f"img{index:08d}" for index in range(1, 5)]
    assert len({item.key.group_id for item in made}) == 4
    assert [item.image.dtype for item in made] == [np.uint8, np.uint8, np.uint16, np.uint16]
    for one, two in zip(made, again, strict=True):
        np.testing.assert_array_equal(one.image, two.image)
        assert one.fields == two.fields and one.key == two.key
        assert one.fields["source_id"] == one.key.origin
        assert (one.fields["facing"], one.fields["flipped"], one.fields["label_source"]) == (None, False, None)
    assert make_all(ImagesSource(tmp_path / "films"))[0].fields["source_id"] is None


def test_labels_come_from_the_csv(tmp_path):
    header = "file,sex,age,group,curvature,disease,spacing_mm"
    table = f"{header}\na/one.png,F,93,Smith,Lordotic,healthy,0.2\nfour.png,,,Smith,,,\n"
    write_files(tmp_path, FILMS | {"labels.csv": "\ufeff" + table})
    made = {item.key.origin: item for item in make_all(ImagesSource(tmp_path, size=20))}
    one = made["a/one.png"]
    assert one.key.strata == {"sex": "female", "age_band": "80-99", "curvature": "lordotic", "disease": "healthy"}
    assert (one.fields["sex"], one.fields["age"], one.fields["label_source"]) == ("female", 90, "reader")
    assert one.fields["pixel_spacing_mm"] == pytest.approx(0.4)
    assert one.fields["pixel_spacing_plane"] == "unknown"
    assert made["four.png"].key.group_id == one.key.group_id != made["a/two.JPG"].key.group_id
    assert made["four.png"].fields["sex"] is None
    assert "Smith" not in repr(one)


def test_groups_by_pattern(tmp_path):
    write_files(tmp_path, {f"p{patient}_{view}.png": encode(patient) for patient in (1, 2) for view in "abc"})
    groups = [key.group_id for key in ImagesSource(tmp_path, group_pattern=r"^(p\d)_").list_samples()]
    assert groups == ["images-00000001"] * 3 + ["images-00000002"] * 3
    with pytest.raises(DataError, match="does not match the group pattern"):
        ImagesSource(tmp_path, group_pattern=r"^(q\d)_").list_samples()
    with pytest.raises(DataError, match="is no regular expression"):
        ImagesSource(tmp_path, group_pattern="(")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("name,sex\na.png,f\n", "unknown column 'name'; allowed are file, sex, age"),
        ("sex\nf\n", "no column 'file'"),
        ("file,sex\nb.png,f\n", "line 2: 'b.png' is no image below the source's root"),
        ("file,sex\na.png,f\na.png,f\n", "line 3: 'a.png' is named twice"),
        ("file,sex\na.png,x\n", "line 2: sex is 'x'; allowed are male, female"),
        ("file,age\na.png,40.5\n", "line 2: age is '40.5'; allowed are whole years"),
        ("file,spacing_mm\na.png,-1\n", "spacing_mm is '-1'; it needs millimetres per pixel"),
        ("file,curvature\na.png,bent\n", "curvature is 'bent'; allowed are lordotic, straight"),
        ("file,age\na.png\n", "line 2: has another number of cells than the header's 2"),
        (b"file\n\xff\xfe", "is no UTF-8 CSV file"),
        ("file,sex,sex\na.png,m,f\n", "column 'sex' is there twice"),
        ("file;sex\na.png;m\n", "unknown column 'file;sex'; allowed are file, sex, age"),
    ],
)
def test_a_wrong_table_is_named_by_its_line(table, message):
    data = table if isinstance(table, bytes) else table.encode()
    with pytest.raises(DataError) as caught:
        read_labels(data, names={"a.png"}, where="labels.csv")
    assert str(caught.value).startswith("labels.csv") and message in str(caught.value)


def build_huge_png():
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_every_bad_file_is_rejected_with_its_reason_and_the_good_ones_are_made(tmp_path):
    write_files(
        tmp_path,
        {
            "cut.png": encode()[:-30],
            "empty.png": b"",
            "folder.png/inside.txt": b"x",
            "good.png": encode(),
            "huge.png": build_huge_png(),
            "jpeg.png": encode(image_format="JPEG"),
            "sub/good.png": encode(1),
        },
    )
    os.symlink("loop_b.png", tmp_path / "loop_a.png")
    os.symlink("loop_a.png", tmp_path / "loop_b.png")
    os.symlink("..", tmp_path / "sub" / "up")
    made = {item.key.origin: item for item in make_all(ImagesSource(tmp_path, size=16))}
    reasons = {name: item.reason for name, item in made.items() if isinstance(item, Rejected)}
    assert {name for name, item in made.items() if isinstance(item, Radiograph)} == {"good.png", "sub/good.png"}
    expected = {
        "cut.png": "the PNG is damaged or cut short",
        "empty.png": "the file is empty; copy it again",
        "folder.png": "is a folder, though its name is a file's; rename it or move it away",
        "huge.png": "the header announces 60000 x 60000 pixels, allowed are 150,000,000 in all",
        "jpeg.png": "holds a JPEG under a PNG's name; rename it to end in .jpg",
        "loop_a.png": "a symbolic link that leads back to itself; remove the link",
        "loop_b.png": "a symbolic link that leads back to itself; remove the link",
        "sub/up": "a symbolic link that leads back to a folder it lies in; remove the link",
    }
    assert set(reasons) == set(expected)
    for name, text in expected.items():
        assert text in reasons[name] and name in reasons[name]


def test_one_bad_file_among_a_thousand(tmp_path):
    good = encode(shape=(16, 16))
    write_files(tmp_path, {f"{index:04d}.png": good if index != 500 else good[:50] for index in range(1000)})
    made = make_all(ImagesSource(tmp_path, size=16, overlays="keep"))
    assert [item.key.origin for item in made if isinstance(item, Rejected)] == ["0500.png"]
    assert len(made) == 1000


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"../out.png": b"x"}, r"the member '\.\./out\.png' points outside the archive; do not trust this file"),
        ({"a/../../out.png": b"x"}, "points outside the archive"),
        ({"/etc/x.png": b"x"}, "points outside the archive"),
        ({"C:/x.png": b"x"}, "points outside the archive"),
        ({"a\\..\\..\\x.png": b"x"}, "points outside the archive"),
        ({"notes.txt": b"x"}, r"holds no image \(\.png, "),
    ],
)
def test_archives_that_cannot_be_trusted(tmp_path, members, message):
    with zipfile.ZipFile(tmp_path / "films.zip", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(DataError, match=message):
        ImagesSource(tmp_path / "films.zip").list_samples()


def test_a_zip_bomb_and_a_damaged_member_are_rejected(tmp_path):
    path = tmp_path / "films.zip"
    noise = np.random.default_rng(0).integers(0, 255, 5000, dtype=np.uint8).tobytes()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(40 << 20))
        archive.writestr("good.png", encode())
        archive.writestr("torn.png", noise)
    data = bytearray(path.read_bytes())
    position = data.index(b"torn.png") + 500
    data[position] ^= 255
    path.write_bytes(bytes(data))
    bomb, good, torn = make_all(ImagesSource(path, size=16))
    assert "swells 1" in bomb.reason and "allowed is 200-fold" in bomb.reason
    assert isinstance(good, Radiograph)
    assert "torn.png: cannot be read from the archive" in torn.reason


def test_sources_that_are_none(tmp_path):
    with pytest.raises(DataError, match=r"no such folder or archive; give the folder of films"):
        list_files(tmp_path / "nowhere")
    (tmp_path / "film.png").write_bytes(encode())
    with pytest.raises(DataError, match="is neither a folder nor a zip archive"):
        list_files(tmp_path / "film.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no image"):
        ImagesSource(tmp_path / "empty").list_samples()


def test_no_permission(tmp_path):
    """In a child that is not root: root may read everything."""
    write_files(tmp_path, {"good.png": encode(), "locked.png": encode(1), "sub/x.png": encode(2)})
    (tmp_path / "locked.png").chmod(0)
    (tmp_path / "sub").chmod(0)
    script = """
import os, sys
from cspine_bench.dataset.source import Rejected
from cspine_bench.sources.images import ImagesSource
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
source = ImagesSource(sys.argv[1], size=16)
for item in source.iter_radiographs(source.list_samples()):
    print(item.key.origin, item.reason if isinstance(item, Rejected) else "made")
"""
    # pytest makes its folders for one user alone: every one between the test's and the system's must be opened.
    system = Path(tempfile.gettempdir()).resolve()
    for folder in (tmp_path, *tmp_path.parents):
        if folder == system or system not in folder.parents:
            break
        folder.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=300)
    (tmp_path / "sub").chmod(0o755)
    assert done.returncode == 0, done.stderr
    good, locked, sub = done.stdout.splitlines()
    assert good == "good.png made"
    assert "locked.png: no permission to read it; change its mode or owner" in locked
    assert "sub: cannot be listed: no permission to list it" in sub


def test_the_description_follows_contents(tmp_path):
    write_files(tmp_path, {"a.png": encode(1), "b.png": encode(2)})
    before = ImagesSource(tmp_path).describe()
    assert before == ImagesSource(tmp_path).describe()
    write_files(tmp_path, {"a.png": encode(2), "b.png": encode(1)})
    assert ImagesSource(tmp_path).describe() != before
    assert ImagesSource(tmp_path, size=128).describe() != ImagesSource(tmp_path).describe()


def test_reasons_hold_no_path_so_that_a_moved_folder_gives_the_same_dataset(tmp_path):
    """Reasons are stored in the dataset: a path or a memory address in one would change its bytes."""
    for folder in (tmp_path / "here", tmp_path / "elsewhere" / "deep"):
        write_files(
            folder,
            {
                "cut.png": encode()[:-30],
                "empty.png": b"",
                "folder.png/inside.txt": b"x",
                "good.png": encode(),
                "header.png": encode()[:20] + encode()[60:],
                "header.tif": encode(image_format="TIFF", shape=(9, 9))[:60],
            },
        )
        os.mkfifo(folder / "pipe.png")
        os.symlink("nowhere", folder / "dangling.png")
        os.symlink(".", folder / "loop")
    for source in (tmp_path / "here", tmp_path / "elsewhere" / "deep"):
        write_dataset(ImagesSource(source, size=16), source.with_name("out"), skip_bad=True)
    first, second = tmp_path / "out", tmp_path / "elsewhere" / "out"
    assert (first / "dataset.json").read_bytes() == (second / "dataset.json").read_bytes()
    rejected = open_dataset(first).manifest.rejected
    assert len(rejected) == 8
    assert all(sample.reason.startswith(f"{sample.origin}: ") for sample in rejected)
    assert "0x" not in repr(rejected)
    # One good film in one split: `datasets` would refuse a split without rows.
    loaded = open_dataset(first).as_huggingface()
    assert {split: len(rows) for split, rows in loaded.items()} == open_dataset(first).splits


def test_names_that_are_not_utf8_are_rejected_and_odd_ones_are_not(tmp_path):
    names = ["new\nline.png", "ünï 🦴.png", "x" * 250 + ".png", "A.png", "a.png", "-dash.png"]
    write_files(tmp_path, {name: encode(seed) for seed, name in enumerate(names)})
    with open(os.fsencode(tmp_path) + b"/bad\xff.png", "wb") as file:
        file.write(encode())
    os.mkdir(os.fsencode(tmp_path) + b"/folder\xff")
    made = {item.key.origin: item for item in make_all(ImagesSource(tmp_path, size=16, keep_names=True))}
    bad = {name: item.reason for name, item in made.items() if isinstance(item, Rejected)}
    assert bad == {name: f"{name}: its name is not UTF-8; rename it" for name in ("bad\\xff.png", "folder\\xff")}
    assert sorted(set(made) - set(bad)) == sorted(names)
    ImagesSource(tmp_path).describe()


def test_a_folder_is_taken_once_however_many_links_lead_to_it(tmp_path):
    write_files(tmp_path, {"films/one.png": encode()})
    for index in range(12):
        (tmp_path / f"ring{index}").mkdir()
    for one in range(12):
        for other in range(12):
            os.symlink(tmp_path / f"ring{other}", tmp_path / f"ring{one}" / f"to{other}")
    os.symlink("films", tmp_path / "again")
    made = {item.key.origin: item for item in make_all(ImagesSource(tmp_path, size=16))}
    assert isinstance(made.pop("again/one.png"), Radiograph)
    assert "films: is the same folder as again" in made.pop("films").reason
    assert all("symbolic link" in item.reason for item in made.values())


@pytest.mark.parametrize("name", ["pipe", "/dev/zero"])
def test_a_source_that_is_a_pipe_or_device_is_refused_at_once(tmp_path, name):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="is neither a folder nor a zip archive"):
        list_files(tmp_path / name)


def test_films_that_would_become_huge_are_rejected_one_by_one(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(np.tile(np.arange(40_000, dtype=np.uint16) // 200, (2, 1)).astype(np.uint8)).save(buffer, "PNG")
    write_files(tmp_path, {"good.png": encode(), "long.png": buffer.getvalue()})
    for settings in ({"size": 32}, {"size": None}):
        good, long = make_all(ImagesSource(tmp_path, overlays="keep", **settings))
        assert isinstance(good, Radiograph)
        assert "long.png: has 40000 x 2 pixels, and would need 40000 x" in long.reason
        assert "allowed are 32,767 on a side and 150,000,000 in all" in long.reason


def test_transparency_in_16_bits_is_refused_like_in_8(tmp_path):
    pixels = np.arange(1600, dtype=np.uint16).reshape(40, 40) * 30
    for name, transparent in (("used.png", 300), ("unused.png", 301)):
        Image.fromarray(pixels).save(tmp_path / name, transparency=transparent)
    unused, used = make_all(ImagesSource(tmp_path, size=None))
    np.testing.assert_array_equal(unused.image, pixels)
    assert "used.png: has transparent pixels" in used.reason
