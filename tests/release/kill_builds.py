"""Kill builds at random moments: `python kill_builds.py OUT NUM_ROUNDS` prints what was seen, as JSON.

A process that has imported everything and only forks: so a kill costs milliseconds. Nothing is known of the images,
so that no figure is drawn, which takes longer than all the rest and has one stage only.
"""

import json
import os
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "dataset"))

from cpu_kills import fork_until
from folders import hash_tree
from unlabelled_source import Unlabelled

from cspine_bench.dataset.write import write_dataset
from cspine_bench.release.build import build_release
from cspine_bench.release.recipe import ReleaseRecipe

RECIPE = ReleaseRecipe.model_validate({"date": "2026-11-23", "name": "rel"})


def kill_builds(out: Path, num_rounds: int) -> dict[str, object]:
    """In one place after another: kill a build, kill the next, and let the last one end. What was there after each."""
    draw = random.Random(2)
    dataset = out / "ds"
    write_dataset(Unlabelled(18), dataset, shard_rows=3)
    left: list[dict[str, str]] = []
    finished: list[dict[str, str]] = []
    begun: list[int] = []
    _build(dataset, out / "warm" / "rel")
    start = time.process_time()
    _build(dataset, out / "undisturbed" / "rel")
    undisturbed_s = time.process_time() - start
    for number in range(num_rounds):
        folder = out / f"run-{number}"
        # Each round's first kill falls into a stretch of the build of its own.
        for cpu_s in ((number + draw.random()) / num_rounds * undisturbed_s, draw.uniform(0, undisturbed_s), None):
            builder = fork_until(cpu_s, _build, dataset, folder / "rel")
            _, status = os.waitpid(builder, 0)
            files = hash_tree(folder) if folder.exists() else {}
            if os.WIFSIGNALED(status):
                left.append({name: digest for name, digest in files.items() if not name.startswith(".")})
                begun.append(sum(name.startswith(".") for name in files))
            elif status:
                sys.exit(f"a build failed on {sorted(files)}")
        finished.append(files)
    return {"left": left, "begun": begun, "finished": finished, "undisturbed": hash_tree(out / "undisturbed")}


def _build(dataset: Path, out: Path) -> None:
    build_release(dataset, out, RECIPE, mirror=True)


if __name__ == "__main__":
    print(json.dumps(kill_builds(Path(sys.argv[1]), int(sys.argv[2]))))
