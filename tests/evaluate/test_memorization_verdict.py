"""The verdict: one of three, and the figures and sentences that a reviewer reads."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "dataset"))

from drawn_films import MakeOnce, draw_films, open_films

from cspine_bench.evaluate.memorization.planted import CONFIRMED, OPERATING, PlantedCopies
from cspine_bench.evaluate.memorization.recipe import MemorizationRecipe
from cspine_bench.evaluate.memorization.search import CopySearch, search_copies
from cspine_bench.evaluate.memorization.transforms import TRANSFORMS
from cspine_bench.evaluate.memorization.verdict import Verdict, reach_verdict
from cspine_bench.measurement.work import Work
from cspine_bench.metrics.calibration import bound_leak_rate

RECIPE = MemorizationRecipe(variants=("shifted",), regions=False, num_neighbours=20, least_holdout=80)
COMMON = np.array([transform.common for transform in TRANSFORMS])


@pytest.fixture(scope="module")
def honest(make_once: MakeOnce) -> CopySearch:
    """85 honest images."""
    sides = [
        open_films(make_once, role, name, draw_films(count, seed))
        for role, name, count, seed in (
            ("train", "train", 90, 0), ("holdout", "holdout", 85, 1), ("synthetic", "honest", 85, 4),
        )
    ]  # fmt: skip
    return search_copies(*sides, recipe=RECIPE, seed=0, work=Work(None, {}))


def make_planted(share: NDArray[np.floating], copies: int = 20) -> PlantedCopies:
    """So many of the copies by each transform were found."""
    found = np.arange(copies) < np.round(share * copies)[:, None]
    return PlantedCopies(TRANSFORMS, {OPERATING: found, CONFIRMED: found}, ())


def judge(search: CopySearch, planted: PlantedCopies | None, recipe: MemorizationRecipe = RECIPE) -> Verdict:
    return reach_verdict(search, planted, recipe=recipe, seed=0)


def confirm(search: CopySearch, rows: list[int]) -> CopySearch:
    confirmed = np.isin(np.arange(len(search.synthetic.sample_ids)), rows)
    return replace(search, synthetic=replace(search.synthetic, confirmed=confirmed))


def get(verdict: Verdict, name: str) -> tuple[float, float, float]:
    figure = next(one for one in verdict.figures if one.name == name)
    assert figure.interval is not None
    return figure.value, figure.interval.low, figure.interval.high


def test_none_found_is_bounded_over_the_recall(honest: CopySearch) -> None:
    planted = make_planted(np.where(COMMON, 1.0, 0.2))
    verdict = judge(honest, planted)
    assert verdict.kind == "none found" and verdict.reasons == ()
    recall = planted.estimate_recall(CONFIRMED, COMMON).low
    assert get(verdict, "copy_rate") == (0, 0, pytest.approx(bound_leak_rate(found=0, total=85, recall=recall)))
    assert get(verdict, "copy_rate")[2] == pytest.approx(3 / 85 / recall, rel=0.05)
    assert set(verdict.missed) == {one.name for one in TRANSFORMS if not one.common}
    assert "mixed half and half" in verdict.text and "private" not in verdict.text
    assert "at most 3.5 %" in verdict.text
    names = {figure.name for figure in verdict.figures}
    assert names >= {"num_copies", "copy_rate", "detectable_rate", "listed_share", "nearer_train_share"}
    value, low, high = get(verdict, "detectable_rate")
    assert 0 < low <= value <= high <= 1
    assert 0.3 < get(verdict, "nearer_train_share")[0] < 0.7
    assert 0.3 < get(verdict, "above_holdout_median_share")[0] < 0.7


def test_copies_found_are_named_whatever_the_power(honest: CopySearch) -> None:
    found = confirm(honest, [4, 7])
    verdict = judge(found, make_planted(np.ones(len(TRANSFORMS))))
    assert verdict.kind == "copies found" and verdict.missed == ()
    assert all(honest.synthetic.sample_ids[row] in verdict.sentences[0] for row in (4, 7))
    value, low, high = get(verdict, "copy_rate")
    assert value == 2 / 85 and 0 < low < value < high < 0.1
    weak = judge(found, None)
    assert weak.kind == "copies found" and "More may have been missed." in weak.text
    assert get(weak, "copy_rate")[2] == 1


@pytest.mark.parametrize("weakness", ["recall", "none planted", "few held out", "leaking", "seen", "no tail"])
def test_underpowered_says_what_is_missing(honest: CopySearch, weakness: str) -> None:
    search, planted, recipe = honest, make_planted(np.where(COMMON, 1.0, 0.2)), RECIPE
    if weakness == "recall":
        planted, told = make_planted(np.full(len(TRANSFORMS), 0.8)), "is 0.80 (95 % interval 0.74 to 0.85)"
    elif weakness == "none planted":
        planted, told = None, "no copies were planted"
    elif weakness == "few held out":
        recipe, told = RECIPE.model_copy(update={"least_holdout": 100}), "85 films held out"
    elif weakness == "leaking":
        search, told = replace(honest, patients_excluded=("a",) * 10), "10 of 95 films held out"
    elif weakness == "seen":
        search, told = replace(honest, copies_of_holdout=("b1",)), "seem copies of films held out (b1)"
    else:
        search, told = replace(honest, null=replace(honest.null, tails=())), "fit no tail"
    verdict = judge(search, planted, recipe)
    assert verdict.kind == "underpowered" and len(verdict.reasons) == 1
    assert told in verdict.reasons[0] and told[1:] in verdict.text and "at most" not in verdict.text


def test_more_held_out_than_trained_on_is_matched_too(honest: CopySearch) -> None:
    """Roles that change places: the share nearer to training is one less the other's."""
    side = honest.synthetic
    assert side.to_holdout is not None
    ids = {"train_ids": honest.holdout_ids, "holdout_ids": honest.train_ids}
    swapped = replace(honest, synthetic=replace(side, nearest=side.to_holdout, to_holdout=side.nearest), **ids)
    planted = make_planted(np.ones(len(TRANSFORMS)))
    forth, back = (get(judge(search, planted), "nearer_train_share") for search in (honest, swapped))
    assert forth == pytest.approx((1 - back[0], 1 - back[2], 1 - back[1]))


@pytest.mark.parametrize(("alarms", "clear"), [(0, True), (6, True), (30, False)])
def test_more_alarms_than_chance_explains_clear_nothing(honest: CopySearch, alarms: int, clear: bool) -> None:
    count = len(honest.synthetic.sample_ids)
    p_value = np.where(np.arange(count) < alarms, 0.02, 0.5)
    side = replace(honest.synthetic, judgement=replace(honest.synthetic.judgement, p_value=p_value))
    recipe = RECIPE.model_copy(update={"false_positive_rate": 0.05})
    verdict = judge(replace(honest, synthetic=side), make_planted(np.ones(len(TRANSFORMS))), recipe)
    assert (verdict.kind == "none found") is clear
    assert clear or "30 of 85 synthetic images raise the alarm" in verdict.text


def test_alarms_of_honest_images_seldom_exceed_chance() -> None:
    draw = np.random.default_rng(0)
    held, total, rate = 99, 300, 0.05
    rank = int(rate * (held + 1))
    exceeded = 0
    for _ in range(400):
        limit = np.sort(draw.standard_normal(held))[-rank]
        alarms = int((draw.standard_normal(total) > limit).sum())
        exceeded += stats.betabinom.sf(alarms - 1, total, rank, held + 1 - rank) <= 0.05
    assert exceeded / 400 < 0.08
