"""Every code of the contract has a dataset that earns it, and a clean dataset earns none."""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image
from toy_encoder import make_encoder
from toy_source import ToySource

from cspine_bench.dataset.read import open_dataset
from cspine_bench.dataset.write import write_dataset
from cspine_bench.errors import DataError
from cspine_bench.features import block, contract, extract
from cspine_bench.features.contract import compare_images, inspect_images
from cspine_bench.features.encoder import Encoder
from cspine_bench.features.extract import encode_dataset
from cspine_bench.metrics.frechet import frechet_distance

CODES = re.findall(r"^\| `([a-z-]+)`", contract.__doc__ or "", flags=re.M)


def write(folder: Path, images: list[NDArray[Any]]) -> Path:
    # The mask must fit the image, so there is none.
    broken = {index: {"image": image, "mask": None, "mask_levels": None} for index, image in enumerate(images)}
    write_dataset(ToySource(len(images), broken=broken), folder)
    return folder


def edit(dataset: Path, column: str, value: Any) -> Path:
    """Change the first row behind the back of the manifest."""
    path = next(open_dataset(dataset).path.glob("data/*.parquet"))
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[0][column] = {"bytes": value, "path": None} if column == "image" else value
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    return dataset


def draw_films(count: int = 8, *, highest: int = 65535, lowest: int = 0, seed: int = 0) -> list[NDArray[np.uint16]]:
    draw = np.random.default_rng(seed)
    return [draw.integers(lowest, highest, (24, 24)).astype(np.uint16) for _ in range(count)]


def encode_by_pillow(mode: str, file_format: str = "PNG") -> bytes:
    """A noisy image of a mode of Pillow's."""
    noise = np.random.default_rng(0).integers(0, 255, (24, 24, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(file, file_format)
    return file.getvalue()


def make_dataset(code: str, folder: Path) -> Path:
    films = draw_films()
    match code:
        case "unreadable":
            folder.mkdir()
            return edit(write(folder / "ds", films), "image", encode_by_pillow("RGB"))
        case "wrong-hash":
            return edit(write(folder, films), "pixel_sha256", "0" * 64)
        case "blank":
            films[2][:] = 1000
        case "too-small":
            films = [film[:15, :16] for film in films]
        case "narrow-images":
            films[4] //= 16
            films[6] //= 16
        case "all-identical":
            films = [films[0]] * 8
        case "narrow-range":
            films = draw_films(highest=4095)
        case "identical":
            films[3] = films[5]
        case "mixed-depth":
            return write(folder, [*films[:4], *(film.astype(np.uint8) for film in films[4:])])
        case "mixed-sizes":
            films[1] = np.pad(films[1], ((0, 0), (0, 3)), mode="reflect")
    return write(folder, films)


def test_a_clean_dataset_has_no_issue(tmp_path: Path) -> None:
    found = inspect_images(write(tmp_path / "ds", draw_films()))
    assert found.issues == ()
    assert (found.num_images, found.num_distinct, found.bit_depths, found.sizes) == (8, 8, {16: 8}, {(24, 24): 8})
    assert 0.99 < found.highest_share <= 1
    found.require_usable("ds")


@pytest.mark.parametrize("code", CODES)
def test_each_code_is_earned(code: str, tmp_path: Path) -> None:
    found = inspect_images(make_dataset(code, tmp_path / "ds"))
    assert [issue.code for issue in found.issues] == [code]
    (issue,) = found.issues
    if issue.severity == "warning":
        found.require_usable("ds")
    else:
        with pytest.raises(DataError, match=re.escape(f"ds: {issue.message}")):
            found.require_usable("ds")
    count = {
        "unreadable": 1,
        "wrong-hash": 1,
        "blank": 1,
        "too-small": 8,
        "narrow-images": 2,
        "all-identical": 8,
        "identical": 2,
    }
    assert len(issue.sample_ids) == count.get(code, 0)
    assert all(sample_id in issue.message for sample_id in issue.sample_ids[:3] if code != "all-identical")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (encode_by_pillow("RGB"), "colour type 2 with 8 bits; only gray of 8 or 16 bits is allowed"),
        (encode_by_pillow("RGBA"), "colour type 6 with 8 bits"),
        (encode_by_pillow("LA"), "colour type 4 with 8 bits"),
        (encode_by_pillow("P"), "colour type 3 with 8 bits"),
        (encode_by_pillow("1"), "colour type 0 with 1 bits"),
        (encode_by_pillow("L", "JPEG"), "not a PNG file"),
        (encode_by_pillow("L")[:-30], "damaged PNG"),
        (b"", r"not a PNG file \(0 bytes\)"),
        (encode_by_pillow("L"), "its pixels have the hash .*, its record claims"),
    ],
    ids=["RGB", "RGBA", "gray and alpha", "palette", "one bit", "JPEG", "cut short", "empty", "another film"],
)
def test_what_is_no_gray_film_is_refused_by_name(data: bytes, message: str, encoder: Encoder, tmp_path: Path) -> None:
    dataset = edit(write(tmp_path / "ds", draw_films(3)), "image", data)
    (bad,) = (issue for issue in inspect_images(dataset).issues if issue.severity == "error")
    with pytest.raises(DataError, match=rf"sample {bad.sample_ids[0]}: .*{message}"):
        encode_dataset(dataset, encoder, tmp_path / "store")


def test_films_of_all_sizes_and_depths_in_one_dataset_are_scaled(encoder: Encoder, tmp_path: Path) -> None:
    films = [*draw_films(2), np.zeros((300, 18), np.uint16), np.zeros((17, 1200), np.uint8), draw_films(1)[0] // 257]
    films[2][7], films[3][:, 9], films[4] = 65535, 255, films[4].astype(np.uint8)
    dataset = write(tmp_path / "ds", films)
    inspect_images(dataset).require_usable("ds")
    found = encode_dataset(dataset, encoder, tmp_path / "store")
    by_id = dict(zip(found.sample_ids, found.values, strict=True))
    for index, film in enumerate(films):
        alone = encoder.encode(film[None])[0]
        assert np.linalg.norm(by_id[f"toy{index:08d}"] - alone) < 1e-5 * np.linalg.norm(alone)


def test_large_films_are_encoded_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, counter = make_encoder()
    dataset = write(tmp_path / "ds", [*draw_films(5), *(np.pad(film, 8, mode="reflect") for film in draw_films(3))])
    expected = encode_dataset(dataset, encoder, tmp_path / "whole").values
    monkeypatch.setattr(block, "_HELD_BYTES", 3000)
    monkeypatch.setattr(extract, "_BLOCK_BYTES", 3000)
    blocks: list[int] = []
    found = encode_dataset(dataset, encoder, tmp_path / "parts", on_progress=lambda done, total: blocks.append(done))
    assert np.array_equal(found.values, expected) and counter.num_encoded == 16
    assert len(blocks) > 2 and blocks[-1] == 8


def test_the_whole_table_is_tested() -> None:
    assert len(CODES) == 10 and "unreadable" in CODES


def test_two_sides_of_different_depth_or_size_are_named(tmp_path: Path) -> None:
    deep = inspect_images(write(tmp_path / "deep", draw_films()))
    flat = inspect_images(
        write(tmp_path / "flat", [np.kron(f // 257, np.ones((2, 2))).astype(np.uint8) for f in draw_films()])
    )
    assert compare_images(deep, deep) == ()
    depth, size = compare_images(deep, flat)
    assert depth.message.startswith("real images have 16 bits, synthetic ones 8; 16 bits are divided by 257")
    assert size.message.startswith("real images are 24 x 24 px, synthetic ones 48 x 48 px")


def test_different_films_of_16_bits_are_not_at_distance_zero(encoder: Encoder, tmp_path: Path) -> None:
    """Converted to 8 bits by cutting, as `Image.convert("RGB")` does, all of these are the same white."""
    coarse = [np.kron(film[:6, :6], np.ones((4, 4))).astype(np.uint16) for film in draw_films(6, lowest=20000, seed=1)]
    fine = draw_films(6, lowest=20000, seed=2)
    folders = [write(tmp_path / "coarse", coarse), write(tmp_path / "fine", fine)]
    assert {int(np.asarray(Image.fromarray(film).convert("RGB")).min()) for film in (*coarse, *fine)} == {255}
    first, second = (encode_dataset(folder, encoder, tmp_path / "store").values for folder in folders)
    assert all(inspect_images(folder).issues == () for folder in folders)
    assert frechet_distance(real=first, synthetic=second) > 1
    assert frechet_distance(real=first, synthetic=first) == pytest.approx(0, abs=1e-3)
