"""Two small dataset folders, real and synthetic, and a recipe that is quick on them."""

import sys
from pathlib import Path
from typing import Any

from cspine_bench.baselines.recipe import BaselineRecipe

sys.path.insert(0, str(Path(__file__).parents[1] / "cli"))
from small_source import write_small

COUNT = 12


def write_sides(folder: Path) -> None:
    write_small(folder / "real", COUNT)
    write_small(folder / "synthetic", COUNT, first=100)


def build_small_recipe(**protocol: Any) -> BaselineRecipe:
    return BaselineRecipe.model_validate(
        {
            "task": {"kind": "landmarking"},
            "size": 32,
            "network": {"unshuffle": 4, "widths": [8, 16]},
            "learning": {"updates": 4, "batch_size": 2},
            "protocol": {"fractions": [0.5, 1.0], "num_seeds": 2, "num_bootstrap": 100} | protocol,
        }
    )
