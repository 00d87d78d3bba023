"""Restoration: what a radiograph was before it was made smaller, or what it is without bone."""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cspine_bench.augment import change_images
from cspine_bench.baselines.cases import Cases
from cspine_bench.baselines.task import Arrays, Batch, Score
from cspine_bench.baselines.tasks.restoration.bone_free import find_phantoms, load_bone_free
from cspine_bench.baselines.tasks.restoration.enlarge import (
    enlarge,
    keep_means,
    keep_means_and_range,
    shrink,
)
from cspine_bench.baselines.tasks.restoration.recipe import RestorationRecipe
from cspine_bench.baselines.tasks.restoration.scores import find_spine_regions, score_residual_bone, score_restored
from cspine_bench.baselines.unet import DenseHead, NetworkShape, TaskNetwork, Unet
from cspine_bench.errors import RecipeError

PREDICT_BATCH: Final = 16


class Restoration:
    """See `cspine_bench.baselines.task.Task`.

    Predictions are `restored`, (n, S, S) of the cases' own type.

    The network says what is to be added to an image. Super-resolution starts from the small image, enlarged by bicubic
    interpolation; with `unshuffle` equal to `factor` the network works on the small image's grid, and its head is the
    sub-pixel convolution of Shi et al. 2016 (1609.05158). Bone suppression starts from the film.

    Args:
        recipe: of the task.
        shape: of the network.

    Raises:
        RecipeError: the size is no multiple of the factor.
    """

    def __init__(self, recipe: RestorationRecipe, shape: NetworkShape) -> None:
        if recipe.what == "super-resolution" and shape.size % recipe.factor:
            raise RecipeError(f"size {shape.size} is no multiple of task.factor {recipe.factor}; set another size")
        self.recipe = recipe
        self.shape = shape

    @property
    def margin(self) -> float:
        """Decibels: 3 % of the root of the mean squared error. An assumption: no reader was asked."""
        return 0.25

    def list_usable(self, cases: Cases) -> NDArray[np.bool_]:
        """All for super-resolution; for bone suppression, phantoms whose records make the very same film again."""
        if self.recipe.what == "super-resolution":
            return np.ones(len(cases), np.bool_)
        return find_phantoms(cases)

    def describe_need(self) -> str:
        """To end a sentence."""
        if self.recipe.what == "super-resolution":
            return "pixels"
        return "a phantom's record that makes the same film again, as bone suppression needs"

    def check_labels(self, cases: Cases, role: str) -> None:
        """Every film is its own truth."""

    def build_network(self) -> TaskNetwork:
        """One that adds nothing at first."""
        head = DenseHead(self.shape, 1)
        for weight in head.project.parameters():
            nn.init.zeros_(weight)
        return TaskNetwork(Unet(self.shape), head)

    def compute_loss(self, network: TaskNetwork, batch: Batch) -> torch.Tensor:
        """Mean absolute error."""
        if self.recipe.what == "super-resolution":
            truth = batch.images
            levels = int(np.iinfo(batch.cases.pixels.dtype).max)
            small = shrink(batch.images, self.recipe.factor, levels)
            # Without the ends of the range, where nothing could be learnt.
            restored = keep_means(self._guess(network, small), small, self.recipe.factor)
        else:
            cases = batch.cases.take(batch.places)
            truth = _to_images(load_bone_free(cases).pixels).to(batch.images.device)
            truth = truth if batch.changes is None else change_images(truth, batch.changes)
            restored = batch.images + network(batch.images)
        return (restored - truth).abs().mean()

    def enlarge(self, network: TaskNetwork, small: torch.Tensor) -> torch.Tensor:
        """What a super-resolver makes of small images, float32 (B, 1, S / factor, S / factor) in -1..1.

        Returns:
            (B, 1, S, S) in -1..1; averaged down it is the small image again.
        """
        return keep_means_and_range(self._guess(network, small), small, self.recipe.factor)

    def _guess(self, network: TaskNetwork, small: torch.Tensor) -> torch.Tensor:
        start = enlarge(small, self.recipe.factor)
        added: torch.Tensor = network(start)
        return start + added.float()

    def predict(self, network: TaskNetwork, cases: Cases, *, device: str, seed: int) -> Arrays:
        """The restored radiographs; nothing is drawn for them."""
        restored = np.empty_like(cases.pixels)
        levels = int(np.iinfo(restored.dtype).max)
        done = 0
        with torch.inference_mode():
            for images in cases.iter_images(PREDICT_BATCH):
                given = images.to(device)
                if self.recipe.what == "super-resolution":
                    made = self.enlarge(network, shrink(given, self.recipe.factor, levels))
                else:
                    made = given + network(given).float()
                restored[done : done + len(made)] = _to_pixels(made, restored)
                done += len(made)
        return {"restored": restored}

    def predict_floor(self, train: Cases, cases: Cases, *, seed: int) -> tuple[str, Arrays]:
        """Bicubic interpolation; or the film with all its bone."""
        if self.recipe.what == "bone-suppression":
            return "the film as it is", {"restored": cases.pixels.copy()}
        restored = np.empty_like(cases.pixels)
        done = 0
        for images in cases.iter_images(PREDICT_BATCH):
            small = shrink(images, self.recipe.factor, int(np.iinfo(restored.dtype).max))
            restored[done : done + len(images)] = _to_pixels(enlarge(small, self.recipe.factor), restored)
            done += len(images)
        return "bicubic interpolation", {"restored": restored}

    def score(self, predictions: Arrays, cases: Cases, *, seed: int) -> tuple[Score, ...]:
        """See `cspine_bench.baselines.tasks.restoration.scores`."""
        restored = predictions["restored"]
        if self.recipe.what == "super-resolution":
            return score_restored(restored, cases.pixels, find_spine_regions(cases), edges="outline")
        truth = load_bone_free(cases)
        regions = {"bone": truth.bone, "elsewhere": ~truth.bone}
        scores = score_restored(restored, truth.pixels, regions)
        return (*scores, score_residual_bone(restored, truth.pixels, cases.pixels, truth.bone))


def _to_images(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> torch.Tensor:
    """As `Cases.take_images`."""
    return torch.from_numpy(pixels.astype(np.float32) / (float(np.iinfo(pixels.dtype).max) / 2) - 1)[:, None]


def _to_pixels(images: torch.Tensor, like: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Gray levels (B, S, S) of the type of `like` from images in -1..1."""
    half = float(np.iinfo(like.dtype).max) / 2
    levels: NDArray[np.uint8] = ((images[:, 0] + 1) * half).round().clamp(0, 2 * half).cpu().numpy().astype(like.dtype)
    return levels
