"""The finding of `evaluate fidelity` in words: what lies beyond the differences of real radiographs, and what not."""

from collections.abc import Mapping, Sequence
from typing import Final

from cspine_bench.measurement.figures import compare_with_floor
from cspine_bench.results import Figure

_TITLES: Final = {
    "frechet_distance": "Fréchet distance",
    "kernel_distance": "kernel distance",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
}
"""Figures that the verdict counts; the limit and CMMD say again what the first two say."""
_CHANCE: Final = 0.5
_LEVEL: Final = 0.05
_NAMED: Final = 4


def state_verdict(
    figures: Sequence[Figure],
    *,
    encoder: str,
    anatomy: Mapping[str, float] | None = None,
    quality: Mapping[str, float] | None = None,
    cautions: Sequence[str] = (),
) -> str:
    """A few sentences.

    Args:
        figures: of the result.
        encoder: that the features come from.
        anatomy: p value of a difference in each parameter, corrected for their number; None: not measured.
        quality: likewise in each property of image quality.
        cautions: sentences on the images that every figure is to be read with.
    """
    sentences = [
        *_tell_distances(figures, encoder),
        *_tell_subgroups(figures),
        *_tell_detector(figures),
        *_tell_spines(figures),
        *_tell_properties("primary parameters of alignment and size", anatomy or {}),
        *_tell_properties("properties of image quality", quality or {}),
    ]
    told = [f"{caution[0].upper()}{caution[1:]}." for caution in cautions]
    return " ".join([*(sentences or ["Nothing was measured."]), *told])


def _tell_distances(figures: Sequence[Figure], encoder: str) -> list[str]:
    plain = [item for item in figures if item.name in _TITLES and not item.subgroup and not item.condition]
    beyond = [item for item in plain if compare_with_floor(item) == "beyond"]
    within = [item for item in plain if compare_with_floor(item) == "within"]
    nearer = [item for item in plain if compare_with_floor(item) == "better"]
    sentences = []
    if beyond:
        sentences.append(
            "The synthetic radiographs differ from the real ones by more than real ones differ from each other. By "
            f"{encoder}, with {_count(beyond[0])}: {'; '.join(_spell(item) for item in beyond)}."
        )
        sentences += _tell_direction({item.name for item in beyond})
    if within:
        names = _join([_TITLES[item.name] for item in within])
        sentences.append(
            f"By {encoder}, no difference beyond that of real radiographs was found in {names} with "
            f"{_count(within[0])}; that does not show that there is none."
        )
    if nearer:
        sentences.append(
            f"In {_join([_TITLES[item.name] for item in nearer])} they are nearer to the real ones than other real "
            "ones are, as copies and images without variety would be."
        )
    if plain and not (beyond or within or nearer):
        sentences.append(
            f"Distances by {encoder} were measured, but none has a floor of real against real to be read against."
        )
    return sentences


def _tell_direction(beyond: set[str]) -> list[str]:
    said = []
    if missing := [_TITLES[name] for name in ("recall", "coverage") if name in beyond]:
        said.append(f"real radiographs lie where few or no synthetic ones do: variety is missing ({_join(missing)})")
    if strange := [_TITLES[name] for name in ("precision", "density") if name in beyond]:
        said.append(f"synthetic ones lie where few or no real ones do ({_join(strange)})")
    if not said:
        return []
    text = "; ".join(said)
    return [f"{text[0].upper()}{text[1:]}."]


def _tell_subgroups(figures: Sequence[Figure]) -> list[str]:
    """By the kernel distance alone, which uses all images of a group: one test for each group."""
    groups = [item for item in figures if item.name == "kernel_distance" and item.subgroup and not item.condition]
    compared = [item for item in groups if compare_with_floor(item) != "none"]
    beyond = [item for item in compared if compare_with_floor(item) == "beyond"]
    if not beyond:
        return []
    beyond.sort(key=lambda item: item.value, reverse=True)
    told = [f"{name.replace('_', ' ')} {value}" for item in beyond for name, value in item.subgroup.items()]
    named = _join(told) if len(told) <= _NAMED else f"{', '.join(told[:_NAMED])} and others"
    return [
        f"Of {len(compared)} subgroups, {len(beyond)} differ from real ones of the group by more than real ones do, by "
        f"the kernel distance, the farthest first: {named}."
    ]


def _spell(figure: Figure) -> str:
    floor = figure.floor
    if floor is None or floor.matched is None:
        return f"{_TITLES[figure.name]} {figure.value:.3g}"
    return f"{_TITLES[figure.name]} {floor.matched:.3g} (real against real {floor.low:.3g} to {floor.high:.3g})"


def _count(figure: Figure) -> str:
    if figure.floor is None:
        return "all radiographs"
    first, second = figure.floor.n_used
    return f"{first:,} and {second:,} radiographs"


def _join(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _tell_detector(figures: Sequence[Figure]) -> list[str]:
    for figure in figures:
        if figure.name == "detectability_auroc" and not figure.condition and figure.interval is not None:
            ends = f"{figure.value:.2f} ({figure.interval.low:.2f} to {figure.interval.high:.2f})"
            if figure.interval.low > _CHANCE:
                return [f"A trained classifier tells them apart with an AUROC of {ends}."]
            return [
                f"The trained classifiers did not tell them apart: AUROC {ends}; one as good as "
                f"{figure.interval.high:.2f} is not excluded, and another kind may see more."
            ]
    return []


def _tell_spines(figures: Sequence[Figure]) -> list[str]:
    """Only where more synthetic spines than real ones break a rule of anatomy, beyond both intervals."""
    sides = {
        item.condition["side"]: item
        for item in figures
        if item.name == "implausible_share" and set(item.condition) == {"side"} and not item.subgroup
    }
    real, synthetic = (sides.get(role) for role in ("real", "synthetic"))
    if real is None or synthetic is None or real.interval is None or synthetic.interval is None:
        return []
    if synthetic.interval.low <= real.interval.high:
        return []
    shares = [f"{100 * item.value:.3g} %" for item in (synthetic, real)]
    return [f"Of the synthetic spines {shares[0]} can hardly be, of the real ones {shares[1]}."]


def _tell_properties(what: str, p_values: Mapping[str, float]) -> list[str]:
    if not p_values:
        return []
    differ = sorted((name for name in p_values if p_values[name] < _LEVEL), key=lambda name: p_values[name])
    if not differ:
        smallest = min(p_values.values())
        return [f"In {len(p_values)} {what} no difference was shown (smallest corrected p {smallest:.2g})."]
    shown = _join(differ[:_NAMED]) if len(differ) <= _NAMED else f"{', '.join(differ[:_NAMED])} and others"
    return [f"Of {len(p_values)} {what}, {len(differ)} differ ({shown}; p below {_LEVEL:g}, corrected)."]
