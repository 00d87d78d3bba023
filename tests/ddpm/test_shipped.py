"""Recipes of the package, by name, from a file, and from a wheel."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cspine_bench.cli import cli
from cspine_bench.ddpm.network import build_network
from cspine_bench.ddpm.recipe import DdpmRecipe
from cspine_bench.ddpm.shipped import list_recipes, open_recipe
from cspine_bench.errors import RecipeError

RECIPES = Path(__file__).parents[2] / "generation" / "recipes"


def test_every_recipe_of_the_repository_has_a_name() -> None:
    assert list_recipes() == sorted(path.stem for path in RECIPES.glob("*.yaml")) and len(list_recipes()) >= 4
    for name in list_recipes():
        assert open_recipe(name) == open_recipe(str(RECIPES / f"{name}.yaml"))


def test_the_recipe_for_one_gpu_fits_into_the_repository() -> None:
    network = build_network(open_recipe("phantom-128"))
    # Half precision, under 16 MB.
    assert 2 * sum(parameter.numel() for parameter in network.parameters()) < 15e6


def test_the_recipe_at_the_paper_s_scale_keeps_three_checkpoints_of_a_ddpm() -> None:
    recipe = open_recipe("csxa-256")
    assert (recipe.objective, recipe.schedule, recipe.is_conditional) == ("epsilon", "linear", False)
    assert len(recipe.training.checkpoint_steps) == 3


def test_a_file_comes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "phantom-64-cpu").write_text("size: 32")
    assert open_recipe("phantom-64-cpu").size == 32


def test_an_unknown_name_lists_the_known_and_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(
        RecipeError, match=r"phantom-46-cpu: no such file, and no recipe.*did you mean phantom-64-cpu\?"
    ):
        open_recipe("phantom-46-cpu")
    with pytest.raises(RecipeError, match=r"there are csxa-256, csxa-256-class, phantom-128, phantom-64-cpu"):
        open_recipe(str(tmp_path / "mine.yaml"))


def test_the_command_takes_a_name(tmp_path: Path) -> None:
    arguments = ["ddpm", "train", "phantom-46-cpu", "--data", str(tmp_path), "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 2 and "did you mean phantom-64-cpu?" in result.stderr


def test_a_dry_run_prints_the_recipe_and_trains_nothing(tmp_path: Path) -> None:
    (tmp_path / "ds").mkdir()
    arguments = ["phantom-64-cpu", "--data", str(tmp_path / "ds"), "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(cli, ["ddpm", "train", *arguments, "--set", "size=128", "--dry-run", "--json"])
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert DdpmRecipe.model_validate(document["recipe"]).compute_sha256() == document["recipe_sha256"]
    assert (document["recipe"]["size"], document["recipe"]["objective"]) == (128, "flow-edm")
    assert not (tmp_path / "run").exists()
