"""Kill writers at random moments: `python kill_loop.py OUT NUM_KILLS` prints what was seen, as JSON.

A process without threads that has imported everything and only forks: so a kill costs milliseconds.
"""

import json
import os
import random
import sys
import time
from pathlib import Path

from cpu_kills import fork_until
from folders import hash_tree
from toy_source import ToySource

from cspine_bench.dataset.write import write_dataset

SOURCE = ToySource(100, row_bytes=40_000_000)
"""In ten shards."""


def kill_writers(out: Path, num_kills: int) -> dict[str, object]:
    """Start writers on one folder after another, kill each, and note what every folder looked like after each kill."""
    draw = random.Random(1)
    left: list[dict[str, str]] = []
    finished: list[dict[str, str]] = []
    write_dataset(SOURCE, out / "warm")
    start = time.process_time()
    write_dataset(SOURCE, out / "undisturbed")
    undisturbed_s = time.process_time() - start
    while len(left) < num_kills or not finished:
        folder = out / f"run-{len(finished)}"
        writer = fork_until(draw.uniform(0, undisturbed_s), write_dataset, SOURCE, folder)
        _, status = os.waitpid(writer, 0)
        files = hash_tree(folder) if folder.exists() else {}
        if os.WIFSIGNALED(status):
            left.append({name: digest for name, digest in files.items() if not name.startswith(".unfinished/")})
        elif status == 0:
            finished.append(files)
        else:
            sys.exit(f"a writer failed on {sorted(files)}")
    return {"left": left, "finished": finished}


if __name__ == "__main__":
    print(json.dumps(kill_writers(Path(sys.argv[1]), int(sys.argv[2]))))
