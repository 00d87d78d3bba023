"""Anatomy fidelity: are synthetic spines curved, sized and spaced as real ones are, and can they be at all?

What is compared are landmarks. Where those of the synthetic images were drawn before the image (`conditioned`), this
measures the model that drew them and says nothing of whether the pixels follow; every figure's note then says so.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.anatomy.alignment import PARAMETER_UNITS, PARAMETERS, compute_parameters
from cspine_bench.anatomy.landmarks import CORNER_LEVELS, LANDMARK_INDEX
from cspine_bench.evaluate.fidelity.plausible import ImplausibleSpine, measure_plausibility
from cspine_bench.evaluate.fidelity.quantities import (
    Compared,
    Sides,
    compare_quantities,
    describe_differences,
    find_differences,
)
from cspine_bench.measurement.inputs import UNKNOWN, Images
from cspine_bench.results import Figure

Floats = NDArray[np.float64]

_NUMBERS: Final = tuple(int(level[1:]) for level in CORNER_LEVELS)
MEANS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "body_height_anterior": ("Mean anterior height of C3 to C7.", tuple(f"line{k}{k}q" for k in _NUMBERS)),
    "body_height_posterior": ("Mean posterior height of C3 to C7.", tuple(f"line{k}{k}h" for k in _NUMBERS)),
    "body_depth_superior": ("Mean length of the upper endplates of C3 to C7.", tuple(f"row{k}s" for k in _NUMBERS)),
    "body_depth_inferior": ("Mean length of the lower endplates of C3 to C7.", tuple(f"row{k}x" for k in _NUMBERS)),
    "disc_height_anterior": ("Mean anterior disc height, C2-C3 to C6-C7.", tuple(f"line{k - 1}{k}q" for k in _NUMBERS)),
    "disc_height_posterior": (
        "Mean posterior disc height, C2-C3 to C6-C7.",
        tuple(f"line{k - 1}{k}h" for k in _NUMBERS),
    ),
}
"""Sizes over all levels: definition, and the parameters that they are the mean of."""

PRIMARY: Final = (
    "C2-7Cobb", "SVA", "CCI", "C7S", *MEANS, *(f"SA{k - 1}-{k}" for k in _NUMBERS),
)  # fmt: skip
"""Compared in figures of their own; the rest of CSXA's parameters are in the table."""

DEFINITIONS: Final = {name: text for name, (text, _) in MEANS.items()} | {
    name: parameter.definition for name, parameter in PARAMETERS.items()
}
"""What each parameter is, in a line."""

LEAST_KNOWN: Final = 0.5
"""Share of labelled images with a pixel spacing, on each side, from which lengths are in mm."""

RELATIVE: Final = "percent of the C2-C7 length"


@dataclass(frozen=True)
class Anatomy:
    """Anatomy of synthetic spines against that of real ones.

    Attributes:
        figures: of the primary parameters, `anatomy_wasserstein_distance`, `anatomy_mean_difference` and
            `anatomy_spread_ratio`; then `implausible_share`.
        table: `anatomy_wasserstein_distance` and `anatomy_mean_difference` of the other parameters.
        not_measured: why, by what.
        values: by role and parameter, float64 (n,) in the order of the side's images; NaN: not known.
        units: of `values` and figures, by parameter.
        implausible: spines that cannot be, or hardly.
        warnings: what a reader of every figure should know.
        p_values: of a difference in each primary parameter, corrected for their number; a large one shows nothing.
    """

    figures: tuple[Figure, ...]
    table: tuple[Figure, ...]
    not_measured: dict[str, str]
    values: dict[str, dict[str, Floats]] = field(repr=False)
    units: dict[str, str]
    implausible: tuple[ImplausibleSpine, ...]
    warnings: tuple[str, ...]
    p_values: dict[str, float]


def measure_anatomy(real: Images, synthetic: Images, *, seed: int) -> Anatomy:
    """Compare the distributions of CSXA's alignment parameters, of sizes of bodies and heights of discs.

    Lengths are in mm where at least half of the labelled images of each side state their pixel spacing (the others
    count for angles alone), and else in percent of the spine's own length from the C2 to the C7 lower endplate: pixels
    of films on different scales are never mixed. Where it is not known which way a patient faces, only what mirroring
    does not change is known, as in a dataset's own table of parameters.

    Args:
        real: with landmarks.
        synthetic: with landmarks.
        seed: of groups of the jackknife, sets of the floors and folds of the shapes.

    Returns:
        Each distance with the floor that two disjoint sets of real images have at equal numbers. An interval is for the
        average at these numbers, where a distance is above 0 even between equals: read it beside its floor. The spread
        ratio is below 1 where samples crowd about the mean.
    """
    values, units, warnings = _read_values(real, synthetic)
    sides = Sides.of(real.group_ids, synthetic.group_ids)
    compared, reasons = compare_quantities(
        values[real.role], values[synthetic.role], sides, units=units, seed=seed, stream="evaluate.anatomy"
    )
    plausibility = measure_plausibility(real, synthetic, seed=seed)
    provenance = _describe_provenance(real, synthetic)
    primary = [name for name in PRIMARY if name in compared]
    figures = [
        figure
        for name in primary
        for figure in compared[name].build_figures(
            "anatomy", "parameter", _note(compared[name], provenance), spread=True
        )
    ]
    table = [
        figure
        for name, one in compared.items()
        if name not in primary
        for figure in one.build_figures("anatomy", "parameter", _note(one, provenance))
    ]
    p_values = find_differences(
        values[real.role], values[synthetic.role], sides, names=primary, seed=seed, stream="evaluate.anatomy"
    )
    if provenance:
        warnings.insert(0, provenance)
    if p_values:
        warnings.append(describe_differences(p_values, "primary parameters"))
        warnings.append(
            f"the {len(compared) - len(primary)} parameters of the table are not corrected for their number"
        )
    return Anatomy(
        figures=(*figures, *(_add_provenance(figure, provenance) for figure in plausibility.figures)),
        table=tuple(table),
        not_measured=_join_reasons(reasons, len(values[real.role])) | plausibility.not_measured,
        values=values,
        units=units,
        implausible=plausibility.implausible,
        warnings=tuple(warnings),
        p_values=p_values,
    )


def _note(one: Compared, provenance: str) -> str:
    length = f"In {RELATIVE}." if one.unit == "percent" and one.name != "CCI" else ""
    definition = DEFINITIONS[one.name]
    return " ".join(part for part in (definition, length, f"{provenance}." if provenance else "") if part)


def _add_provenance(figure: Figure, provenance: str) -> Figure:
    return figure.model_copy(update={"note": f"{figure.note} {provenance}."}) if provenance else figure


def _join_reasons(reasons: dict[str, str], total: int) -> dict[str, str]:
    """One reason where all share it, as where a side has no landmarks."""
    if len(reasons) == total and len(set(reasons.values())) == 1:
        return {"anatomy": next(iter(reasons.values()))}
    return {f"parameter {name}": reason for name, reason in reasons.items()}


def _read_values(real: Images, synthetic: Images) -> tuple[dict[str, dict[str, Floats]], dict[str, str], list[str]]:
    """Parameters of both sides in shared units, the units, and what to know of them."""
    in_mm, warnings = _decide_unit(real, synthetic)
    units: dict[str, str] = {}
    for name in (*MEANS, *PARAMETERS):
        unit = PARAMETER_UNITS[MEANS[name][1][0] if name in MEANS else name]
        units[name] = ("mm" if in_mm else "percent") if unit == "px" else unit
    values = {}
    for images in (real, synthetic):
        found = _compute_parameters(images)
        scale = images.pixel_spacing_mm if in_mm else 100 / _measure_length(images)
        with np.errstate(all="ignore"):
            scaled = {
                name: found[name] * scale if PARAMETER_UNITS[name] == "px" else found[name] for name in PARAMETERS
            }
            means = {name: np.mean([scaled[part] for part in parts], axis=0) for name, (_, parts) in MEANS.items()}
        values[images.role] = {
            name: np.where(np.isfinite(column), column, np.nan) for name, column in (means | scaled).items()
        }
        if unknown := sum(_is_labelled(images) & np.array([side == UNKNOWN for side in images.facing])):
            warnings.append(
                f"{images.role}: which way the patient faces is not known of {unknown:,} labelled images; signs depend "
                "on it, so they count for lengths alone"
            )
    return values, units, warnings


def _is_labelled(images: Images) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(images.landmarks_xy).any(axis=(1, 2)))


def _decide_unit(real: Images, synthetic: Images) -> tuple[bool, list[str]]:
    """Whether lengths are in mm, and warnings."""
    known = {}
    for images in (real, synthetic):
        labelled = _is_labelled(images)
        known[images.role] = int(np.isfinite(images.pixel_spacing_mm[labelled]).sum()), int(labelled.sum())
    in_mm = all(count >= LEAST_KNOWN * total for count, total in known.values())
    spelled = ", ".join(f"{count:,} of {total:,} labelled {role} images" for role, (count, total) in known.items())
    warnings = []
    if not in_mm:
        warnings.append(
            f"lengths are in {RELATIVE}, since the pixel spacing is known of {spelled}: sizes in mm unknown"
        )
    elif any(count < total for count, total in known.values()):
        warnings.append(f"lengths rest on the images whose pixel spacing is known: {spelled}")
    planes = [_list_planes(images) for images in (real, synthetic)]
    if in_mm and planes[0] != planes[1]:
        warnings.append(
            f"the pixel spacing holds in another plane on each side (real: {', '.join(planes[0])}; synthetic: "
            f"{', '.join(planes[1])}); films enlarge by some 10 to 20 %, and lengths differ by it"
        )
    return in_mm, warnings


def _list_planes(images: Images) -> list[str]:
    found = Counter(
        plane or UNKNOWN
        for split in images.splits
        for plane in images.folder.read_table(["pixel_spacing_plane"], split).column(0).to_pylist()
    )
    return sorted(found)


def _compute_parameters(images: Images) -> dict[str, Floats]:
    """CSXA's parameters, lengths in px; NaN where a sign depends on a facing that is not known."""
    facing = np.array(images.facing, dtype=object)
    with np.errstate(all="ignore"):  # Points far outside the image are the rules' to report.
        left, right = (compute_parameters(images.landmarks_xy, facing=side) for side in ("left", "right"))
    result = {}
    for name in PARAMETERS:
        same = np.array_equal(left[name], right[name], equal_nan=True)
        column = np.where(facing == "right", right[name], left[name])
        result[name] = column if same else np.where(facing == UNKNOWN, np.nan, column)
    return result


def _measure_length(images: Images) -> Floats:
    """From the middle of the C2 lower endplate to that of C7, px."""
    points = images.landmarks_xy.astype(np.float64)
    first, last = (
        points[:, [LANDMARK_INDEX[f"{level}_inferior_{side}"] for side in ("anterior", "posterior")]].mean(axis=1)
        for level in ("C2", "C7")
    )
    length = np.linalg.norm(last - first, axis=1)
    return np.where(length > 0, length, np.nan)


_SOURCES: Final = {
    "conditioned": "were drawn by the shape model before the image, so this measures that model, not the pixels",
    "measured": "were placed by a trained model, so its errors are in this too",
    UNKNOWN: "are of unknown origin",
}


def _describe_provenance(real: Images, synthetic: Images) -> str:
    """What the origin of the landmarks means for the figures; "" where it needs no word."""
    said = []
    for images in (synthetic, real):
        labelled = _is_labelled(images)
        found = Counter(source for source, is_in in zip(images.label_source, labelled, strict=True) if is_in)
        for source in _SOURCES:
            if found[source]:
                count = "" if found[source] == labelled.sum() else f" of {found[source]:,} of {labelled.sum():,} images"
                said.append(f"{images.role} landmarks{count} {_SOURCES[source]}")
    return "; ".join(said)
