"""From PNG files to Inception features: what does an image cost, beside clean-fid on the same files and weights?

    python benchmarks/speed/features.py [--count 16] [--size 256] [--repeats 3] [--weights ARCHIVE]

Without `--weights` the archive has random weights of the true architecture: the cost is the same. clean-fid 0.1.35 is
installed with `--no-deps` (it asks for torchvision, which breaks other packages here); its modules `resize` and
`inception_torchscript` are imported as they are, and the few lines of its `ResizeDataset`, which needs torchvision for
`ToTensor` alone, are written out below. One process, one thread, all in turn within each repeat; the first warms up.
Ours goes the whole way, through a dataset folder and an empty store, with every hash; then once more, from the store.
It runs under ONNX Runtime where that is installed; `ours_torch` is the same without it.
"""

import argparse
import importlib.util
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.report import RESULTS, describe_setting, format_spread, spell_command, spread, write_result
from cspine_bench.dataset.read import open_dataset
from cspine_bench.dataset.write import write_dataset
from cspine_bench.features.archive_graph import rebuild_gray
from cspine_bench.features.encoder import Encoder
from cspine_bench.features.extract import encode_dataset
from cspine_bench.features.inception import ARCHIVE_NAME, ThreeChannels, load_inception
from cspine_bench.sources.phantom.recipe import PhantomRecipe
from cspine_bench.sources.phantom.source import PhantomSource

RESULT = RESULTS / "speed_features.json"
PEER_BATCH = 8
"""The fastest on a CPU of those tried: 8 and 32."""


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
    path = Path(__file__).parents[2] / "tests" / "features" / "inception_archive.py"
    spec = importlib.util.spec_from_file_location("inception_archive", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["inception_archive"] = module  # TorchScript looks its source up by name
    spec.loader.exec_module(module)
    module.save_archive(folder / ARCHIVE_NAME)
    return folder / ARCHIVE_NAME


def time_call(call: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    """CPU-seconds of this process, and what the call gave."""
    begun = time.process_time()
    found = call()
    return time.process_time() - begun, found


def measure(dataset: Path, archive: Path, encoder: Encoder, repeats: int) -> dict[str, Any]:
    files = [record.image for record in open_dataset(dataset).iter_records(columns=("image",))]
    peer = build_peer(archive.parent)
    by_torch = replace(encoder, network=rebuild_gray(ThreeChannels(str(archive)).layers).eval())
    seconds: dict[str, list[float]] = {"clean_fid": [], "ours": [], "ours_torch": [], "ours_known": []}
    for repeat in range(repeats + 1):
        with tempfile.TemporaryDirectory() as store, tempfile.TemporaryDirectory() as other:
            runs = {
                "clean_fid": lambda: peer(files),
                "ours": lambda store=store: encode_dataset(dataset, encoder, Path(store)).values,
                "ours_torch": lambda other=other: encode_dataset(dataset, by_torch, Path(other)).values,
                "ours_known": lambda store=store: encode_dataset(dataset, encoder, Path(store)).values,
            }
            found = {}
            for name, run in runs.items():
                taken, found[name] = time_call(run)
                if repeat:
                    seconds[name].append(taken / len(files))
    expected = found.pop("clean_fid")
    errors = {
        name: float((np.linalg.norm(values - expected, axis=1) / np.linalg.norm(expected, axis=1)).max())
        for name, values in found.items()
    }
    return {
        "network": type(encoder.network).__name__,
        "cpu_seconds_per_image": {name: spread(values) for name, values in seconds.items()},
        "ratio_clean_fid_over_ours": compare(seconds["clean_fid"], seconds["ours"]),
        "ratio_clean_fid_over_ours_torch": compare(seconds["clean_fid"], seconds["ours_torch"]),
        "largest_relative_error": errors,
    }


def compare(theirs: Sequence[float], ours: Sequence[float]) -> dict[str, float]:
    return spread([their / our for their, our in zip(theirs, ours, strict=True)])


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--weights", type=Path, help=f"a real {ARCHIVE_NAME}")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(PhantomSource(PhantomRecipe(size=options.size), options.count, 0), Path(folder) / "ds")
        archive = make_archive(Path(folder)) if options.weights is None else options.weights
        encoder = load_inception(weights=archive)
        figures = measure(Path(folder) / "ds", archive, encoder, options.repeats)
    for name, found in figures["cpu_seconds_per_image"].items():
        print(f"{name:12} {format_spread({key: value * 1000 for key, value in found.items()})} CPU-ms an image")
    print(f"ratio        {format_spread(figures['ratio_clean_fid_over_ours'], 2)}")
    print(f"error        {figures['largest_relative_error']['ours']:.1e}")
    document = {
        "command": spell_command("benchmarks/speed/features.py", words),
        "settings": {"count": options.count, "size": options.size, "random_weights": options.weights is None},
        "encoder": encoder.describe(),
        **figures,
        **describe_setting("cpu", ("numpy", "torch", "pillow", "clean-fid", "onnxruntime")),
    }
    write_result(options.out, json.loads(json.dumps(document)))


if __name__ == "__main__":
    main()
