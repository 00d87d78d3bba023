"""Quality screening: which artefact a radiograph has, and its structural similarity to what it would be without."""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cspine_bench.baselines.cases import Cases
from cspine_bench.baselines.task import Arrays, Batch, Score
from cspine_bench.baselines.tasks.quality.network import QualityNetwork
from cspine_bench.baselines.tasks.quality.recipe import QualityRecipe
from cspine_bench.baselines.tasks.quality.scores import score_quality
from cspine_bench.baselines.tasks.quality.simulate import Truth, count_levels, find_truth, iter_spoilt, spoil_batch
from cspine_bench.baselines.unet import NetworkShape, TaskNetwork
from cspine_bench.imaging.artefacts import ARTEFACTS, KINDS, draw_faults

MOST_FOR_FLOOR: Final = 400
"""Training radiographs whose median the floor is."""


class Quality:
    """See `cspine_bench.baselines.task.Task`. Labels are not needed: artefacts are simulated, so their truth is known.

    Predictions are `ssim`, float32 (n,), 0..1, the structural similarity to the clean image; and `artefacts`, float32
    (n, 9), probabilities of `cspine_bench.imaging.artefacts.KINDS`.

    Args:
        recipe: of the task.
        shape: of the network.
    """

    def __init__(self, recipe: QualityRecipe, shape: NetworkShape) -> None:
        self.recipe = recipe
        self.shape = shape
        self._last: tuple[Cases, int, Truth] | None = None

    @property
    def margin(self) -> float:
        """A hundredth of the structural similarity."""
        return 0.01

    def list_usable(self, cases: Cases) -> NDArray[np.bool_]:
        """Those that are clean: a radiograph with an artefact of its own has no clean image to be held against."""
        return np.array([artefact is None for artefact in cases.artefacts], np.bool_)

    def describe_need(self) -> str:
        """To end a sentence."""
        return "no artefact of their own"

    def check_labels(self, cases: Cases, role: str) -> None:
        """Nothing can be missing: every clean radiograph can be spoilt."""

    def build_network(self) -> TaskNetwork:
        """One number for the similarity, and one for each kind."""
        return QualityNetwork(self.shape, 1 + len(KINDS))

    def compute_loss(self, network: TaskNetwork, batch: Batch) -> torch.Tensor:
        """Cross-entropy of the kinds, and the mean absolute error of the similarity; artefacts are drawn anew."""
        recipe = self.recipe
        faults = draw_faults(
            len(batch.images), batch.generator, strength=recipe.strength, clean_share=recipe.clean_share
        )
        images, kinds, ssim = spoil_batch(batch.images, faults, levels=count_levels(batch.cases))
        answer = network(images).float()
        kinds_loss = nn.functional.cross_entropy(answer[:, 1:], kinds)
        loss: torch.Tensor = kinds_loss + recipe.ssim_weight * (answer[:, 0].sigmoid() - ssim).abs().mean()
        return loss

    def predict(self, network: TaskNetwork, cases: Cases, *, device: str, seed: int) -> Arrays:
        """What the network says of each radiograph with its artefact."""
        spoilt = iter_spoilt(self.recipe, cases, seed=seed)
        parts = [self.assess(network, images, device=device) for images, _ in spoilt]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def assess(self, network: TaskNetwork, images: torch.Tensor, *, device: str) -> Arrays:
        """What the network says of images as they are, float32 (B, 1, S, S) in -1..1: for screening."""
        with torch.inference_mode():
            answer = network(images.to(device)).float().cpu()
        return {"ssim": answer[:, 0].sigmoid().numpy(), "artefacts": answer[:, 1:].softmax(dim=1).numpy()}

    def predict_floor(self, train: Cases, cases: Cases, *, seed: int) -> tuple[str, Arrays]:
        """The median of the training radiographs' similarity, which no other constant beats, and the kinds' shares."""
        some = train.take(np.unique(np.linspace(0, len(train) - 1, MOST_FOR_FLOOR).round().astype(np.int64)))
        ssim = np.median(find_truth(self.recipe, some, seed=seed).ssim)
        clean = self.recipe.clean_share
        shares = np.array([clean, *[(1 - clean) / len(ARTEFACTS)] * len(ARTEFACTS)], np.float32)
        return "training median, shares of the kinds", {
            "ssim": np.full(len(cases), ssim, np.float32),
            "artefacts": np.broadcast_to(shares, (len(cases), len(KINDS))).copy(),
        }

    def score(self, predictions: Arrays, cases: Cases, *, seed: int) -> tuple[Score, ...]:
        """See `cspine_bench.baselines.tasks.quality.scores`."""
        # Every network of a run is scored on the same radiographs, whose truth costs more than the scores.
        if self._last is None or self._last[0] is not cases or self._last[1] != seed:
            self._last = (cases, seed, find_truth(self.recipe, cases, seed=seed))
        return score_quality(
            ssim=predictions["ssim"],
            artefacts=predictions["artefacts"],
            truth=self._last[2],
            ssim_limit=self.recipe.ssim_limit,
        )
