"""`cspine_bench.load`: the values that were written, by index and as a stream, each once, in torch batches."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hub_folder import serve_folder
from torch.utils.data import DataLoader
from toy_source import ToySource

import cspine_bench
from cspine_bench.anatomy.classes import CURVATURE_CLASSES, DISEASES, FACINGS, SEXES
from cspine_bench.dataset.item import CLASS_FIELDS, FIELDS, MASK_UNKNOWN, NUMBER_FIELDS
from cspine_bench.dataset.load import deal_shards
from cspine_bench.dataset.read import open_dataset
from cspine_bench.dataset.write import write_dataset
from cspine_bench.errors import DataError

COUNT = 40
UNLABELLED = {
    "mask": None, "mask_levels": None, "landmarks_xy": np.full((23, 2), np.nan, np.float32), "label_source": None,
    "curvature": None, "sex": None, "disease": None, "facing": None, "age": None, "pixel_spacing_mm": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 radiographs of 8 bits in several files; sample 5 has no label at all, sample 6 a mask of two vertebrae."""
    part = np.zeros((24, 24), np.uint8)
    part[3:6, 3:6] = 4
    broken = {5: UNLABELLED, 6: {"mask": part, "mask_levels": "C3,C4"}}
    path = tmp_path_factory.mktemp("load") / "ds"
    write_dataset(ToySource(COUNT, broken=broken), path, shard_rows=8)
    return path


def find(items: Any, sample_id: str) -> dict[str, Any]:
    return next(item for item in items if item["sample_id"] == sample_id)


def ids_of(items: Any) -> list[str]:
    return [item["sample_id"] for item in items]


@pytest.mark.parametrize("streaming", [False, True])
def test_the_values_are_those_that_were_made(ds: Path, streaming: bool) -> None:
    loaded = cspine_bench.load(ds, streaming=streaming)
    item = find(loaded, "toy00000007")
    (made,) = ToySource(COUNT).iter_radiographs([ToySource(COUNT).list_samples()[7]])
    assert tuple(item) == FIELDS
    assert item["image"].dtype == torch.float32 and item["image"].shape == (1, 24, 24)
    np.testing.assert_array_equal(item["image"][0].numpy(), made.image.astype(np.float32) / 255)
    np.testing.assert_array_equal(item["mask"].numpy(), made.mask)
    assert item["mask"].dtype == torch.uint8 and item["mask_levels"].all()
    np.testing.assert_array_equal(item["landmarks_xy"].numpy(), made.landmarks_xy)
    names = {"curvature": CURVATURE_CLASSES, "sex": SEXES, "disease": DISEASES, "facing": FACINGS}
    assert {name: known[item[name]] for name, known in names.items()} == {
        name: made.fields[name] for name in CLASS_FIELDS
    }
    record = next(row for row in open_dataset(ds).iter_records() if row.sample_id == "toy00000007")
    for name in NUMBER_FIELDS:
        value = getattr(record, name)
        assert item[name].dtype == torch.float32
        np.testing.assert_equal(item[name].item(), float("nan") if value is None else value)
    assert item["split"] == record.split and item["synthetic"] is True


@pytest.mark.parametrize("streaming", [False, True])
def test_what_is_not_known_is_marked_and_collates(ds: Path, streaming: bool) -> None:
    loaded = cspine_bench.load(ds, streaming=streaming)
    bare, partly = find(loaded, "toy00000005"), find(loaded, "toy00000006")
    assert bare["mask"].shape == (24, 24) and (bare["mask"] == MASK_UNKNOWN).all() and not bare["mask_levels"].any()
    assert bare["landmarks_xy"].shape == (23, 2) and bare["landmarks_xy"].isnan().all()
    assert [bare[name].item() for name in CLASS_FIELDS] == [-1] * 4
    assert all(bare[name].isnan() for name in NUMBER_FIELDS)
    assert partly["mask_levels"].tolist() == [False, False, True, True, False, False, False, False]
    (batch,) = DataLoader(loaded, batch_size=COUNT)
    expected = {
        "image": (torch.float32, (40, 1, 24, 24)),
        "mask": (torch.uint8, (40, 24, 24)),
        "age": (torch.float32, (40,)),
    }
    expected |= {
        "landmarks_xy": (torch.float32, (40, 23, 2)),
        "sex": (torch.int64, (40,)),
        "synthetic": (torch.bool, (40,)),
    }
    assert {name: (batch[name].dtype, tuple(batch[name].shape)) for name in expected} == expected
    assert len(set(batch["sample_id"])) == COUNT


def test_16_bits_keep_their_range(tmp_path: Path) -> None:
    image = np.linspace(0, 65535, 24 * 24).reshape(24, 24).astype(np.uint16)
    write_dataset(ToySource(1, bits=16, broken={0: {"image": image}}), tmp_path / "ds")
    (item,) = cspine_bench.load(tmp_path / "ds")
    np.testing.assert_array_equal(item["image"][0].numpy(), image.astype(np.float32) / 65535)
    assert item["image"].max() == 1


def test_a_split_or_all(ds: Path) -> None:
    whole = cspine_bench.load(ds, fields=["sample_id", "split"])
    assert len(whole) == COUNT and len(set(ids_of(whole))) == COUNT
    for split, count in open_dataset(ds).splits.items():
        mapped = cspine_bench.load(ds, split, fields=["sample_id", "split"])
        assert len(mapped) == count
        assert {item["split"] for item in mapped} == {split}
        assert ids_of(cspine_bench.load(ds, split, streaming=True)) == ids_of(mapped)
    assert whole[-1] == whole[COUNT - 1]
    with pytest.raises(IndexError):
        whole[COUNT]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_wrong_or_empty_split_lists_those_there(tmp_path: Path, streaming: bool) -> None:
    write_dataset(ToySource(1), tmp_path / "ds")
    with pytest.raises(ValueError, match="no split 'val'; there are train, validation, test"):
        cspine_bench.load(tmp_path / "ds", "val", streaming=streaming)
    with pytest.raises(DataError, match=r"split test is empty; there are train \(1\)"):
        cspine_bench.load(tmp_path / "ds", "test", streaming=streaming)
    with pytest.raises(ValueError, match="no field images"):
        cspine_bench.load(tmp_path / "ds", fields=["images"])
    with pytest.raises(DataError, match="no such dataset folder"):
        cspine_bench.load(tmp_path / "other", streaming=streaming)


def test_shuffling_belongs_to_the_loader_or_the_stream(ds: Path) -> None:
    with pytest.raises(ValueError, match="shuffle=True"):
        cspine_bench.load(ds, shuffle_buffer=5)  # type: ignore[call-overload]


def test_a_mirror_is_named_as_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "rel-wds" / "data").mkdir(parents=True)
    (tmp_path / "rel-wds" / "data" / "train-00000-of-00001.tar").write_bytes(b"")
    with pytest.raises(DataError, match="WebDataset mirror"):
        cspine_bench.load(tmp_path / "rel-wds")


def halve(item: dict[str, Any]) -> dict[str, Any]:
    return {"image": item["image"] / 2, "sample_id": item["sample_id"]}


@pytest.mark.parametrize(
    ("context", "num_workers", "streaming"),
    [
        ("fork", 2, False),
        ("fork", 2, True),
        pytest.param("spawn", 1, True, marks=pytest.mark.slow),  # its process imports torch
    ],
)
def test_workers_share_the_radiographs_out(ds: Path, context: str, num_workers: int, streaming: bool) -> None:
    shuffling = {"streaming": True, "shuffle_buffer": 6} if streaming else {}
    loaded: Any = cspine_bench.load(ds, fields=["image", "sample_id"], transform=halve, **shuffling)
    loader = DataLoader(loaded, batch_size=4, num_workers=num_workers, multiprocessing_context=context)
    batches = list(loader)
    whole = ids_of(cspine_bench.load(ds, fields=["sample_id"]))
    assert sorted(name for batch in batches for name in batch["sample_id"]) == sorted(whole)
    assert 0 < max(float(batch["image"].max()) for batch in batches) <= 0.5


def test_random_access_survives_the_way_to_another_process(ds: Path) -> None:
    loaded = cspine_bench.load(ds, "test")
    again = pickle.loads(pickle.dumps(loaded))
    assert ids_of(again) == ids_of(loaded)
    assert torch.equal(again[1]["image"], loaded[1]["image"])


@pytest.mark.parametrize(("num_shards", "num_readers"), [(7, 1), (7, 3), (3, 3), (3, 4), (3, 8), (1, 5), (0, 2)])
def test_readers_get_each_row_once(num_shards: int, num_readers: int) -> None:
    rows = {(shard, row) for shard in range(num_shards) for row in range(11)}
    read = [
        (shard, row)
        for reader in range(num_readers)
        for shard, first, step in deal_shards(num_shards, reader, num_readers)
        for row in range(first, 11, step)
    ]
    assert len(read) == len(rows) and set(read) == rows


def test_ranks_share_the_stream_out(ds: Path, tmp_path: Path) -> None:
    stream = cspine_bench.load(ds, streaming=True, fields=["sample_id"])
    whole = ids_of(stream)
    seen = []
    for rank in range(2):
        told = pickle.loads(pickle.dumps(stream))
        told._rank = (rank, 2)
        seen += ids_of(told)
    assert sorted(seen) == sorted(whole)
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'group'}", rank=0, world_size=1)
    try:
        assert pickle.loads(pickle.dumps(stream))._rank == (0, 1)
        assert ids_of(stream) == whole
    finally:
        torch.distributed.destroy_process_group()


def test_shuffling_is_a_function_of_seed_and_epoch(ds: Path) -> None:
    def order(seed: int, epoch: int, buffer: int = 10) -> list[str]:
        stream = cspine_bench.load(ds, "train", streaming=True, fields=["sample_id"], shuffle_buffer=buffer, seed=seed)
        stream.set_epoch(epoch)
        return ids_of(stream)

    plain = ids_of(cspine_bench.load(ds, "train", streaming=True, fields=["sample_id"]))
    orders = [order(0, 0), order(0, 1), order(1, 0), order(0, 0, buffer=1), plain]
    assert len(set(map(tuple, orders))) == 5
    assert all(sorted(ids) == sorted(plain) for ids in orders)
    assert order(0, 0) == orders[0]


def test_an_epoch_reaches_workers_that_live_on(ds: Path) -> None:
    stream = cspine_bench.load(ds, "train", streaming=True, fields=["sample_id"], shuffle_buffer=10)
    loader = DataLoader(stream, batch_size=None, num_workers=1, persistent_workers=True)
    epochs = []
    for epoch in (0, 1, 0):
        stream.set_epoch(epoch)
        epochs.append(ids_of(loader))
    assert epochs[0] == epochs[2] != epochs[1]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_damaged_image_is_named(tmp_path: Path, streaming: bool) -> None:
    write_dataset(ToySource(2), tmp_path / "ds")
    shard = tmp_path / "ds" / "data" / "train-00000-of-00001.parquet"
    data = bytearray(shard.read_bytes())
    data[data.index(b"IDAT") + 40] ^= 1
    shard.write_bytes(data)
    with pytest.raises(DataError, match="sample toy0000000"):
        list(cspine_bench.load(tmp_path / "ds", streaming=streaming))


def test_a_missing_file_is_named(ds: Path, tmp_path: Path) -> None:
    write_dataset(ToySource(2), tmp_path / "ds")
    (tmp_path / "ds" / "data" / "train-00000-of-00001.parquet").unlink()
    with pytest.raises(DataError, match=r"train-00000-of-00001\.parquet: is not there"):
        list(cspine_bench.load(tmp_path / "ds", streaming=True))


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = cspine_bench.lode  # type: ignore[attr-defined]


STREAM_FROM_HUB = """
import json, sys, cspine_bench
assert "torch" not in sys.modules
from cspine_bench.errors import DataError
stream = cspine_bench.load("lab/spines", "test", streaming=True, revision=sys.argv[1])
try:
    cspine_bench.load("lab/none", "test", streaming=True)
except DataError as error:
    refused = str(error)
print(json.dumps([[item["sample_id"], item["image"].sum().item()] for item in stream] + [refused]))
"""


@pytest.mark.slow  # starts a process that imports torch
def test_a_stream_from_the_hub_fetches_what_it_reads(ds: Path, tmp_path: Path) -> None:
    with serve_folder(ds, "lab/spines") as (address, sent):
        environment = os.environ | {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path)}
        run = subprocess.run(
            [sys.executable, "-c", STREAM_FROM_HUB, "v1.0.0"], env=environment, capture_output=True, text=True
        )
    assert run.returncode == 0, run.stderr
    *items, refused = json.loads(run.stdout)
    assert items == [[item["sample_id"], item["image"].sum().item()] for item in cspine_bench.load(ds, "test")]
    assert set(sent) == {"dataset.json", "data/test-00000-of-00001.parquet"}
    assert "lab/none" in refused and "cannot be fetched from the Hub" in refused
