"""Answers counted for the page: by reader, source, pane and place in the order. Nothing here is inferred."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cspine_bench.metrics.intervals import CONFIDENCE, Estimate, wilson_interval
from cspine_bench.study.responses import Responses, Trial
from cspine_bench.study.schedule import TrialKind
from cspine_bench.study.truth import REAL


@dataclass(frozen=True)
class Share:
    """A count of a count, with Wilson's interval; `share` None: of nothing."""

    count: int
    total: int
    share: Estimate | None

    @classmethod
    def of(cls, count: int, total: int, confidence: float = CONFIDENCE) -> "Share":
        """With its interval."""
        found = wilson_interval(successes=count, total=total, confidence=confidence) if total else None
        return cls(count, total, found)


@dataclass(frozen=True)
class Times:
    """Response times in s: quantiles at 5, 25, 50, 75 and 95 %, and how many."""

    quantiles: tuple[float, float, float, float, float]
    count: int


@dataclass(frozen=True)
class ReaderRow:
    """One reader.

    Attributes:
        reader: pseudonym.
        accuracy: in the primary analysis.
        control: on positive controls.
        same_pick: on repeats, the same image as the first time, or an image of the same source where no id tells.
        times: in the primary analysis; None: not measured.
        panes: picks per pane, from the first.
        mean_rating: of all images of the primary analysis; None: none.
        steps_used: steps of the scale that the reader used.
    """

    reader: str
    accuracy: Share
    control: Share
    same_pick: Share
    times: Times | None
    panes: tuple[int, ...]
    mean_rating: float | None
    steps_used: int


def list_readers(responses: Responses) -> list[str]:
    """All readers with an answer, R2 before R10."""
    names = {trial.reader for trial in responses.trials} | {rating.reader for rating in responses.ratings}
    return sorted(names, key=_natural)


def _natural(name: str) -> tuple[str, int, str]:
    digits = len(name) - len(name.rstrip("0123456789"))
    return (name[: len(name) - digits], int(name[-digits:]) if digits else -1, name)


def list_sources(responses: Responses) -> list[str]:
    """`real` first, then the synthetic ones of the primary analysis in their order."""
    names = {rating.source for rating in responses.ratings if rating.kind == "main"}
    names |= {trial.picked_source for trial in responses.trials if trial.kind == "main"}
    if responses.design == "single" and any(rating.kind == "main" for rating in responses.ratings):
        names = {rating.source for rating in responses.ratings if rating.kind == "main"}
    return [*([REAL] if REAL in names else []), *sorted(names - {REAL}, key=_natural)]


def of_kind(responses: Responses, kind: TrialKind) -> list[Trial]:
    """Answers of one kind."""
    return [trial for trial in responses.trials if trial.kind == kind]


def count_right(trials: Iterable[Trial], confidence: float = CONFIDENCE) -> Share:
    """Right answers of all."""
    answers = [trial.correct for trial in trials]
    return Share.of(sum(answers), len(answers), confidence)


def measure_times(trials: Iterable[Trial]) -> Times | None:
    """Of the answers whose time was measured; 0 and less is no time."""
    values = [trial.response_time_s for trial in trials if trial.response_time_s is not None]
    values = [value for value in values if np.isfinite(value) and value > 0]
    if not values:
        return None
    quantiles = np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95)).tolist()
    return Times((quantiles[0], quantiles[1], quantiles[2], quantiles[3], quantiles[4]), len(values))


def describe_readers(responses: Responses, num_panes: int, confidence: float = CONFIDENCE) -> list[ReaderRow]:
    """A row for each reader; intervals of the confidence given."""
    rows = []
    main, controls = of_kind(responses, "main"), of_kind(responses, "positive-control")
    first = {(trial.reader, trial.quartet): trial for trial in main}
    for reader in list_readers(responses):
        own = [trial for trial in main if trial.reader == reader]
        again = [trial for trial in of_kind(responses, "repeat") if trial.reader == reader]
        pairs = [(first[key], trial) for trial in again if (key := (reader, trial.quartet)) in first]
        rated = [one.rating for one in responses.ratings if one.reader == reader and one.kind == "main"]
        panes = Counter(trial.picked_position for trial in own)
        rows.append(
            ReaderRow(
                reader,
                count_right(own, confidence),
                count_right((trial for trial in controls if trial.reader == reader), confidence),
                Share.of(sum(_is_same(one, two) for one, two in pairs), len(pairs), confidence),
                measure_times(own),
                tuple(panes[pane] for pane in range(1, num_panes + 1)),
                float(np.mean(rated)) if rated else None,
                len(set(rated)),
            )
        )
    return rows


def _is_same(one: Trial, two: Trial) -> bool:
    if one.picked_image is not None and two.picked_image is not None:
        return one.picked_image == two.picked_image
    return one.picked_source == two.picked_source


def count_picks(
    responses: Responses, sources: Sequence[str], confidence: float = CONFIDENCE
) -> list[tuple[str, Share, float | None]]:
    """(source, share of picks, share that picks without a look would give) of the primary analysis.

    The last is the share of the images shown that are of the source; None: nothing tells.
    """
    trials = of_kind(responses, "main")
    picks = Counter(trial.picked_source for trial in trials)
    images_of = {(one.quartet, one.image_id): one.source for one in responses.ratings if one.kind == "main"}
    shown = Counter((images_of | {(one.quartet, one.image_id): one.source for one in responses.shown}).values())
    images = sum(shown.values())
    names = list(sources)
    if responses.design == "single":
        names = [REAL, "synthetic"]
        shown["synthetic"] = images - shown[REAL]
    return [
        (name, Share.of(picks[name], len(trials), confidence), shown[name] / images if images and shown[name] else None)
        for name in names
    ]


def count_steps(responses: Responses, sources: Sequence[str]) -> list[tuple[str, list[int]]]:
    """(source, how often each step from 1 was given) of the primary analysis."""
    counts = Counter((one.source, one.rating) for one in responses.ratings if one.kind == "main")
    return [(name, [counts[name, step] for step in range(1, responses.num_steps + 1)]) for name in sources]


@dataclass(frozen=True)
class Stretch:
    """Some neighbouring places of the readers' orders: what was answered there."""

    first: int
    last: int
    accuracy: Share
    times: Times | None


def split_order(responses: Responses, count: int = 10, confidence: float = CONFIDENCE) -> list[Stretch]:
    """Answers of the primary analysis over the readers' orders, in at most so many stretches of equal length."""
    trials = of_kind(responses, "main")
    if not trials:
        return []
    edges = np.linspace(
        min(trial.trial_index for trial in trials), max(trial.trial_index for trial in trials) + 1, count + 1
    )
    edges = np.unique(np.rint(edges).astype(int))
    stretches = []
    for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        own = [trial for trial in trials if low <= trial.trial_index < high]
        if own:
            stretches.append(Stretch(low, high - 1, count_right(own, confidence), measure_times(own)))
    return stretches
