"""What is true of a radiograph: its mask, or the bodies that its corner landmarks outline; and which levels that tells.

A level that is not annotated is unknown, not absent: its pixels may be anywhere that no annotated level is.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from cspine_bench.anatomy.landmarks import CORNER_LEVELS, LEVELS
from cspine_bench.baselines.cases import Cases
from cspine_bench.baselines.task import Batch
from cspine_bench.baselines.tasks.segmentation.recipe import Target
from cspine_bench.imaging.body_masks import draw_whole_bodies, find_whole_bodies

_DRAWN = np.array([LEVELS.index(level) for level in CORNER_LEVELS])


@dataclass(frozen=True)
class Targets:
    """The truth of some radiographs.

    Attributes:
        masks: uint8 (n, S, S), label ids; `NOT_ANNOTATED` everywhere in a radiograph of which nothing is known.
        annotated: bool (n, 8), which of `LEVELS` are told of.
    """

    masks: NDArray[np.uint8]
    annotated: NDArray[np.bool_]


def find_annotated(cases: Cases, target: Target) -> NDArray[np.bool_]:
    """Which of `LEVELS` are told of in each radiograph, bool (n, 8)."""
    drawn, told = _find_drawn(cases.annotated, cases.landmarks_xy, target)
    annotated = cases.annotated.copy()
    annotated[drawn] = told
    return annotated


def build_targets(cases: Cases, target: Target) -> Targets:
    """The truth of all radiographs.

    Args:
        cases: with masks, landmarks or both.
        target: which of them counts.
    """
    drawn, _ = _find_drawn(cases.annotated, cases.landmarks_xy, target)
    masks = cases.masks.copy()
    masks[drawn] = draw_whole_bodies(cases.landmarks_xy[drawn], cases.size)
    return Targets(masks, find_annotated(cases, target))


def build_batch_targets(batch: Batch, target: Target) -> tuple[torch.Tensor, torch.Tensor]:
    """The truth of a batch: masks, int64 (B, S, S), and annotated levels, bool (B, 8), on its device.

    Bodies are drawn from the landmarks of the changed radiographs, so they are as exact as without a change. What an
    image repeats beyond its old edge is background there.
    """
    device = batch.images.device
    landmarks_xy = batch.landmarks_xy.cpu().numpy()
    annotated = batch.cases.annotated[batch.places]
    drawn, told = _find_drawn(annotated, landmarks_xy, target)
    masks = batch.masks
    if len(drawn):
        annotated[drawn] = told
        bodies = torch.from_numpy(draw_whole_bodies(landmarks_xy[drawn], batch.cases.size))
        masks = masks.index_copy(0, torch.from_numpy(drawn).to(device), bodies.to(device, masks.dtype))
    return masks, torch.from_numpy(annotated).to(device)


def _find_drawn(
    annotated: NDArray[np.bool_], landmarks_xy: NDArray[np.floating], target: Target
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Places (m,) of the radiographs whose truth is drawn from landmarks, and the levels that this tells of (m, 8)."""
    if target == "masks":
        drawn = np.zeros(len(annotated), bool)
    else:
        drawn = np.asarray(~np.any(annotated, axis=1) | (target == "bodies"))
    told = np.zeros((int(drawn.sum()), len(LEVELS)), np.bool_)
    told[:, _DRAWN] = find_whole_bodies(landmarks_xy[drawn])
    return np.flatnonzero(drawn), told
