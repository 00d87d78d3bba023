"""What the page of memorization shows beside figures and pairs, from what was measured."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from cspine_bench.evaluate.memorization.duplicates import Duplicates
from cspine_bench.evaluate.memorization.encoder_neighbours import EncoderNeighbours
from cspine_bench.evaluate.memorization.leakage import Leakage
from cspine_bench.evaluate.memorization.membership import LEAST_FILMS, Membership
from cspine_bench.evaluate.memorization.paper import PairRanking
from cspine_bench.evaluate.memorization.planted import CONFIRMED, PlantedCopies, draw_examples
from cspine_bench.evaluate.memorization.recipe import MemorizationRecipe
from cspine_bench.evaluate.memorization.search import CopySearch
from cspine_bench.evaluate.memorization.verdict import Kind, Verdict
from cspine_bench.evaluate.page.records import (
    AttackScores,
    DuplicatePair,
    Gate,
    MemorizationPictures,
    Outcome,
    RankedPair,
    Scores,
)
from cspine_bench.measurement.inputs import Images
from cspine_bench.page.tables import NotMeasured

_OUTCOMES: Final[dict[Kind, Outcome]] = {
    "copies found": "copies",
    "none found": "none",
    "underpowered": "underpowered",
}
_NUM_TWINS: Final = 12
"""Pairs of duplicates that are shown of each kind."""
_NUM_RANKED: Final = 20


@dataclass(frozen=True)
class Parts:
    """All that was measured.

    Attributes:
        search: for copies, in pixels.
        planted: its power; None: not asked for.
        verdict: on both.
        duplicates: inside the release; None: it has one image.
        leakage: between training films and those held out.
        neighbours: in the spaces of encoders.
        membership: attacks on the generator; None: too few films.
        ranking: the published procedure, by the first encoder.
    """

    search: CopySearch
    planted: PlantedCopies | None
    verdict: Verdict
    duplicates: Duplicates | None
    leakage: Leakage
    neighbours: tuple[EncoderNeighbours, ...]
    membership: Membership | None
    ranking: PairRanking


def collect_pictures(
    parts: Parts,
    train: Images,
    holdout: Images,
    synthetic: Images,
    *,
    recipe: MemorizationRecipe,
    seed: int,
    command: str,
    citation: str,
) -> MemorizationPictures:
    """Pictures, scores and sentences of a page.

    Args:
        parts: what was measured.
        train: training films.
        holdout: films held out.
        synthetic: synthetic images.
        recipe: what was asked for.
        seed: of the planted copies that are shown.
        command: that makes the result again.
        citation: of toolkit and method.
    """
    attacks = () if parts.membership is None else parts.membership.attacks
    return MemorizationPictures(
        outcome=_OUTCOMES[parts.verdict.kind],
        gates=_list_gates(parts, recipe),
        p_values=parts.search.synthetic.judgement.p_value,
        scores=tuple(_list_scores(parts)),
        planted=()
        if parts.planted is None
        else draw_examples(parts.planted, train, synthetic, recipe=recipe, seed=seed),
        attacks=tuple(AttackScores(one.name, one.space, one.members, one.others) for one in attacks),
        duplicates=(
            *(() if parts.duplicates is None else _show_twins(parts.duplicates, "release", synthetic, synthetic)),
            *_show_twins(parts.leakage, "leak", holdout, train),
        ),
        ranking=tuple(
            RankedPair(pair.synthetic_id, pair.train_id, pair.cosine) for pair in parts.ranking.pairs[:_NUM_RANKED]
        ),
        ranking_encoder=parts.ranking.space,
        not_measured=tuple(_list_missing(parts)),
        notes={
            "calibration": _tell_exclusions(parts.search),
            "membership": () if parts.membership is None else parts.membership.sentences,
            "ranking": (parts.ranking.note,),
        },
        train_ids=train.sample_ids,
        holdout_ids=holdout.sample_ids,
        warnings=(*train.warnings, *holdout.warnings, *synthetic.warnings),
        command=command,
        citation=citation,
    )


def _list_gates(parts: Parts, recipe: MemorizationRecipe) -> tuple[Gate, ...]:
    search, planted = parts.search, parts.planted
    held, confirmed = len(search.holdout_ids), int(search.synthetic.confirmed.sum())
    excluded = len(search.duplicates_excluded) + len(search.patients_excluded) + len(search.lookalikes_excluded)
    copies = len(search.copies_of_holdout)
    gates = [
        Gate(f"at least {recipe.least_holdout:,} films held out", f"{held:,}", held >= recipe.least_holdout),
        Gate("hardly a film held out was trained on", f"{excluded:,} of {held + excluded:,}", excluded <= held / 9),
        Gate("no synthetic image copies a film held out", f"{copies:,}", copies == 0),
        Gate(
            "the scores of the films held out fit a tail",
            "yes" if search.null.extrapolates else "no",
            search.null.extrapolates,
        ),
    ]
    if planted is not None and planted.common.any():
        recall = planted.estimate_recall(CONFIRMED, planted.common)
        found = f"{recall.value:.2f} ({recall.low:.2f} to {recall.high:.2f})"
        asked = f"of common planted copies at least {recipe.least_recall:g} are confirmed, at the interval's lower end"
        gates.append(Gate(asked, found, recall.low >= recipe.least_recall))
    gates.append(Gate("no copy is confirmed", f"{confirmed:,}", confirmed == 0))
    return tuple(gates)


def _list_scores(parts: Parts) -> Iterator[Scores]:
    search = parts.search
    yield Scores(
        "how far an image stands out among the films held out, pixels",
        search.synthetic.judgement.score,
        search.null.scores,
        suspicious="high",
    )
    for found in parts.neighbours:
        yield Scores(
            f"distance to the nearest training film over that to the near ones, {found.space}",
            found.ratio,
            found.holdout_ratio[found.compared],
            suspicious="low",
        )


def _show_twins(found: Duplicates | Leakage, kind: str, first: Images, second: Images) -> Iterator[DuplicatePair]:
    shown = [pair for pair in found.pairs if pair.kind != "group"][:_NUM_TWINS]
    if not shown:
        return
    images = first.take_images(sorted({pair.first for pair in shown}))
    others = second.take_images(sorted({pair.second for pair in shown}))
    for pair in shown:
        yield DuplicatePair(
            kind="release" if kind == "release" else "leak",
            first_id=pair.first,
            second_id=pair.second,
            similarity=1.0 if np.isnan(pair.similarity) else pair.similarity,
            first=images[pair.first],
            second=others[pair.second],
        )


def _list_missing(parts: Parts) -> Iterator[NotMeasured]:
    if parts.planted is None:
        yield NotMeasured("planted_recall", "the recipe plants no copies")
    if parts.membership is None:
        yield NotMeasured("membership_auroc", f"fewer than {LEAST_FILMS} films of a kind, and of other patients")
    if parts.duplicates is None:
        yield NotMeasured("duplicate_share", "there is one synthetic image")
    for part in (parts.membership, parts.duplicates, parts.leakage):
        for reason in () if part is None else part.not_measured:
            what, _, why = reason.partition(": ")
            yield NotMeasured(what, why or reason)


def _tell_exclusions(search: CopySearch) -> tuple[str, ...]:
    told = (
        (search.duplicates_excluded, "have the pixels of a training film"),
        (search.patients_excluded, "are of a patient or anatomy that was trained on"),
        (search.lookalikes_excluded, "are a training film once they are laid on it"),
    )
    return tuple(
        f"Left out of the comparison: {len(names):,} films held out, which {why} ({', '.join(names[:5])}"
        f"{' ...' if len(names) > 5 else ''})."
        for names, why in told
        if names
    )
