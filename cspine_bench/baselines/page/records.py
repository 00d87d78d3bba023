"""What a baseline's page shows beside the figures of its result."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cspine_bench.metrics.classification import ReliabilityCurve
from cspine_bench.page.images import Pixels
from cspine_bench.page.tables import NotMeasured


@dataclass(frozen=True)
class Agreement:
    """A quantity that is read off each radiograph, true and predicted: a Bland-Altman plot.

    Attributes:
        name: of the quantity, such as `C2-7Cobb`.
        unit: `deg`, `mm`, ...
        arm: whose predictions.
        truth: float64 (n,); NaN: not defined.
        predicted: likewise.
    """

    name: str
    unit: str
    arm: str
    truth: NDArray[np.float64] = field(repr=False)
    predicted: NDArray[np.float64] = field(repr=False)


@dataclass(frozen=True)
class Reliability:
    """How often a network is right where it is so sure.

    Attributes:
        arm: whose predictions.
        curve: the bins that its calibration error has, too.
    """

    arm: str
    curve: ReliabilityCurve = field(repr=False)


@dataclass(frozen=True)
class Example:
    """One test radiograph with its truth and a prediction; only what the task has is given.

    Attributes:
        sample_id: of the radiograph.
        arm: whose prediction.
        rank: why it is shown: `best`, `median`, `worst`.
        text: its score and, where classes are predicted, the true and the named one.
        image: uint8 or uint16 (S, S); of restoration, what it made.
        truth_xy: float (k, 2), px; NaN: not labelled.
        predicted_xy: likewise.
        truth_mask: uint8 (S, S), label ids; a value above 8: nobody looked.
        predicted_mask: likewise.
    """

    sample_id: str
    arm: str
    rank: str
    text: str
    image: Pixels = field(repr=False)
    truth_xy: NDArray[np.floating] | None = field(default=None, repr=False)
    predicted_xy: NDArray[np.floating] | None = field(default=None, repr=False)
    truth_mask: NDArray[np.uint8] | None = field(default=None, repr=False)
    predicted_mask: NDArray[np.uint8] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class BaselinePictures:
    """All that the page shows beside the figures; a missing part becomes a sentence.

    Attributes:
        agreements: one for each quantity and arm.
        reliabilities: one for each arm.
        examples: a handful.
        notes: sentences by the section that they belong to.
        not_measured: what was left out, and why.
        warnings: what a reader of every figure should know.
        command: that gives the result again.
        citation: how to cite it.
    """

    agreements: tuple[Agreement, ...] = ()
    reliabilities: tuple[Reliability, ...] = ()
    examples: tuple[Example, ...] = ()
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    not_measured: tuple[NotMeasured, ...] = ()
    warnings: tuple[str, ...] = ()
    command: str = ""
    citation: str = ""
