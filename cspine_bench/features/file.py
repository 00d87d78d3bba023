"""Encoders from files of the user: any TorchScript archive, any ONNX model.

What a file does not say about itself lies beside it, as PATH.json, or is given to the loader:

{"input_size_px": 224, "channels": 3, "mean": [123.675, 116.28, 103.53], "scale": [58.395, 57.12, 57.375]}

`mean` and `scale` are in gray levels of 0..255: (level - mean) / scale goes in. Nothing has a default: another
normalisation gives other features, and nobody would see it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import nn

from cspine_bench.errors import CheckpointError, MissingExtraError
from cspine_bench.features.archive_graph import load_archive
from cspine_bench.features.encoder import Encoder
from cspine_bench.provenance import sha256_file

TORCHSCRIPT: Final = "torchscript"
ONNX: Final = "onnx"

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class FileOptions(BaseModel):
    """How images are brought to the file's network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_size_px: Annotated[int, Field(ge=8, le=4096)]
    channels: Literal[1, 3]
    mean: Finite | tuple[Finite, Finite, Finite]
    scale: Positive | tuple[Positive, Positive, Positive]

    @model_validator(mode="after")
    def _one_value_for_each_channel(self) -> "FileOptions":
        if self.channels == 1 and (isinstance(self.mean, tuple) or isinstance(self.scale, tuple)):
            raise ValueError("mean and scale have three values, and there is one channel")
        return self


def load_file(kind: str, path: Path, *, device: str = "cpu", options: Mapping[str, Any] | None = None) -> Encoder:
    """An encoder from a file.

    Args:
        kind: "torchscript" or "onnx".
        path: the file.
        device: where the network shall be; ONNX models run on the CPU alone.
        options: as in this module's docstring; None: from the file PATH.json.

    Raises:
        CheckpointError: the file or its options are missing, of another kind, or its network gives no feature vectors.
        MissingExtraError: an ONNX model needs the package onnxruntime.
        ValueError: there is no such kind.
    """
    if kind not in (TORCHSCRIPT, ONNX):
        raise ValueError(f"no kind of file is called {kind!r}; there are {TORCHSCRIPT} and {ONNX}")
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; give the path of a file of this kind ({kind})")
    chosen = _read_options(path, options)
    network = (TorchScriptNetwork(str(path)) if kind == TORCHSCRIPT else OnnxNetwork(str(path), str(path))).to(device)
    return Encoder(
        name=f"{kind}:{path.name}",
        weights_sha256=sha256_file(path),
        input_size_px=chosen.input_size_px,
        mean=chosen.mean,
        scale=chosen.scale,
        dimension=_find_dimension(network, path, chosen, device),
        device=torch.device(device),
        network=network,
        channels=chosen.channels,
    )


def _read_options(path: Path, options: Mapping[str, Any] | None) -> FileOptions:
    sidecar = path.with_name(f"{path.name}.json")
    where = str(sidecar) if options is None else f"{path}: options"
    if options is None:
        if not sidecar.is_file():
            raise CheckpointError(
                f"{sidecar}: no such file; it shall say what the network takes, for example "
                '{"input_size_px": 224, "channels": 3, "mean": 127.5, "scale": 127.5} for levels of 0..255'
            )
        try:
            options = json.loads(sidecar.read_text(encoding="utf-8"))
        except ValueError as error:
            raise CheckpointError(f"{where}: is no JSON ({error}); correct it") from error
    try:
        return FileOptions.model_validate(options)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'all'}: {item['msg']}" for item in error.errors())
        raise CheckpointError(f"{where}: {faults}; allowed: {', '.join(FileOptions.model_fields)}") from error


def _find_dimension(network: nn.Module, path: Path, options: FileOptions, device: str) -> int:
    side, channels = options.input_size_px, options.channels
    probe = torch.rand(2, channels, side, side, generator=torch.Generator().manual_seed(0)).to(device)
    with torch.inference_mode():
        try:
            both, first = network(probe), network(probe[:1])
        except (RuntimeError, ValueError) as error:
            words = str(error).strip().splitlines()[-1][:300]
            raise CheckpointError(f"{path}: does not take (2, {channels}, {side}, {side}): {words}") from error
    if both.ndim != 2 or both.shape[0] != 2 or not torch.isfinite(both).all():
        raise CheckpointError(
            f"{path}: gives {tuple(both.shape)} for 2 images (or NaN); an encoder gives (2, D): export its "
            "pooled features"
        )
    if not torch.allclose(both[:1], first, rtol=1e-3, atol=1e-4 * float(both.abs().max())):
        raise CheckpointError(f"{path}: an image's features depend on its batch; export the network in eval mode")
    return int(both.shape[1])


class TorchScriptNetwork(nn.Module):
    """An archive; goes to other processes by its path."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        try:
            self.archive = load_archive(path)
        except (RuntimeError, ValueError) as error:
            raise CheckpointError(f"{path}: is no TorchScript archive; save it with torch.jit.save") from error

    def __reduce__(self) -> tuple[type["TorchScriptNetwork"], tuple[str]]:
        return TorchScriptNetwork, (self.path,)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return _flatten(self.archive(images.contiguous()))


class OnnxNetwork(nn.Module):
    """An ONNX model under ONNX Runtime, with torch's number of threads, on the CPU; its first output counts.

    Args:
        model: its path, or its bytes.
        path: what messages call it.

    Raises:
        MissingExtraError: the package onnxruntime is not installed.
        CheckpointError: this is no ONNX model.
    """

    def __init__(self, model: str | bytes, path: str) -> None:
        super().__init__()
        self.model, self.path = model, path
        try:
            import onnxruntime
            from onnxruntime.capi import onnxruntime_pybind11_state as states
        except ModuleNotFoundError as error:
            raise MissingExtraError("onnxruntime", "onnx") from error
        self._refusals = (states.Fail, states.InvalidArgument, states.RuntimeException)
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = torch.get_num_threads()
        settings.log_severity_level = 4
        try:
            self.session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
        except (
            states.Fail,
            states.InvalidArgument,
            states.InvalidGraph,
            states.InvalidProtobuf,
            states.NotImplemented,
        ) as error:
            raise CheckpointError(f"{path}: is no ONNX model ({str(error).splitlines()[0][:200]})") from error

    def __reduce__(self) -> tuple[type["OnnxNetwork"], tuple[str | bytes, str]]:
        return OnnxNetwork, (self.model, self.path)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        name = self.session.get_inputs()[0].name
        try:
            found = self.session.run(None, {name: images.cpu().contiguous().numpy()})[0]
        except self._refusals as error:
            raise ValueError(str(error)) from error
        return _flatten(torch.from_numpy(found)).to(images.device)


def _flatten(found: Any) -> torch.Tensor:
    if isinstance(found, tuple | list):
        found = found[0]
    tensor: torch.Tensor = found
    return tensor.flatten(1) if tensor.ndim == 4 and tensor.shape[2:] == (1, 1) else tensor
