"""Landmarking: the 23 landmarks by heat maps or, as the simple way, by regression of their coordinates."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from cspine_bench.anatomy.landmarks import LANDMARK_NAMES, NUM_LANDMARKS
from cspine_bench.baselines.cases import Cases
from cspine_bench.baselines.task import Arrays, Batch, Score
from cspine_bench.baselines.tasks.landmarking.heatmaps import compute_heatmap_loss, decode_heatmaps, find_visible
from cspine_bench.baselines.tasks.landmarking.recipe import LandmarkingRecipe
from cspine_bench.baselines.tasks.landmarking.scores import score_landmarks
from cspine_bench.baselines.unet import DenseHead, NetworkShape, PlacedHead, TaskNetwork, Unet
from cspine_bench.errors import DataError

PREDICT_BATCH = 32


class Landmarking:
    """See `cspine_bench.baselines.task.Task`.

    Predictions are `landmarks_xy`, float32 (n, 23, 2), px of the size that is worked at, and `confidence`, float32
    (n, 23), 0..1, NaN where the method gives none.

    Args:
        recipe: of the task.
        shape: of the network.
    """

    def __init__(self, recipe: LandmarkingRecipe, shape: NetworkShape) -> None:
        self.recipe = recipe
        self.shape = shape

    @property
    def margin(self) -> float:
        """A quarter of the strictest detection radius, 1 mm; where the primary score is in px, of a pixel."""
        return 0.25

    def list_usable(self, cases: Cases) -> NDArray[np.bool_]:
        """Those with at least one landmark."""
        usable: NDArray[np.bool_] = np.any(_find_labelled(cases), axis=1)
        return usable

    def describe_need(self) -> str:
        """To end a sentence."""
        return "landmarks"

    def check_labels(self, cases: Cases, role: str) -> None:
        """Stop where a landmark is labelled in no radiograph: nothing can be learnt of it.

        Raises:
            DataError: names the landmarks.
        """
        never = ~_find_labelled(cases).any(axis=0)
        if never.any():
            names = ", ".join(np.array(LANDMARK_NAMES)[never][:3])
            raise DataError(
                f"{cases.where}: {role}: no radiograph has a label of {names}"
                f"{''.join(f' ({warning})' for warning in cases.warnings)}; label some"
            )

    def build_network(self) -> TaskNetwork:
        """A map for each landmark, as fine as the trunk's features, or two numbers for each."""
        if self.recipe.method == "heatmap":
            return TaskNetwork(Unet(self.shape), DenseHead(replace(self.shape, unshuffle=1), NUM_LANDMARKS))
        return TaskNetwork(Unet(self.shape), PlacedHead(self.shape, 2 * NUM_LANDMARKS))

    def compute_loss(self, network: TaskNetwork, batch: Batch) -> torch.Tensor:
        """Cross-entropy of the maps, or the mean absolute error of the coordinates in halves of the image's side."""
        answer = network(batch.images)
        if self.recipe.method == "heatmap":
            return compute_heatmap_loss(answer, batch.landmarks_xy, cell_px=self.shape.unshuffle)
        visible = find_visible(batch.landmarks_xy, self.shape.size)
        places = torch.where(visible[..., None], batch.landmarks_xy, 0.0)
        error = (self._read_coordinates(answer) - places).abs().sum(dim=-1) / (self.shape.size / 2)
        loss: torch.Tensor = (error * visible).sum() / visible.sum().clamp(min=1)
        return loss

    def _read_coordinates(self, answer: torch.Tensor) -> torch.Tensor:
        """Places (B, 23, 2), px, from numbers (B, 46) about the image's centre in halves of its side."""
        return answer.float().reshape(-1, NUM_LANDMARKS, 2) * (self.shape.size / 2) + (self.shape.size - 1) / 2

    def predict(self, network: TaskNetwork, cases: Cases, *, device: str, seed: int) -> Arrays:
        """Landmarks and confidences."""
        places, sure = [], []
        with torch.inference_mode():
            for images in cases.iter_images(PREDICT_BATCH):
                answer = network(images.to(device))
                if self.recipe.method == "heatmap":
                    found, mass = decode_heatmaps(answer, cell_px=self.shape.unshuffle)
                else:
                    found = self._read_coordinates(answer)
                    mass = torch.full(found.shape[:2], torch.nan)
                places.append(found.cpu().numpy())
                sure.append(mass.cpu().numpy())
        return {"landmarks_xy": np.concatenate(places), "confidence": np.concatenate(sure)}

    def predict_floor(self, train: Cases, cases: Cases, *, seed: int) -> tuple[str, Arrays]:
        """The mean shape of the training landmarks; a landmark that none of them has is put at the image's centre."""
        there = _find_labelled(train)[..., None]
        total = np.where(there, train.landmarks_xy.astype(np.float64), 0.0).sum(axis=0)
        count = there.sum(axis=0)
        mean = np.where(count > 0, total / np.maximum(count, 1), (cases.size - 1) / 2)
        places = np.broadcast_to(mean, (len(cases), NUM_LANDMARKS, 2)).astype(np.float32)
        return "mean shape", {"landmarks_xy": places, "confidence": np.full(places.shape[:2], np.nan, np.float32)}

    def score(self, predictions: Arrays, cases: Cases, *, seed: int) -> tuple[Score, ...]:
        """See `cspine_bench.baselines.tasks.landmarking.scores`."""
        return score_landmarks(predictions["landmarks_xy"], cases)


def _find_labelled(cases: Cases) -> NDArray[np.bool_]:
    """Bool (n, 23)."""
    labelled: NDArray[np.bool_] = np.all(np.isfinite(cases.landmarks_xy), axis=2)
    return labelled
