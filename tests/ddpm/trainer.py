"""Trainers that do not end well, or not alone; what they did is left in a folder.

`run_trainers(DATASET, FOLDER)`:
    FOLDER/pair         a run of the short recipe by two processes
    FOLDER/full         a run on a full disk, and full.txt, its error
    FOLDER/stuffed      a run of the small recipe that was killed once, and stuffed.txt, its log's error on a full disk
`start_trainers(DATASET, FOLDER)`, which do not get as far as training:
    FOLDER/uneven.txt   what two processes say of a batch that they cannot share
    FOLDER/memory.txt   the error of a trainer with too little memory
"""

import contextlib
import os
import random
import resource
import runpy
import signal
import socket
import sys
import time
from pathlib import Path

import accelerate  # noqa: F401
import yaml
from forks import fork

from cspine_bench.augment import AugmentRecipe
from cspine_bench.ddpm.checkpoint import list_steps
from cspine_bench.ddpm.progress import append_log
from cspine_bench.ddpm.recipe import DdpmRecipe, MonitorRecipe, NetworkRecipe, TrainingRecipe
from cspine_bench.ddpm.train import train
from cspine_bench.errors import CspineBenchError

SMALL = DdpmRecipe(
    size=32,
    network=NetworkRecipe(unshuffle=2, widths=(16, 16), attention_levels=()),
    condition="skeleton",
    classes=("sex",),
    training=TrainingRecipe(
        num_steps=32, batch_size=4, accumulation_steps=2, warmup_steps=4, validate_every=8, checkpoint_steps=(16,),
        learning_rate=1e-2, augment=AugmentRecipe(shift=0.05, rotate_deg=5, zoom=0.1, gain=0.1, gamma=0.1),
        monitor=MonitorRecipe(every=16, count=8, num_steps=4, batch_size=5),
    ),
)  # fmt: skip

SHORT = {"num_steps": 6, "validate_every": 6, "checkpoint_steps": (), "learning_rate": 1e-3, "monitor": None}
SCRIPT = Path(__file__).parents[2] / "generation" / "train.py"


def change(recipe: DdpmRecipe, **training: object) -> DdpmRecipe:
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=training)})


def kill_trainers(data: Path, run: Path, num_kills: int) -> None:
    """Start one trainer after another on one run; kill the first after its first checkpoint, the next after two."""
    draw = random.Random(1)
    for kills in range(num_kills):
        wanted = max([0, *list_steps(run)]) + SMALL.training.validate_every * (1 + kills)
        trainer = fork(lambda: train(SMALL, data, run, seed=7))
        while max([0, *list_steps(run)]) < wanted:
            if os.waitpid(trainer, os.WNOHANG) != (0, 0):
                raise RuntimeError("a trainer ended by itself")
            time.sleep(0.002)
        time.sleep(draw.uniform(0, 0.1))
        os.kill(trainer, signal.SIGKILL)
        _, status = os.waitpid(trainer, 0)
        if not os.WIFSIGNALED(status):
            raise RuntimeError("a trainer was too fast to be killed")


def train_in_pair(data: Path, run: Path, stderr: Path, **training: object) -> list[int]:
    """The script for many processes, as a launcher starts it on two; their exit codes."""
    recipe = run.with_suffix(".yaml")
    recipe.write_text(yaml.safe_dump(change(SMALL, **(SHORT | training)).model_dump(mode="json")))
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])

    def work(rank: int) -> None:
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
        os.environ.update({name: str(value) for name, value in place.items()})
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
        sys.argv = [str(SCRIPT), str(recipe), "--data", str(data), "--out", str(run), "--seed", "7"]
        with stderr.open("a") as file, contextlib.redirect_stderr(file):
            try:
                runpy.run_path(str(SCRIPT), run_name="__main__")
            except SystemExit as end:
                file.flush()
                os._exit(int(end.code or 0))

    children = [fork(lambda rank=rank: work(rank)) for rank in range(2)]  # type: ignore[misc]
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def train_limited(data: Path, run: Path, recipe: DdpmRecipe, limit: int, kind: int, text: Path) -> None:
    """A trainer that may not have more than `limit` of something; its error goes to a file."""

    def work() -> None:
        text.touch()
        with text.open("r+b", buffering=0) as file:
            resource.setrlimit(kind, (limit, limit))
            try:
                train(recipe, data, run, seed=7)
            except CspineBenchError as error:
                file.write(str(error).encode()[:900])

    os.waitpid(fork(work), 0)


def run_trainers(data: Path, folder: Path) -> None:
    folder.mkdir()
    if train_in_pair(data, folder / "pair", folder / "pair.txt", accumulation_steps=1) != [0, 0]:
        raise RuntimeError((folder / "pair.txt").read_text())
    # Less than the optimiser's part of a checkpoint, more than what comes before it.
    limit = resource.RLIMIT_FSIZE
    early = change(SMALL, validate_every=2, monitor=None)
    train_limited(data, folder / "full", early, 400_000, limit, folder / "full.txt")
    kill_trainers(data, folder / "stuffed", 1)
    # The log shall be the first file that does not fit: larger than the scalars for TensorBoard, made anew from it.
    append_log(folder / "stuffed", [{"kind": "start", "step": 0, "note": "x" * 20_000}])
    log_bytes = (folder / "stuffed" / "log.jsonl").stat().st_size
    train_limited(data, folder / "stuffed", SMALL, log_bytes, limit, folder / "stuffed.txt")


def start_trainers(data: Path, folder: Path) -> None:
    folder.mkdir()
    train_in_pair(data, folder / "uneven", folder / "uneven.txt", batch_size=6, accumulation_steps=2)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    # More than that goes into a single convolution, so that no time is spent on drawing weights.
    large = SMALL.model_copy(update={"network": NetworkRecipe(unshuffle=2, widths=(8192, 8192), attention_levels=())})
    train_limited(data, folder / "large", large, held + 2**29, resource.RLIMIT_AS, folder / "memory.txt")
