"""Writers whose shards are Ray tasks: `python ray_writer.py OUT` prints what was seen, as JSON.

First a writer is interrupted while a task rests for ever. Then one goes on, whose worker is killed inside a shard.
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


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def main(out: Path) -> None:
    marks = out.with_name("marks")
    marks.mkdir()
    seen: dict[str, object] = {}
    with connect(None):
        interrupt_when(marks / "rest")
        try:
            write_dataset(make_source(marks, "rest"), out, ray=RayCluster())
        except KeyboardInterrupt:
            seen["interrupted"] = True
        seen["manifest_then"] = (out / "dataset.json").exists()
        # Waits until the interrupted run's task is gone.
        write_dataset(make_source(marks, "kill"), out, ray=RayCluster(max_tasks=2))
        seen["rest_goes_on"] = is_running(int((marks / "rest").read_text()))
    print(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
