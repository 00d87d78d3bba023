"""The weight on fine detail near the vertebrae: where it looks, what it sees, and that the aim stays the same."""

import pytest
import torch

from cspine_bench.ddpm.detail import measure_detail_errors
from cspine_bench.ddpm.network import DROPPED_CONDITION
from cspine_bench.ddpm.recipe import DdpmRecipe
from cspine_bench.errors import RecipeError
from cspine_bench.recipe import build_recipe

SIZE = 40


def draw_condition() -> torch.Tensor:
    """A map with one bright square in its middle."""
    condition = torch.full((1, 1, SIZE, SIZE), -1.0)
    condition[..., 18:22, 18:22] = 1
    return condition


def test_it_sees_fine_errors_near_the_spine_and_nothing_else() -> None:
    x0, condition = torch.zeros(1, 1, SIZE, SIZE), draw_condition()

    def measure(row: int, column: int, told: torch.Tensor = condition) -> float:
        found = x0.clone()
        found[..., row, column] = 1
        return float(measure_detail_errors(found, x0, told))

    # One of 25 pixels of its window: (1 - 1/25)^2 for itself, 24 / 25^2 for its neighbours, which all lie near.
    assert measure(20, 20) == pytest.approx((0.96**2 + 24 / 25**2) / SIZE**2)
    assert measure(5, 5) == 0
    assert measure(20, 20, torch.full_like(condition, DROPPED_CONDITION)) == 0
    # An error of the whole film's brightness is not fine.
    assert float(measure_detail_errors(x0 + 0.7, x0, condition)) == pytest.approx(0, abs=1e-12)


def test_the_expected_image_minimises_it_too() -> None:
    draws = torch.randn(64, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    condition = draw_condition().expand(len(draws), -1, -1, -1)
    found = draws.mean(0, keepdim=True).clone().requires_grad_(True)
    measure_detail_errors(found.expand_as(draws), draws, condition).mean().backward()
    assert found.grad is not None and found.grad.abs().max() < 1e-9


@pytest.mark.parametrize("settings", [{"condition": "none"}, {"condition": "skeleton", "objective": "epsilon"}])
def test_it_needs_a_map_and_a_bounded_error(settings: dict[str, str]) -> None:
    with pytest.raises(RecipeError, match="detail_weight needs condition skeleton"):
        build_recipe({"detail_weight": 1.0, **settings}, DdpmRecipe, where="test")
