"""A writer that may write no file of more than LIMIT bytes: `python limited_writer.py OUT LIMIT` prints its error."""

import resource
import sys
from pathlib import Path

from kill_loop import SOURCE

from cspine_bench.dataset.write import write_dataset
from cspine_bench.errors import DataError

if __name__ == "__main__":
    limit = int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        write_dataset(SOURCE, Path(sys.argv[1]))
    except DataError as error:
        print(error)
