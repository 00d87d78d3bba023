"""Batches to train on: decoded, augmented, landmarks and masks along; beside `datasets` and WebDataset.

`compare_all.py` times them. All give batches of images, landmarks and masks under shifts, rotations, zooms, gain and
gamma of equal strengths. The peers are what one writes first: torch's `DataLoader` over `datasets`' rows or over
WebDataset's stream, `PIL.Image.transform` (bicubic for the image, nearest for the mask), numpy for the landmarks. They
decode in every epoch; ours decodes once, which is counted, and changes whole batches. The loaders have no workers:
those spread the same work over cores and add to it. Opening the folder (`datasets` converts it once) is counted on no
side.
"""

import functools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.speed.comparison import OURS, Comparison, Term
from cspine_bench.augment import AugmentRecipe
from cspine_bench.baselines.cases import load_cases
from cspine_bench.baselines.learn import Stage, load_batch
from cspine_bench.dataset.read import open_dataset
from cspine_bench.dataset.write import write_dataset
from cspine_bench.measurement.inputs import open_images
from cspine_bench.sources.phantom.recipe import PhantomRecipe
from cspine_bench.sources.phantom.source import PhantomSource

STRENGTHS = AugmentRecipe(shift=0.06, rotate_deg=8, zoom=0.08, gain=0.15, gamma=0.15)
BATCH = 16
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def change_row(row: dict[str, Any], generator: np.random.Generator) -> Batch:
    """One row of `datasets`, changed by PIL and numpy as one would write it."""
    image, mask = row["image"], row["mask"]
    points = np.asarray(row["landmarks_xy"], np.float32)
    size = image.width
    angle = math.radians(generator.uniform(-STRENGTHS.rotate_deg, STRENGTHS.rotate_deg))
    zoom = (1 + STRENGTHS.zoom) ** generator.uniform(-1, 1)
    shift = generator.uniform(-STRENGTHS.shift, STRENGTHS.shift, 2) * size
    turn = zoom * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    centre = (size - 1) / 2
    # PIL asks where each pixel comes from, and counts its corners from (0, 0).
    back = np.linalg.inv(turn)
    offset = centre + 0.5 - back @ (shift + centre + 0.5)
    data = (back[0, 0], back[0, 1], offset[0], back[1, 0], back[1, 1], offset[1])
    moved = image.transform((size, size), Image.Transform.AFFINE, data, Image.Resampling.BICUBIC)
    labels = mask.transform((size, size), Image.Transform.AFFINE, data, Image.Resampling.NEAREST)
    values = np.asarray(moved, np.float32) / 255
    gain, gamma = ((1 + most) ** generator.uniform(-1, 1) for most in (STRENGTHS.gain, STRENGTHS.gamma))
    values = 2 * (gain * values**gamma).clip(0, 1) - 1
    there = (points - centre) @ turn.T + shift + centre
    return (
        torch.from_numpy(values)[None],
        torch.from_numpy(there.astype(np.float32)),
        torch.from_numpy(np.asarray(labels, np.int64)),
    )


class ChangedRows(torch.utils.data.Dataset[Batch]):
    """Rows of `datasets` for a `DataLoader`."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows
        self.generator = np.random.default_rng(0)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> Batch:
        return change_row(self.rows[place], self.generator)


def iter_huggingface(rows: Any, epochs: int) -> Iterator[Batch]:
    """Batches by torch's `DataLoader` over `datasets`."""
    loader = torch.utils.data.DataLoader(ChangedRows(rows), batch_size=BATCH, shuffle=True, drop_last=True)
    for _ in range(epochs):
        yield from loader


def iter_webdataset(tars: list[str], count: int, epochs: int) -> Iterator[Batch]:
    """Batches by torch's `DataLoader` over WebDataset's stream."""
    import webdataset

    generator = np.random.default_rng(0)

    def change(row: dict[str, Any]) -> Batch:
        landmarks = row["json"]["landmarks_xy"]
        return change_row({"image": row["png"], "mask": row["mask.png"], "landmarks_xy": landmarks}, generator)

    for _ in range(epochs):
        stream = webdataset.WebDataset(tars, shardshuffle=False).shuffle(count).decode("pill").map(change)
        yield from torch.utils.data.DataLoader(stream, batch_size=BATCH, drop_last=True)


def iter_ours(folder: Path, size: int, epochs: int) -> Iterator[Batch]:
    """Batches as the baselines make them, decoding included."""
    stage = Stage(load_cases(open_images("real", folder), size), 1, augment=STRENGTHS)
    generator = np.random.default_rng(0)
    for epoch in range(epochs):
        order = generator.permutation(len(stage.cases))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            batch = load_batch(stage, order[start : start + BATCH], "cpu", 0, epoch * len(order) + start)
            yield batch.images, batch.landmarks_xy, batch.masks


def write_tars(folder: Path, out: Path) -> list[str]:
    """The same records as WebDataset keeps them."""
    import webdataset

    out.mkdir()
    with webdataset.ShardWriter(str(out / "%05d.tar"), mtime=0, verbose=0) as writer:
        for record in open_dataset(folder).iter_records():
            points = np.asarray(record.landmarks_xy).tolist()
            sample = {"__key__": record.sample_id, "png": record.image, "mask.png": record.mask}
            writer.write(sample | {"json": {"landmarks_xy": points}})
    return sorted(map(str, out.glob("*.tar")))


def run_through(batches: Callable[[], Iterator[Batch]]) -> dict[str, float]:
    """What came, and how bright and how much labelled it was on average."""
    count, bright, labelled, shapes = 0, 0.0, 0.0, ()
    for images, points, masks in batches():
        count += len(images)
        bright += float(images.mean()) * len(images)
        labelled += float((masks > 0).float().mean()) * len(images)
        shapes = (*images.shape[1:], *points.shape[1:])
    return {"count": count, "brightness": bright / count, "labelled": labelled / count, "numbers": math.prod(shapes)}


def compare_loaders(scratch: Path, *, count: int, size: int, epochs: int) -> Comparison:
    """Phantoms of `size` px to augmented batches."""
    folder = scratch / "ds"
    write_dataset(PhantomSource(PhantomRecipe(size=size), count, 0), folder, fractions=(1.0, 0.0, 0.0))
    rows = open_dataset(folder).as_huggingface()["train"]
    tars = write_tars(folder, scratch / "tars")
    runs: dict[str, Callable[[], Iterator[Batch]]] = {
        OURS: lambda: iter_ours(folder, size, epochs),
        "datasets": lambda: iter_huggingface(rows, epochs),
        "webdataset": lambda: iter_webdataset(tars, count, epochs),
    }

    def check(found: dict[str, Any]) -> str:
        ours = found[OURS]
        for name, seen in found.items():
            same = seen["count"] == ours["count"] and seen["numbers"] == ours["numbers"]
            near = (
                abs(seen["brightness"] - ours["brightness"]) < 0.05 and abs(seen["labelled"] - ours["labelled"]) < 0.02
            )
            if not (same and near):
                raise SystemExit(f"{name} gave other batches: {seen}, ours {ours}")
        return f"all gave {ours['count']:,} images, equally bright and equally labelled on average"

    moved = size * size * (1 + 4 + 1 + 8)
    return Comparison(
        unit="image of a batch",
        count=epochs * (count // BATCH) * BATCH,
        work=f"{epochs} epochs of {count} radiographs of {size} px in augmented batches of {BATCH}, with landmarks and "
        "masks; ours decodes once, which is counted",
        candidates={name: functools.partial(run_through, run) for name, run in runs.items()},
        packages={OURS: ("torch",), "datasets": ("datasets", "pillow"), "webdataset": ("webdataset", "pillow")},
        check=check,
        floor=(
            Term(moved, f"{size} x {size} pixels: image read as 1 byte and written as 4, mask as 1 and 8", "memory"),
            Term(size * size / epochs, f"the image's filtered bytes, inflated once in {epochs} epochs", "inflate"),
        ),
    )
