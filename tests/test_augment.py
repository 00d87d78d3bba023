"""Changes of training images: landmarks follow the pixels, strengths keep to the recipe, off is off."""

import math

import pytest
import torch

from cspine_bench.augment import AugmentRecipe, Changes, change_images, change_landmarks, draw_changes

SIZE, COUNT = 64, 48


def draw(recipe: AugmentRecipe, seed: int = 0, count: int = COUNT) -> Changes:
    return draw_changes(recipe, count, SIZE, torch.Generator().manual_seed(seed))


def draw_spots(points: torch.Tensor) -> torch.Tensor:
    """A bright spot on black at each point: (B, 1, SIZE, SIZE) in -1..1 for points (B, 1, 2)."""
    steps = torch.arange(SIZE)
    squared = (steps - points[..., :1]) ** 2, (steps - points[..., 1:]) ** 2
    return 2 * torch.exp(-0.5 * (squared[1][..., :, None] + squared[0][..., None, :]) / 2.5**2) - 1


def find_spots(images: torch.Tensor) -> torch.Tensor:
    weight = (images[:, 0] + 1) / 2
    steps = torch.arange(SIZE, dtype=torch.float32)
    total = weight.sum((1, 2))
    return torch.stack([(weight.sum(1) * steps).sum(1) / total, (weight.sum(2) * steps).sum(1) / total], -1)[:, None]


@pytest.mark.parametrize(
    "recipe",
    [
        AugmentRecipe(shift=0.1),
        AugmentRecipe(rotate_deg=20),
        AugmentRecipe(zoom=0.2),
        AugmentRecipe(flip=True),
        AugmentRecipe(shift=0.05, rotate_deg=10, zoom=0.1, flip=True),
    ],
    ids=["shift", "rotate", "zoom", "flip", "all"],
)
def test_landmarks_follow_the_pixels(recipe: AugmentRecipe) -> None:
    points = 22 + 20 * torch.rand(COUNT, 1, 2, generator=torch.Generator().manual_seed(1))
    changes = draw(recipe)
    moved = change_landmarks(points, changes, SIZE)
    found = find_spots(change_images(draw_spots(points), changes))
    assert (moved - points).norm(dim=-1).max() > 1.5
    assert (found - moved).abs().max() < 0.05


def test_one_change_by_hand() -> None:
    still = torch.ones(1)
    changes = Changes(torch.tensor([[3.0, -1.0]]), torch.tensor([math.pi / 2]), 2 * still, still, still, still == 0)
    # About the centre (31.5, 31.5): right by 4 becomes down by 8, then the shift.
    points = torch.tensor([[[35.5, 31.5], [float("nan"), float("nan")]]])
    moved = change_landmarks(points, changes, SIZE)
    torch.testing.assert_close(moved[0, 0], torch.tensor([34.5, 38.5]))
    assert moved[0, 1].isnan().all()


def test_off_is_off_to_the_bit() -> None:
    images = 2 * torch.rand(COUNT, 1, SIZE, SIZE) - 1
    points = torch.rand(COUNT, 23, 2) * SIZE
    changes = draw(AugmentRecipe())
    assert torch.equal(change_images(images, changes), images)
    torch.testing.assert_close(change_landmarks(points, changes, SIZE), points, atol=1e-5, rtol=0)


def test_brightness_and_contrast_by_hand() -> None:
    image = torch.tensor([-1.0, -0.5, 0.0, 1.0]).reshape(1, 1, 2, 2)
    still, nowhere = torch.ones(1), torch.zeros(1, 2)
    changes = Changes(nowhere, 0 * still, still, 1.2 * still, 2 * still, still == 0)
    gray = (change_images(image, changes) + 1) / 2
    torch.testing.assert_close(gray.flatten(), torch.tensor([0, 1.2 / 16, 1.2 / 4, 1.0]))


def test_strengths_keep_to_the_recipe_in_both_directions() -> None:
    changes = draw(AugmentRecipe(shift=0.1, rotate_deg=10, zoom=0.2, gain=0.3, gamma=0.4), count=2000)
    limits = {"shift_px": 6.4, "angle_rad": math.radians(10)}
    for name, limit in limits.items():
        values = getattr(changes, name)
        assert -limit <= values.min() < -0.95 * limit and 0.95 * limit < values.max() <= limit
    for name, most in {"zoom": 1.2, "gain": 1.3, "gamma": 1.4}.items():
        values = getattr(changes, name)
        assert 1 / most <= values.min() < 1.02 / most and most / 1.02 < values.max() <= most
    assert not changes.flipped.any()
    assert 900 < int(draw(AugmentRecipe(flip=True), count=2000).flipped.sum()) < 1100


def test_a_share_of_a_batch_is_changed_as_in_the_batch() -> None:
    changes = draw(AugmentRecipe(shift=0.1, gain=0.2))
    images = 2 * torch.rand(COUNT, 1, SIZE, SIZE) - 1
    share = slice(10, 20)
    torch.testing.assert_close(change_images(images, changes)[share], change_images(images[share], changes.take(share)))
