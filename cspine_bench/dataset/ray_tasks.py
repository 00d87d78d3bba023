"""Tasks of a Ray cluster: where they run, how they are called, and how they end.

A worker or a node that is lost costs what it was at: Ray runs that again elsewhere.
"""

import logging
import os
import re
import socket
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from cspine_bench.dataset.processes import set_environment
from cspine_bench.errors import DataError, MissingExtraError

SharedT = TypeVar("SharedT")
ItemT = TypeVar("ItemT")
AnswerT = TypeVar("AnswerT")
_NUM_RETRIES: Final = 5
_LOOK_EVERY_S: Final = 0.5
_TIME_TO_END_S: Final = 1.0
_TIME_TO_ANSWER_S: Final = 10.0
_PLACE: Final = re.compile(r"(?:ray://)?\[?(?P<host>[^/\]]+)\]?:(?P<port>\d{1,5})")
_QUIET: Final = {"RAY_USAGE_STATS_ENABLED": "0"}
"""A cluster that is started here tells nobody about it."""


@dataclass(frozen=True, slots=True)
class RayCluster:
    """Where tasks run, and what each needs.

    Args:
        address: of a running cluster (`auto`: the one that this machine belongs to); None: what the variable
            `RAY_ADDRESS` names, else one is started on this machine and ended afterwards.
        num_cpus: that one task takes.
        num_gpus: that one task takes; Ray shows a task its own as `cuda`.
        max_tasks: tasks at a time; None: as many as the cluster holds.

    Raises:
        ValueError: a number is impossible.
    """

    address: str | None = None
    num_cpus: float = 1
    num_gpus: float = 0
    max_tasks: int | None = None

    def __post_init__(self) -> None:
        if self.num_cpus < 0 or self.num_gpus < 0:
            raise ValueError(f"num_cpus and num_gpus must be at least 0, got {self.num_cpus} and {self.num_gpus}")
        if self.max_tasks is not None and self.max_tasks < 1:
            raise ValueError(f"max_tasks must be at least 1, got {self.max_tasks}")


def call_on_cluster(
    function: Callable[[SharedT, ItemT], AnswerT | Exception],
    shared: SharedT,
    items: Sequence[ItemT],
    cluster: RayCluster,
    *,
    lost: Callable[[ItemT], str],
    name: str | None = None,
) -> Generator[AnswerT]:
    """Call a function on every item, each in a task, and give the answers as they are ready.

    Tasks end when this process does.

    Args:
        function: of a module that every node has. What is wrong with the data it returns, so that it arrives as it is.
        shared: its first argument, pickled for the nodes once.
        items: its second ones.
        cluster: where to call it.
        lost: of an item, who died if nobody could finish it: `the workers of ...`.
        name: of the tasks, as Ray lists them; None: that of the function.

    Raises:
        Exception: that the function returned.
        DataError: there is no such cluster, none of its nodes has what a task needs, or workers died again and again.
        MissingExtraError: Ray is not installed.
    """
    with connect(cluster.address):
        import ray

        task, kept = build_task(function, cluster, name=name), ray.put(shared)
        waiting, pending = list(reversed(items)), dict[Any, ItemT]()
        try:
            while waiting or pending:
                while waiting and (cluster.max_tasks is None or len(pending) < cluster.max_tasks):
                    item = waiting.pop()
                    pending[task.remote(kept, item)] = item
                done, _ = ray.wait(list(pending), timeout=_LOOK_EVERY_S)
                for reference in done:
                    yield fetch_answer(reference, lost=lost(pending.pop(reference)))
        finally:
            end_tasks(list(pending))


def build_task(function: Callable[..., Any], cluster: RayCluster, *, name: str | None = None) -> Any:
    """A function as a task that takes what the cluster is asked for, and runs again where its worker is lost.

    Raises:
        DataError: as `check_resources`.
    """
    import ray

    check_resources(cluster)
    return ray.remote(function).options(
        name=name or function.__name__,
        num_cpus=cluster.num_cpus,
        num_gpus=cluster.num_gpus,
        max_retries=_NUM_RETRIES,
        retry_exceptions=False,
    )


def fetch_answer(reference: Any, *, lost: str) -> Any:
    """What a task of `build_task` returned, once it is through.

    Args:
        reference: of the task.
        lost: who died if nobody could finish it.

    Raises:
        Exception: that the task returned.
        DataError: its workers died again and again.
    """
    import ray

    died = (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.OutOfMemoryError)
    try:
        made = ray.get(reference)
    except died as error:
        raise DataError(
            f"{lost} died {_NUM_RETRIES + 1} times (killed, or out of memory); run the same command again, with more "
            "memory for a task: it goes on where it stopped"
        ) from error
    if isinstance(made, Exception):
        raise made
    return made


def end_tasks(references: list[Any]) -> None:
    """End tasks that nobody waits for any more; they may be through."""
    import ray

    if not references:
        return
    # Gently first: a task that ends by itself at the moment when its worker is killed was seen to abort this process.
    for reference in references:
        ray.cancel(reference)
    _, resting = ray.wait(references, num_returns=len(references), timeout=_TIME_TO_END_S)
    for reference in resting:
        ray.cancel(reference, force=True)


def stand_in(folder: Path) -> None:
    """Called in a task: relative paths mean what they mean to whoever handed it out, where the node has that folder."""
    if folder.is_dir():
        os.chdir(folder)


@contextmanager
def connect(address: str | None) -> Iterator[None]:
    """Be connected to a cluster while the block runs: several runs inside it share the one connection.

    Args:
        address: as in `RayCluster`. Where this process is connected already, that is used and left as it is.

    Raises:
        DataError: there is no such cluster.
        MissingExtraError: Ray is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("ray", "ray") from error
    if ray.is_initialized():
        yield
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    # Where none is named, Ray would join whatever cluster was last started here, and end with it.
    place = address or os.environ.get("RAY_ADDRESS") or "local"
    if place == "local":
        options["include_dashboard"] = False
    # Ray tells of workers that died on stdout, which belongs to results.
    with redirect_stdout(sys.stderr):
        with set_environment(_QUIET):
            try:
                _knock(place)
                ray.init(address=place, **options)
            except (OSError, RuntimeError, ValueError) as error:
                where = "on this machine" if place == "local" else f"at {place!r}"
                raise DataError(
                    f"no Ray cluster {where} ({error}); see `ray status`, or leave the address out"
                ) from error
        try:
            yield
        finally:
            ray.shutdown()


def _knock(address: str) -> None:
    """Where nobody listens, say so now: Ray itself goes on asking for more than five minutes.

    Raises:
        OSError: nobody answers there.
    """
    if named := _PLACE.fullmatch(address):
        socket.create_connection((named["host"], int(named["port"])), timeout=_TIME_TO_ANSWER_S).close()


def check_resources(cluster: RayCluster) -> None:
    """Stop where no node of the cluster that this process is connected to has what one task needs.

    Raises:
        DataError: says what the nodes have.
    """
    import ray

    # A task that fits no node would wait for ever.
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    have = [node["Resources"] for node in nodes if node["Alive"]]
    need = {"CPU": cluster.num_cpus, "GPU": cluster.num_gpus}
    if not any(all(node.get(kind, 0) >= number for kind, number in need.items()) for node in have):
        raise DataError(
            f"no node of the Ray cluster has {cluster.num_cpus:g} CPUs and {cluster.num_gpus:g} GPUs for one task; "
            f"nodes have {', '.join(str({kind: node.get(kind, 0) for kind in need}) for node in have) or 'nothing'}"
        )
