"""What a stage of the demo is, and the words of its command."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cspine_bench.cli.demo_settings import Settings
from cspine_bench.cli.output import format_count

Document = Any
"""What a stage printed: its JSON."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of the demo.

    Args:
        name: of the file in `log/` that keeps what its command printed.
        title: what it does, for people.
        command: its arguments; the first is `cspine-bench` or `python`. `--json` is added when it runs.
        leaves: files whose absence means that it must run again.
        owns: what is removed before it runs with other settings, or on other data.
        sentence: one line for people, from what it printed.
        feeds: whether later stages use what it leaves, and so run again after it.
        afresh: whether what it owns is removed too before it runs again as it was: a study is opened once.
        passes: whether the demo is positive about an exit code, 0 or 1, and what was printed.
    """

    name: str
    title: str
    command: list[str]
    leaves: tuple[Path, ...]
    owns: tuple[Path, ...]
    sentence: Callable[[Document], str]
    feeds: bool = True
    afresh: bool = False
    passes: Callable[[int, Document], bool] = lambda exit_code, document: exit_code == 0


Track = tuple[Stage, ...]
"""Stages one after another."""
Round = tuple[Track, ...]
"""Tracks side by side; the next round waits for all of them."""


def words(*parts: object) -> list[str]:
    """A command of `cspine-bench`, from its words."""
    return ["cspine-bench", *map(str, parts)]


def seed_words(settings: Settings, more: int = 0) -> tuple[str, ...]:
    """`--seed` of the demo, or one near it; nothing where it is the usual 0."""
    seed = settings.seed + more
    return () if seed == 0 else ("--seed", str(seed))


def worker_words(settings: Settings) -> tuple[str, ...]:
    """`--workers`, where there are several."""
    return () if settings.workers == 1 else ("--workers", str(settings.workers))


def sets(**values: object) -> list[str]:
    """`--set` for each setting; `__` in a name stands for a dot."""
    return [word for name, value in values.items() for word in ("--set", f"{name.replace('__', '.')}={value}")]


def tell_verdict(document: Document) -> str:
    """The first sentence of a verdict that says something of what was measured."""
    sentences = str(document["verdict"]).split(". ")
    first = next((text for text in sentences if not text.startswith(("Simulated readers", "Rehearsal"))), sentences[0])
    made_up = "made-up answers, which say nothing of an image: " if sentences[0].startswith("Simulated readers") else ""
    return f"{made_up}{first.removesuffix('.')}."


def count_of(noun: str) -> Callable[[Document], str]:
    """A sentence that says how many radiographs a dataset has got."""
    return lambda document: format_count(sum(document["num_samples"].values()), noun)
