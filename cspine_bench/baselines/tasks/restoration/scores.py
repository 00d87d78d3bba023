"""Scores of restored radiographs: of each image, by region, averaged over images."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from cspine_bench.baselines.cases import NOT_ANNOTATED, Cases
from cspine_bench.baselines.task import Score
from cspine_bench.metrics.structural_similarity import WINDOW_PX, structural_similarity_map
from cspine_bench.metrics.weighted import weighted_mean

OUTLINE_PX: Final = 3.0
"""Half the width of the band about a vertebra's outline."""
WHOLE: Final = "all"

Regions = Mapping[str, NDArray[np.bool_]]
"""Bool (n, S, S) by name; a radiograph that has no pixel of a region has no score there."""


def find_spine_regions(cases: Cases) -> Regions:
    """`spine`, `outline` and `background` of radiographs with a mask; nothing in the others.

    The spine are all labelled vertebrae; the band about their outlines lies on both sides of it, so it overlaps the
    spine; the background is beyond the band, with all bone that the mask does not label.
    """
    spine = (cases.masks > 0) & (cases.masks != NOT_ANNOTATED)
    known = spine.any(axis=(1, 2))[:, None, None]
    outline = np.zeros_like(spine)
    for place in np.flatnonzero(known):
        # From the border between two pixels, which is half a pixel from the middle of either.
        inside, outside = (ndimage.distance_transform_edt(side) for side in (spine[place], ~spine[place]))
        outline[place] = inside + outside - 0.5 <= OUTLINE_PX
    return {"spine": spine, "outline": outline, "background": ~spine & ~outline & known}


def score_restored(
    restored: NDArray[Any], truth: NDArray[Any], regions: Regions, *, edges: str | None = None
) -> tuple[Score, ...]:
    """Peak signal-to-noise ratio, structural similarity and mean absolute error, of whole images and by region.

    Args:
        restored: uint8 or uint16 (n, S, S).
        truth: the same type and shape.
        regions: where to look beside the whole image.
        edges: region whose edges' sharpness is scored; None: of none.

    Returns:
        The ratio of whole images first. Each is the mean over images of the image's own.
    """
    levels = float(np.iinfo(truth.dtype).max)
    preds, target = restored.astype(np.float32) / np.float32(levels), truth.astype(np.float32) / np.float32(levels)
    error, similar = preds - target, _map_similarity(preds, target)
    scores = []
    for name, where in {WHOLE: None, **regions}.items():
        told = {} if name == WHOLE else {"region": name}
        squared, absolute = (_average(values, where) for values in (error**2, np.abs(error)))
        # A window needs its five pixels on each side: the whole image's mean leaves those at its edge out.
        margin = WINDOW_PX // 2
        ssim = (
            _average(similar, where) if where is not None else similar[:, margin:-margin, margin:-margin].mean((1, 2))
        )
        scores += [
            _build("psnr", _compute_decibels(squared, levels), "higher", "dB", told, _describe_limit(levels)),
            _build("ssim", ssim, "higher", "", told),
            _build("mean_absolute_error", 255 * absolute, "lower", "gray levels of 255", told),
        ]
    if edges is not None:
        note = "1: edges as steep as in truth; 0: none of their steepness"
        sharp = _compute_sharpness(preds, target, regions[edges])
        scores.append(_build("edge_sharpness", sharp, "higher", "", {"region": edges}, note))
    return tuple(scores)


def score_residual_bone(
    restored: NDArray[Any], truth: NDArray[Any], films: NDArray[Any], bone: NDArray[np.bool_]
) -> Score:
    """How much of the bone is left: the share of its brightness that fits the remaining error best.

    Args:
        restored: uint8 or uint16 (n, S, S).
        truth: without bone.
        films: with bone.
        bone: bool (n, S, S), where it lies.

    Returns:
        Mean over images of the slope, by least squares through 0, of restored - truth on film - truth over the bone's
        pixels.
    """
    left, all_of_it = (images.astype(np.float64) - truth for images in (restored, films))
    power = (all_of_it**2 * bone).sum(axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(power > 0, (left * all_of_it * bone).sum(axis=(1, 2)) / power, np.nan)
    note = "1: all bone is left; 0: none; below 0: more was taken away than there was"
    return _build("residual_bone_contrast", share, "none", "share", {"region": "bone"}, note)


def _build(
    name: str, values: NDArray[np.float64], direction: Any, unit: str, condition: Mapping[str, str], note: str = ""
) -> Score:
    values = np.asarray(values, np.float64)
    used = int(np.isfinite(values).sum())
    return Score(name, weighted_mean(values), direction, used, unit, condition or None, values, note)


def _average(values: NDArray[Any], where: NDArray[np.bool_] | None) -> NDArray[np.float64]:
    """Mean of each image over a region's pixels; NaN where it has none."""
    if where is None:
        return np.asarray(values.mean(axis=(1, 2), dtype=np.float64))
    counts = where.sum(axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((values * where).sum(axis=(1, 2), dtype=np.float64) / np.where(counts > 0, counts, np.nan))


def _compute_decibels(squared_error: NDArray[np.float64], levels: float) -> NDArray[np.float64]:
    """As `peak_signal_to_noise_ratio`, but finite: an error below that of rounding to gray levels counts as that."""
    return -10 * np.log10(np.maximum(squared_error, 1 / (12 * levels**2)))


def _describe_limit(levels: float) -> str:
    return f"at most {10 * np.log10(12 * levels**2):.1f} dB: the error of rounding to gray levels is no less"


def _map_similarity(preds: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.float32]:
    similar: NDArray[np.float32] = structural_similarity_map(
        preds=torch.from_numpy(preds), target=torch.from_numpy(target), data_range=1.0
    ).numpy()
    return similar


def _compute_sharpness(
    preds: NDArray[np.float32], target: NDArray[np.float32], where: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Slope, by least squares through 0, of the restored gradient on the true one: noise does not raise it."""
    shared, own = np.zeros(len(preds)), np.zeros(len(preds))
    for axis in (1, 2):
        steps, true_steps = (np.gradient(images, axis=axis) for images in (preds, target))
        shared += (steps * true_steps * where).sum(axis=(1, 2))
        own += (true_steps**2 * where).sum(axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(own > 0, shared / own, np.nan)
