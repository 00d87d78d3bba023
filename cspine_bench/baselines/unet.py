"""The network of every baseline: one U-Net trunk, and a head for each kind of answer."""

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class NetworkShape:
    """Of a `Unet`.

    Attributes:
        size: side of an image, px.
        unshuffle: side of a block of pixels.
        widths: channels of each level, multiples of 8.
        in_channels: of an image.
    """

    size: int
    unshuffle: int
    widths: tuple[int, ...]
    in_channels: int = 1

    @property
    def deepest_side(self) -> int:
        """Side of the deepest map."""
        return self.size // (self.unshuffle << (len(self.widths) - 1))


class Unet(nn.Module):
    """A U-Net on blocks of pixels, small enough to learn on a CPU. Source: Ronneberger et al. 2015 (1505.04597).

    Each level has two convolutions with group normalisation; levels are joined by skips that are concatenated.

    Args:
        shape: of the network.
    """

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.shape = shape
        widths = shape.widths
        channels = shape.in_channels * shape.unshuffle**2
        self.down = nn.ModuleList(
            _Convolutions(before, after) for before, after in zip((channels, *widths), widths, strict=False)
        )
        self.up = nn.ModuleList(
            _Convolutions(below + width, width) for below, width in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features of images, float (B, in_channels, S, S).

        Returns:
            Dense ones, (B, widths[0], S / unshuffle, S / unshuffle), and the deepest ones, (B, widths[-1], s, s).
        """
        features = nn.functional.pixel_unshuffle(images, self.shape.unshuffle)
        skips = []
        for number, level in enumerate(self.down):
            features = level(features if number == 0 else nn.functional.avg_pool2d(features, 2))
            skips.append(features)
        deep = skips.pop()
        dense = deep
        for level in self.up:
            dense = level(torch.cat([nn.functional.interpolate(dense, scale_factor=2.0), skips.pop()], dim=1))
        return dense, deep


class DenseHead(nn.Module):
    """An answer for every pixel: float (B, out_channels, S, S) from the dense features."""

    def __init__(self, shape: NetworkShape, out_channels: int) -> None:
        super().__init__()
        self.unshuffle = shape.unshuffle
        self.project = nn.Conv2d(shape.widths[0], out_channels * shape.unshuffle**2, 1)

    def forward(self, dense: torch.Tensor, deep: torch.Tensor) -> torch.Tensor:
        """From the trunk's two results."""
        return nn.functional.pixel_shuffle(self.project(dense), self.unshuffle)


class PooledHead(nn.Module):
    """An answer for the whole image: float (B, out_features) from the mean and the greatest of the deepest features."""

    def __init__(self, shape: NetworkShape, out_features: int) -> None:
        super().__init__()
        self.project = nn.Linear(2 * shape.widths[-1], out_features)

    def forward(self, dense: torch.Tensor, deep: torch.Tensor) -> torch.Tensor:
        """From the trunk's two results."""
        answer: torch.Tensor = self.project(torch.cat([deep.mean(dim=(2, 3)), deep.amax(dim=(2, 3))], dim=1))
        return answer


class PlacedHead(nn.Module):
    """An answer for the whole image that depends on where things lie: float (B, out_features)."""

    def __init__(self, shape: NetworkShape, out_features: int) -> None:
        super().__init__()
        width, side = shape.widths[-1], shape.deepest_side
        self.project = nn.Sequential(
            nn.Flatten(), nn.Linear(width * side**2, 2 * width), nn.SiLU(), nn.Linear(2 * width, out_features)
        )

    def forward(self, dense: torch.Tensor, deep: torch.Tensor) -> torch.Tensor:
        """From the trunk's two results."""
        answer: torch.Tensor = self.project(deep)
        return answer


class TaskNetwork(nn.Module):
    """A trunk and a head; arms exchange the head and keep the trunk.

    Args:
        trunk: the U-Net.
        head: called with the trunk's two results.
    """

    def __init__(self, trunk: Unet, head: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = head

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The head's answer for images, float (B, 1, S, S) in -1..1."""
        answer: torch.Tensor = self.head(*self.trunk(images))
        return answer


class _Convolutions(nn.Sequential):
    def __init__(self, before: int, after: int) -> None:
        super().__init__(
            nn.Conv2d(before, after, 3, padding=1, bias=False),
            nn.GroupNorm(8, after),
            nn.SiLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.GroupNorm(8, after),
            nn.SiLU(),
        )
