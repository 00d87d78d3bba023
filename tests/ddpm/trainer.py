"""Kill trainers of the small recipe: `python trainer.py DATASET RUN NUM_KILLS` leaves the run unfinished.

A process that has imported everything and only forks: so a kill does not cost the imports.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from cspine_bench.ddpm.checkpoint import list_steps
from cspine_bench.ddpm.recipe import DdpmRecipe, NetworkRecipe, TrainingRecipe
from cspine_bench.ddpm.train import train

SMALL = DdpmRecipe(
    size=32,
    network=NetworkRecipe(unshuffle=2, widths=(16, 16), attention_levels=()),
    condition="skeleton",
    training=TrainingRecipe(
        num_steps=48, batch_size=4, warmup_steps=4, validate_every=8, checkpoint_steps=(16,), learning_rate=1e-2
    ),
)


def kill_trainers(data: Path, run: Path, num_kills: int) -> None:
    """Start one trainer after another on one run; kill the first after its first checkpoint, the next after three."""
    draw = random.Random(1)
    for kills in range(num_kills):
        wanted = max([0, *list_steps(run)]) + SMALL.training.validate_every * (1 + 2 * kills)
        trainer = os.fork()
        if trainer == 0:
            _train_and_end(data, run)
        while max([0, *list_steps(run)]) < wanted:
            if os.waitpid(trainer, os.WNOHANG) != (0, 0):
                sys.exit("a trainer ended by itself")
            time.sleep(0.002)
        time.sleep(draw.uniform(0, 0.1))
        os.kill(trainer, signal.SIGKILL)
        _, status = os.waitpid(trainer, 0)
        if not os.WIFSIGNALED(status):
            sys.exit("a trainer was too fast to be killed")


def _train_and_end(data: Path, run: Path) -> None:
    try:
        train(SMALL, data, run, seed=7)
    finally:
        os._exit(1)


if __name__ == "__main__":
    kill_trainers(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
