"""The classes of each label: their names, their numbers, and what the landmarks alone say of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.anatomy.classes import CURVATURE_CLASSES, DISEASES, FACINGS, SEXES
from cspine_bench.anatomy.curvature import compute_curvature_labels
from cspine_bench.baselines.cases import Cases

UNLABELLED: Final = -1


@dataclass(frozen=True)
class ClassLabel:
    """What is to be told.

    Attributes:
        column: name of the dataset's label, in `measurement.inputs.SUBGROUPS`.
        classes: names, in the order of their numbers.
        merged: the class of each of the column's values that has another name.
    """

    column: str
    classes: tuple[str, ...]
    merged: Mapping[str, str]

    def number(self, value: str) -> int:
        """Of a value; `UNLABELLED` for what is no class."""
        name = self.merged.get(value, value)
        return self.classes.index(name) if name in self.classes else UNLABELLED


_JOINED: Final = "straight-sigmoid"

LABELS: Final[Mapping[str, ClassLabel]] = {
    "curvature": ClassLabel("curvature", CURVATURE_CLASSES, {}),
    "curvature-3": ClassLabel(
        "curvature",
        ("lordotic", _JOINED, "kyphotic"),
        {"straight": _JOINED, "sigmoid1": _JOINED, "sigmoid2": _JOINED},
    ),
    "disease": ClassLabel("disease", DISEASES, {}),
    "sex": ClassLabel("sex", SEXES, {}),
}
"""By the `label` that a recipe names."""


def read_labels(cases: Cases, label: ClassLabel) -> NDArray[np.int64]:
    """Class numbers of radiographs, int64 (n,); `UNLABELLED` where nobody said."""
    numbers = {value: label.number(value) for value in set(cases.labels(label.column))}
    return np.array([numbers[value] for value in cases.labels(label.column)], np.int64)


def read_labels_from_landmarks(cases: Cases, label: ClassLabel) -> NDArray[np.int64]:
    """Class numbers of curvature by the rule on the true landmarks, without any network.

    Args:
        cases: radiographs; those without landmarks, spacing or facing have no answer.
        label: of curvature.

    Returns:
        int64 (n,), `UNLABELLED` where the rule cannot be asked.

    Source: see `cspine_bench.anatomy.curvature`.
    """
    found = np.full(len(cases), UNLABELLED, np.int64)
    for facing in FACINGS:
        rows = np.flatnonzero([side == facing for side in cases.facing])
        kinds = compute_curvature_labels(
            cases.landmarks_xy[rows], pixel_spacing_mm=cases.pixel_spacing_mm[rows], facing=facing
        )
        found[rows] = [label.number(CURVATURE_CLASSES[kind]) if kind >= 0 else UNLABELLED for kind in kinds]
    return found
