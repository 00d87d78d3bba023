"""Kill builds at random moments: `python kill_builds.py OUT NUM_KILLS` prints what was seen, as JSON.

A process that has imported everything and only forks: so a kill costs milliseconds. Nothing is known of the images,
so that no figure is drawn, which takes longer than all the rest and has one stage only.
"""

import json
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "dataset"))

from folders import hash_tree
from unlabelled_source import Unlabelled

from cspine_bench.dataset.write import write_dataset
from cspine_bench.release.build import build_release
from cspine_bench.release.recipe import ReleaseRecipe

RECIPE = ReleaseRecipe.model_validate({"date": "2026-11-23", "name": "rel"})


def kill_builds(out: Path, num_kills: int) -> dict[str, object]:
    """Start builds in one place after another, kill each, and note what bore the release's name after each kill."""
    draw = random.Random(2)
    dataset = out / "ds"
    write_dataset(Unlabelled(18), dataset, shard_rows=3)
    left: list[dict[str, str]] = []
    finished: list[dict[str, str]] = []
    begun: list[int] = []
    build_release(dataset, out / "warm" / "rel", RECIPE, mirror=True)
    start = time.perf_counter()
    build_release(dataset, out / "undisturbed" / "rel", RECIPE, mirror=True)
    undisturbed_s = time.perf_counter() - start
    while len(left) < num_kills or not finished:
        folder = out / f"run-{len(finished)}"
        builder = os.fork()
        if builder == 0:
            _build_and_end(dataset, folder / "rel")
        time.sleep(draw.uniform(0.05, 1.1) * undisturbed_s)
        os.kill(builder, signal.SIGKILL)
        _, status = os.waitpid(builder, 0)
        files = hash_tree(folder) if folder.exists() else {}
        if os.WIFSIGNALED(status):
            left.append({name: digest for name, digest in files.items() if not name.startswith(".")})
            begun.append(sum(name.startswith(".") for name in files))
        elif status == 0:
            finished.append(files)
        else:
            sys.exit(f"a build failed on {sorted(files)}")
    return {"left": left, "begun": begun, "finished": finished, "undisturbed": hash_tree(out / "undisturbed")}


def _build_and_end(dataset: Path, out: Path) -> None:
    status = 1
    try:
        build_release(dataset, out, RECIPE, mirror=True)
        status = 0
    finally:
        if status:
            traceback.print_exc()
        os._exit(status)


if __name__ == "__main__":
    print(json.dumps(kill_builds(Path(sys.argv[1]), int(sys.argv[2]))))
