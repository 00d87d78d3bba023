"""Children that are killed when they have worked for so long, however busy the machine is meanwhile."""

import os
import signal
import traceback
from collections.abc import Callable
from typing import Any


def fork_until(cpu_s: float | None, work: Callable[..., object], *arguments: Any) -> int:
    """A child that does the work and ends, with 1 if that fails; its process id.

    None: nothing kills it. Otherwise, after `cpu_s` seconds of its own CPU time the kernel ends it by SIGPROF: nothing of it runs any more, as after
    SIGKILL. A sleep in the parent, instead, would be cut to a machine that was idle, or busy, when it was measured.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if cpu_s is not None:
                signal.setitimer(signal.ITIMER_PROF, max(cpu_s, 1e-6))  # nought would mean: never
            work(*arguments)
            status = 0
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(status)
    return child
