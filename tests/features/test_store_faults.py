"""The store where the disk is full, read-only, of another version, or loses what is written."""

import logging
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from toy_encoder import make_encoder
from toy_source import ToySource

from cspine_bench.dataset.source import SampleKey
from cspine_bench.dataset.write import write_dataset
from cspine_bench.errors import DataError
from cspine_bench.features import store as store_module
from cspine_bench.features.extract import encode_dataset
from cspine_bench.features.store import FeatureStore


@pytest.fixture(scope="module")
def dataset(make_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    return make_once("features-toy", lambda folder: write_dataset(ToySource(40), folder))


@pytest.fixture(scope="module")
def expected(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    return encode_dataset(dataset, make_encoder()[0], tmp_path_factory.mktemp("expected")).values


def mount(*words: str | Path) -> bool:
    return subprocess.run(["mount", *map(str, words)], capture_output=True, check=False).returncode == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or not mount("-t", "tmpfs", "-o", "size=8k", "tmpfs", folder):
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_one_clear_error_and_leaves_nothing_half(
    disk: Path, dataset: Path, expected: np.ndarray
) -> None:
    encoder, _ = make_encoder()
    FeatureStore(disk, encoder)
    (disk / "ballast").write_bytes(b"0" * 4096)
    with pytest.raises(DataError, match=r"cannot be written, no space left on device; .* Free some space and run"):
        encode_dataset(dataset, encoder, disk)
    assert not list(disk.rglob("*.tmp")) and not list(disk.rglob("*.features"))
    assert mount("-o", "remount,size=1m", disk)
    assert np.array_equal(encode_dataset(dataset, encoder, disk).values, expected)


def test_a_store_that_cannot_be_written_serves_what_it_holds(
    disk: Path, dataset: Path, expected: np.ndarray, tmp_path: Path
) -> None:
    assert mount("-o", "remount,size=1m", disk)
    encoder, counter = make_encoder()
    encode_dataset(dataset, encoder, disk)
    write_dataset(ToySource(41), tmp_path / "more")
    assert mount("-o", "remount,ro", disk)
    assert np.array_equal(encode_dataset(dataset, encoder, disk).values, expected)
    assert counter.num_encoded == 40
    hint = r"cannot be written \(read-only file system\), and not everything .*; name another folder for features"
    with pytest.raises(DataError, match=hint):
        encode_dataset(tmp_path / "more", encoder, disk)
    with pytest.raises(DataError, match=hint):
        encode_dataset(dataset, make_encoder(scale=2.0)[0], disk)
    (shard,) = disk.glob("*/shards/*.features")
    assert mount("-o", "remount,rw", disk)
    shard.write_bytes(shard.read_bytes()[:-1])
    assert mount("-o", "remount,ro", disk)
    with pytest.raises(DataError, match=hint):
        encode_dataset(dataset, encoder, disk)


def test_a_folder_that_is_a_file_is_named(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("mine")
    with pytest.raises(DataError, match=r"store/blocks-\w+: cannot be written \((not a directory|file exists)\)"):
        encode_dataset(dataset, make_encoder()[0], tmp_path / "store")
    assert (tmp_path / "store").read_text() == "mine"


def test_many_features_on_a_full_disk_are_kept_in_memory(
    dataset: Path, expected: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, _ = make_encoder()
    for split in ("test", "validation", "train"):  # in another order, so that the whole does not lie in one shard
        encode_dataset(dataset, encoder, tmp_path, split=split)
    monkeypatch.setattr(store_module, "_ANONYMOUS_ABOVE_BYTES", 1000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        found = encode_dataset(dataset, encoder, tmp_path).values
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not isinstance(found, np.memmap) and np.array_equal(found, expected)
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_shard_of_another_format_is_left_to_its_version(
    dataset: Path, expected: np.ndarray, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    encoder, counter = make_encoder()
    encode_dataset(dataset, encoder, tmp_path)
    (shard,) = tmp_path.glob("*/shards/*.features")
    newer = shard.with_name(f"{'0' * 64}.features")
    newer.write_bytes(shard.read_bytes().replace(b"features 1\n", b"features 2\n"))
    shard.unlink()
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(encode_dataset(dataset, encoder, tmp_path).values, expected)
    assert "its format is 2, this version writes format 1" in caplog.text and "damaged" not in caplog.text
    assert newer.exists() and counter.num_encoded == 80


def test_a_disk_that_loses_what_is_written_ends_the_run(
    dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    encoder, counter = make_encoder()

    def spoil(done: int, total: int) -> None:
        for path in tmp_path.glob("*/shards/*.features"):
            with path.open("r+b") as file:
                file.seek(-1, os.SEEK_END)
                last = file.read(1)[0]
                file.seek(-1, os.SEEK_END)
                file.write(bytes([last ^ 1]))

    with pytest.raises(
        DataError, match=r"this happened 3 times now, so look at the disk that holds .* name another folder"
    ):
        encode_dataset(dataset, encoder, tmp_path, on_progress=spoil)
    assert counter.num_encoded == 120 and caplog.text.count("is damaged") == 3


@dataclass(frozen=True)
class Renamed(ToySource):
    """The same radiographs under other names."""

    def _key(self, index: int) -> SampleKey:
        return replace(super()._key(index), sample_id=f"other{index:08d}")


def test_the_same_pixels_under_other_names_cost_nothing(dataset: Path, expected: np.ndarray, tmp_path: Path) -> None:
    encoder, counter = make_encoder()
    first = encode_dataset(dataset, encoder, tmp_path / "store")
    write_dataset(Renamed(40), tmp_path / "renamed")
    second = encode_dataset(tmp_path / "renamed", encoder, tmp_path / "store")
    assert counter.num_encoded == 40
    assert not set(first.sample_ids) & set(second.sample_ids)
    by_pixels = dict(zip(first.pixel_sha256, first.values, strict=True))
    assert all(np.array_equal(by_pixels[p], row) for p, row in zip(second.pixel_sha256, second.values, strict=True))


def test_gray_levels_of_another_depth_are_other_pixels(dataset: Path, tmp_path: Path) -> None:
    """The same levels as 8 and as 16 bits are different films, and have features of their own."""
    encoder, counter = make_encoder()
    shallow = {index: {"image": np.arange(576, dtype=np.uint16).reshape(24, 24) % 200 + index} for index in range(4)}
    write_dataset(ToySource(4, bits=16, broken=shallow), tmp_path / "deep")
    narrow = {index: {"image": fields["image"].astype(np.uint8)} for index, fields in shallow.items()}
    write_dataset(ToySource(4, broken=narrow), tmp_path / "flat")
    deep, flat = (encode_dataset(tmp_path / name, encoder, tmp_path / "store") for name in ("deep", "flat"))
    assert counter.num_encoded == 8
    assert np.allclose(deep.values * 257, flat.values, rtol=1e-4)
