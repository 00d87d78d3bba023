"""What `ddpm train` needs, as small as it can be, under the names that the examples use."""

from pathlib import Path

import yaml
from click.testing import CliRunner

from cspine_bench.cli import cli

RECIPE = {
    "size": 16,
    "network": {"unshuffle": 4, "widths": [16, 16], "attention_levels": [1]},
    "condition": "skeleton",
    "training": {"num_steps": 4, "batch_size": 4, "validate_every": 2, "monitor": None},
}


def write_small_training(folder: Path) -> None:
    """`recipe.yaml`, and the dataset `ds`, in a folder."""
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    call("dataset", "phantom", folder / "ds", "--count", 40, "--size", 64)


def train_small(folder: Path) -> None:
    """The run `run` beside them."""
    call("ddpm", "train", folder / "recipe.yaml", "--data", folder / "ds", "--out", folder / "run")


def call(*arguments: object) -> None:
    """A command that must end well."""
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.stderr
