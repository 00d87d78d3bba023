"""Writes to the ledger from a server: one thread, and one trip to the disk for all that wait.

A disk takes milliseconds to say that something is safe. Fifty answers that come together would wait for each other's;
so whatever comes in while one trip is under way goes together on the next.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from cspine_bench.study.ledger.answers import AnswerRefused
from cspine_bench.study.ledger.store import Ledger

Written = TypeVar("Written")


class GroupCommit:
    """Runs jobs that append to a ledger; each is on the disk when its `write` returns."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._waiting: list[tuple[Callable[[Ledger], Any], asyncio.Future[Any]]] = []
        self._trips: asyncio.Task[None] | None = None

    async def write(self, job: Callable[[Ledger], Written]) -> Written:
        """Run a job within a transaction, perhaps one that it shares with others.

        Raises:
            AnswerRefused: as the job did; what it appended stays.
            DataError: the ledger cannot be written; nothing of the whole group is.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, future))
        if self._trips is None:
            self._trips = asyncio.create_task(self._make_trips())
        outcome = await future
        if isinstance(outcome, AnswerRefused):
            raise outcome
        written: Written = outcome
        return written

    async def _make_trips(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            jobs = [job for job, _ in group]
            trip = asyncio.get_running_loop().run_in_executor(self._thread, self._run_together, jobs)
            await asyncio.wait([trip])
            error = trip.exception()
            outcomes = [error] * len(group) if error else trip.result()
            for (_, future), outcome in zip(group, outcomes, strict=True):
                if future.done():  # Whoever asked is gone.
                    continue
                if error:
                    future.set_exception(error)
                else:
                    future.set_result(outcome)
        self._trips = None

    def _run_together(self, jobs: list[Callable[[Ledger], Any]]) -> list[Any]:
        with self._ledger.transaction():
            return [_run(job, self._ledger) for job in jobs]


def _run(job: Callable[[Ledger], Any], ledger: Ledger) -> Any:
    try:
        return job(ledger)
    except AnswerRefused as refused:  # Not an error of the group: what was recorded about it is to stay.
        return refused
