"""What a page shows beside the figures of its result: pictures, curves, and values of single images.

Every part may be missing; the page then says in a sentence that it was not given.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from cspine_bench.metrics.copying import SIDE_PX
from cspine_bench.metrics.intervals import Estimate
from cspine_bench.page.images import Pixels, Values
from cspine_bench.page.tables import NotMeasured

SUSPICIOUS_P_VALUE: Final = 0.01
"""Synthetic images at or below it are withheld from a page without real pixels: a copy shows the film."""


class ClueLike(Protocol):
    """A statistic of images: how well it alone tells the sides apart, and how much of the detector rests on it."""

    @property
    def name(self) -> str: ...
    @property
    def auroc(self) -> Estimate: ...
    @property
    def contribution(self) -> float: ...


class FactLike(Protocol):
    """What the making of images leaves: medians of both sides, and how well it alone tells them apart."""

    @property
    def name(self) -> str: ...
    @property
    def real(self) -> float: ...
    @property
    def synthetic(self) -> float: ...
    @property
    def auroc(self) -> Estimate: ...


@dataclass(frozen=True)
class LadderPicture:
    """One real radiograph under a known degradation."""

    degradation: str
    strength: str
    image: Pixels = field(repr=False)


@dataclass(frozen=True)
class Spectra:
    """Power at each spatial frequency, on both sides.

    Attributes:
        frequency: float (k,), rising.
        real: float (k,), median over the radiographs, above 0.
        synthetic: float (k,), likewise.
        real_range: float (2, k), what 90 % of the radiographs lie between; None: not given.
        synthetic_range: likewise.
        unit: of the power.
        frequency_unit: of the frequencies.
    """

    frequency: Values = field(repr=False)
    real: Values = field(repr=False)
    synthetic: Values = field(repr=False)
    real_range: Values | None = field(default=None, repr=False)
    synthetic_range: Values | None = field(default=None, repr=False)
    unit: str = "relative to the image’s variance"
    frequency_unit: str = "cycles per pixel"


@dataclass(frozen=True)
class ParameterValues:
    """One property of each radiograph, on both sides; NaN: not known.

    Attributes:
        name: as in the condition of its figure: an alignment parameter, or a property of image quality.
        unit: "deg", "mm", "px", "percent" or "".
        real: float (n,).
        synthetic: float (m,).
    """

    name: str
    unit: str
    real: Values = field(repr=False)
    synthetic: Values = field(repr=False)


@dataclass(frozen=True)
class DetectorView:
    """What the classifiers that tell real from synthetic look at.

    Attributes:
        mean_real: float or uint8 (height, width), mean of real radiographs; None: not given.
        mean_synthetic: likewise.
        change: float (rows, columns) over the whole image; above 0 where what is there gives the sides away.
        significant: bool (rows, columns), cells beyond chance; None: not tested.
        p_value: of the largest cell.
        num_images: of each side that the map is averaged over.
        clues: what the detector of statistics rests on: bands of spatial frequencies, from low to high, and others.
        facts: of the making of the images, on both sides.
    """

    mean_real: Pixels | None = field(default=None, repr=False)
    mean_synthetic: Pixels | None = field(default=None, repr=False)
    change: Values | None = field(default=None, repr=False)
    significant: NDArray[np.bool_] | None = field(default=None, repr=False)
    p_value: float | None = None
    num_images: int | None = None
    clues: tuple[ClueLike, ...] = ()
    facts: tuple[FactLike, ...] = ()


@dataclass(frozen=True)
class OddSpine:
    """A spine that cannot be, or hardly: of which side, which, and why."""

    role: str
    sample_id: str
    reason: str


@dataclass(frozen=True)
class FidelityPictures:
    """What the page of `evaluate fidelity` shows beside the figures.

    Attributes:
        real: (sample id, image) of some real radiographs, drawn at random.
        synthetic: likewise.
        ladder: one real radiograph under each degradation.
        spectra: of image quality.
        anatomy: alignment parameters, in the order in which they are shown.
        quality: properties of single images, likewise.
        detector: what the classifiers look at.
        implausible: spines that cannot be, or hardly.
        not_measured: parts left out, and subgroups that were too small.
        notes: sentences by section of the page: the words after # in its address.
        warnings: what a reader of every figure should know of the images.
        command: that makes this result again.
        citation: of the toolkit and the data.
    """

    real: tuple[tuple[str, Pixels], ...] = ()
    synthetic: tuple[tuple[str, Pixels], ...] = ()
    ladder: tuple[LadderPicture, ...] = ()
    spectra: Spectra | None = None
    anatomy: tuple[ParameterValues, ...] = ()
    quality: tuple[ParameterValues, ...] = ()
    detector: DetectorView | None = None
    implausible: tuple[OddSpine, ...] = ()
    not_measured: tuple[NotMeasured, ...] = ()
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    command: str = ""
    citation: str = ""


@dataclass(frozen=True)
class Pair:
    """A synthetic image with its nearest films.

    Attributes:
        sample_id: of the synthetic image.
        train_id: nearest training film.
        holdout_id: nearest film held out; None: not searched.
        synthetic: uint8 or uint16 (height, width).
        train: likewise; None: not given.
        holdout: likewise.
        similarity: to the training film, 0..1.
        holdout_similarity: to the film held out.
        p_value: one-sided conformal.
        q_value: after Benjamini and Hochberg.
        tail_p_value: from a fitted tail, where the conformal one is at its floor; None: none.
        move: float (2, 3), from (row, column, 1) px of the film's map, counted from its centre, to those of the
            image's, as `metrics.registration.build_moves` gives it; None: not known.
        confirmed: by registration; None: not tried.
        listed: at the false discovery rate of the result.
        map_side_px: side of these maps.
        region: of the film that was compared, in words; "": the whole.
    """

    sample_id: str
    train_id: str
    holdout_id: str | None
    synthetic: Pixels = field(repr=False)
    train: Pixels | None = field(repr=False)
    holdout: Pixels | None = field(repr=False)
    similarity: float
    holdout_similarity: float | None
    p_value: float
    q_value: float | None = None
    tail_p_value: float | None = None
    move: Values | None = field(default=None, repr=False)
    confirmed: bool | None = None
    listed: bool = False
    map_side_px: int = SIDE_PX
    region: str = ""

    @property
    def suspicious(self) -> bool:
        """Whether the image may show a training film."""
        return self.listed or bool(self.confirmed) or self.p_value <= SUSPICIOUS_P_VALUE


Outcome = Literal["copies", "none", "underpowered"]


@dataclass(frozen=True)
class Gate:
    """A condition of the verdict: what is asked, what was found, and whether that is enough."""

    asked: str
    found: str
    passed: bool


@dataclass(frozen=True)
class PlantedExample:
    """A planted copy beside the training film that it was made from, and whether the search found it."""

    transform: str
    film: Pixels = field(repr=False)
    copy: Pixels = field(repr=False)
    found: bool


@dataclass(frozen=True)
class AttackScores:
    """What one attack makes of films that were trained on, and of films that were not.

    Attributes:
        attack: as in the condition of its figures.
        space: likewise; "": none.
        members: float (N,), scores of training films, high for a member.
        others: float (M,), of films held out.
    """

    attack: str
    space: str
    members: Values = field(repr=False)
    others: Values = field(repr=False)


@dataclass(frozen=True)
class Scores:
    """One score of each image, in one space: how like a training film it is, and what honest films reach.

    Attributes:
        name: of the score, in words, such as "similarity, pixels".
        synthetic: float (n,).
        holdout: float (h,), films held out against the same training films.
        suspicious: end of the scale at which copies lie.
        threshold: operating point; None: not given.
    """

    name: str
    synthetic: Values = field(repr=False)
    holdout: Values = field(repr=False)
    suspicious: Literal["low", "high"] = "high"
    threshold: float | None = None


@dataclass(frozen=True)
class DuplicatePair:
    """Two images that are alike, inside the release or between training films and those held out.

    Attributes:
        kind: `release` (both synthetic) or `leak` (a film held out, and a training film).
        first_id: sample id.
        second_id: likewise.
        similarity: 0..1.
        first: image; None: not given.
        second: likewise.
    """

    kind: Literal["release", "leak"]
    first_id: str
    second_id: str
    similarity: float
    first: Pixels | None = field(default=None, repr=False)
    second: Pixels | None = field(default=None, repr=False)


@dataclass(frozen=True)
class RankedPair:
    """One row of the ranking by cosine similarity that the paper's procedure gives, highest first."""

    sample_id: str
    train_id: str
    cosine: float


@dataclass(frozen=True)
class MemorizationPictures:
    """What the page of `evaluate memorization` shows beside its figures and pairs.

    Attributes:
        outcome: `copies` found, `none` found and bounded, or `underpowered`; None: not stated.
        gates: conditions of the verdict.
        p_values: float (n,), of all synthetic images; None: not given.
        scores: per space.
        planted: examples of planted copies.
        attacks: of membership inference.
        duplicates: most alike pairs.
        ranking: the paper's own procedure.
        ranking_encoder: encoder of that ranking, in words.
        not_measured: parts left out.
        notes: sentences by section of the page: the words after # in its address.
        warnings: what a reader of every figure should know of the images.
        command: that makes this result again.
        citation: of the toolkit and the data.
        train_ids: of all training films, so that they can be hidden in sentences too.
        holdout_ids: of all films held out, likewise.
    """

    outcome: Outcome | None = None
    gates: tuple[Gate, ...] = ()
    p_values: Values | None = field(default=None, repr=False)
    scores: tuple[Scores, ...] = ()
    planted: tuple[PlantedExample, ...] = ()
    attacks: tuple[AttackScores, ...] = ()
    duplicates: tuple[DuplicatePair, ...] = ()
    ranking: tuple[RankedPair, ...] = ()
    ranking_encoder: str = ""
    not_measured: tuple[NotMeasured, ...] = ()
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    command: str = ""
    citation: str = ""
    train_ids: tuple[str, ...] = field(default=(), repr=False)
    holdout_ids: tuple[str, ...] = field(default=(), repr=False)
