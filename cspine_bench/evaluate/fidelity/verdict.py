"""The finding of `evaluate fidelity` in words: what lies beyond the differences of real radiographs, and what not."""

from collections.abc import Sequence
from typing import Final, Literal

from cspine_bench.results import Figure

Standing = Literal["beyond", "within", "unknown"]

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


def compare_with_floor(figure: Figure) -> Standing:
    """Where a figure lies beside its floor, at the floor's own numbers of images.

    Returns:
        `beyond`: worse than what two sets of real images score, ends of the floor included; `within`: no such
        difference was found, which is not the same as none; `unknown`: there is no floor, or no better end.
    """
    floor = figure.floor
    if floor is None or floor.matched is None or figure.direction == "none":
        return "unknown"
    worse = floor.matched > floor.high if figure.direction == "lower" else floor.matched < floor.low
    return "beyond" if worse else "within"


def state_verdict(figures: Sequence[Figure], *, encoder: str) -> str:
    """Two to four sentences.

    Args:
        figures: of the result.
        encoder: that the features come from.
    """
    sentences = [*_tell_distances(figures, encoder), *_tell_detector(figures), *_tell_anatomy(figures)]
    return " ".join(sentences) or "Nothing was measured."


def _tell_distances(figures: Sequence[Figure], encoder: str) -> list[str]:
    plain = [item for item in figures if item.name in _TITLES and not item.subgroup and not item.condition]
    beyond = [item for item in plain if compare_with_floor(item) == "beyond"]
    within = [item for item in plain if compare_with_floor(item) == "within"]
    if not beyond and not within:
        return []
    sentences = []
    if beyond:
        sentences.append(
            f"The synthetic radiographs differ from the real ones by more than real ones differ from each other: "
            f"{'; '.join(_spell(item) for item in beyond)} ({encoder})."
        )
    if within:
        names = ", ".join(_TITLES[item.name] for item in within)
        counts = _count(within[0])
        found = "In" if beyond else f"By {encoder}, in"
        sentences.append(
            f"{found} {names} no difference beyond that of real radiographs was found with {counts}; "
            "that does not show that there is none."
        )
    return sentences


def _spell(figure: Figure) -> str:
    floor = figure.floor
    if floor is None or floor.matched is None:
        return f"{_TITLES[figure.name]} {figure.value:.3g}"
    return (
        f"{_TITLES[figure.name]} {floor.matched:.3g} where real against real is {floor.low:.3g} to {floor.high:.3g}, "
        f"with {_count(figure)}"
    )


def _count(figure: Figure) -> str:
    if figure.floor is None:
        return "all radiographs"
    first, second = figure.floor.n_used
    return f"{first:,} and {second:,} radiographs"


def _tell_detector(figures: Sequence[Figure]) -> list[str]:
    for figure in figures:
        if figure.name == "detectability_auroc" and not figure.condition and figure.interval is not None:
            ends = f"{figure.value:.2f} ({figure.interval.low:.2f} to {figure.interval.high:.2f})"
            if figure.interval.low > _CHANCE:
                return [f"A trained classifier tells them apart with an AUROC of {ends}."]
            return [
                f"The trained classifiers did not tell them apart: AUROC {ends}; one that is as good as "
                f"{figure.interval.high:.2f} is not excluded, and another kind may see more."
            ]
    return []


def _tell_anatomy(figures: Sequence[Figure]) -> list[str]:
    anatomy = [item for item in figures if item.name == "anatomy_wasserstein_distance"]
    told = [item for item in anatomy if compare_with_floor(item) != "unknown"]
    if not told:
        return []
    beyond = [item for item in told if compare_with_floor(item) == "beyond"]
    names = ", ".join(next(iter(item.condition.values()), "") for item in beyond[:4])
    more = f": {names}{' ...' if len(beyond) > 4 else ''}" if beyond else ""
    return [
        f"Of {len(told)} alignment and size parameters, {len(beyond)} differ by more than in real radiographs{more}."
    ]
