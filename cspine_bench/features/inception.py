"""The Inception of 2015, with clean-fid's resize: the one encoder whose Fréchet distance may be called FID.

clean-fid takes the network from a TorchScript archive, inception-2015-12-05.pt, and resizes each of three equal
channels of a gray image by itself. Here one is resized, and stands for three.

Source: Heusel et al. 2017 (1706.08500) for the distance, Parmar et al. 2022 (2104.11222) for the resize; clean-fid
0.1.35, `resize.py` and `inception_torchscript.py`.
"""

import logging
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from cspine_bench.dataset.files import explain_full_disk
from cspine_bench.errors import CheckpointError, MissingExtraError
from cspine_bench.features.archive_graph import NotUnderstood, load_archive, rebuild_gray
from cspine_bench.features.encoder import Encoder, Resize
from cspine_bench.features.file import OnnxNetwork
from cspine_bench.features.onnx_graph import spell_onnx
from cspine_bench.provenance import sha256_bytes, sha256_file

INCEPTION: Final = "inception-v3"
ARCHIVE_NAME: Final = "inception-2015-12-05.pt"
ARCHIVE_URL: Final = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt"
"""Where clean-fid 0.1.35 fetches it from."""

_SIDE_PX: Final = 299
_DIMENSION: Final = 2048
_LEAST_BYTES: Final = 1_000_000
_WORST_ERROR: Final = 1e-5
"""Relative, of a rebuilt network's features on noise; it was 3e-7 to 4e-7 wherever it was looked at."""

_log = logging.getLogger(__name__)


def _resize_by_pillow(images: NDArray[Any], side: int, device: torch.device) -> torch.Tensor:
    """As clean-fid's `resize_single_channel` does it, to the bit."""
    brightest = np.iinfo(images.dtype).max
    resized = np.empty((len(images), 1, side, side), np.float32)
    for number, image in enumerate(images):
        gray = image.astype(np.float32) if brightest == 255 else image.astype(np.float32) * np.float32(255 / brightest)
        shrunk = Image.fromarray(gray).resize((side, side), Image.Resampling.BICUBIC)
        np.clip(np.asarray(shrunk), 0, 255, out=resized[number, 0])
    return torch.from_numpy(resized).to(device)


PILLOW_BICUBIC: Final = Resize("Pillow's bicubic in floats, cut to 0..255, one channel (clean-fid)", _resize_by_pillow)


def load_inception(device: str = "cpu", *, weights: Path | None = None) -> Encoder:
    """The network whose Fréchet distance is FID.

    Args:
        device: where the network shall be.
        weights: the archive; None: the first of `list_places` that exists, or else clean-fid's download.

    Raises:
        CheckpointError: the archive is nowhere and cannot be fetched, or is not this network; says how to get it.
    """
    path = find_archive() if weights is None else weights
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; it shall be the archive {ARCHIVE_NAME} from {ARCHIVE_URL}")
    return Encoder(
        name=INCEPTION,
        weights_sha256=sha256_file(path),
        input_size_px=_SIDE_PX,
        mean=128.0,
        scale=128.0,
        dimension=_DIMENSION,
        device=torch.device(device),
        network=build_inception(path, device=device).to(device),
        resize=PILLOW_BICUBIC,
    )


def list_places() -> Iterator[Path]:
    """Where the archive is looked for: our cache, clean-fid's folder, and the caches of torch and StyleGAN."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    yield cache / "cspine-bench" / "weights" / ARCHIVE_NAME
    yield Path("/tmp") / ARCHIVE_NAME  # clean-fid's own
    yield Path(os.environ.get("TORCH_HOME") or cache / "torch") / "hub" / "checkpoints" / ARCHIVE_NAME
    stylegan = cache / "dnnlib" / "downloads"
    yield from sorted(stylegan.glob(f"*_{ARCHIVE_NAME}"))


def find_archive() -> Path:
    """The archive from this machine, or from where clean-fid fetches it, into our cache.

    Raises:
        CheckpointError: it is nowhere, and cannot be fetched.
    """
    places = list(list_places())
    found = next((place for place in places if place.is_file()), None)
    if found is not None:
        return found
    path = places[0]
    try:
        with urllib.request.urlopen(ARCHIVE_URL, timeout=60) as answer:
            data: bytes = answer.read()
    except OSError as error:
        raise CheckpointError(
            f"{ARCHIVE_NAME}: not found ({', '.join(map(str, places))}), and {ARCHIVE_URL} cannot be reached "
            f"({error}). Fetch it on another machine and put it to {path}, or name the file: {INCEPTION}:PATH. "
            "Without it there is no FID; a Fréchet distance by another encoder is another figure"
        ) from error
    if len(data) < _LEAST_BYTES:
        raise CheckpointError(f"{ARCHIVE_URL}: gave {len(data)} bytes, which is not the archive; fetch it by hand")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{ARCHIVE_NAME}.{os.getpid()}.{sha256_bytes(data)[:8]}.tmp")
    try:
        with explain_full_disk(path, lambda: len(data)):
            temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


class ThreeChannels(nn.Module):
    """An archive as it is, fed with three equal channels."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.layers = _load_layers(path)

    def __reduce__(self) -> tuple[type["ThreeChannels"], tuple[str]]:
        return ThreeChannels, (self.path,)  # an archive cannot be pickled

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layers(images.expand(-1, 3, -1, -1).contiguous())
        return found.flatten(1)


def build_inception(path: Path, *, device: str = "cpu") -> nn.Module:
    """The network of an archive, in the quickest of three forms that gives the archive's own numbers to rounding.

    On a CPU that is ONNX Runtime where it is installed, else torch with folded batch norms; an archive that is not
    understood, or whose rebuilt network gives other numbers, is used as it is.

    Args:
        path: the archive.
        device: where the network will be.

    Returns:
        From float (N, 1, 299, 299), normalised, to float (N, 2048).

    Raises:
        CheckpointError: the file is no TorchScript archive with `layers`, or gives no 2,048 features.
    """
    archive = ThreeChannels(str(path))
    probe = torch.randn(2, 1, _SIDE_PX, _SIDE_PX, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        try:
            expected = archive(probe)
        except RuntimeError as error:
            raise CheckpointError(f"{path}: does not take an image of 3 x 299 x 299: {_first_line(error)}") from error
        if expected.shape != (2, _DIMENSION):
            raise CheckpointError(f"{path}: gives features {tuple(expected.shape)}, the Inception of FID gives 2,048")
        for build in (_build_for_runtime, _build_for_torch) if device == "cpu" else (_build_for_torch,):
            try:
                rebuilt = build(archive)
            except (NotUnderstood, MissingExtraError) as error:
                _log.info("%s: not taken by %s (%s)", path, build.__name__, error)
                continue
            found = rebuilt(probe.contiguous(memory_format=torch.channels_last))
            if found.shape == expected.shape and (found - expected).norm() <= _WORST_ERROR * expected.norm():
                return rebuilt.eval()
            _log.info("%s: by %s it gives other numbers", path, build.__name__)
    return archive


def _build_for_torch(archive: ThreeChannels) -> nn.Module:
    return rebuild_gray(archive.layers)


def _build_for_runtime(archive: ThreeChannels) -> nn.Module:
    return OnnxNetwork(spell_onnx(rebuild_gray(archive.layers), channels=1, sides=(_SIDE_PX, _SIDE_PX)), archive.path)


def _load_layers(path: str) -> torch.jit.ScriptModule:
    try:
        archive = load_archive(path)
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(f"{path}: is no TorchScript archive ({_first_line(error)})") from error
    layers = getattr(archive, "layers", None)
    if not isinstance(layers, torch.jit.ScriptModule):
        raise CheckpointError(f"{path}: holds no `layers`, as {ARCHIVE_NAME} does; fetch that from {ARCHIVE_URL}")
    return layers


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
