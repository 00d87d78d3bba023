"""Changes that a radiograph survives: shift, rotation, zoom, brightness and contrast; landmarks and masks go along."""

import math
from dataclasses import dataclass
from typing import Annotated, Final

import torch
from pydantic import Field

from cspine_bench.recipe import Recipe

_DARKEST: Final = 1e-7
"""A gray value whose logarithm is taken is at least this."""


class AugmentRecipe(Recipe):
    """Changes that a radiograph survives, drawn anew for every image of every update; landmarks go along.

    All are off by default. Each strength is the largest that is drawn; smaller ones are as likely, in both directions.
    The network is not told of them, so its samples vary as much more than the films.
    """

    shift: Annotated[float, Field(ge=0, le=0.25)] = Field(0.0, description="Along each axis, as a share of the side.")
    rotate_deg: Annotated[float, Field(ge=0, le=30)] = Field(0.0, description="Rotation about the centre, degrees.")
    zoom: Annotated[float, Field(ge=0, le=0.25)] = Field(0.0, description="Enlargement: 0.1 is 1/1.1 to 1.1 times.")
    gain: Annotated[float, Field(ge=0, le=0.5)] = Field(0.0, description="Brightness: 0.1 is 1/1.1 to 1.1 times.")
    gamma: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.0, description="Contrast: gray values 0..1 to a power; 0.1 is 1/1.1 to 1.1."
    )
    flip: bool = Field(
        False, description="Mirror half of the images left to right: half of the patients then face the other way."
    )


@dataclass(frozen=True)
class Changes:
    """What is done to each image of a batch.

    Attributes:
        shift_px: float (B, 2), (x, y).
        angle_rad: float (B,); positive turns the x axis towards the y axis, clockwise on a screen.
        zoom: float (B,), enlargement about the centre.
        gain: float (B,), factor of the gray values 0..1.
        gamma: float (B,), their exponent.
        flipped: bool (B,), mirrored left to right, before all else.
    """

    shift_px: torch.Tensor
    angle_rad: torch.Tensor
    zoom: torch.Tensor
    gain: torch.Tensor
    gamma: torch.Tensor
    flipped: torch.Tensor

    def take(self, share: slice) -> "Changes":
        """Those of some of the images."""
        return Changes(**{name: values[share] for name, values in vars(self).items()})


def draw_changes(recipe: AugmentRecipe, count: int, size: int, generator: torch.Generator) -> Changes:
    """Changes of `count` images of `size` px: even in each strength, or in its logarithm where it is a factor."""
    draws = 2 * torch.rand((7, count), generator=generator) - 1
    return Changes(
        shift_px=draws[:2].T * recipe.shift * size,
        angle_rad=draws[2] * math.radians(recipe.rotate_deg),
        zoom=(1 + recipe.zoom) ** draws[3],
        gain=(1 + recipe.gain) ** draws[4],
        gamma=(1 + recipe.gamma) ** draws[5],
        flipped=(draws[6] < 0) & recipe.flip,
    )


def change_images(images: torch.Tensor, changes: Changes, *, origins: torch.Tensor | None = None) -> torch.Tensor:
    """Change images; beyond the edge, what is inside is mirrored.

    Args:
        images: float (B, 1, S, S) in -1..1.
        changes: of as many images, on any device.
        origins: `find_origins` of both, where the masks need it too.

    Returns:
        float (B, 1, S, S) in -1..1. Cubic interpolation: a linear one blurs, and a generator would learn the blur.
    """
    device = images.device
    grid = find_origins(changes, images) if origins is None else origins
    if grid.numel():
        images = torch.nn.functional.grid_sample(
            images, grid, mode="bicubic", padding_mode="reflection", align_corners=False
        ).clamp_(-1, 1)
    gain, gamma = (values.to(device).reshape(-1, 1, 1, 1) for values in (changes.gain, changes.gamma))
    if bool((changes.gain == 1).all()) and bool((changes.gamma == 1).all()):
        return images
    # A power by its logarithm and in place: a third of the cost.
    light = images.add(1).mul_(0.5).clamp_min_(_DARKEST).log_().mul_(gamma).exp_()
    return light.mul_(gain).clamp_(0, 1).mul_(2).sub_(1)


def change_masks(masks: torch.Tensor, changes: Changes, *, origins: torch.Tensor | None = None) -> torch.Tensor:
    """The masks of changed images: each pixel gets the label of the pixel that it comes from.

    Args:
        masks: integers (B, S, S).
        changes: as given to `change_images`.
        origins: likewise.

    Returns:
        The same type and shape.
    """
    grid = find_origins(changes, masks) if origins is None else origins
    if not grid.numel():
        return masks
    planes = masks[:, None].float()
    moved = torch.nn.functional.grid_sample(
        planes, grid, mode="nearest", padding_mode="reflection", align_corners=False
    )
    return moved[:, 0].to(masks.dtype)


def change_landmarks(landmarks_xy: torch.Tensor, changes: Changes, size: int) -> torch.Tensor:
    """Where the landmarks of changed images are; they keep their names, also in an image that was mirrored.

    Args:
        landmarks_xy: float (B, 23, 2), px of images of `size` px; NaN stays NaN.
        changes: as given to `change_images`.
        size: side of the images, px.
    """
    matrix, offset = _find_affine(changes, size)
    centre = (size - 1) / 2
    return (landmarks_xy - centre) @ matrix.mT + offset[:, None] + centre


def find_origins(changes: Changes, images: torch.Tensor) -> torch.Tensor:
    """Where each pixel of changed images (..., S, S) comes from, as `grid_sample` asks for it.

    Returns:
        float (B, S, S, 2), (x, y) in units of half the image from its centre; empty where nothing moves.
    """
    size, device = images.shape[-1], images.device
    matrix, offset = _find_affine(changes, size)
    if torch.equal(matrix, torch.eye(2).expand_as(matrix)) and not bool(offset.any()):
        return torch.empty(0, device=device)
    back = torch.linalg.inv(matrix)
    origin = (back @ (-offset)[..., None] / (size / 2)).mT.to(device)
    steps = ((2 * torch.arange(size) + 1) / size - 1).to(device)[:, None]
    # Along a row and along a column, then summed: affine_grid's product of matrices costs five times that.
    along = [steps * back[:, None, :, axis].to(device) for axis in (0, 1)]
    origins: torch.Tensor = (along[0] + origin)[:, None] + along[1][:, :, None]
    return origins


def _find_affine(changes: Changes, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, 2, 2) and (B, 2): about the image's centre, in px, a point p goes to matrix p + offset."""
    cosine, sine = changes.angle_rad.cos() * changes.zoom, changes.angle_rad.sin() * changes.zoom
    mirror = torch.where(changes.flipped, -1.0, 1.0)
    rows = [torch.stack([cosine * mirror, -sine], -1), torch.stack([sine * mirror, cosine], -1)]
    return torch.stack(rows, -2), changes.shift_px
