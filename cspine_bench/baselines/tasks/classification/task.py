"""Classification: curvature, disease or sex of a radiograph, with where the network looked and what it withstands."""

import numpy as np
import torch
from numpy.typing import NDArray

from cspine_bench.baselines.cases import Cases
from cspine_bench.baselines.task import Arrays, Batch, Score
from cspine_bench.baselines.tasks.classification.attack import Classify, find_worst_images
from cspine_bench.baselines.tasks.classification.head import ClassHead, head_of
from cspine_bench.baselines.tasks.classification.labels import LABELS, UNLABELLED, read_labels
from cspine_bench.baselines.tasks.classification.recipe import AttackRecipe, ClassificationRecipe, SaliencyRecipe
from cspine_bench.baselines.tasks.classification.robustness import PREDICT_BATCH, predict_hardships
from cspine_bench.baselines.tasks.classification.saliency import compute_saliency, share_in_mask
from cspine_bench.baselines.tasks.classification.scores import score_classes
from cspine_bench.baselines.unet import NetworkShape, TaskNetwork, Unet
from cspine_bench.errors import DataError
from cspine_bench.seeding import derive_key, numpy_generator

_NEVER = -1e4
"""Evidence for a class that training lacked: finite, so that losses and gradients are."""


class Classification:
    """See `cspine_bench.baselines.task.Task`.

    Predictions:

    - `probabilities`, float32 (n, C): of radiographs whose classes are mixed as in training;
    - `predicted`, int16 (n,): the class with the most evidence, as if all were equally common. Where it is missing, as
      in somebody else's predictions, it is the class of the highest probability;
    - `saliency_share` and `saliency_area`, float32 (n,), if the recipe asks for them: see `saliency.share_in_mask`; and
      `saliency_untrained`, the share of the same network with random weights;
    - `attacked.*` and `degraded.*`, int16 (n,), likewise: predicted classes under what `robustness` lists;
    - `unseen`, bool (n, C), rows alike: classes that training lacked.

    Args:
        recipe: of the task.
        shape: of the network.
    """

    def __init__(self, recipe: ClassificationRecipe, shape: NetworkShape) -> None:
        self.recipe = recipe
        self.shape = shape
        self.label = LABELS[recipe.label]

    @property
    def margin(self) -> float:
        """A tenth of the way from chance to a perfect area under the curve. Our choice."""
        return 0.05

    @property
    def classes(self) -> tuple[str, ...]:
        """What the class numbers mean."""
        return self.label.classes

    def list_usable(self, cases: Cases) -> NDArray[np.bool_]:
        """Those of a known class."""
        usable: NDArray[np.bool_] = read_labels(cases, self.label) != UNLABELLED
        return usable

    def describe_need(self) -> str:
        """To end a sentence."""
        return f"a label of {self.label.column}"

    def check_labels(self, cases: Cases, role: str) -> None:
        """Stop where all are of one class.

        Raises:
            DataError: names the class.
        """
        labels = read_labels(cases, self.label)
        found = [self.classes[label] for label in np.unique(labels[labels != UNLABELLED])]
        if len(found) < 2:
            raise DataError(
                f"{cases.where}: {role}: {f'all {len(cases):,} are {found[0]}' if found else 'none is labelled'}, and "
                f"telling {self.label.column} apart takes two classes; add radiographs of another one"
            )

    def build_network(self) -> TaskNetwork:
        """A trunk, and the evidence for each class."""
        head = ClassHead(self.shape, len(self.classes), placed=self.recipe.head == "placed")
        return TaskNetwork(Unet(self.shape), head)

    def compute_loss(self, network: TaskNetwork, batch: Batch) -> torch.Tensor:
        """Cross-entropy with the classes' shares set apart, of the radiographs or of attacked ones."""
        labels, head = read_labels(batch.cases, self.label), head_of(network)
        head.count_labels(labels)
        true = torch.from_numpy(labels[batch.places]).to(batch.images.device)
        images = batch.images
        if self.recipe.adversarial is not None:
            images = _attack(self.recipe.adversarial, network, images, true, batch.generator)
        return torch.nn.functional.cross_entropy(network(images).float() + head.log_shares(), true)

    def predict(self, network: TaskNetwork, cases: Cases, *, device: str, seed: int) -> Arrays:
        """Probabilities and classes; and what the recipe asks for besides."""
        head = head_of(network)

        def classify(images: torch.Tensor) -> torch.Tensor:
            evidence: torch.Tensor = network(images).float() + _NEVER * ~head.seen
            return evidence

        with torch.inference_mode():
            found = torch.cat([classify(images.to(device)) for images in cases.iter_images(PREDICT_BATCH)])
            probabilities = (found + head.log_shares()).softmax(dim=1)
        arrays: Arrays = {
            "probabilities": probabilities.cpu().numpy().astype(np.float32),
            "predicted": found.argmax(dim=1).cpu().numpy().astype(np.int16),
            "unseen": np.tile(~head.seen.cpu().numpy(), (len(cases), 1)),
        }
        if self.recipe.saliency is not None:
            share, area = _find_saliency(self.recipe.saliency, classify, cases, device, seed)
            control = self._build_control(seed).to(device)
            untrained, _ = _find_saliency(self.recipe.saliency, control, cases, device, seed)
            arrays |= {"saliency_share": share, "saliency_area": area, "saliency_untrained": untrained}
        if self.recipe.robustness is not None:
            labels = read_labels(cases, self.label)
            arrays |= predict_hardships(self.recipe.robustness, classify, cases, labels, device=device, seed=seed)
        return arrays

    def _build_control(self, seed: int) -> TaskNetwork:
        """The same network with random weights: what its saliency shows was not learnt.

        Source: the model parameter randomisation test, Adebayo et al. 2018 (1810.03292), section 3.1.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_key(seed, "baselines.classification.control") % 2**63)
            return self.build_network().eval().requires_grad_(False)

    def predict_floor(self, train: Cases, cases: Cases, *, seed: int) -> tuple[str, Arrays]:
        """The classes' shares in training, for every radiograph alike."""
        labels = read_labels(train, self.label)
        counts = np.bincount(labels, minlength=len(self.classes))
        shares = np.tile(counts / counts.sum(), (len(cases), 1))
        return "class shares", {
            "probabilities": shares.astype(np.float32),
            "predicted": shares.argmax(axis=1).astype(np.int16),
        }

    def score(self, predictions: Arrays, cases: Cases, *, seed: int) -> tuple[Score, ...]:
        """See `cspine_bench.baselines.tasks.classification.scores`."""
        return score_classes(predictions, cases, self.label, self.recipe)


def _attack(
    recipe: AttackRecipe,
    network: TaskNetwork,
    images: torch.Tensor,
    labels: torch.Tensor,
    generator: torch.Generator,
) -> torch.Tensor:
    starts = 2 * torch.rand(images.shape, generator=generator) - 1
    return find_worst_images(
        network,
        images,
        labels,
        epsilon=recipe.epsilon,
        steps=recipe.steps,
        step_size=recipe.step_levels,
        starts=starts.to(images.device),
    )


def _find_saliency(
    recipe: SaliencyRecipe, classify: Classify, cases: Cases, device: str, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Share of each saliency map on vertebrae, and their share of the image."""
    maps = []
    for start in range(0, len(cases), PREDICT_BATCH):
        places = np.arange(start, min(start + PREDICT_BATCH, len(cases)))
        images = cases.take_images(places).to(device)
        drawn = [
            numpy_generator(seed, "baselines.classification.saliency", int(place)).standard_normal(
                (recipe.samples, *images.shape[1:]), dtype=np.float32
            )
            for place in places
        ]
        # Full scale is 2 on the scale -1..1.
        noise = torch.from_numpy(np.stack(drawn, axis=1)).to(device) * (2 * recipe.noise)
        maps.append(compute_saliency(classify, images, noise).cpu().numpy())
    share, area = share_in_mask(np.concatenate(maps), cases.masks)
    return share.astype(np.float32), area.astype(np.float32)
