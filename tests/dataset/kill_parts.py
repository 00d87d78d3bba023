"""Parts of one dataset at once: `python kill_parts.py OUT KILLED UNDISTURBED` plays that many rounds of each.

Prints what was seen, as JSON. Forks as `kill_loop.py` does. Each round is one folder: four parts start at once and some
are killed; then all that did not end by themselves are run again, at once, until the dataset is finished, the last time
with another number of parts.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

from folders import hash_tree
from kill_loop import SOURCE

from cspine_bench.dataset.parts import Part, write_part

COUNT = 4


def start(folder: Path, part: Part) -> int:
    """The process id of a part at work."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            write_part(SOURCE, folder, part)
            status = 0
        finally:
            os._exit(status)
    return child


def end(child: int) -> int:
    """Its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def list_files(folder: Path) -> dict[str, str]:
    return {name: digest for name, digest in hash_tree(folder).items() if not name.startswith(".unfinished/")}


def run_round(folder: Path, draw: random.Random, whole_s: float) -> dict[str, Any]:
    """Kill two of four, go on with as many or with three, and note the folder after each."""
    children = {start(folder, Part(index, COUNT)): index for index in range(COUNT)}
    victims = draw.sample(sorted(children), 2)
    for child in victims:
        time.sleep(draw.uniform(0, whole_s / COUNT))
        os.kill(child, signal.SIGKILL)
    codes = {index: end(child) for child, index in children.items()}
    left = list_files(folder)
    killed = [index for index, code in codes.items() if code == -signal.SIGKILL]
    again = [Part(index, 3) for index in range(3)] if draw.random() < 0.5 else [Part(index, COUNT) for index in killed]
    second = [end(child) for child in [start(folder, part) for part in again]]
    return {"codes": list(codes.values()), "left": left, "second": second, "end": hash_tree(folder)}


def run_undisturbed(folder: Path) -> dict[str, object]:
    """Twelve parts, more than there are shards, start at once: nobody is run again, and one of them finishes."""
    codes = [end(child) for child in [start(folder, Part(index, 12)) for index in range(12)]]
    return {"codes": codes, "end": hash_tree(folder)}


def main(out: Path, num_killed: int, num_undisturbed: int) -> None:
    draw = random.Random(1)
    begun = time.perf_counter()
    write_part(SOURCE, out / "alone", Part(0, 1))
    whole_s = time.perf_counter() - begun
    rounds: list[dict[str, Any]] = []
    # On a machine that was busy and no longer is, a kill may come too late: until so many rounds met a part at work.
    while sum(-signal.SIGKILL in played["codes"] for played in rounds) < num_killed and len(rounds) < 10 * num_killed:
        rounds.append(run_round(out / f"killed-{len(rounds)}", draw, whole_s))
        whole_s *= 1 if -signal.SIGKILL in rounds[-1]["codes"] else 0.5
    undisturbed = [run_undisturbed(out / f"undisturbed-{number}") for number in range(num_undisturbed)]
    print(json.dumps({"rounds": rounds, "undisturbed": undisturbed, "alone": hash_tree(out / "alone")}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
