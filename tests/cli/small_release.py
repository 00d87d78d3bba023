"""What the examples of `release` need: a dataset, two releases of it, and a key to sign with."""

import subprocess
from pathlib import Path

from cspine_bench.release.build import build_release
from cspine_bench.release.recipe import ReleaseRecipe

from .small_source import write_small


def write_small_release(folder: Path) -> None:
    """Write `ds`, `old`, `rel` with its mirror, and `release.key`."""
    write_small(folder / "ds")
    recipe = ReleaseRecipe(name="rel")
    build_release(folder / "ds", folder / "old", recipe)
    newer = recipe.model_copy(update={"version": "1.0.1"})
    build_release(folder / "ds", folder / "rel", newer, mirror=True, supersedes=folder / "old")
    key = folder / "release.key"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(key)], check=True, capture_output=True)
