"""From PNG files to Inception features, beside clean-fid on the same files and weights; `compare_all.py` times them.

The archive has random weights of the true architecture: the cost is the same. clean-fid is installed with `--no-deps`
(it asks for torchvision, which breaks other packages here); its modules `resize` and `inception_torchscript` are
imported as they are, and the few lines of its `ResizeDataset`, which needs torchvision for `ToTensor` alone, are
written out below. Ours goes the whole way, through a dataset folder and an empty store, with every hash; then once
more, from the store. It runs under ONNX Runtime where that is installed; "by torch" is the same without it.
"""

import io
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.speed.comparison import OURS, Comparison, Term, load_test_module
from cspine_bench.dataset.read import open_dataset
from cspine_bench.dataset.write import write_dataset
from cspine_bench.features.archive_graph import rebuild_gray
from cspine_bench.features.encoder import Encoder
from cspine_bench.features.extract import encode_dataset
from cspine_bench.features.inception import ARCHIVE_NAME, ThreeChannels, load_inception
from cspine_bench.sources.phantom.recipe import PhantomRecipe
from cspine_bench.sources.phantom.source import PhantomSource

PEER_BATCH = 8
"""The fastest on a CPU of those tried: 8 and 32."""
LARGEST_ERROR = 1e-5
INPUT_PX = 299


def build_peer(folder: Path) -> Callable[[Sequence[bytes]], np.ndarray]:
    """clean-fid's pipeline, mode "clean", over PNG files in memory."""
    from cleanfid.inception_torchscript import InceptionV3W
    from cleanfid.resize import build_resizer

    network, resize = InceptionV3W(str(folder), download=False), build_resizer("clean")

    def encode(files: Sequence[bytes]) -> np.ndarray:
        found = []
        for start in range(0, len(files), PEER_BATCH):
            images = [
                np.array(Image.open(io.BytesIO(file)).convert("RGB")) for file in files[start : start + PEER_BATCH]
            ]
            # ToTensor of a float image: to channels first, contiguous.
            tensors = [torch.from_numpy(resize(image).transpose(2, 0, 1)).contiguous() for image in images]
            with torch.no_grad():
                found.append(network(torch.stack(tensors)).numpy())
        return np.concatenate(found)

    return encode


def make_archive(folder: Path) -> Path:
    """Random weights of the true architecture, as the tests make them."""
    load_test_module("features/inception_archive.py").save_archive(folder / ARCHIVE_NAME)
    return folder / ARCHIVE_NAME


def count_operations(network: torch.nn.Module, image: torch.Tensor) -> int:
    """Of the convolutions in one forward pass, a multiplication and an addition counted as two.

    Not by torch's counter, which does not know the fused operations.
    """
    total = 0

    def add(module: torch.nn.Module, _: Any, output: torch.Tensor) -> None:
        nonlocal total
        [kernel] = [value for value in module.state_dict().values() if value.ndim == 4]
        total += 2 * kernel.numel() * output.shape[-2] * output.shape[-1]

    hooks = [module.register_forward_hook(add) for module in network.convolutions]
    with torch.no_grad():
        network(image)
    for hook in hooks:
        hook.remove()
    return total


def compare_features(scratch: Path, *, count: int, size: int) -> Comparison:
    """Phantoms of `size` px to 2,048 features each."""
    write_dataset(PhantomSource(PhantomRecipe(size=size), count, 0), scratch / "ds")
    archive = make_archive(scratch)
    encoder = load_inception(weights=archive)
    gray = rebuild_gray(ThreeChannels(str(archive)).layers).eval()
    by_torch = replace(encoder, network=gray)
    files = [record.image for record in open_dataset(scratch / "ds").iter_records(columns=("image",))]
    peer = build_peer(scratch)
    known = scratch / "known"
    encode_dataset(scratch / "ds", encoder, known)

    def encode_afresh(chosen: Encoder) -> np.ndarray:
        with tempfile.TemporaryDirectory(dir=scratch) as store:
            return encode_dataset(scratch / "ds", chosen, Path(store)).values

    def check(found: dict[str, Any]) -> str:
        expected = found["clean-fid"]
        errors = [
            float((np.linalg.norm(values - expected, axis=1) / np.linalg.norm(expected, axis=1)).max())
            for values in found.values()
        ]
        if max(errors) > LARGEST_ERROR:
            raise SystemExit(f"features differ from clean-fid's by {max(errors):.1e} of their length")
        return f"features differ by {max(errors):.0e} of their length at most"

    flops = count_operations(gray, torch.zeros(1, 1, INPUT_PX, INPUT_PX))
    return Comparison(
        unit="radiograph",
        count=count,
        work=f"PNG files of {size} px to {INPUT_PX} px by clean-fid's resize, and through its Inception; ours from a "
        "dataset folder, with hashes, into a store",
        candidates={
            OURS: lambda: encode_afresh(encoder),
            "clean-fid": lambda: peer(files),
            "ours by torch": lambda: encode_afresh(by_torch),
            "ours, from its store": lambda: np.array(encode_dataset(scratch / "ds", encoder, known).values),
        },
        packages={OURS: ("onnxruntime",), "clean-fid": ("clean-fid", "torch"), "ours by torch": ("torch",)},
        check=check,
        floor=(Term(flops, f"{flops:.3g} operations of the network for one channel", "float32"),),
        notes={"random_weights": True, "network": type(encoder.network).__name__},
    )
