"""What the examples of `baseline` need: datasets, a trained model, predictions; all of it tiny."""

import csv
from pathlib import Path

from click.testing import CliRunner

from cspine_bench.anatomy.landmarks import LANDMARK_NAMES
from cspine_bench.cli import cli
from cspine_bench.dataset.read import open_dataset

from .small_source import write_small

TINY = (
    "--set", "size=32", "--set", "network.unshuffle=4", "--set", "network.widths=[8,16]", "--set", "learning.updates=2",
)  # fmt: skip
FEW = (
    "--set", "protocol.arms=[real,synthetic]", "--set", "protocol.fractions=[1.0]",
    "--set", "protocol.num_bootstrap=100",
)  # fmt: skip


def prepare_baseline(folder: Path, verb: str) -> tuple[str, ...]:
    """Write what the example of a verb reads; returns what must be added to it to make it quick."""
    write_small(folder / "films")
    write_small(folder / "ds", first=100)
    match verb:
        case "train":
            return TINY
        case "run":
            return (*TINY, *FEW)
        case "annotate":
            train(folder, "landmarking", "teacher")
            return ("--labelled", "replace")
        case "screen":
            train(folder, "quality", "screener")
        case "submit":
            write_predictions(folder / "films", folder / "predictions.csv")
        case "leaderboard":
            (folder / "results").mkdir()
    return ()


def train(folder: Path, task: str, name: str) -> None:
    words = ["baseline", "train", task, "--data", str(folder / "films"), "--out", str(folder / name), *TINY]
    trained = CliRunner().invoke(cli, words)
    assert trained.exit_code == 0, trained.stderr


def write_predictions(dataset: Path, path: Path) -> None:
    """The truth, a pixel to the right."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sample_id", "landmark", "x", "y"])
        for record in open_dataset(dataset).iter_records("test", ["sample_id", "landmarks_xy"]):
            for name, (x, y) in zip(LANDMARK_NAMES, record.landmarks_xy, strict=True):
                writer.writerow([record.sample_id, name, x + 1, y])
