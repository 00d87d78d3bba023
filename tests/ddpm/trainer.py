"""Train the small recipe in a process of its own: `python trainer.py DATASET RUN`."""

import sys
from pathlib import Path

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

if __name__ == "__main__":
    train(SMALL, Path(sys.argv[1]), Path(sys.argv[2]), seed=7)
