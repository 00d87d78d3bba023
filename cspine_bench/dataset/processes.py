"""Worker processes of one thread each, that end with the process that started them, however it ends."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from cspine_bench.dataset.lock import tie_worker_to_writer
from cspine_bench.errors import DataError

AnswerT = TypeVar("AnswerT")
_ONE_THREAD: Final = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class Submit(Protocol):
    """Hand a call to a worker."""

    def __call__(self, function: Callable[..., AnswerT], /, *arguments: Any) -> Future[AnswerT]: ...


@contextmanager
def start_processes(
    num_workers: int,
    prepare: Callable[..., None],
    arguments: Sequence[Any],
    *,
    holding: Sequence[Path] = (),
    where: str = "",
) -> Iterator[Submit]:
    """Processes that wait for calls while the block runs. If it ends early, they are killed.

    They are started afresh (spawned), so a script that asks for them needs the guard `if __name__ == "__main__":`.

    Args:
        num_workers: processes.
        prepare: called in each of them, once; a function of a module.
        arguments: of `prepare`.
        holding: folders whose locks of workers they hold, see `cspine_bench.dataset.lock`.
        where: what the message begins with.

    Raises:
        DataError: a worker died.
    """
    before = set(multiprocessing.active_children())
    executor = ProcessPoolExecutor(
        num_workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(os.getpid(), holding, prepare, arguments),
    )

    def submit(function: Callable[..., AnswerT], /, *given: Any) -> Future[AnswerT]:
        # Read by numpy and torch when a worker imports them, so it must be in the environment that a worker inherits.
        with set_environment(_ONE_THREAD):
            return executor.submit(function, *given)

    finished = False
    try:
        yield submit
        finished = True
    except BrokenProcessPool as error:
        raise DataError(
            f"{where}a worker process died (killed, or out of memory); run the same command again, with fewer workers "
            "if memory is short: it goes on where it stopped"
        ) from error
    finally:
        if not finished:
            for process in set(multiprocessing.active_children()) - before:
                process.kill()
        executor.shutdown(wait=True, cancel_futures=True)


def _start_worker(
    parent_pid: int, holding: Sequence[Path], prepare: Callable[..., None], arguments: Sequence[Any]
) -> None:
    # Ctrl-C reaches the whole process group; the parent alone answers it, and ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tie_worker_to_writer(holding, parent_pid)
    prepare(*arguments)


@contextmanager
def set_environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for the processes that are started while the block runs."""
    saved = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in saved.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
