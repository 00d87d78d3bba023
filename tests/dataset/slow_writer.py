"""A writer in a process of its own, to be killed: `python slow_writer.py OUT NUM_WORKERS`."""

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from toy_source import ToySource

from cspine_bench.dataset.source import Radiograph, Rejected, SampleKey
from cspine_bench.dataset.write import write_dataset
from cspine_bench.errors import DataError


class SlowSource(ToySource):
    """As its parent, with a rest at each sample, so that a signal finds the writers at work."""

    def iter_radiographs(self, keys: Sequence[SampleKey]) -> Iterator[Radiograph | Rejected]:
        for made in super().iter_radiographs(keys):
            time.sleep(0.01)
            yield made


def make_source() -> SlowSource:
    return SlowSource(240, row_bytes=20_000_000)


if __name__ == "__main__":
    try:
        write_dataset(make_source(), Path(sys.argv[1]), num_workers=int(sys.argv[2]))
    except DataError as error:
        sys.exit(str(error))
