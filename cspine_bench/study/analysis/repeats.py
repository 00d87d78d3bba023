"""Do readers agree with themselves? Display sets that were shown twice."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from cspine_bench.metrics.rereading import Kappa, Share, cohen_kappa, estimate_share
from cspine_bench.study.analysis.figure_list import Ends, FigureList
from cspine_bench.study.analysis.table import sort_naturally
from cspine_bench.study.responses import Responses, Trial
from cspine_bench.study.schedule import TrialKind

CLUSTERED: Final = "over display sets, whose images and readings hang together"


@dataclass(frozen=True)
class Rereading:
    """What was given twice.

    Attributes:
        picks: (reader, case, whether the same was picked) of each repeated display set; None: not known.
        ratings: (reader, case, first, second) of each image rated twice.
        planned: repeats that were answered.
    """

    picks: tuple[tuple[str, str, bool | None], ...]
    ratings: tuple[tuple[str, str, int, int], ...]
    planned: int


def collect_repeats(responses: Responses) -> Rereading:
    """Pair each repeat with what it repeats; one whose first reading is not there stays unpaired, and is counted."""
    first = {(trial.reader, trial.quartet): trial for trial in responses.trials if trial.kind == "main"}
    again = [trial for trial in responses.trials if trial.kind == "repeat"]
    panes = {(r.reader, r.quartet, r.kind, r.position): r.image_id for r in responses.ratings if r.position > 0}
    sources: dict[str, dict[str, str]] = defaultdict(dict)
    for case, image_id, source in [(r.quartet, r.image_id, r.source) for r in responses.ratings] + [
        (one.quartet, one.image_id, one.source) for one in responses.shown
    ]:
        sources[case][image_id] = source
    picks: list[tuple[str, str, bool | None]] = []
    for trial in again:
        earlier = first.get((trial.reader, trial.quartet))
        if earlier is None:
            continue
        same: bool | None = earlier.picked_source == trial.picked_source
        held = list(sources[trial.quartet].values()).count(trial.picked_source)
        if same and held > 1 and responses.design != "single":
            images = [_find_image(one, panes) for one in (earlier, trial)]
            same = None if None in images else images[0] == images[1]
        picks.append((trial.reader, trial.quartet, same))
    before = {(r.reader, r.quartet, r.image_id): r.rating for r in responses.ratings if r.kind == "main"}
    ratings = [
        (r.reader, r.quartet, before[key], r.rating)
        for r in responses.ratings
        if r.kind == "repeat" and (key := (r.reader, r.quartet, r.image_id)) in before
    ]
    return Rereading(tuple(picks), tuple(ratings), len(again))


def _find_image(trial: Trial, panes: Mapping[tuple[str, str, TrialKind, int], str]) -> str | None:
    if trial.picked_image is not None or trial.picked_position is None:
        return trial.picked_image
    return panes.get((trial.reader, trial.quartet, trial.kind, trial.picked_position))


def add_repeats(figures: FigureList, responses: Responses, keys: Mapping[str, str]) -> None:
    """All figures `intra.*`."""
    found = collect_repeats(responses)
    if not found.planned and not found.ratings:
        figures.leave_out("intra.*", "no display set was shown twice")
        return
    cases = np.array([case for _, case, _ in found.picks])
    same = np.array([np.nan if one is None else float(one) for _, _, one in found.picks])
    available = {"pairs": max(found.planned, len(found.picks))}
    _add_share(
        figures, "intra.same_pick", estimate_share(hits=same, clusters=cases, confidence=figures.level), available
    )
    if not found.ratings:
        figures.leave_out("intra.kappa_quadratic.*", "no image was rated twice")
        return
    first, second = (np.array([pair[place] for pair in found.ratings], np.float64) for place in (2, 3))
    held = np.array([pair[1] for pair in found.ratings])
    readers = np.array([pair[0] for pair in found.ratings])
    steps = tuple(range(1, responses.num_steps + 1))
    available = {"pairs": len(found.ratings)}
    for name, weighting in (("quadratic", "quadratic"), ("unweighted", "identity")):
        kappa = cohen_kappa(
            first=first, second=second, categories=steps, weighting=weighting, clusters=held,  # type: ignore[arg-type]
            confidence=figures.level,
        )  # fmt: skip
        _add_kappa(figures, f"intra.kappa_{name}_pooled", kappa, available)
    _add_share(
        figures,
        "intra.exact_agreement",
        estimate_share(hits=first == second, clusters=held, confidence=figures.level),
        available,
    )
    for reader in sort_naturally(readers.tolist()):
        mine = readers == reader
        kappa = cohen_kappa(
            first=first[mine], second=second[mine], categories=steps, weighting="quadratic", clusters=held[mine],
            confidence=figures.level,
        )  # fmt: skip
        own = {"pairs": int(mine.sum())}
        _add_kappa(figures, f"intra.kappa_quadratic.{keys.get(reader, reader)}", kappa, own, {"reader": reader})


def _add_kappa(
    figures: FigureList, name: str, kappa: Kappa, available: dict[str, int], subgroup: dict[str, str] | None = None
) -> None:
    figures.add(
        name, kappa.value, used={"pairs": kappa.pairs}, available=available, reason=kappa.reason, direction="higher",
        ends=Ends(kappa.low, kappa.high, CLUSTERED, figures.level), subgroup=subgroup,
    )  # fmt: skip


def _add_share(figures: FigureList, name: str, share: Share, available: dict[str, int]) -> None:
    figures.add(
        name, share.value, used={"pairs": share.total}, available=available, reason=share.reason, direction="higher",
        unit="share", ends=Ends(share.low, share.high, f"Wilson, {CLUSTERED}", figures.level),
    )  # fmt: skip
