"""The network of quality screening: the U-Net with fine detail as a second channel, and statistics beside its features.

Normalised features keep shapes and lose amounts; how much noise, blur or clipping there is, is an amount. Statistics of
natural scenes serve the same end in Mittal, Moorthy, Bovik 2012, IEEE Transactions on Image Processing 21, 4695-4708.
"""

from dataclasses import replace
from typing import Final

import torch
from torch import nn

from cspine_bench.baselines.unet import NetworkShape, TaskNetwork, Unet

_DETAIL_GAIN: Final = 8.0
_QUANTILES: Final = (0.0, 0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98, 1.0)
_SCALES: Final = 3
NUM_STATISTICS: Final = 2 + len(_QUANTILES) + 4 * _SCALES


class DetailUnet(Unet):
    """A U-Net that also sees how far each pixel is from the mean of its 3 x 3 neighbours.

    Args:
        shape: of the network, for images of one channel.
    """

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__(replace(shape, in_channels=2))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features of images, float (B, 1, S, S); see `Unet`."""
        around = nn.functional.avg_pool2d(nn.functional.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)
        detail = _DETAIL_GAIN * (images - around).abs().clamp(max=2 / _DETAIL_GAIN)
        return super().forward(torch.cat([images, detail], dim=1))


class QualityHead(nn.Module):
    """Answers for the whole image: float (B, out_features), from features, and from statistics of the gray levels.

    Args:
        shape: of the trunk.
        out_features: numbers for each image.
    """

    def __init__(self, shape: NetworkShape, out_features: int) -> None:
        super().__init__()
        width = 2 * (shape.widths[0] + shape.widths[-1]) + NUM_STATISTICS
        self.project = nn.Sequential(nn.Linear(width, 64), nn.SiLU(), nn.Linear(64, out_features))

    def forward(self, dense: torch.Tensor, deep: torch.Tensor, statistics: torch.Tensor) -> torch.Tensor:
        """From the trunk's two results, and `measure_gray_levels`."""
        pooled = [part for plane in (dense, deep) for part in (plane.mean(dim=(2, 3)), plane.amax(dim=(2, 3)))]
        answer: torch.Tensor = self.project(torch.cat([*pooled, statistics], dim=1))
        return answer


class QualityNetwork(TaskNetwork):
    """A trunk and a head that is also told the statistics of the gray levels.

    Args:
        shape: of the trunk.
        out_features: numbers for each image.
    """

    def __init__(self, shape: NetworkShape, out_features: int) -> None:
        super().__init__(DetailUnet(shape), QualityHead(shape, out_features))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The head's answer for images, float (B, 1, S, S) in -1..1."""
        answer: torch.Tensor = self.head(*self.trunk(images), measure_gray_levels(images))
        return answer


def measure_gray_levels(images: torch.Tensor) -> torch.Tensor:
    """Mean, spread and quantiles of the gray levels; and at three scales, each half of the one before, the logarithms
    of mean and median second difference along both axes.

    Args:
        images: float (B, 1, S, S), -1..1; S at least 12.

    Returns:
        float32 (B, NUM_STATISTICS).
    """
    gray = images[:, 0].float()
    shares = torch.tensor(_QUANTILES, device=gray.device)
    # torch's quantiles take 16 million values at most: no image here has as many.
    found = [gray.mean(dim=(1, 2)), gray.std(dim=(1, 2)), *torch.quantile(gray.flatten(1), shares, dim=1)]
    for _ in range(_SCALES):
        for axis in (1, 2):
            bend = gray.diff(n=2, dim=axis).abs().flatten(1)
            found += [_scale_log(bend.mean(dim=1)), _scale_log(bend.median(dim=1).values)]
        gray = nn.functional.avg_pool2d(gray[:, None], 2)[:, 0]
    return torch.stack(found, dim=1)


def _scale_log(bend: torch.Tensor) -> torch.Tensor:
    """About -1..1 for second differences of 0.002 to 0.8 in gray levels of -1..1."""
    return (torch.log(bend + 1e-3) + 3) / 3
