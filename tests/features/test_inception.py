"""The rebuilt Inception gives what clean-fid's pipeline gives on the same archive, with random weights."""

import pickle
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from inception_archive import save_archive
from numpy.typing import NDArray
from PIL import Image

from cspine_bench.errors import CheckpointError
from cspine_bench.features import inception
from cspine_bench.features.archive_graph import GraphNetwork, NotUnderstood, load_archive, rebuild_gray
from cspine_bench.features.encoder import Encoder
from cspine_bench.features.file import OnnxNetwork
from cspine_bench.features.inception import ARCHIVE_NAME, PILLOW_BICUBIC, ThreeChannels, load_inception
from cspine_bench.features.onnx_graph import spell_onnx


@pytest.fixture(scope="module")
def archive(make_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    def fill(folder: Path) -> None:
        folder.mkdir()
        save_archive(folder / ARCHIVE_NAME)

    return make_once("inception", fill) / ARCHIVE_NAME


@pytest.fixture(scope="module")
def fid_encoder(archive: Path) -> Encoder:
    pytest.importorskip("onnxruntime")
    return load_inception(weights=archive)


def prepare_as_clean_fid(image: NDArray[np.uint8]) -> torch.Tensor:
    """Its `ResizeDataset` with `resize_single_channel`, by the same calls."""
    rgb = np.array(Image.fromarray(image).convert("RGB"))
    resized = []
    for channel in range(3):
        single = Image.fromarray(rgb[:, :, channel].astype(np.float32)).resize((299, 299), Image.Resampling.BICUBIC)
        resized.append(np.asarray(single).clip(0, 255).reshape(299, 299, 1))
    return torch.from_numpy(np.concatenate(resized, axis=2).astype(np.float32).transpose(2, 0, 1).copy())


@pytest.mark.slow  # compares whole networks
def test_features_are_those_of_clean_fid(
    fid_encoder: Encoder, archive: Path, images: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    two = images[:2]
    with torch.inference_mode():
        prepared = torch.stack([prepare_as_clean_fid(image) for image in two])
        expected = load_archive(str(archive)).layers((prepared - 128) / 128).view(2, 2048).numpy()
    assert np.linalg.norm(expected[0] - expected[1]) > 0.01 * np.linalg.norm(expected[0]), "the images do matter"
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    by_torch = load_inception(weights=archive)
    assert isinstance(fid_encoder.network, OnnxNetwork) and isinstance(by_torch.network, GraphNetwork)
    assert len(by_torch.network.convolutions) == 94 and by_torch.sha256 == fid_encoder.sha256
    for encoder in (fid_encoder, by_torch):
        found = encoder.encode(two)
        assert (np.linalg.norm(found - expected, axis=1) < 1e-6 * np.linalg.norm(expected, axis=1)).all()
        assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()
    assert np.array_equal(pickle.loads(pickle.dumps(by_torch)).encode(two), found)
    assert np.array_equal(by_torch.encode(two.astype(np.uint16) * 257), found)


def test_one_channel_is_resized_as_clean_fid_resizes_three(images: NDArray[np.uint8]) -> None:
    for image in (images[0], np.kron(images[1], np.ones((9, 8), np.uint8))):
        found = PILLOW_BICUBIC.apply(image[None], 299, torch.device("cpu"))
        assert torch.equal(found[0].expand(3, -1, -1), prepare_as_clean_fid(image))


@pytest.mark.slow  # a whole network is made, saved and read
def test_it_says_what_it_is_and_goes_to_other_processes(fid_encoder: Encoder, archive: Path) -> None:
    facts = fid_encoder.describe()
    assert (facts["name"], facts["dimension"], facts["input_size_px"]) == ("inception-v3", 2048, 299)
    assert facts["weights_sha256"] == inception.sha256_file(archive)
    assert facts["resize"] == "Pillow's bicubic in floats, cut to 0..255, one channel (clean-fid)"
    assert facts["normalisation"] == "(gray level of 0..255 - 128) / 128"
    copy = pickle.loads(pickle.dumps(fid_encoder))
    assert type(copy.network) is type(fid_encoder.network) and copy.sha256 == fid_encoder.sha256
    shades = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    assert np.array_equal(copy.encode(shades), fid_encoder.encode(shades))


class Odd(torch.nn.Module):
    """Gives 2,048 features by an operation that is not read."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 2048, 3, stride=64)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.conv(images)).mean(dim=[2, 3])


class Normed(torch.nn.Module):
    """Batch norms by function and without weights, means and a flattening: other spellings of the same."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Conv2d(3, 8, 3, bias=False), torch.nn.Conv2d(8, 2048, 3)
        self.register_buffer("mean", torch.randn(8))
        self.register_buffer("variance", torch.rand(8) + 0.5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        first = torch.nn.functional.batch_norm(self.first(images), self.mean, self.variance, None, None, eps=1e-3)
        return torch.flatten(self.second(torch.relu(first)).mean([2, 3], keepdim=True), 1)


def save_layers(path: Path, layers: torch.nn.Module) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(Holder(layers).eval()).save(str(path))
    return path


class Holder(torch.nn.Module):
    def __init__(self, layers: torch.nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)


def test_an_archive_that_is_not_understood_is_used_as_it_is(tmp_path: Path, images: NDArray[np.uint8]) -> None:
    torch.manual_seed(0)
    odd = Odd().eval()
    path = save_layers(tmp_path / "odd.pt", odd)
    with pytest.raises(NotUnderstood, match="aten::sigmoid"):
        rebuild_gray(load_archive(str(path)).layers)
    encoder = load_inception(weights=path)
    assert isinstance(encoder.network, ThreeChannels)
    with torch.inference_mode():
        expected = odd((prepare_as_clean_fid(images[0])[None] - 128) / 128)
    assert np.allclose(encoder.encode(images[:1]), expected.numpy(), rtol=1e-4, atol=1e-6)
    assert np.array_equal(pickle.loads(pickle.dumps(encoder)).encode(images[:1]), encoder.encode(images[:1]))


def test_norms_without_weights_are_folded_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = save_layers(tmp_path / "normed.pt", Normed().eval())
    layers = load_archive(str(path)).layers
    gray = torch.randn(2, 1, 16, 16)
    with torch.inference_mode():
        expected, rebuilt = layers(gray.expand(-1, 3, -1, -1)), rebuild_gray(layers)
        assert torch.allclose(rebuilt(gray), expected, rtol=1e-4, atol=1e-5)


class Pooled(torch.nn.Module):
    """Every setting of convolutions and pools that a graph can hold, and a ReLU and a sum of branches in odd places."""

    def __init__(self, rounds_up: bool = False) -> None:
        super().__init__()
        self.rounds_up = rounds_up
        self.first = torch.nn.Conv2d(3, 8, (5, 3), stride=(2, 1), padding=(1, 2), dilation=(1, 2), bias=False)
        self.groups = torch.nn.Conv2d(8, 8, 3, padding=1, groups=4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        first = self.first(images)
        large = torch.nn.functional.max_pool2d(first, 3, 2, 1, ceil_mode=self.rounds_up)
        small = torch.nn.functional.avg_pool2d(torch.relu(self.groups(first)), 3, 2, 1, count_include_pad=True)
        even = torch.nn.functional.avg_pool2d(first, 3, 2, 1, count_include_pad=False)
        return torch.relu(torch.cat([large, torch.relu(large), small, even], 1)).mean([2, 3])


def test_the_model_for_the_runtime_is_that_of_the_graph(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    layers = load_archive(str(save_layers(tmp_path / "pooled.pt", Pooled().eval()))).layers
    gray = torch.randn(3, 1, 26, 30)
    network = OnnxNetwork(spell_onnx(rebuild_gray(layers), channels=1, sides=(26, 30)), "pooled.pt")
    with torch.inference_mode():
        expected = layers(gray.expand(-1, 3, -1, -1))
        assert expected.shape == (3, 32)
        assert torch.allclose(network(gray), expected, rtol=1e-4, atol=1e-5)
        assert torch.allclose(network(gray[:1]), expected[:1], rtol=1e-4, atol=1e-5)
    layers = load_archive(str(save_layers(tmp_path / "up.pt", Pooled(rounds_up=True).eval()))).layers
    with pytest.raises(NotUnderstood, match="rounded up"):
        spell_onnx(rebuild_gray(layers), channels=1, sides=(26, 30))


def test_what_is_not_the_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("no archive")
    with pytest.raises(CheckpointError, match=r"text\.pt: is no TorchScript archive"):
        load_inception(weights=tmp_path / "text.pt")
    with pytest.raises(CheckpointError, match=r"none\.pt: no such file; it shall be the archive inception-2015-12-05"):
        load_inception(weights=tmp_path / "none.pt")
    small = save_layers(tmp_path / "small.pt", torch.nn.Conv2d(3, 8, 299))
    with pytest.raises(CheckpointError, match=r"gives features \(2, 8\), the Inception of FID gives 2,048"):
        load_inception(weights=small)


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TORCH_HOME", raising=False)
    if (Path("/tmp") / ARCHIVE_NAME).exists():
        pytest.skip("clean-fid has left its archive on this machine")
    return tmp_path / "cache"


def test_missing_weights_stop_and_say_how_to_get_them(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inception, "ARCHIVE_URL", "http://127.0.0.1:9/archive.pt")  # nothing listens there
    with pytest.raises(CheckpointError, match=r"not found .* cannot be reached .* put it to .*, or name the file"):
        load_inception()
    assert not list(empty_cache.rglob("*.tmp"))


def test_weights_are_fetched_once_into_the_cache(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "there.pt"
    archive.write_bytes(bytes(range(256)) * 10_000)
    monkeypatch.setattr(inception, "ARCHIVE_URL", archive.as_uri())
    kept = inception.find_archive()
    assert kept == empty_cache / "cspine-bench" / "weights" / ARCHIVE_NAME
    assert kept.read_bytes() == archive.read_bytes()
    monkeypatch.setattr(inception, "ARCHIVE_URL", "http://127.0.0.1:9/archive.pt")
    assert inception.find_archive() == kept
