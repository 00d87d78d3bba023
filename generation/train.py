"""Train a generator on every device of one host or of many.

    accelerate launch generation/train.py phantom-128 --data DATASET --out RUN [--seed N] [--set key=value ...]

One process is `cspine-bench ddpm train`; this is the same, run by several, which share every batch. Run again after an
interruption, it goes on. Without a GPU, `torchrun --nproc-per-node 2 generation/train.py ...` starts two processes.
"""

import argparse
import dataclasses
import json
import sys
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import Accelerator, InitProcessGroupKwargs

from cspine_bench.ddpm.shipped import open_recipe
from cspine_bench.ddpm.train import train
from cspine_bench.errors import CspineBenchError
from cspine_bench.recipe import apply_overrides

# The others wait while the first process measures samples; the default would end them after ten minutes.
_LONGEST_WAIT = timedelta(hours=2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="a YAML file, or the name of a recipe of the package")
    parser.add_argument("--data", type=Path, required=True, help="dataset folder to train on")
    parser.add_argument("--out", type=Path, required=True, help="folder for the run; an interrupted run goes on")
    parser.add_argument("--seed", type=int, default=0, help="decides the first weights and every draw")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    # The recipe decides the precision, not the configuration of accelerate.
    accelerator = Accelerator(
        cpu=not torch.cuda.is_available(),
        mixed_precision="no",
        kwargs_handlers=[InitProcessGroupKwargs(timeout=_LONGEST_WAIT)],
    )
    try:
        recipe = apply_overrides(open_recipe(arguments.recipe), arguments.overrides)
        summary = train(recipe, arguments.data, arguments.out, seed=arguments.seed, accelerator=accelerator)
    except CspineBenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if accelerator.is_main_process:
        print(json.dumps({**dataclasses.asdict(summary), "path": str(arguments.out)}))
    accelerator.end_training()
    return 0


if __name__ == "__main__":
    sys.exit(main())
