"""Numbers, names and readings as the pages print them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.measurement.figures import Standing, compare_with_floor
from cspine_bench.results import Figure

MINUS: Final = "\N{MINUS SIGN}"
DASH: Final = "\N{EN DASH}"

MEASURES: Final[dict[str, tuple[str, str]]] = {
    "frechet_distance": ("Fréchet distance", "Distance of two Gaussians fitted to the encoder’s features."),
    "frechet_distance_limit": (
        "Fréchet distance, n to infinity",
        "The same, extrapolated to endless many images, which takes most of its bias away.",
    ),
    "kernel_distance": (
        "Kernel distance",
        "Squared maximum mean discrepancy with a cubic kernel; unbiased, so it may be negative.",
    ),
    "cmmd_distance": ("CMMD", "Squared maximum mean discrepancy with a Gaussian kernel."),
    "precision": ("Precision", "Share of synthetic images that lie among the real ones."),
    "recall": ("Recall", "Share of real images that lie among the synthetic ones."),
    "density": ("Density", "How densely real images surround the synthetic ones; about 1 where they are alike."),
    "coverage": ("Coverage", "Share of real images that have a synthetic one near."),
    "anatomy_wasserstein_distance": (
        "Anatomy, Wasserstein distance",
        "Mean shift that turns one distribution into the other.",
    ),
    "anatomy_mean_difference": ("Anatomy, mean difference", "Mean of the synthetic less that of the real ones."),
    "anatomy_spread_ratio": ("Anatomy, ratio of spreads", "Standard deviation of the synthetic over the real."),
    "implausible_share": ("Implausible spines", "Share of spines outside the anatomical limits."),
    "quality_wasserstein_distance": (
        "Image quality, Wasserstein distance",
        "Mean shift that turns one distribution into the other.",
    ),
    "quality_mean_difference": ("Image quality, mean difference", "Mean of the synthetic less that of the real ones."),
    "quality_spread_ratio": ("Image quality, ratio of spreads", "Standard deviation of the synthetic over the real."),
    "detectability_auroc": (
        "Detectability, AUROC",
        "How well a cross-fitted classifier tells real from synthetic; 0.5 is chance.",
    ),
    "copy_rate": (
        "Copies",
        "Share of synthetic images that are copies of a training film, allowing for those that the search misses.",
    ),
    "num_copies": ("Copies found", "Synthetic images that the search and its second look take for copies."),
    "detectable_rate": ("Smallest detectable rate", "Share of copies that this search would most likely notice."),
    "planted_recall": ("Planted copies found", "Share of copies planted on purpose that the search finds."),
    "nearer_train_share": (
        "Nearer to training than to held-out films",
        "Share of synthetic images, with as many films on either side; 0.5 where nothing is copied.",
    ),
    "alarm_share": ("Alarms", "Share of synthetic images beyond the threshold that few films held out pass."),
    "above_holdout_median_share": (
        "Nearer than the usual held-out film",
        "Share of synthetic images nearer to training than half of the films held out are; 0.5 is as expected.",
    ),
    "listed_share": ("Listed images", "Share of synthetic images on the list at the false discovery rate."),
    "membership_auroc": (
        "Membership, AUROC",
        "How well an attack tells training films from films held out; 0.5 is chance.",
    ),
    "membership_tpr": ("Membership, hits at few false alarms", "Share of training films that the attack recognises."),
    "duplicate_share": (
        "Duplicates in the release",
        "Share of synthetic images that have a near copy among the others.",
    ),
    "leaked_share": (
        "Leaks between training and held-out films",
        "Share of films held out that have a near copy in training.",
    ),
    "mean_radial_error": ("Mean radial error", "Mean distance of predicted from true landmarks."),
    "mean_radial_error_px": ("Mean radial error in px", "The same in pixels of the radiographs."),
    "success_detection_rate": ("Success detection rate", "Share of landmarks that are found within a radius."),
    "cobb_angle_absolute_error": ("C2-C7 Cobb, absolute error", "Mean absolute error of the angle."),
    "sva_absolute_error": ("SVA, absolute error", "Mean absolute error of the sagittal vertical axis."),
    "dice": ("Dice", "Overlap of predicted and true masks."),
    "iou": ("Intersection over union", "Overlap of predicted and true masks."),
    "hausdorff95": ("HD95", "95 % of the outlines lie no farther apart."),
    "assd": ("ASSD", "Average symmetric distance of the outlines."),
    "macro_auroc": ("Macro AUROC", "Mean over the classes of how well each is told from all others."),
    "psnr": ("PSNR", "Peak signal-to-noise ratio of restored against original images."),
    "ssim": ("SSIM", "Structural similarity of restored and original images."),
    "ssim_error": ("SSIM, error", "Mean absolute error of the predicted structural similarity."),
    "num_real_labels": ("Real labels", "Real labelled radiographs that an arm learnt from."),
    "num_synthetic": ("Synthetic radiographs", "That an arm could learn from."),
}
"""Title of each figure by its name, and what it is in one sentence."""

_UNITS: Final = {"deg": "°", "share": " %", "percent": " %", "mm": " mm", "px": " px"}


def title_of(name: str) -> str:
    """A figure's name in words; one that is not known by its own name."""
    return MEASURES[name][0] if name in MEASURES else name.replace("_", " ")


def describe(name: str) -> str:
    """What a figure is, or ""."""
    return MEASURES[name][1] if name in MEASURES else ""


_SPEAKING: Final = (
    "arm", "parameter", "property", "side", "degradation", "transmission", "transform", "attack", "detector",
    "strength", "kind", "rule",
)  # fmt: skip
"""Conditions whose values say what they are of, in the order in which they are said."""
_ROLES: Final = ("train", "holdout", "real", "synthetic")


_CONDITIONS: Final = {"fpr": "false positive rate"}


def sort_conditions(values: Mapping[str, str]) -> list[tuple[str, str]]:
    """A condition's names and values in the order of reading; a result file has them in that of the alphabet."""
    places = {name: place for place, name in enumerate(_SPEAKING)}
    return sorted(values.items(), key=lambda item: (places.get(item[0], len(places)), item[0]))


def describe_conditions(values: dict[str, str]) -> str:
    """A subgroup or a condition on one line: "sex: female"; "all" for none."""
    parts = [
        value.replace("_", " ") if name in _SPEAKING else f"{_CONDITIONS.get(name, name).replace('_', ' ')}: {value}"
        for name, value in sort_conditions(values)
    ]
    return ", ".join(part for part in parts if part) or "all"


def format_number(value: float, *, width: float | None = None, digits: int = 3) -> str:
    """A number as people read it.

    Args:
        value: finite.
        width: of its interval: two digits of it are shown. None: `digits` of the number.
        digits: that count.
    """
    if value == 0 and not width:
        return "0"
    digits, scale = (2, width) if width else (digits, abs(value))
    largest = max(abs(value), width or 0)
    if largest >= 1e6 or largest < 1e-4:
        return _format_power(value, digits)
    decimals = min(6, max(0, digits - 1 - math.floor(math.log10(scale))))
    text = f"{value:,.{decimals}f}"
    return text.lstrip("-") if not text.strip("-0.") else text.replace("-", MINUS)


def _format_power(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{mantissa} × 10{raised}".replace("-", MINUS)


def format_share(share: float) -> str:
    """A share in percent, with as many digits as a small one needs."""
    return f"{format_number(100 * share)} %"


@dataclass(frozen=True)
class Shown:
    """A figure as a table prints it: each part text, "" where there is none."""

    value: str
    interval: str
    matched: str
    floor_value: str
    floor_range: str


def show_figure(figure: Figure) -> Shown:
    """The figure, its interval, itself at the floor's n, and the floor's range, all to the same number of digits."""
    factor = 100 if figure.unit == "share" else 1
    width = None
    if figure.interval is not None and figure.interval.high > figure.interval.low:
        width = factor * (figure.interval.high - figure.interval.low)
    unit = _UNITS.get(figure.unit, f" {figure.unit}" if figure.unit else "")

    def text(value: float | None) -> str:
        if value is None:
            return ""
        whole = figure.name.startswith("num_") and float(value).is_integer()
        return f"{value:,.0f}" if whole else format_number(factor * value, width=width) + unit

    def span(low: float, high: float) -> str:
        return f"{text(low)} to {text(high)}"

    return Shown(
        value=text(figure.value),
        interval="" if figure.interval is None else span(figure.interval.low, figure.interval.high),
        matched="" if figure.floor is None else text(figure.floor.matched),
        floor_value="" if figure.floor is None else text(figure.floor.value),
        floor_range="" if figure.floor is None else span(figure.floor.low, figure.floor.high),
    )


_READINGS: Final = {
    "beyond": "worse than real against real",
    "better": "better than real against real",
    "within": "no difference seen at this n",
}


@dataclass(frozen=True)
class Reading:
    """What a figure says beside its floor.

    Attributes:
        kind: as `compare_with_floor` gives it.
        text: the same in words.
    """

    kind: Standing
    text: str


def read_against_floor(figure: Figure) -> Reading:
    """Compare a figure, at the floor's n where it is known there, with what real images score against real ones."""
    kind = compare_with_floor(figure)
    if kind == "none":
        return Reading(kind, "no floor" if figure.floor is None else "no better end")
    return Reading(kind, _READINGS[kind])


def count_used(figure: Figure) -> str:
    """How many samples a figure rests on: "real 600, synthetic 96 of 120"."""
    parts = []
    places = {role: place for place, role in enumerate(_ROLES)}
    for role, used in sorted(figure.n_used.items(), key=lambda item: (places.get(item[0], len(places)), item[0])):
        available = figure.n_available.get(role, used)
        parts.append(f"{role} {used:,}" + (f" of {available:,}" if available != used else ""))
    return ", ".join(parts) or "not stated"


def list_methods(figures: Sequence[Figure]) -> list[str]:
    """How the intervals of some figures were found, each way once: "Wilson, 95 %"."""
    ways = [
        f"{one.method}, {100 * one.level:g} %" for one in (figure.interval for figure in figures) if one is not None
    ]
    floors = [
        f"floor: {one.method}, {100 * one.level:g} %" for one in (figure.floor for figure in figures) if one is not None
    ]
    return list(dict.fromkeys(ways + floors))


def describe_settings(settings: Mapping[str, Any]) -> str:
    """All settings on one line: "encoder pixels; num floors 10"."""
    return "; ".join(f"{name} {describe_setting(value)}" for name, value in flatten_settings(settings).items())


def flatten_settings(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by name, those of a recipe each by its own: "num floors"."""
    flat: dict[str, Any] = {}
    for name, value in sorted(settings.items()):
        words = f"{prefix}{name.replace('_', ' ')}"
        inner = "" if name == "recipe" else f"{words}: "
        flat |= flatten_settings(value, inner) if isinstance(value, dict) and value else {words: value}
    return flat


_LONGEST_FINDING: Final = 160


def split_sentence(text: str) -> tuple[str, str]:
    """The first sentence of a verdict, or its first part where it is long, and the rest."""
    first, stop, rest = text.partition(". ")
    if len(first) > _LONGEST_FINDING and ": " in first:
        first, _, rest = text.partition(": ")
        return f"{first}:", rest
    return (f"{first}.", rest) if stop else (text, "")


def spell_sentence(text: str) -> str:
    """A note with a capital in front and a stop behind."""
    text = text.strip()
    return text if not text else text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")


def describe_setting(value: Any) -> str:
    """A setting of a result on one line."""
    if value is None:
        return "off"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(describe_setting(one) for one in value) or "none"
    if isinstance(value, dict):
        return "; ".join(f"{name}: {describe_setting(one)}" for name, one in sorted(value.items())) or "none"
    return str(value)


def describe_move(move: NDArray[np.floating], map_side_px: int) -> str:
    """A move, as `Pair` holds it, in words."""
    linear = move[:, :2].astype(np.float64)
    parts = []
    if np.linalg.det(linear) < 0:
        parts.append("mirrored")
        linear = linear * (1, -1)
    angle = math.degrees(math.atan2(linear[1, 0] - linear[0, 1], linear[0, 0] + linear[1, 1]))
    scale = math.sqrt(abs(float(np.linalg.det(linear))))
    longest, shortest = np.linalg.svd(linear, compute_uv=False)
    if abs(angle) >= 0.1:
        parts.append(f"turned by {angle:.1f}°".replace("-", MINUS))
    if abs(scale - 1) >= 0.005:
        parts.append(f"scaled by {scale:.2f}")
    if longest > 1.01 * shortest:
        parts.append(f"drawn {100 * (longest / shortest - 1):.0f} % longer one way than the other")
    for along, (ahead, back, side) in zip(
        move[:, 2] / map_side_px, (("down", "up", "height"), ("right", "left", "width")), strict=True
    ):
        if abs(along) >= 0.0005:
            parts.append(f"shifted {ahead if along > 0 else back} by {100 * abs(along):.1f} % of the {side}")
    return ", ".join(parts) or "left as it is"
