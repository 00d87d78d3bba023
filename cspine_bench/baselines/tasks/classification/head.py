"""The head of a classifier: evidence for each class, apart from how common the class was among what it learnt from."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cspine_bench.baselines.unet import NetworkShape, PooledHead, TaskNetwork


class ClassHead(nn.Module):
    """Evidence for each class, float (B, C), and the classes' shares in training.

    The loss is the cross-entropy of evidence + log share. So the evidence alone tells classes apart as if all were
    equally common, which is best for the mean of the classes' sensitivities, and evidence + log share gives the
    probabilities of radiographs mixed as in training. It balances the classes without weighting rare ones up, and it
    lets a stage of training follow another whose classes are mixed otherwise.

    Source: logit adjustment, Menon et al. 2021 (2007.07314), section 4. The counts are one higher than they are
    (Laplace), so that a class which training lacks has a finite share.

    Args:
        shape: of the network.
        num_classes: C.
        placed: whether evidence is a weighted sum over all places of the deepest features, for curvature is where
            things lie; or else over their mean and their greatest.
    """

    counts: torch.Tensor
    seen: torch.Tensor

    def __init__(self, shape: NetworkShape, num_classes: int, *, placed: bool) -> None:
        super().__init__()
        self.placed = placed
        features = shape.widths[-1] * shape.deepest_side**2
        self.answer = nn.Linear(features, num_classes) if placed else PooledHead(shape, num_classes)
        # Of the stage that was learnt last; and of all stages.
        self.register_buffer("counts", torch.zeros(num_classes))
        self.register_buffer("seen", torch.zeros(num_classes, dtype=torch.bool))

    def forward(self, dense: torch.Tensor, deep: torch.Tensor) -> torch.Tensor:
        """Evidence, from the trunk's two results."""
        evidence: torch.Tensor = self.answer(deep.flatten(1)) if self.placed else self.answer(dense, deep)
        return evidence

    def count_labels(self, labels: NDArray[np.int64]) -> None:
        """Take note of what is learnt from: labels (n,) of the whole stage."""
        counts = np.bincount(labels, minlength=len(self.counts))
        self.counts.copy_(torch.from_numpy(counts))
        self.seen |= self.counts > 0

    def log_shares(self) -> torch.Tensor:
        """Of the classes in training, float (C,)."""
        counts = self.counts + 1
        return (counts / counts.sum()).log()


def head_of(network: TaskNetwork) -> ClassHead:
    """The head of a classifier.

    Raises:
        TypeError: it is another network.
    """
    if not isinstance(network.head, ClassHead):
        raise TypeError(f"a classifier's head is needed, got {type(network.head).__name__}")
    return network.head
