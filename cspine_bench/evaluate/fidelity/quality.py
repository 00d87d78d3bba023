"""Image-quality fidelity: are synthetic images as noisy, sharp, wide in range and free of artefacts as real ones?

Each side is streamed once; of an image only its numbers stay.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.evaluate.fidelity.quantities import (
    Compared,
    Sides,
    compare_quantities,
    describe_differences,
    find_differences,
)
from cspine_bench.measurement.inputs import Images
from cspine_bench.measurement.work import Arrays, Work
from cspine_bench.metrics.image_quality import PROPERTIES, build_band_edges, measure_image, scale_gray
from cspine_bench.results import Figure

Floats = NDArray[np.float64]
OnProgress = Callable[[int, int], None]

DEFINITIONS: Final = {name: text for name, (_, text) in PROPERTIES.items()}
"""What each property is, in a line."""
_UNITS: Final = {name: unit for name, (unit, _) in PROPERTIES.items()}
_RANGE: Final = (0.05, 0.5, 0.95)


@dataclass(frozen=True)
class PowerSpectrum:
    """Radially averaged power of one side's images.

    Attributes:
        middle: float64 (k,), median over the images in each band, full scale squared per (cycle per height) squared.
        low: float64 (k,), 5 % of the images are below.
        high: float64 (k,), 5 % are above.
    """

    middle: Floats = field(repr=False)
    low: Floats = field(repr=False)
    high: Floats = field(repr=False)


@dataclass(frozen=True)
class Quality:
    """Quality of synthetic images against that of real ones.

    Attributes:
        figures: `quality_wasserstein_distance` and `quality_mean_difference` of each property.
        not_measured: why, by what.
        values: by role and property, float64 (n,) in the order of the side's images; NaN: not known of that image.
        units: by property.
        p_values: of a difference in each property, corrected for their number; a large one shows nothing.
        edges: float64 (k + 1,), of the spectra's bands, cycles per image height.
        frequencies: float64 (k,), middle of each band, cycles per image height.
        height_px: of all images of both sides, so that frequencies over it are cycles per pixel; None: they differ.
        spectra: by role.
        warnings: what a reader of every figure should know.
    """

    figures: tuple[Figure, ...]
    not_measured: dict[str, str]
    values: dict[str, dict[str, Floats]] = field(repr=False)
    units: dict[str, str]
    p_values: dict[str, float]
    edges: Floats = field(repr=False)
    frequencies: Floats = field(repr=False)
    height_px: int | None
    spectra: dict[str, PowerSpectrum] = field(repr=False)
    warnings: tuple[str, ...]


def measure_quality(
    real: Images,
    synthetic: Images,
    *,
    seed: int,
    work: Work | None = None,
    on_progress: OnProgress | None = None,
) -> Quality:
    """Compare the properties of `cspine_bench.metrics.image_quality`, image by image, and the mean spectra.

    Images are taken at their own size. Where sizes differ, frequencies are in cycles per image height up to the Nyquist
    frequency of the smallest image; what is measured from pixel to pixel then depends on the size, and a warning says
    so.

    Args:
        real: of any sizes and depths.
        synthetic: likewise.
        seed: of groups of the jackknife, sets of the floors and permutations.
        work: where the numbers of a side that is done are kept; None: nowhere.
        on_progress: told the images that are done, of both sides together.

    Returns:
        Each distance with the floor that two disjoint sets of real images have at equal numbers.
    """
    sizes = {images.role: _list_sizes(images) for images in (real, synthetic)}
    heights = {height for found in sizes.values() for _, height in found}
    edges = build_band_edges(min(heights) / 2)
    kept, total, done = work or Work(None, {}), len(real) + len(synthetic), 0
    values, spectra = {}, {}
    for images in (real, synthetic):
        arrays = kept.keep(
            f"quality-{images.role}",
            lambda images=images, done=done: _measure_side(  # type: ignore[misc]
                images, edges, lambda made: on_progress(done + made, total) if on_progress is not None else None
            ),
            edges=edges.tolist(),
        )
        done += len(images)
        if on_progress is not None:
            on_progress(done, total)
        values[images.role] = {name: arrays["values"][:, index] for index, name in enumerate(PROPERTIES)}
        low, middle, high = arrays["spectrum"]
        spectra[images.role] = PowerSpectrum(middle=middle, low=low, high=high)
    sides = Sides.of(real.group_ids, synthetic.group_ids)
    both = values[real.role], values[synthetic.role]
    compared, reasons = compare_quantities(*both, sides, units=_UNITS, seed=seed, stream="evaluate.quality")
    p_values = find_differences(*both, sides, names=list(compared), seed=seed, stream="evaluate.quality")
    return Quality(
        figures=tuple(figure for one in compared.values() for figure in _build_figures(one)),
        not_measured=_join_reasons(reasons),
        values=values,
        units=dict(_UNITS),
        p_values=p_values,
        edges=edges,
        frequencies=(edges[1:] + edges[:-1]) / 2,
        height_px=heights.pop() if len(heights) == 1 else None,
        spectra=spectra,
        warnings=_list_warnings(real, synthetic, sizes, p_values),
    )


def _list_sizes(images: Images) -> set[tuple[int, int]]:
    return {size for preflight in images.preflights for size in preflight.sizes}


def _measure_side(images: Images, edges: Floats, tell: Callable[[int], None]) -> Arrays:
    """Properties (n, p) of every image, and the spectrum's quantiles (3, k) over the images."""
    values = np.empty((len(images), len(PROPERTIES)))
    spectra = np.empty((len(images), len(edges) - 1))
    for row, (_, image) in enumerate(images.iter_images()):
        found, spectra[row] = measure_image(scale_gray(image), edges=edges)
        values[row] = list(found.values())
        tell(row + 1)
    return {"values": values, "spectrum": np.quantile(spectra, _RANGE, axis=0)}


def _build_figures(one: Compared) -> tuple[Figure, ...]:
    return one.build_figures("quality", "property", DEFINITIONS[one.name])


def _join_reasons(reasons: dict[str, str]) -> dict[str, str]:
    """One reason where all share it, as where a side has too few images."""
    if len(reasons) == len(PROPERTIES) and len(set(reasons.values())) == 1:
        return {"image quality": next(iter(reasons.values()))}
    return {f"property {name}": reason for name, reason in reasons.items()}


def _list_warnings(
    real: Images,
    synthetic: Images,
    sizes: dict[str, set[tuple[int, int]]],
    p_values: dict[str, float],
) -> tuple[str, ...]:
    warnings = []
    if len(sizes[real.role] | sizes[synthetic.role]) > 1:
        spelled = "; ".join(f"{role}: {_spell_sizes(found)}" for role, found in sizes.items())
        warnings.append(
            f"images differ in size ({spelled}), and are measured at their own: noise, sharpness, blocking and "
            "periodic peaks go from pixel to pixel, and differ by the size alone; frequencies are in cycles per image "
            "height"
        )
    depths = [
        sorted({depth for preflight in side.preflights for depth in preflight.bit_depths}) for side in (real, synthetic)
    ]
    if depths[0] != depths[1]:
        said = [" and ".join(map(str, found)) for found in depths]
        warnings.append(
            f"real images have {said[0]} bits, synthetic ones {said[1]}: rounding to 8 bits adds noise of 0.11 % of "
            "the full scale, and leaves fewer gray levels"
        )
    if p_values:
        warnings.append(describe_differences(p_values, "properties of image quality"))
    return tuple(warnings)


def _spell_sizes(found: set[tuple[int, int]]) -> str:
    ends = [f"{width} x {height}" for width, height in (min(found), max(found))]
    return f"{ends[0]} px" if len(found) == 1 else f"{len(found)} sizes, {ends[0]} to {ends[1]} px"
