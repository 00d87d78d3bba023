"""The recipe's checks, and the network that it describes."""

from pathlib import Path
from typing import Any

import pytest
import torch

from cspine_bench.ddpm.network import DROPPED_CONDITION, build_network, count_channels
from cspine_bench.ddpm.recipe import DdpmRecipe, NetworkRecipe
from cspine_bench.errors import RecipeError
from cspine_bench.recipe import build_recipe, load_recipe

SMALL = NetworkRecipe(unshuffle=2, widths=(16, 16), attention_levels=(1,))
RECIPES = Path(__file__).parents[2] / "generation" / "recipes"


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.name)
def test_recipes_in_the_repository_are_valid(path: Path) -> None:
    load_recipe(path, DdpmRecipe)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"objektive": "v"}, "unknown setting 'objektive'; did you mean 'objective'"),
        ({"objective": "x0"}, "objective = 'x0' is not possible"),
        ({"size": 60}, "size 60 is not a multiple of 16"),
        ({"min_snr_gamma": 5.0}, "weighted by the times"),
        ({"network": {"attention_levels": [3]}}, r"attention_levels \[3\] do not exist"),
        ({"training": {"num_steps": 10, "checkpoint_steps": [5, 11]}}, r"checkpoint_steps \[11\] lie beyond"),
        ({"training": {"batch_size": 0}}, "training.batch_size = 0"),
        ({"training": {"learning_rate": float("nan")}}, "training.learning_rate"),
        ({"condition_dropout": 1.0}, "condition_dropout"),
    ],
)
def test_impossible_recipes_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build_recipe(values, DdpmRecipe, where="test")


@pytest.mark.parametrize("in_channels", [1, 2])
def test_shapes_and_dependence(in_channels: int) -> None:
    torch.manual_seed(0)
    network = build_network(SMALL, in_channels).eval()
    xt, t = torch.randn(3, 1, 16, 16), torch.tensor([0.1, 0.5, 0.9])
    condition = torch.rand(3, 1, 16, 16) if in_channels == 2 else None
    with torch.no_grad():
        output = network(xt, t, condition)
        assert output.shape == xt.shape and output.dtype == torch.float32
        # Each image is its own; time and condition count.
        alone = network(xt[1:2], t[1:2], None if condition is None else condition[1:2])
        torch.testing.assert_close(alone, output[1:2], atol=1e-5, rtol=1e-4)
        assert (network(xt, 1 - t, condition) - output)[::2].abs().max() > 1e-3
        if condition is not None:
            dropped = torch.full_like(condition, DROPPED_CONDITION)
            assert (network(xt, t, dropped) - output).abs().max() > 1e-3


def test_a_condition_is_given_where_it_belongs() -> None:
    image, t = torch.zeros(1, 1, 16, 16), torch.zeros(1)
    with pytest.raises(ValueError, match="takes no condition"):
        build_network(SMALL, 1)(image, t, image)
    with pytest.raises(ValueError, match="needs a condition"):
        build_network(SMALL, 2)(image, t)
    with pytest.raises(ValueError, match="in_channels must be 1"):
        build_network(SMALL, 3)
    assert [count_channels(DdpmRecipe(condition=condition)) for condition in ("none", "skeleton")] == [1, 2]
