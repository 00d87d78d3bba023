"""Writers that may write no file above a size: `python limited_writer.py OUT LIMIT...` prints their errors, as JSON.

Each is a fork with a limit of its own, and writes to OUT/LIMIT.
"""

import json
import os
import resource
import sys
from pathlib import Path

from kill_loop import SOURCE

from cspine_bench.dataset.write import write_dataset
from cspine_bench.errors import DataError


def write_limited(out: Path, limit: int) -> str:
    """The error of a writer."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            write_dataset(SOURCE, out / str(limit))
        except DataError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        text = file.read()
    os.waitpid(child, 0)
    return text


if __name__ == "__main__":
    print(json.dumps({limit: write_limited(Path(sys.argv[1]), int(limit)) for limit in sys.argv[2:]}))
