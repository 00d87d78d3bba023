"""What the page of fidelity shows beside its figures, from what was measured."""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Final

import numpy as np

from cspine_bench.evaluate.fidelity.anatomy import Anatomy
from cspine_bench.evaluate.fidelity.detectability import Detectability
from cspine_bench.evaluate.fidelity.distances import NotMeasured as MissingFigure
from cspine_bench.evaluate.fidelity.distribution import Distribution
from cspine_bench.evaluate.fidelity.ladder import Ladder
from cspine_bench.evaluate.fidelity.quality import Quality
from cspine_bench.evaluate.fidelity.subgroups import Subgroups
from cspine_bench.evaluate.page.records import (
    DetectorView,
    FidelityPictures,
    LadderPicture,
    OddSpine,
    ParameterValues,
    Spectra,
)
from cspine_bench.imaging.degrade import LADDER
from cspine_bench.measurement.inputs import Images, compare_sides
from cspine_bench.page.images import Pixels
from cspine_bench.page.tables import NotMeasured
from cspine_bench.seeding import numpy_generator

NUM_SHOWN: Final = 16
"""Radiographs of each side on the sheet."""


@dataclass(frozen=True)
class Parts:
    """All that was measured; None: the recipe leaves it out, or there is nothing to measure it on."""

    distribution: Distribution | None = None
    ladder: Ladder | None = None
    subgroups: Subgroups | None = None
    anatomy: Anatomy | None = None
    quality: Quality | None = None
    detectability: Detectability | None = None


def collect_pictures(
    parts: Parts, real: Images, synthetic: Images, *, seed: int, real_pixels: bool, command: str, citation: str
) -> FidelityPictures:
    """Pictures, curves and sentences of a page.

    Args:
        parts: what was measured.
        real: one side.
        synthetic: the other.
        seed: draws the radiographs that are shown; nobody chooses them.
        real_pixels: False leaves out synthetic images that have the very pixels of a real one.
        command: that makes the result again.
        citation: of toolkit and method.
    """
    films = frozenset() if real_pixels else frozenset(real.pixel_sha256)
    sheets = [_draw_sheet(real, seed), _draw_sheet(synthetic, seed, films)]
    anatomy, quality = parts.anatomy, parts.quality
    return FidelityPictures(
        real=sheets[0],
        synthetic=sheets[1],
        ladder=() if parts.ladder is None else _draw_ladder(sheets[0][0][1], seed),
        spectra=None if quality is None else _draw_spectra(quality),
        anatomy=() if anatomy is None else _list_values(anatomy.values, anatomy.units, anatomy.p_values),
        quality=() if quality is None else _list_values(quality.values, quality.units, quality.units),
        detector=None if parts.detectability is None else _view_detector(parts.detectability),
        implausible=()
        if anatomy is None
        else tuple(OddSpine(spine.role, spine.sample_id, spine.reason) for spine in anatomy.implausible),
        not_measured=tuple(_list_missing(parts)),
        notes=_list_notes(parts),
        warnings=(*compare_sides(real, synthetic), *real.warnings, *synthetic.warnings),
        command=command,
        citation=citation,
    )


def _draw_sheet(side: Images, seed: int, hidden: Set[str] = frozenset()) -> tuple[tuple[str, Pixels], ...]:
    draw = numpy_generator(seed, f"evaluate.fidelity.sheet.{side.role}")
    rows = [row for row in draw.permutation(len(side)) if side.pixel_sha256[row] not in hidden][:NUM_SHOWN]
    chosen = [side.sample_ids[row] for row in rows]
    images = side.take_images(chosen)
    return tuple((name, images[name]) for name in chosen)


def _draw_ladder(film: Pixels, seed: int) -> tuple[LadderPicture, ...]:
    shown = [LadderPicture("none", "", film)]
    for number, step in enumerate(LADDER):
        generator = numpy_generator(seed, "evaluate.fidelity.ladder.picture", number)
        shown.append(LadderPicture(step.name, step.strength, step.apply(film, generator)))
    return tuple(shown)


def _draw_spectra(quality: Quality) -> Spectra | None:
    if set(quality.spectra) != {"real", "synthetic"}:
        return None
    real, synthetic = quality.spectra["real"], quality.spectra["synthetic"]
    height = quality.height_px
    return Spectra(
        frequency=quality.frequencies / (height or 1),
        real=real.middle,
        synthetic=synthetic.middle,
        real_range=np.stack([real.low, real.high]),
        synthetic_range=np.stack([synthetic.low, synthetic.high]),
        unit="full scale squared per (cycle per image height) squared",
        frequency_unit="cycles per image height" if height is None else "cycles per pixel",
    )


def _list_values(
    values: Mapping[str, Mapping[str, "np.ndarray"]], units: Mapping[str, str], names: Mapping[str, object]
) -> tuple[ParameterValues, ...]:
    return tuple(
        ParameterValues(name, units[name], values["real"][name], values["synthetic"][name])
        for name in names
        if name in values["real"] and name in values["synthetic"]
    )


def _view_detector(found: Detectability) -> DetectorView:
    seen = found.map
    return DetectorView(
        mean_real=found.mean_real,
        mean_synthetic=found.mean_synthetic,
        change=None if seen is None else seen.change,
        significant=None if seen is None else seen.significant,
        p_value=None if seen is None else seen.p_value,
        num_images=None if seen is None else seen.num_images,
        clues=found.clues,
        facts=found.facts,
    )


def _list_missing(parts: Parts) -> Iterator[NotMeasured]:
    for part in (parts.distribution, parts.ladder, parts.subgroups):
        for missing in () if part is None else part.not_measured:
            yield _name_missing(missing)
    for named in (parts.anatomy, parts.quality):
        for what, why in ({} if named is None else named.not_measured).items():
            yield NotMeasured(what, why)
    if parts.detectability is not None and parts.detectability.not_measured:
        yield NotMeasured("detectability", parts.detectability.not_measured)


def _name_missing(missing: MissingFigure) -> NotMeasured:
    told = ", ".join(f"{name} {value}" for name, value in {**missing.subgroup, **missing.condition}.items())
    return NotMeasured(f"{missing.name} ({told})" if told else missing.name, missing.reason)


def _list_notes(parts: Parts) -> dict[str, tuple[str, ...]]:
    notes: dict[str, tuple[str, ...]] = {}
    if parts.ladder is not None:
        notes["ladder"] = parts.ladder.sentences
    if parts.anatomy is not None:
        notes["anatomy"] = parts.anatomy.warnings
    if parts.quality is not None:
        notes["quality"] = parts.quality.warnings
    if parts.detectability is not None:
        notes["detectability"] = parts.detectability.notes
    return notes
