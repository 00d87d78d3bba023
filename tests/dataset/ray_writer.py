"""A writer whose shards are Ray tasks: `python ray_writer.py OUT FAULT` prints that it is done, as JSON.

With the fault `rest` a task rests for ever, and the writer is then interrupted; with `kill` a worker is killed.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from toy_source import ToySource

from cspine_bench.dataset.ray_tasks import RayCluster, connect
from cspine_bench.dataset.source import Radiograph, Rejected, SampleKey
from cspine_bench.dataset.write import write_dataset


@dataclass(frozen=True)
class Faulty(ToySource):
    """As its parent, but rests for ever, or kills its process, inside the shard that holds sample 0.

    Its process writes its id to a file first; the kill happens where that file is not there yet.
    """

    marks: Path = Path()
    fault: str = "none"

    def iter_radiographs(self, keys: Sequence[SampleKey]) -> Iterator[Radiograph | Rejected]:
        for number, made in enumerate(super().iter_radiographs(keys)):
            if number == 5 and any(key.origin == "0" for key in keys):
                self._fail()
            yield made

    def _fail(self) -> None:
        mark = self.marks / self.fault
        again = mark.exists()
        mark.write_text(str(os.getpid()))
        if self.fault == "rest":
            time.sleep(600)
        if self.fault == "kill" and not again:
            os.kill(os.getpid(), signal.SIGKILL)


def make_source(marks: Path, fault: str) -> Faulty:
    return Faulty(120, row_bytes=20_000_000, marks=marks, fault=fault)


def interrupt_when(mark: Path) -> None:
    """Do to this process what Ctrl-C does, as soon as a file is there."""

    def wait() -> None:
        while not mark.exists() or not mark.read_text():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=wait, daemon=True).start()


def main(out: Path, fault: str) -> None:
    marks = out.with_name("marks")
    marks.mkdir(exist_ok=True)
    with connect(None):
        if fault == "rest":
            interrupt_when(marks / "rest")
        write_dataset(make_source(marks, fault), out, ray=RayCluster(max_tasks=2))
    print(json.dumps({"done": True}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
