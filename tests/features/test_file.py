"""Encoders from files: the file's numbers come out, and what is not stated or not right is refused."""

import json
import pickle
import re
import struct
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cspine_bench.errors import CheckpointError, MissingExtraError
from cspine_bench.features.encoder import resize_gray
from cspine_bench.features.registry import load_encoder
from cspine_bench.provenance import sha256_file

OPTIONS = {"input_size_px": 16, "channels": 3, "mean": [100.0, 110.0, 120.0], "scale": [50.0, 60.0, 70.0]}


def save_torchscript(path: Path, *layers: torch.nn.Module, evaluated: bool = True) -> Path:
    torch.manual_seed(0)
    network = torch.nn.Sequential(*layers) if layers else torch.nn.Sequential(torch.nn.Conv2d(3, 5, 16))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(network.train(not evaluated)).save(str(path))
    return path


def field(number: int, value: bytes | int | str) -> bytes:
    """A field of a protocol buffer."""

    def vary(value: int) -> bytes:
        return bytes([value]) if value < 128 else bytes([value % 128 + 128]) + vary(value // 128)

    if isinstance(value, int):
        return vary(number << 3) + vary(value)
    data = value.encode() if isinstance(value, str) else value
    return vary(number << 3 | 2) + vary(len(data)) + data


def save_onnx(path: Path, weight: NDArray[np.float32]) -> Path:
    """A model of one convolution, as onnx.proto3 (IR 8, operator set 13) spells it."""

    def spell_value(name: str, *sizes: int | str) -> bytes:
        dims = b"".join(field(1, field(1, s) if isinstance(s, int) else field(2, s)) for s in sizes)
        return field(1, name) + field(2, field(1, field(1, 1) + field(2, dims)))

    node = field(1, "image") + field(1, "weight") + field(2, "features") + field(4, "Conv")
    tensor = b"".join(field(1, size) for size in weight.shape) + field(2, 1) + field(8, "weight")
    tensor += field(9, struct.pack(f"<{weight.size}f", *weight.ravel()))
    graph = field(1, node) + field(2, "graph") + field(5, tensor)
    graph += field(11, spell_value("image", "n", *weight.shape[1:])) + field(
        12, spell_value("features", "n", len(weight), 1, 1)
    )
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13)))
    return path


def expect(images: NDArray[np.uint8], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    gray = resize_gray(images, 16).expand(-1, 3, -1, -1).numpy()
    mean, scale = (np.array(OPTIONS[name], np.float32).reshape(3, 1, 1) for name in ("mean", "scale"))
    return np.einsum("nchw,kchw->nk", (gray - mean) / scale, weight)


@pytest.fixture
def weight() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(5, 3, 16, 16)).astype(np.float32)


@pytest.fixture(params=["torchscript", "onnx"])
def file(request: pytest.FixtureRequest, tmp_path: Path, weight: NDArray[np.float32]) -> str:
    if request.param == "onnx":
        return f"onnx:{save_onnx(tmp_path / 'net.onnx', weight)}"
    convolution = torch.nn.Conv2d(3, 5, 16, bias=False).requires_grad_(False)
    convolution.weight.copy_(torch.from_numpy(weight))
    return f"torchscript:{save_torchscript(tmp_path / 'net.pt', convolution)}"


def test_the_numbers_are_those_of_the_file(file: str, images: NDArray[np.uint8], weight: NDArray[np.float32]) -> None:
    encoder = load_encoder(file, options=OPTIONS)
    path = Path(file.partition(":")[2])
    found = encoder.encode(images)
    assert np.allclose(found, expect(images, weight), rtol=1e-3, atol=1e-3)
    facts = encoder.describe()
    assert facts["name"] == f"{file.partition(':')[0]}:{path.name}" and facts["dimension"] == 5
    assert facts["weights_sha256"] == sha256_file(path)
    assert facts["normalisation"] == "(gray level of 0..255 - (100, 110, 120)) / (50, 60, 70)"
    assert np.array_equal(pickle.loads(pickle.dumps(encoder)).encode(images), found)
    path.with_name(f"{path.name}.json").write_text(json.dumps(OPTIONS))
    assert load_encoder(file).sha256 == encoder.sha256


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": None}, r"options: mean.*: .*; allowed: input_size_px, channels, mean, scale"),
        ({"scale": 0.0}, r"scale.*greater than 0"),
        ({"resize": "bilinear"}, "resize: Extra inputs are not permitted"),
        ({"channels": 1}, "mean and scale have three values, and there is one channel"),
        ({"input_size_px": 12}, r"does not take \(2, 3, 12, 12\)"),
        ({"input_size_px": 20}, r"gives \(2, 5, 5, 5\) for 2 images"),
    ],
    ids=["no mean", "scale 0", "unknown", "channels", "too small", "maps"],
)
def test_wrong_options_are_refused(file: str, change: dict[str, Any], message: str) -> None:
    if file.startswith("onnx:") and "input_size_px" in change:
        message = rf"{message}|does not take"  # the model states its size
    with pytest.raises(CheckpointError, match=message):
        load_encoder(file, options={**OPTIONS, **change})


def test_missing_and_broken_files_are_named(file: str, tmp_path: Path) -> None:
    kind, _, path = file.partition(":")
    with pytest.raises(CheckpointError, match=r"none\.bin: no such file; give the path of a"):
        load_encoder(f"{kind}:{tmp_path / 'none.bin'}")
    with pytest.raises(CheckpointError, match=r"\.json: no such file; it shall say what the network takes"):
        load_encoder(file)
    Path(f"{path}.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"\.json: is no JSON"):
        load_encoder(file)
    Path(path).write_bytes(b"nothing that could be loaded")
    with pytest.raises(CheckpointError, match=r"is no (TorchScript archive|ONNX model)"):
        load_encoder(file, options=OPTIONS)


def test_a_network_in_training_mode_is_refused(tmp_path: Path) -> None:
    layers = (torch.nn.Flatten(), torch.nn.Dropout(0.5))
    path = save_torchscript(tmp_path / "ok.pt", *layers)
    assert load_encoder(f"torchscript:{path}", options=OPTIONS).dimension == 768

    class Centred(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.flatten(1) - images.flatten(1).mean(0, keepdim=True)

    path = save_torchscript(tmp_path / "centred.pt", Centred())
    with pytest.raises(CheckpointError, match="features depend on its batch"):
        load_encoder(f"torchscript:{path}", options=OPTIONS)


def test_a_missing_runtime_is_one_clear_error(
    tmp_path: Path, weight: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_onnx(tmp_path / "net.onnx", weight)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'cspine-bench\[onnx\]'"):
        load_encoder(f"onnx:{path}", options=OPTIONS)


def test_the_examples_of_the_how_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "add-an-encoder.md").read_text(encoding="utf-8")
    save, module = re.findall(r"```py\n(.*?)```", page, flags=re.S)
    [stated] = re.findall(r"```json\n(.*?)```", page, flags=re.S)
    monkeypatch.chdir(tmp_path)
    network = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(16), torch.nn.Flatten())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        exec(save, {"network": network})
    Path("mine.torchscript.pt.json").write_text(stated)
    made: dict[str, Any] = {}
    exec(module, made)
    images = np.random.default_rng(0).integers(0, 256, (3, 128, 128), dtype=np.uint8)
    # The module's network is the one that was saved, so two ways give one answer.
    one, other = made["load_grid"](), load_encoder("torchscript:mine.torchscript.pt")
    assert one.dimension == other.dimension == 256
    assert np.allclose(one.encode(images), other.encode(images), atol=1e-5)
