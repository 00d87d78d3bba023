"""Children that begin where this process stands: one that is to be killed or starved does not cost the imports."""

import os
import traceback
import warnings
from collections.abc import Callable

import torch


def fork(work: Callable[[], object]) -> int:
    """A child that does the work and ends, with 1 if that fails; its process id."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: of forks beside threads
        child = os.fork()
    if child == 0:
        try:
            torch.set_num_threads(1)  # the threads of the parent's pool are not there
            work()
            os._exit(0)
        except BaseException:
            os.write(2, traceback.format_exc().encode())
            raise
        finally:
            os._exit(1)
    return child
