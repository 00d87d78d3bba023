"""The Inception of 2015 as clean-fid gets it: a TorchScript archive with `layers`, with random weights.

The real archive cannot lie in a repository. Its architecture can: Szegedy et al. 2015 (1512.00567), with the two traits
of the TensorFlow graph: average pools that do not count the padding, and a maximum pool in the last block.
"""

import warnings
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional


class Convolution(nn.Module):
    """A convolution without bias, batch norm, ReLU."""

    def __init__(
        self,
        before: int,
        after: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(after, eps=1e-3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.bn(self.conv(images)))


def average(images: torch.Tensor) -> torch.Tensor:
    return functional.avg_pool2d(images, 3, 1, 1, False, False)


class BlockA(nn.Module):
    def __init__(self, before: int, pooled: int) -> None:
        super().__init__()
        self.one = Convolution(before, 64, 1)
        self.five = nn.Sequential(Convolution(before, 48, 1), Convolution(48, 64, 5, padding=2))
        self.three = nn.Sequential(
            Convolution(before, 64, 1), Convolution(64, 96, 3, padding=1), Convolution(96, 96, 3, padding=1)
        )
        self.pool = Convolution(before, pooled, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.one(images), self.five(images), self.three(images), self.pool(average(images))], 1)


class BlockB(nn.Module):
    def __init__(self, before: int) -> None:
        super().__init__()
        self.three = Convolution(before, 384, 3, 2)
        self.deep = nn.Sequential(
            Convolution(before, 64, 1), Convolution(64, 96, 3, padding=1), Convolution(96, 96, 3, 2)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.three(images), self.deep(images), functional.max_pool2d(images, 3, 2)], 1)


class BlockC(nn.Module):
    def __init__(self, inner: int) -> None:
        super().__init__()
        row, column = {"kernel": (1, 7), "padding": (0, 3)}, {"kernel": (7, 1), "padding": (3, 0)}
        self.one = Convolution(768, 192, 1)
        self.seven = nn.Sequential(
            Convolution(768, inner, 1), Convolution(inner, inner, **row), Convolution(inner, 192, **column)
        )
        self.deep = nn.Sequential(
            Convolution(768, inner, 1), Convolution(inner, inner, **column), Convolution(inner, inner, **row),
            Convolution(inner, inner, **column), Convolution(inner, 192, **row),
        )  # fmt: skip
        self.pool = Convolution(768, 192, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.one(images), self.seven(images), self.deep(images), self.pool(average(images))], 1)


class BlockD(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.three = nn.Sequential(Convolution(768, 192, 1), Convolution(192, 320, 3, 2))
        self.seven = nn.Sequential(
            Convolution(768, 192, 1), Convolution(192, 192, (1, 7), padding=(0, 3)),
            Convolution(192, 192, (7, 1), padding=(3, 0)), Convolution(192, 192, 3, 2),
        )  # fmt: skip

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.three(images), self.seven(images), functional.max_pool2d(images, 3, 2)], 1)


class BlockE(nn.Module):
    def __init__(self, before: int, maximum: bool) -> None:
        super().__init__()
        self.maximum = maximum
        self.one = Convolution(before, 320, 1)
        self.first = Convolution(before, 384, 1)
        self.first_row = Convolution(384, 384, (1, 3), padding=(0, 1))
        self.first_column = Convolution(384, 384, (3, 1), padding=(1, 0))
        self.second = nn.Sequential(Convolution(before, 448, 1), Convolution(448, 384, 3, padding=1))
        self.second_row = Convolution(384, 384, (1, 3), padding=(0, 1))
        self.second_column = Convolution(384, 384, (3, 1), padding=(1, 0))
        self.pool = Convolution(before, 192, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        first, second = self.first(images), self.second(images)
        pooled = functional.max_pool2d(images, 3, 1, 1) if self.maximum else average(images)
        firsts = torch.cat([self.first_row(first), self.first_column(first)], 1)
        seconds = torch.cat([self.second_row(second), self.second_column(second)], 1)
        return torch.cat([self.one(images), firsts, seconds, self.pool(pooled)], 1)


class Inception(nn.Module):
    """From float (N, 3, 299, 299), normalised, to (N, 2048, 1, 1) by `layers`."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            Convolution(3, 32, 3, 2), Convolution(32, 32, 3), Convolution(32, 64, 3, padding=1), nn.MaxPool2d(3, 2),
            Convolution(64, 80, 1), Convolution(80, 192, 3), nn.MaxPool2d(3, 2),
            BlockA(192, 32), BlockA(256, 64), BlockA(288, 64), BlockB(288),
            BlockC(128), BlockC(160), BlockC(160), BlockC(192), BlockD(),
            BlockE(1280, False), BlockE(2048, True), nn.AdaptiveAvgPool2d(1),
        )  # fmt: skip

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers((images - 128) / 128).flatten(1)


def build_inception(seed: int = 0) -> Inception:
    """Random weights that keep the size of the signal, and batch norms that have something to fold."""
    network = Inception().eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_in = module.weight[0].numel()
            module.weight.copy_(torch.randn(module.weight.shape, generator=generator) * (2 / fan_in) ** 0.5)
        elif isinstance(module, nn.BatchNorm2d):
            module.weight.uniform_(0.8, 1.2, generator=generator)
            module.bias.uniform_(-0.1, 0.1, generator=generator)
            module.running_mean.uniform_(-0.1, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return network


def save_archive(path: Path, seed: int = 0) -> None:
    """Write the archive that clean-fid would load."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript as a whole, which others still publish in
        torch.jit.script(build_inception(seed)).save(str(path))
