"""What a page shows beside the figures of its result: pictures, curves, and values of single images.

Every part may be missing; the page then says in a sentence that it was not given.
"""

from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]
"""uint8 or uint16 (height, width), or float (height, width) for a map."""
Values = NDArray[np.floating]

SUSPICIOUS_P_VALUE: Final = 0.01
"""Synthetic images at or below it are withheld from a page without real pixels: a copy shows the film."""


class Move(Protocol):
    """How a reference was moved to make an image, as `Variant` and `Registration` of the metrics say."""

    @property
    def flip(self) -> bool: ...
    @property
    def rotation_deg(self) -> float: ...
    @property
    def scale(self) -> float: ...
    @property
    def shift_px(self) -> tuple[float, float]: ...


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
        frequency: float (k,), rising, cycles per pixel.
        real: float (k,), median over the radiographs, above 0.
        synthetic: float (k,), likewise.
        real_range: float (2, k), what 90 % of the radiographs lie between; None: not given.
        synthetic_range: likewise.
        unit: of the power.
    """

    frequency: Values = field(repr=False)
    real: Values = field(repr=False)
    synthetic: Values = field(repr=False)
    real_range: Values | None = field(default=None, repr=False)
    synthetic_range: Values | None = field(default=None, repr=False)
    unit: str = "relative to the image's variance"


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
    """What the classifier that tells real from synthetic looks at.

    Attributes:
        mean_image: float or uint8 (height, width), mean of real and synthetic radiographs; None: not given.
        importance: float (rows, columns), 0 or more, over the whole image; None: not given.
        frequencies: (name of a band, importance) from low to high.
        importance_name: what the importance is, in words.
    """

    mean_image: Pixels | None = field(default=None, repr=False)
    importance: Values | None = field(default=None, repr=False)
    frequencies: tuple[tuple[str, float], ...] = ()
    importance_name: str = "fall of the AUROC where this part is hidden"


@dataclass(frozen=True)
class SuppressedGroup:
    """A subgroup that is named, but too small to be measured."""

    label: str
    value: str
    num_real: int
    num_synthetic: int


@dataclass(frozen=True)
class NotMeasured:
    """A part that was left out, and why: one sentence each."""

    what: str
    why: str


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
        detector: what the classifier looks at.
        suppressed: subgroups that were too small.
        not_measured: parts left out.
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
    suppressed: tuple[SuppressedGroup, ...] = ()
    not_measured: tuple[NotMeasured, ...] = ()
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
        variant: how the training film was moved to make the image; shifts in px of maps of side `map_side_px`.
        confirmed: by registration; None: not tried.
        listed: at the false discovery rate of the result.
        map_side_px: see `variant`.
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
    variant: Move | None = None
    confirmed: bool | None = None
    listed: bool = False
    map_side_px: int = 64
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
class RocCurve:
    """Hits against false alarms of one attack.

    Attributes:
        attack: as in the condition of its figures.
        space: likewise; "": none.
        false_positive_rate: float (k,), rising, 0..1.
        true_positive_rate: float (k,), likewise.
    """

    attack: str
    space: str
    false_positive_rate: Values = field(repr=False)
    true_positive_rate: Values = field(repr=False)


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
        kind: `release` (both synthetic) or `leak` (a training film and one held out).
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
        roc_curves: of membership inference.
        duplicates: most alike pairs.
        ranking: the paper's own procedure.
        ranking_encoder: encoder of that ranking, in words.
        not_measured: parts left out.
        warnings: what a reader of every figure should know of the images.
        command: that makes this result again.
        citation: of the toolkit and the data.
    """

    outcome: Outcome | None = None
    gates: tuple[Gate, ...] = ()
    p_values: Values | None = field(default=None, repr=False)
    scores: tuple[Scores, ...] = ()
    planted: tuple[PlantedExample, ...] = ()
    roc_curves: tuple[RocCurve, ...] = ()
    duplicates: tuple[DuplicatePair, ...] = ()
    ranking: tuple[RankedPair, ...] = ()
    ranking_encoder: str = ""
    not_measured: tuple[NotMeasured, ...] = ()
    warnings: tuple[str, ...] = ()
    command: str = ""
    citation: str = ""
