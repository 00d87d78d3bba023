"""Parts of one dataset at once: `python kill_parts.py OUT ROUNDS UNDISTURBED` plays that many rounds of each.

Prints what was seen, as JSON. Forks as `kill_loop.py` does. Each round is one folder: four parts start at once and two
are to be killed; then the killed ones are run again, at once, or three parts that deal the rest out anew.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

from cpu_kills import fork_until
from folders import hash_tree
from kill_loop import SOURCE

from cspine_bench.dataset.parts import Part, write_part

COUNT = 4


def start(folder: Path, part: Part, cpu_s: float | None = None) -> int:
    """The process id of a part at work, which is killed after so many seconds of its own."""
    return fork_until(cpu_s, write_part, SOURCE, folder, part)


def end(child: int) -> int:
    """Its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def list_files(folder: Path) -> dict[str, str]:
    return {name: digest for name, digest in hash_tree(folder).items() if not name.startswith(".unfinished/")}


def run_round(folder: Path, draw: random.Random, whole_s: float) -> dict[str, Any]:
    """Kill two of four, go on with as many or with three, and note the folder after each."""
    until = {index: draw.uniform(0, whole_s / COUNT) for index in draw.sample(range(COUNT), 2)}
    children = [start(folder, Part(index, COUNT), until.get(index)) for index in range(COUNT)]
    codes = [end(child) for child in children]
    left = list_files(folder)
    killed = [index for index, code in enumerate(codes) if code == -signal.SIGPROF]
    again = [Part(index, 3) for index in range(3)] if draw.random() < 0.5 else [Part(index, COUNT) for index in killed]
    second = [end(child) for child in [start(folder, part) for part in again]]
    return {"codes": codes, "left": left, "second": second, "end": hash_tree(folder)}


def run_undisturbed(folder: Path) -> dict[str, object]:
    """Twelve parts, more than there are shards, start at once: nobody is run again, and one of them finishes."""
    codes = [end(child) for child in [start(folder, Part(index, 12)) for index in range(12)]]
    return {"codes": codes, "end": hash_tree(folder)}


def main(out: Path, num_rounds: int, num_undisturbed: int) -> None:
    draw = random.Random(1)
    write_part(SOURCE, out / "warm", Part(0, 1))
    begun = time.process_time()
    write_part(SOURCE, out / "alone", Part(0, 1))
    whole_s = time.process_time() - begun
    rounds = [run_round(out / f"killed-{number}", draw, whole_s) for number in range(num_rounds)]
    undisturbed = [run_undisturbed(out / f"undisturbed-{number}") for number in range(num_undisturbed)]
    print(json.dumps({"rounds": rounds, "undisturbed": undisturbed, "alone": hash_tree(out / "alone")}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
