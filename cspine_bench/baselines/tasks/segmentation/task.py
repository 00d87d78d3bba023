"""Segmentation: a label for every pixel."""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cspine_bench.anatomy.landmarks import CORNER_LEVELS, LEVELS
from cspine_bench.baselines.cases import NOT_ANNOTATED, Cases
from cspine_bench.baselines.task import Arrays, Batch, Score
from cspine_bench.baselines.tasks.segmentation.losses import compute_marginal_loss
from cspine_bench.baselines.tasks.segmentation.recipe import SegmentationRecipe
from cspine_bench.baselines.tasks.segmentation.scores import score_masks
from cspine_bench.baselines.tasks.segmentation.targets import build_batch_targets, build_targets, find_annotated
from cspine_bench.baselines.unet import DenseHead, NetworkShape, TaskNetwork, Unet
from cspine_bench.errors import DataError

PREDICT_BATCH: Final = 32
BACKGROUND_LEAD: Final = 3.0
"""Added to background's score in new weights: most pixels are background, and that need not be learnt first.

Source: Lin et al. 2017 (1708.02002), section 4.1."""
_NUM_LABELS: Final = 1 + len(LEVELS)


class LevelHead(nn.Module):
    """Scores of background and of every level for each pixel, and which levels were ever learnt.

    The second is kept with the weights: a level that no mask told of is never predicted.

    Args:
        shape: of the network.
    """

    learnt: torch.Tensor

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.scores = DenseHead(shape, _NUM_LABELS)
        if (bias := self.scores.project.bias) is not None:
            bias.data.view(_NUM_LABELS, -1)[0] += BACKGROUND_LEAD
        self.register_buffer("learnt", torch.zeros(len(LEVELS), dtype=torch.bool))

    def forward(self, dense: torch.Tensor, deep: torch.Tensor) -> torch.Tensor:
        """From the trunk's two results: float (B, 9, S, S)."""
        scores: torch.Tensor = self.scores(dense, deep)
        return scores

    def remember(self, annotated: torch.Tensor) -> None:
        """Levels of a batch that is learnt from, bool (B, 8)."""
        self.learnt |= annotated.any(dim=0)

    def compute_shares(self, scores: torch.Tensor) -> torch.Tensor:
        """Probabilities (B, 9, S, S) of background and the levels that were learnt; those of others are 0."""
        known = nn.functional.pad(self.learnt, (1, 0), value=True)
        return scores.float().masked_fill(~known[:, None, None], -torch.inf).softmax(dim=1)


class Segmentation:
    """See `cspine_bench.baselines.task.Task`.

    Predictions are

    - `masks`, uint8 (n, S, S): the most probable of background and the levels that were learnt;
    - `learnt`, bool (n, 8): those levels, the same in every row: what `mask_levels` may claim of these masks;
    - `level_confidence`, float32 (n, 8): the Dice that the probabilities themselves expect of each level, 0..1; NaN
      where a level was not learnt, or where neither mask nor probabilities hold a pixel of it;
    - `confidence`, float32 (n,): its mean over the levels; 0 where no level was found.

    Args:
        recipe: of the task.
        shape: of the network.
    """

    def __init__(self, recipe: SegmentationRecipe, shape: NetworkShape) -> None:
        self.recipe = recipe
        self.shape = shape

    @property
    def margin(self) -> float:
        """Two hundredths of Dice; ours."""
        return 0.02

    def list_usable(self, cases: Cases) -> NDArray[np.bool_]:
        """Those that tell of at least one of the recipe's levels."""
        asked = [LEVELS.index(level) for level in self.recipe.levels]
        usable: NDArray[np.bool_] = np.any(find_annotated(cases, self.recipe.target)[:, asked], axis=1)
        return usable

    def describe_need(self) -> str:
        """To end a sentence."""
        corners = [level for level in self.recipe.levels if level in CORNER_LEVELS]
        need = [f"a mask with one of {', '.join(self.recipe.levels)}"] if self.recipe.target != "bodies" else []
        if self.recipe.target != "masks" and corners:
            need.append(f"the four corners of one of {', '.join(corners)}")
        return " or ".join(need)

    def check_labels(self, cases: Cases, role: str) -> None:
        """Stop where masks hold what is no vertebra, or no pixel of any level that is asked for.

        Raises:
            DataError: names the first radiograph, or the levels.
        """
        truth = build_targets(cases, self.recipe.target)
        odd = (truth.masks > len(LEVELS)) & (truth.masks != NOT_ANNOTATED)
        if odd.any():
            row = int(np.flatnonzero(odd.any(axis=(1, 2)))[0])
            raise DataError(
                f"{cases.where}: {role}: the mask of {cases.sample_ids[row]} holds {int(truth.masks[row][odd[row]][0])}"
                ", which names no vertebra; `dataset verify` lists all such masks"
            )
        asked = [1 + LEVELS.index(level) for level in self.recipe.levels]
        if not np.isin(truth.masks, asked).any():
            raise DataError(
                f"{cases.where}: {role}: not one pixel of {', '.join(self.recipe.levels)} in {len(cases):,} masks; "
                "give masks that hold some, or name other task.levels"
            )

    def build_network(self) -> TaskNetwork:
        """A map for background and for each level."""
        return TaskNetwork(Unet(self.shape), LevelHead(self.shape))

    def compute_loss(self, network: TaskNetwork, batch: Batch) -> torch.Tensor:
        """Cross-entropy and soft Dice, both blind to what is not annotated; the network remembers what was."""
        masks, annotated = build_batch_targets(batch, self.recipe.target)
        _head(network).remember(annotated)
        return compute_marginal_loss(network(batch.images), masks, annotated)

    def predict(self, network: TaskNetwork, cases: Cases, *, device: str, seed: int) -> Arrays:
        """Masks, and how sure the network is of them."""
        head, masks, sure = _head(network), [], []
        with torch.inference_mode():
            for images in cases.iter_images(PREDICT_BATCH):
                shares = head.compute_shares(network(images.to(device)))
                labels = shares.argmax(dim=1)
                masks.append(labels.to(torch.uint8).cpu().numpy())
                sure.append(expect_dice(shares, labels).cpu().numpy())
        learnt = head.learnt.cpu().numpy()
        levels = np.where(learnt, np.concatenate(sure), np.nan).astype(np.float32)
        found = np.isfinite(levels).sum(axis=1)
        whole = np.nansum(levels, axis=1) / np.maximum(found, 1)
        return {
            "masks": np.concatenate(masks),
            "learnt": np.tile(learnt, (len(cases), 1)),
            "level_confidence": levels,
            "confidence": whole.astype(np.float32),
        }

    def predict_floor(self, train: Cases, cases: Cases, *, seed: int) -> tuple[str, Arrays]:
        """Each pixel's most frequent label in the training masks, in every radiograph alike."""
        truth = build_targets(train, self.recipe.target)
        learnt = truth.annotated.any(axis=0)
        shares = np.zeros((_NUM_LABELS, cases.size, cases.size))
        for label in 1 + np.flatnonzero(learnt):
            shares[label] = (truth.masks[truth.annotated[:, label - 1]] == label).mean(axis=0)
        shares[0] = 1 - shares[1:].sum(axis=0)
        return "mean mask", {
            "masks": np.tile(shares.argmax(axis=0).astype(np.uint8), (len(cases), 1, 1)),
            "learnt": np.tile(learnt, (len(cases), 1)),
            "level_confidence": np.full((len(cases), len(LEVELS)), np.nan, np.float32),
            "confidence": np.full(len(cases), np.nan, np.float32),
        }

    def score(self, predictions: Arrays, cases: Cases, *, seed: int) -> tuple[Score, ...]:
        """See `cspine_bench.baselines.tasks.segmentation.scores`."""
        return score_masks(predictions["masks"], cases, self.recipe, learnt=predictions.get("learnt"))


def expect_dice(shares: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Dice of a label map with a truth that is drawn from the probabilities: sums of numerator and denominator.

    Args:
        shares: float (B, 1 + L, S, S), probabilities, background first.
        labels: int64 (B, S, S).

    Returns:
        float (B, L), 0..1; NaN where labels and probabilities together hold less than one pixel of a level.
    """
    levels = torch.arange(1, shares.shape[1], device=shares.device)[:, None, None]
    chosen = labels[:, None] == levels
    both = (shares[:, 1:] * chosen).sum(dim=(2, 3))
    pixels = chosen.sum(dim=(2, 3)) + shares[:, 1:].sum(dim=(2, 3))
    return torch.where(pixels >= 1, 2 * both / pixels, torch.nan)


def _head(network: TaskNetwork) -> LevelHead:
    if not isinstance(network.head, LevelHead):
        raise TypeError(f"a network of segmentation has a LevelHead, this one has a {type(network.head).__name__}")
    return network.head
