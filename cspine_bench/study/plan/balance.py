"""How evenly a schedule turned out, counted from itself: images over panes, repeats, controls."""

from collections import Counter
from dataclasses import dataclass

from cspine_bench.study.schedule import ReaderSchedule, Schedule, TrialKind
from cspine_bench.study.truth import REAL, Truth


@dataclass(frozen=True)
class ReaderBalance:
    """One reader's trials.

    Attributes:
        reader: pseudonym.
        kinds: trials by kind.
        panes: least and most cases whose real image is in one pane.
        lag: fewest trials between a case and its second look; None: there are none.
        controls: places of the first and the last control, as shares of the order after training; None: none.
    """

    reader: str
    kinds: dict[TrialKind, int]
    panes: tuple[int, int]
    lag: int | None
    controls: tuple[float, float] | None


@dataclass(frozen=True)
class Balance:
    """All readers, and all cases.

    Attributes:
        readers: one for each.
        cases: least and most readers who have the real image of a case in one pane.
    """

    readers: tuple[ReaderBalance, ...]
    cases: tuple[int, int]


def count_balance(schedule: Schedule, truth: Truth) -> Balance:
    """Count a schedule. Only least and most leave this function, so that a page of them tells no image's condition.

    Args:
        schedule: of all readers.
        truth: of the same study.
    """
    real = {frame for frame, one in enumerate(truth.frames) if one.source == REAL}
    by_case: Counter[tuple[str, int]] = Counter()
    readers = []
    num_panes = 1
    for one in schedule.readers:
        by_pane: Counter[int] = Counter()
        for trial in one.trials:
            num_panes = len(trial.frames)
            for pane, frame in enumerate(trial.frames):
                if trial.kind == "main" and frame in real:
                    by_pane[pane] += 1
                    by_case[trial.case, pane] += 1
        counts = [by_pane[pane] for pane in range(num_panes)]
        kinds = Counter(trial.kind for trial in one.trials)
        readers.append(
            ReaderBalance(one.reader, dict(kinds), (min(counts), max(counts)), _find_lag(one), _find_controls(one))
        )
    cases = [by_case[case, pane] for case in {case for case, _ in by_case} for pane in range(num_panes)]
    return Balance(tuple(readers), (min(cases, default=0), max(cases, default=0)))


def _find_lag(one: ReaderSchedule) -> int | None:
    first = {trial.case: place for place, trial in enumerate(one.trials) if trial.kind == "main"}
    lags = [place - first[trial.case] - 1 for place, trial in enumerate(one.trials) if trial.kind == "repeat"]
    return min(lags, default=None)


def _find_controls(one: ReaderSchedule) -> tuple[float, float] | None:
    read = [trial for trial in one.trials if trial.kind != "training"]
    places = [place / max(1, len(read) - 1) for place, trial in enumerate(read) if trial.kind.endswith("control")]
    return (min(places), max(places)) if places else None
