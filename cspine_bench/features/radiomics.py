"""Radiomics as features, without weights: first-order statistics, texture of gray levels that lie side by side, detail.

Computed on the whole image at its own size, for 8 and 16 bits alike: gray levels are shares of the full scale, and the
texture's 32 levels span the image's own range between its 1st and 99th percentile.

Source: first-order and co-occurrence features as the Image Biomarker Standardisation Initiative defines them
(Zwanenburg
et al. 2020, 1612.07003), for whole 2-D images, symmetric matrices, the mean over four directions; Haralick 1973.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from cspine_bench.features.encoder import NATIVE, Encoder

RADIOMICS: Final = "radiomics"
NUM_LEVELS: Final = 32
DISTANCES_PX: Final = (1, 2, 4)
_DIRECTIONS: Final = ((0, 1), (1, 1), (1, 0), (1, -1))
_NUM_SCALES: Final = 4
_PERCENTILES: Final = (1, 5, 10, 25, 50, 75, 90, 95, 99)

FIRST_ORDER: Final = (
    "mean", "standard_deviation", "skewness", "excess_kurtosis", "entropy_bits", "uniformity", "root_mean_square",
    "mean_absolute_deviation", "minimum", "maximum", *(f"percentile_{share}" for share in _PERCENTILES),
)  # fmt: skip
TEXTURE: Final = (
    "contrast", "dissimilarity", "inverse_difference_moment", "angular_second_moment", "joint_entropy_bits",
    "correlation", "cluster_shade", "cluster_prominence",
)  # fmt: skip
DETAIL: Final = ("horizontal", "vertical", "diagonal")

FEATURE_NAMES: Final = (
    *FIRST_ORDER,
    *(f"{name}_at_{distance}_px" for distance in DISTANCES_PX for name in TEXTURE),
    *(f"log10_{name}_detail_at_{2**scale}_px" for scale in range(_NUM_SCALES) for name in DETAIL),
)
"""Name of each feature, in order."""


def load_radiomics(device: str = "cpu") -> Encoder:
    """The encoder of named statistics. It works on the CPU, whatever `device` says of the tensors."""
    return Encoder(
        name=RADIOMICS,
        weights_sha256=None,
        input_size_px=None,
        mean=0.0,
        scale=255.0,
        dimension=len(FEATURE_NAMES),
        device=torch.device(device),
        network=_describe_all,
        resize=NATIVE,
        own_units=True,
    )


def _describe_all(images: torch.Tensor) -> torch.Tensor:
    rows = [describe_image(image) for image in images[:, 0].cpu().numpy()]
    return torch.from_numpy(np.stack(rows).astype(np.float32)).to(images.device)


def describe_image(gray: NDArray[np.floating]) -> NDArray[np.float64]:
    """The features of one image, in the order of `FEATURE_NAMES`.

    Args:
        gray: float (height, width), 0..1 of the full scale.

    Returns:
        float64 (len(FEATURE_NAMES),), finite. What is not defined for an image of one gray level is 0 (correlation: 1);
        so is the detail of a scale that the image is too small for, and the texture at such a distance.
    """
    values = gray.astype(np.float64)
    levels = _quantise(values)
    texture = [describe_texture(count_pairs(levels, distance)) for distance in DISTANCES_PX]
    return np.concatenate([describe_first_order(values), *texture, _describe_detail(values)])


def describe_first_order(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Statistics of gray levels that do not ask where they are, in the order of `FIRST_ORDER`."""
    mean, deviation = values.mean(), values.std()
    standard = (values - mean) / deviation if deviation > 0 else np.zeros_like(values)
    shares = np.bincount(np.clip(values * 256, 0, 255).astype(np.int64).ravel(), minlength=256) / values.size
    kurtosis = (standard**4).mean() - 3 if deviation > 0 else 0.0
    spread = [(standard**3).mean(), kurtosis, _entropy(shares), (shares**2).sum(), np.sqrt((values**2).mean())]
    ends = [np.abs(values - mean).mean(), values.min(), values.max(), *np.percentile(values, _PERCENTILES)]
    return np.array([mean, deviation, *spread, *ends])


def _quantise(values: NDArray[np.float64]) -> NDArray[np.int64]:
    low, high = np.percentile(values, (1, 99))
    if high <= low:
        low, high = values.min(), values.max()
    if high <= low:
        return np.zeros(values.shape, np.int64)
    levels: NDArray[np.int64] = np.clip((values - low) / (high - low) * NUM_LEVELS, 0, NUM_LEVELS - 1).astype(np.int64)
    return levels


def count_pairs(
    levels: NDArray[np.int64], distance_px: int, *, num_levels: int = NUM_LEVELS
) -> list[NDArray[np.float64]]:
    """Symmetric co-occurrence matrices of the four directions.

    Args:
        levels: int (height, width), 0 to num_levels - 1.
        distance_px: between the two pixels of a pair, along rows and columns.
        num_levels: side of a matrix.

    Returns:
        Up to four float64 (num_levels, num_levels), each of sum 1; fewer where the image is too small.
    """
    height, width = levels.shape
    matrices = []
    for down, right in _DIRECTIONS:
        dy, dx = down * distance_px, right * distance_px
        if dy >= height or abs(dx) >= width:
            continue
        first = levels[: height - dy, max(-dx, 0) : width - max(dx, 0)]
        second = levels[dy:, max(dx, 0) : width - max(-dx, 0)]
        counts = np.bincount((first * num_levels + second).ravel(), minlength=num_levels**2)
        matrix = counts.reshape(num_levels, num_levels).astype(np.float64)
        matrix += matrix.T
        matrices.append(matrix / matrix.sum())
    return matrices


def describe_texture(matrices: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Mean over directions of the features of co-occurrence matrices, in the order of `TEXTURE`."""
    if not matrices:
        return np.zeros(len(TEXTURE))
    return np.asarray(np.mean([_describe_matrix(matrix) for matrix in matrices], axis=0), np.float64)


def _describe_matrix(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    i, j = np.indices(matrix.shape)
    mean = (i * matrix).sum()  # equal for rows and columns of a symmetric matrix
    variance = ((i - mean) ** 2 * matrix).sum()
    together = ((i - mean) * (j - mean) * matrix).sum()
    cluster = i + j - 2 * mean
    return np.array(
        [
            ((i - j) ** 2 * matrix).sum(),
            (np.abs(i - j) * matrix).sum(),
            (matrix / (1 + (i - j) ** 2)).sum(),
            (matrix**2).sum(),
            _entropy(matrix),
            together / variance if variance > 1e-12 else 1.0,
            (cluster**3 * matrix).sum(),
            (cluster**4 * matrix).sum(),
        ]
    )


def _entropy(shares: NDArray[np.float64]) -> float:
    present = shares[shares > 0]
    return float(-(present * np.log2(present)).sum())


def _describe_detail(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean squares of the Haar details, scale by scale; as logarithms, with a floor below one level of 16 bits."""
    found = []
    for _ in range(_NUM_SCALES):
        height, width = values.shape[0] // 2 * 2, values.shape[1] // 2 * 2
        if not height or not width:
            found += [0.0, 0.0, 0.0]
            continue
        even = values[:height, :width]
        a, b, c, d = even[::2, ::2], even[::2, 1::2], even[1::2, ::2], even[1::2, 1::2]
        details = (a - b + c - d, a + b - c - d, a - b - c + d)
        found += [float(np.log10(((detail / 4) ** 2).mean() + 1e-12)) for detail in details]
        values = (a + b + c + d) / 4
    return np.array(found)
