"""How far predicted landmarks lie from the true ones.

Every figure is an average per radiograph over its landmarks, then over radiographs, so that each radiograph counts
alike however many of its landmarks are labelled; the median alone is of all landmarks together. With every landmark
labelled, the two ways agree.

A landmark without a true place (NaN) takes no part, whatever was predicted for it. A labelled landmark without a
predicted place is not passed over: its error is infinite, so it is not detected at any radius, and a mean refuses it.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RADII_MM: Final = (1.0, 2.0, 2.5, 3.0, 4.0)
"""Of successful detection. Source: 2, 2.5, 3 and 4 mm as in the challenge on cephalometric landmarks, Wang et al. 2016,
Medical Image Analysis 31, 63-76; 1 mm is ours."""


def radial_errors(
    *, preds: NDArray[np.floating], target: NDArray[np.floating], pixel_spacing_mm: NDArray[np.floating] | None = None
) -> Floats:
    """Distance of each predicted landmark from the true one.

    Args:
        preds: float (n, landmarks, 2), (x, y) in pixels; a NaN or infinite coordinate: nothing was predicted.
        target: as preds; NaN: not labelled.
        pixel_spacing_mm: float (n,) > 0, side of a square pixel; NaN: not known. None: the result is in pixels.

    Returns:
        float64 (n, landmarks), millimetres or pixels: NaN where the landmark is not labelled or the spacing not known,
        infinite where a labelled one was not predicted. Lower is better.

    Raises:
        ValueError: shapes differ, or a spacing is not positive.
    """
    if preds.shape != target.shape or preds.ndim != 3 or preds.shape[-1] != 2:
        raise ValueError(f"preds and target must both be (n, landmarks, 2), got {preds.shape} and {target.shape}")
    found, true = preds.astype(np.float64), target.astype(np.float64)
    missing: NDArray[np.bool_] = np.any(~np.isfinite(found), axis=2)
    offset = np.where(missing[..., None], 0.0, found) - true
    errors = np.hypot(offset[..., 0], offset[..., 1])
    errors[missing & ~np.isnan(errors)] = np.inf
    if pixel_spacing_mm is None:
        return errors
    spacing = np.asarray(pixel_spacing_mm, np.float64)
    if spacing.shape != (len(errors),) or np.any(spacing <= 0):
        raise ValueError(f"pixel_spacing_mm must be {len(errors)} values above 0, or NaN, got {pixel_spacing_mm!r}")
    return errors * spacing[:, None]


def average_errors(errors: Floats) -> Floats:
    """Mean radial error of each radiograph.

    Args:
        errors: (n, landmarks), as `radial_errors` gives them.

    Returns:
        float64 (n,); NaN where no landmark is labelled, infinite where one was not predicted.
    """
    return _mean_of_labelled(errors, errors)


def detected_share(errors: Floats, *, radius: float) -> Floats:
    """Share of each radiograph's landmarks that lie no farther than a radius from their true places.

    Args:
        errors: (n, landmarks), as `radial_errors` gives them.
        radius: >= 0, in their unit.

    Returns:
        float64 (n,), 0..1; NaN where no landmark is labelled. Higher is better.

    Raises:
        ValueError: the radius is negative, or no number.

    Source: Wang et al. 2016, Medical Image Analysis 31, 63-76: a distance equal to the radius is a detection.
    """
    if not radius >= 0:
        raise ValueError(f"radius must be 0 or more, got {radius}")
    return _mean_of_labelled(errors, (errors <= radius).astype(np.float64))


def mean_radial_error(
    *, preds: NDArray[np.floating], target: NDArray[np.floating], pixel_spacing_mm: NDArray[np.floating] | None = None
) -> float:
    """Average distance of predicted from true landmarks: per radiograph over its landmarks, then over radiographs.

    Args:
        preds: float (n, landmarks, 2), (x, y) in pixels.
        target: as preds; NaN: not labelled, skipped.
        pixel_spacing_mm: float (n,), side of a square pixel; NaN: not known, the radiograph is skipped. None: pixels.

    Returns:
        Millimetres or pixels. Lower is better.

    Raises:
        ValueError: as `radial_errors`; nothing is labelled; or a labelled landmark was not predicted.
    """
    errors = radial_errors(preds=preds, target=target, pixel_spacing_mm=pixel_spacing_mm)
    if np.isinf(errors).any():
        raise ValueError(
            f"{int(np.isinf(errors).sum())} labelled landmarks were not predicted; a mean needs a place for each one"
        )
    return _mean_over_images(average_errors(errors))


def median_radial_error(
    *, preds: NDArray[np.floating], target: NDArray[np.floating], pixel_spacing_mm: NDArray[np.floating] | None = None
) -> float:
    """Median distance over all labelled landmarks; one that was not predicted is the farthest.

    Args, units and errors as `mean_radial_error`; infinite where half of the landmarks were not predicted.
    """
    errors = radial_errors(preds=preds, target=target, pixel_spacing_mm=pixel_spacing_mm)
    labelled = errors[~np.isnan(errors)]
    if not len(labelled):
        raise ValueError("no landmark is labelled, of a radiograph of known spacing where millimetres were asked for")
    return float(np.median(labelled))


def success_detection_rate(
    *,
    preds: NDArray[np.floating],
    target: NDArray[np.floating],
    radius: float,
    pixel_spacing_mm: NDArray[np.floating] | None = None,
) -> float:
    """Share of landmarks no farther than a radius from their true places: per radiograph, then over radiographs.

    Args:
        preds: float (n, landmarks, 2), (x, y) in pixels; NaN: not predicted, and so not detected.
        target: as preds; NaN: not labelled, skipped.
        radius: millimetres, or pixels where no spacing is given.
        pixel_spacing_mm: float (n,), side of a square pixel; NaN: not known, the radiograph is skipped. None: pixels.

    Returns:
        0..1. Higher is better.

    Raises:
        ValueError: as `radial_errors` and `detected_share`, or nothing is labelled.

    Source: Wang et al. 2016, Medical Image Analysis 31, 63-76.
    """
    errors = radial_errors(preds=preds, target=target, pixel_spacing_mm=pixel_spacing_mm)
    return _mean_over_images(detected_share(errors, radius=radius))


def _mean_of_labelled(errors: Floats, values: Floats) -> Floats:
    labelled = ~np.isnan(errors)
    count = labelled.sum(axis=1)
    total = np.where(labelled, values, 0.0).sum(axis=1)
    means: Floats = np.divide(total, count, out=np.full(len(errors), np.nan), where=count > 0)
    return means


def _mean_over_images(values: Floats) -> float:
    there = values[~np.isnan(values)]
    if not len(there):
        raise ValueError("no landmark is labelled, of a radiograph of known spacing where millimetres were asked for")
    return float(there.mean())
