"""Heat maps of landmarks: what they should be, how far they are from it, and where each says that its landmark lies.

A map is a distribution over cells, one map for each landmark; a cell is a block of pixels as the network sees them. Its
target is shared by the four cells about the true place, so that its centre of mass is that place; a landmark is read at
the centre of mass about its map's peak. So places lie between the cells, and what is far from the peak moves nothing.

Source: cross-entropy of maps under a softmax over places, as in Mask R-CNN (He et al. 2017, 1703.06870), whose target
is a single cell; places as the expectation of a map, as Nibali et al. 2018 (1801.07372), here about the peak alone.
"""

from typing import Final

import torch

REACH_CELLS: Final = 1
"""Half the side of the square about the peak whose centre of mass is the landmark."""


def compute_heatmap_loss(logits: torch.Tensor, landmarks_xy: torch.Tensor, *, cell_px: int) -> torch.Tensor:
    """Cross-entropy of the maps, mean over the landmarks that are there to be found, a scalar.

    Args:
        logits: float (B, 23, s, s), of the maps before the softmax over cells.
        landmarks_xy: float (B, 23, 2), px; a NaN pair, or a place outside the image, takes no part.
        cell_px: side of a cell.

    Returns:
        0 where no landmark of the batch takes part: it teaches nothing.
    """
    size = logits.shape[-1]
    visible = find_visible(landmarks_xy, size * cell_px)
    places = torch.where(visible[..., None], (landmarks_xy + 0.5) / cell_px - 0.5, 0.0)
    along_x, along_y = (_share(places[..., axis], size) for axis in (0, 1))
    target = (along_y[..., :, None] * along_x[..., None, :]).flatten(2)
    entropy = torch.nn.functional.cross_entropy(
        logits.float().flatten(2).flatten(0, 1), target.flatten(0, 1), reduction="none"
    ).reshape(visible.shape)
    loss: torch.Tensor = (entropy * visible).sum() / visible.sum().clamp(min=1)
    return loss


def find_visible(landmarks_xy: torch.Tensor, size: int) -> torch.Tensor:
    """Bool (B, 23): which landmarks are labelled and lie inside their images of `size` px."""
    inside: torch.Tensor = ((landmarks_xy >= -0.5) & (landmarks_xy <= size - 0.5)).all(dim=-1)
    return inside


def decode_heatmaps(logits: torch.Tensor, *, cell_px: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Places of the landmarks, and how sure each map is.

    Args:
        logits: float (B, 23, s, s), of the maps before the softmax over cells.
        cell_px: side of a cell.

    Returns:
        float32 (B, 23, 2), px, inside the image; float32 (B, 23), 0..1, the share of the map that lies about its peak.
    """
    count, landmarks, size = logits.shape[:3]
    maps = logits.float().flatten(2).softmax(dim=2)
    peak = maps.argmax(dim=2)
    maps = maps.reshape(count, landmarks, size, size)
    cells = torch.arange(size, device=logits.device)
    near_x = (cells - (peak % size)[..., None]).abs() <= REACH_CELLS
    near_y = (cells - (peak // size)[..., None]).abs() <= REACH_CELLS
    maps = maps * (near_y[..., :, None] & near_x[..., None, :])
    mass = maps.sum(dim=(2, 3))
    x = (maps.sum(dim=2) * cells).sum(dim=2) / mass
    y = (maps.sum(dim=3) * cells).sum(dim=2) / mass
    return (torch.stack([x, y], dim=-1) + 0.5) * cell_px - 0.5, mass


def _share(places: torch.Tensor, size: int) -> torch.Tensor:
    """Shares of the two cells beside each place along one axis, (B, 23, size), of sum 1; in the rim one has all."""
    cells = torch.arange(size, device=places.device)
    return (1 - (cells - places.clamp(0, size - 1)[..., None]).abs()).clamp(min=0)
