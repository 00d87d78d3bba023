"""Children that are killed when they have worked for so long, however busy the machine is meanwhile."""

import os
import signal
import traceback
from collections.abc import Callable
from typing import Any


def fork_until(cpu_s: float | None, work: Callable[..., object], *arguments: Any) -> int:
    """A child that does the work and ends, with 1 if that fails; its process id.

    After `cpu_s` seconds of its own CPU time the kernel ends it by SIGPROF: nothing of it runs any more, as after
    SIGKILL. None: nothing ends it. A sleep in the parent, instead, would be too long or too short wherever the machine
    is busier or idler than when it was measured.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if cpu_s is not None:
                signal.setitimer(signal.ITIMER_PROF, max(cpu_s, 1e-6))  # nought would mean: never
            work(*arguments)
            status = 0
        finally:
            if status:
                traceback.print_exc()
            os._exit(status)
    return child
