"""What every downstream task gives to the protocol: which cases it can use, a network, a loss, predictions and scores.

To add a task: a folder in `tasks/` with its recipe and a class that has all of `Task`, and the few places that
docs/how-to/add-a-task.md lists.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from cspine_bench.augment import Changes
from cspine_bench.baselines.cases import Cases
from cspine_bench.baselines.unet import TaskNetwork
from cspine_bench.results import Direction

Arrays = dict[str, NDArray[Any]]
"""Predictions by name, the first axis of each counting the radiographs."""

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From weights of the radiographs, float64 (B, n) >= 0, to a figure for each row of weights, float64 (B,); NaN where it
is not defined. Weights are how often a radiograph was drawn: all ones give the figure itself."""


@dataclass(frozen=True)
class Score:
    """A figure of predictions, as a function of how often each radiograph counts.

    Attributes:
        name: field's term, such as `mean_radial_error`.
        statistic: see `Statistic`.
        direction: which is better.
        used: radiographs that it rests on.
        unit: "" where it has none.
        condition: what it is of, such as {"level": "C3"}; empty: all.
        per_case: float64 (n,), its value for each radiograph, for the table of rows; NaN: not defined. None: it has
            none for single radiographs.
        note: one sentence that a reader needs.
    """

    name: str
    statistic: Statistic
    direction: Direction
    used: int
    unit: str = ""
    condition: Mapping[str, str] | None = None
    per_case: NDArray[np.float64] | None = None
    note: str = ""


@dataclass(frozen=True)
class Batch:
    """Radiographs of one update, changed alike with their landmarks and masks if the arm says so.

    Attributes:
        images: float32 (B, 1, S, S), -1..1.
        landmarks_xy: float32 (B, 23, 2), px; NaN: not labelled.
        masks: int64 (B, S, S); label ids, `NOT_ANNOTATED` where nobody looked.
        cases: where they come from: for labels of whole radiographs.
        places: int64 (B,), their places in `cases`.
        generator: for what a task draws for this update, on the CPU.
        changes: what was done to the images; None: they are as they were. For a truth that is an image itself.
    """

    images: torch.Tensor
    landmarks_xy: torch.Tensor
    masks: torch.Tensor
    cases: Cases
    places: NDArray[np.int64]
    generator: torch.Generator
    changes: Changes | None = None


class Task(Protocol):
    """A downstream task with its settings."""

    @property
    def margin(self) -> float:
        """Largest difference of the primary score that does not matter, where the recipe names none."""
        ...

    def list_usable(self, cases: Cases) -> NDArray[np.bool_]:
        """Bool (n,): which radiographs have the labels that it needs. Others are left out, and counted."""
        ...

    def describe_need(self) -> str:
        """What `list_usable` asks for, to end "12 radiographs of the train split have ...": `landmarks`."""
        ...

    def check_labels(self, cases: Cases, role: str) -> None:
        """Stop where usable labels make no task of it: a single class, for example.

        Raises:
            DataError: names the dataset, what was found, and what to do.
        """
        ...

    def build_network(self) -> TaskNetwork:
        """A network with new weights, drawn from torch's generator as it stands."""
        ...

    def compute_loss(self, network: TaskNetwork, batch: Batch) -> torch.Tensor:
        """Loss of a batch, a scalar."""
        ...

    def predict(self, network: TaskNetwork, cases: Cases, *, device: str, seed: int) -> Arrays:
        """What the network says of each radiograph; `seed` decides what is drawn for it, such as its artefact."""
        ...

    def predict_floor(self, train: Cases, cases: Cases, *, seed: int) -> tuple[str, Arrays]:
        """The same without looking at the radiographs, or without learning: its name, and what it says.

        For example the mean shape of the training landmarks. A network that does no better has learnt nothing.
        """
        ...

    def score(self, predictions: Arrays, cases: Cases, *, seed: int) -> tuple[Score, ...]:
        """Figures of predictions, the primary one first; the same names in the same order for the same cases.

        Args:
            predictions: as `predict` gives them, for all of `cases`.
            cases: with their labels.
            seed: as given to `predict`, for a truth that was drawn with it.
        """
        ...
