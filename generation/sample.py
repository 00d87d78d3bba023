"""Sample a trained generator into a dataset folder: `cspine-bench ddpm sample` for hosts on which it is not installed.

    PYTHONPATH=. python generation/sample.py RUN --out DATASET --count 20063 --device cuda [--shard K/N] ...

Options, output and exit codes are those of the command; `--help` lists them.
"""

import sys

from cspine_bench.cli import cli

if __name__ == "__main__":
    cli(["ddpm", "sample", *sys.argv[1:]], prog_name="cspine-bench")
