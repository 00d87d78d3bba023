"""The store gives what the encoder gives: new, known, killed, at once with others, damaged, and lied to."""

import hashlib
import json
import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from forks import fork
from toy_encoder import make_encoder
from toy_source import ToySource

from cspine_bench.dataset.read import open_dataset
from cspine_bench.dataset.write import write_dataset
from cspine_bench.errors import DataError
from cspine_bench.features import store as store_module
from cspine_bench.features.extract import BLOCK_ROWS, Features, encode_dataset
from cspine_bench.features.store import FeatureStore
from cspine_bench.imaging.png import decode_png, encode_png

MANY = 5 * BLOCK_ROWS + 7


@pytest.fixture(scope="module")
def dataset(make_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """40 toy images, 30 of them in the training split."""
    return make_once("features-toy", lambda folder: write_dataset(ToySource(40), folder))


@pytest.fixture(scope="module")
def many(make_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """Toy images for more than five blocks."""
    return make_once("features-many", lambda folder: write_dataset(ToySource(MANY, size=8 * 3), folder))


def encode_directly(dataset: Path) -> np.ndarray:
    """Without a store, image by image."""
    encoder, _ = make_encoder()
    records = open_dataset(dataset).iter_records()
    return np.concatenate([encoder.encode(decode_png(record.image, where="here")[None]) for record in records])


def test_features_are_those_of_the_encoder_in_the_order_of_the_dataset(dataset: Path, tmp_path: Path) -> None:
    encoder, counter = make_encoder()
    steps: list[tuple[int, int]] = []
    found = encode_dataset(dataset, encoder, tmp_path, on_progress=lambda done, total: steps.append((done, total)))
    records = list(open_dataset(dataset).iter_records())
    assert found.values.dtype == np.float32 and not found.values.flags.writeable
    assert np.array_equal(found.values, encode_directly(dataset))
    assert found.sample_ids == tuple(record.sample_id for record in records)
    assert found.group_ids == tuple(record.group_id for record in records)
    assert found.pixel_sha256 == tuple(record.pixel_sha256 for record in records)
    assert (found.encoder, found.encoder_sha256) == (encoder.describe(), encoder.sha256)
    assert counter.num_encoded == 40 and steps[-1] == (40, 40)
    again = encode_dataset(dataset, encoder, tmp_path)
    assert counter.num_encoded == 40 and np.array_equal(again.values, found.values)
    assert isinstance(again.values.base, np.memmap)
    train = encode_dataset(dataset, encoder, tmp_path, split="train")
    assert counter.num_encoded == 40 and len(train) == open_dataset(dataset).splits["train"]
    assert np.array_equal(train.values, found.values[: len(train)])


def test_only_what_is_new_is_encoded(dataset: Path, tmp_path: Path) -> None:
    encoder, counter = make_encoder()
    encode_dataset(dataset, encoder, tmp_path / "store")
    write_dataset(ToySource(55), tmp_path / "more")
    found = encode_dataset(tmp_path / "more", encoder, tmp_path / "store")
    assert counter.num_encoded == 55
    assert np.array_equal(found.values, encode_directly(tmp_path / "more"))


def test_other_pixels_under_the_same_names_are_not_stale(dataset: Path, tmp_path: Path) -> None:
    encoder, counter = make_encoder()
    before = encode_dataset(dataset, encoder, tmp_path / "store")
    write_dataset(ToySource(40, seed=1), tmp_path / "other")
    after = encode_dataset(tmp_path / "other", encoder, tmp_path / "store")
    assert set(after.sample_ids) == set(before.sample_ids)
    assert counter.num_encoded == 80
    assert np.array_equal(after.values, encode_directly(tmp_path / "other"))


def test_another_encoder_has_features_of_its_own(dataset: Path, tmp_path: Path) -> None:
    first = encode_dataset(dataset, make_encoder()[0], tmp_path)
    second = encode_dataset(dataset, make_encoder(scale=2.0)[0], tmp_path)
    assert np.array_equal(second.values * 2, first.values)
    with pytest.raises(ValueError, match="another encoder than blocks"):
        encode_dataset(dataset, make_encoder(scale=2.0)[0], FeatureStore(tmp_path, make_encoder()[0]))


def replace_image(dataset: Path, out: Path, change: Callable[[bytes], bytes], *, claimed: str | None = None) -> str:
    """A copy of a dataset whose first image is another file; its record claims what it did before, or `claimed`."""
    write_dataset(ToySource(40), out)
    folder = open_dataset(out)
    path = next(folder.path.glob("data/*.parquet"))
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[0]["image"]["bytes"] = change(rows[0]["image"]["bytes"])
    rows[0]["pixel_sha256"] = claimed or rows[0]["pixel_sha256"]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    return str(rows[0]["sample_id"])


def invert(data: bytes) -> bytes:
    return encode_png(255 - decode_png(data, where="here"))


@pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
def test_a_wrong_hash_in_a_record_stops_and_poisons_nothing(dataset: Path, tmp_path: Path, known: bool) -> None:
    encoder, _ = make_encoder()
    if known:
        encode_dataset(dataset, encoder, tmp_path / "store")
    sample_id = replace_image(dataset, tmp_path / "edited", invert)
    with pytest.raises(DataError, match=rf"sample {sample_id}: its pixels have the hash .*, its record claims"):
        encode_dataset(tmp_path / "edited", encoder, tmp_path / "store")
    assert np.array_equal(encode_dataset(dataset, encoder, tmp_path / "store").values, encode_directly(dataset))


def test_a_claim_to_be_an_image_that_is_known_is_not_believed(dataset: Path, tmp_path: Path) -> None:
    encoder, _ = make_encoder()
    known = encode_dataset(dataset, encoder, tmp_path / "store")
    replace_image(dataset, tmp_path / "edited", lambda data: data, claimed=known.pixel_sha256[-1])
    with pytest.raises(DataError, match="its record claims"):
        encode_dataset(tmp_path / "edited", encoder, tmp_path / "store")


def test_the_same_pixels_in_another_file_are_not_encoded_again(dataset: Path, tmp_path: Path) -> None:
    encoder, counter = make_encoder()
    expected = encode_dataset(dataset, encoder, tmp_path / "store").values
    replace_image(dataset, tmp_path / "rewritten", lambda data: encode_png(decode_png(data, where="here")))
    for _ in range(2):
        assert np.array_equal(encode_dataset(tmp_path / "rewritten", encoder, tmp_path / "store").values, expected)
    assert counter.num_encoded == 40


def test_a_blank_image_is_refused_also_when_it_is_known(tmp_path: Path) -> None:
    blank = {3: {"image": np.full((24, 24), 7, np.uint8)}}
    write_dataset(ToySource(10, broken=blank), tmp_path / "ds")
    encoder, _ = make_encoder()
    with pytest.raises(DataError, match="sample toy00000003: all pixels have one gray level"):
        encode_dataset(tmp_path / "ds", encoder, tmp_path / "store")
    assert len(encode_dataset(tmp_path / "ds", encoder, tmp_path / "store", allow_blank=True)) == 10
    with pytest.raises(DataError, match="sample toy00000003: all pixels have one gray level"):
        encode_dataset(tmp_path / "ds", encoder, tmp_path / "store")


def flip(data: bytes, position: int) -> bytes:
    changed = bytearray(data)
    changed[position] ^= 1
    return bytes(changed)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data + b"0",
        lambda data: flip(data, 0),
        lambda data: flip(data, 30),
        lambda data: flip(data, 100),
        lambda data: flip(data, len(data) - 40 * 64 - 200),
        lambda data: flip(data, len(data) - 1),
    ],
    ids=["empty", "cut", "longer", "magic", "digest", "header", "keys", "last row"],
)
def test_damage_is_seen_and_mended(
    dataset: Path, tmp_path: Path, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    encoder, counter = make_encoder()
    encode_dataset(dataset, encoder, tmp_path)
    (shard,) = tmp_path.glob("*/shards/*.features")
    shard.write_bytes(damage(shard.read_bytes()))
    with caplog.at_level(logging.WARNING):
        found = encode_dataset(dataset, encoder, tmp_path)
    assert "is damaged" in caplog.text
    assert np.array_equal(found.values, encode_directly(dataset))
    assert counter.num_encoded == 80
    assert encode_dataset(dataset, encoder, tmp_path).values.shape == (40, 16) and counter.num_encoded == 80


def start_slow(dataset: Path, store: Path, seconds_per_image: float) -> tuple[int, int]:
    """A process that encodes slowly; its id, and the end of a pipe for what it prints. Forked: nothing is imported."""
    ours, theirs = os.pipe()

    def work() -> None:
        os.close(ours)
        slow, counter = make_encoder(seconds_per_image)
        found = encode_dataset(dataset, slow, store)
        digest = hashlib.sha256(found.values.tobytes()).hexdigest()
        with os.fdopen(theirs, "w") as file:
            json.dump({"encoded": counter.num_encoded, "values": digest}, file)

    process = fork(work)
    os.close(theirs)
    return process, ours


def runs(process: int) -> bool:
    return os.waitpid(process, os.WNOHANG) == (0, 0)


def test_a_killed_run_is_gone_on_with_and_two_at_once_share_the_rest(many: Path, tmp_path: Path) -> None:
    process, answers = start_slow(many, tmp_path, 0.002)
    give_up = time.monotonic() + 300
    while len(list(tmp_path.glob("*/shards/*.features"))) < 2:
        assert runs(process) and time.monotonic() < give_up
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    os.close(answers)
    encoder, counter = make_encoder(0.004)
    kept = len(FeatureStore(tmp_path, encoder))
    left = set(tmp_path.glob("*/claims/*"))
    assert 2 * BLOCK_ROWS <= kept < MANY

    other, answers = start_slow(many, tmp_path, 0.004)
    while set(tmp_path.glob("*/claims/*")) <= left:
        assert runs(other) and time.monotonic() < give_up
        time.sleep(0.005)
    found = encode_dataset(many, encoder, tmp_path)
    with os.fdopen(answers) as file:
        answer = json.load(file)
    assert os.waitpid(other, 0)[1] == 0
    assert answer["encoded"] + counter.num_encoded == MANY - kept and answer["encoded"] and counter.num_encoded
    assert answer["values"] == hashlib.sha256(found.values.tobytes()).hexdigest()
    assert np.array_equal(found.values, encode_directly(many))
    assert set(tmp_path.glob("*/claims/*")) <= left


@pytest.mark.slow  # starts processes that import torch
def test_workers_give_what_one_process_gives(many: Path, tmp_path: Path) -> None:
    encoder, counter = make_encoder()
    found = encode_dataset(many, encoder, tmp_path, num_workers=2)
    assert counter.num_encoded == 0, "the workers did it"
    assert np.array_equal(found.values, encode_directly(many))
    with pytest.raises(ValueError, match="at least 1, got 0"):
        encode_dataset(many, encoder, tmp_path, num_workers=0)


def test_many_features_are_mapped(many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, _ = make_encoder()
    monkeypatch.setattr(store_module, "_ANONYMOUS_ABOVE_BYTES", 1000)
    found: Features = encode_dataset(many, encoder, tmp_path)
    assert isinstance(found.values, np.memmap)
    assert np.array_equal(found.values, encode_directly(many))
    assert not list(tmp_path.rglob("*.tmp"))


def test_features_that_are_not_finite_are_never_kept(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, make_encoder()[0])
    with pytest.raises(ValueError, match="NaN or infinity"):
        store.add(["0" * 64], ["1" * 64], np.full((1, 16), np.nan, np.float32))
    with pytest.raises(ValueError, match=r"do not fit; expected \(n, 16\)"):
        store.add(["0" * 64], ["1" * 64], np.zeros((1, 15), np.float32))
    assert len(store) == 0 and not list(tmp_path.rglob("*.features"))


def test_the_default_place_is_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    store = FeatureStore(None, make_encoder()[0])
    assert store.folder.parent == tmp_path / "cspine-bench" / "features"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert store_module.find_default_folder() == Path.home() / ".cache" / "cspine-bench" / "features"
