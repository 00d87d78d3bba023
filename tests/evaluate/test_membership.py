"""Membership inference: no attack succeeds where there is nothing to find, each where there is; and the control."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from cspine_bench.evaluate.memorization.control_attack import attack_without_synthetic
from cspine_bench.evaluate.memorization.encoder_neighbours import Space
from cspine_bench.evaluate.memorization.membership import Attack, Membership, measure_membership
from cspine_bench.metrics.discrimination import auc_interval
from cspine_bench.results import Figure

Features = NDArray[np.float32]


def draw(count: int, seed: int, offset: float = 0.0) -> Features:
    return (np.random.default_rng(seed).normal(size=(count, 16)) + offset).astype(np.float32)


def make_space(seed: int = 0, num_copied: int = 0, shift: float = 0.0) -> Space:
    """200 training films, 120 held out, 300 synthetic images, the first of them near copies."""
    train, holdout, synthetic = draw(200, 3 * seed, shift), draw(120, 3 * seed + 1), draw(300, 3 * seed + 2, shift)
    synthetic[:num_copied] = train[:num_copied] + draw(num_copied, 99) * np.float32(0.2)
    return Space("toy", train, holdout, synthetic)


def measure(space: Space, **options: object) -> Membership:
    groups = {
        "train_groups": [f"t{row}" for row in range(len(space.train))],
        "holdout_groups": [f"h{row}" for row in range(len(space.holdout))],
    }
    return measure_membership(spaces=[space], **{**groups, **options})  # type: ignore[arg-type]


def get(found: Membership, name: str, **condition: str) -> Figure:
    return next(one for one in found.figures if one.name == name and condition.items() <= one.condition.items())


def pick(found: Membership, name: str) -> Attack:
    return next(one for one in found.attacks if one.name == name)


def test_a_generator_that_copies_nothing_gives_nothing_away() -> None:
    found = measure(make_space(), losses=(draw(200, 50).astype(float), draw(120, 51).astype(float)))
    assert not found.told_apart and not found.confounded
    assert [(one.name, one.space) for one in found.attacks] == [
        ("distance", "toy"), ("density", "toy"), ("loss", "checkpoint"), ("control", "toy"),
    ]  # fmt: skip
    for attack in found.attacks[:3]:
        figure = get(found, "membership_auroc", attack=attack.name)
        assert figure.interval is not None and figure.interval.low < 0.5 < figure.interval.high
        assert figure.interval.method == "DeLong" and ("synthetic" in figure.n_used) == (attack.name != "loss")
        assert attack.simultaneous.low < attack.auroc.low and attack.simultaneous.high > attack.auroc.high
    highest = max(attack.simultaneous.high for attack in found.attacks[:3])
    assert found.sentences[0].startswith("None of 3 attacks told training films from films held out")
    assert f"an AUROC of up to {highest:.3f} is not excluded" in found.sentences[1]
    assert not any("private" in sentence for sentence in found.sentences)


def test_copies_give_their_films_away() -> None:
    found = measure(make_space(num_copied=60))
    assert found.told_apart and not found.confounded
    for name in ("distance", "density"):
        attack = pick(found, name)
        assert attack.auroc.low > 0.5
        # 60 of 200 films were copied, and are told with hardly any false alarm.
        rate = get(found, "membership_tpr", attack=name, fpr="0.01")
        assert 0.25 < rate.value < 0.4 and rate.interval is not None and rate.interval.low > 0.05
        assert attack.members[:60].min() > np.quantile(attack.others, 0.9)
    assert found.sentences[0].startswith("2 of 2 attacks told training films from films held out better than chance")
    distances = np.linalg.norm(make_space(num_copied=60).train[:, None] - make_space(num_copied=60).synthetic, axis=2)
    assert np.allclose(pick(found, "distance").members, -distances.min(axis=1), rtol=1e-5)


def test_an_exact_copy_has_a_finite_score() -> None:
    space = make_space()
    space.synthetic[:40] = space.train[:40]
    attack = pick(measure(space), "density")
    assert np.isfinite(attack.members).all() and attack.members[:40].min() > attack.others.max() + 5


def test_losses_are_weighed_by_their_spread() -> None:
    """The telling time is a small one beside another that says nothing."""
    draws = np.random.default_rng(7)
    losses = [
        np.stack([draws.normal(0, 100, n), draws.normal(mean, 1, n)], axis=1) for n, mean in ((200, -2), (120, 0))
    ]
    found = measure(make_space(), losses=(losses[0], losses[1]))
    assert pick(found, "loss").auroc.low > 0.7 and found.told_apart
    assert "loss in checkpoint: AUROC" in found.sentences[0]
    assert not any("loss" in reason for reason in found.not_measured)
    assert any("no checkpoint was given" in reason for reason in measure(make_space()).not_measured)


def test_sets_that_differ_by_themselves_are_said_to() -> None:
    """Nothing was copied; the generator learnt where the training films lie, and the films held out lie elsewhere."""
    found = measure(make_space(shift=0.6))
    assert found.confounded and pick(found, "distance").auroc.low > 0.5
    assert "Confounded" in found.sentences[-1]
    control = get(found, "membership_auroc", attack="control")
    assert control.interval is not None and control.interval.low > 0.5 and "synthetic" not in control.n_used


def test_the_scores_do_not_know_who_is_who() -> None:
    """Dealt out at random, memberships change no film's score, so nothing but the films' order is left."""
    space, order = make_space(num_copied=40), np.random.default_rng(1).permutation(320)
    films, groups = np.concatenate([space.train, space.holdout]), np.array([f"p{row}" for row in range(320)])
    loss = np.random.default_rng(2).normal(size=(320, 3))

    def score(rows: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        given = films[rows]
        found = measure_membership(
            spaces=[Space("toy", given[:200], given[200:], space.synthetic)], train_groups=groups[rows][:200].tolist(),
            holdout_groups=groups[rows][200:].tolist(), losses=(loss[rows][:200], loss[rows][200:]),
        )  # fmt: skip
        return {one.name: np.concatenate([one.members, one.others]) for one in found.attacks}

    straight, dealt = score(np.arange(320)), score(order)
    for name in ("distance", "density", "loss"):
        assert np.allclose(straight[name][order], dealt[name], rtol=1e-9)


def test_rates_that_few_films_cannot_show_are_not_given() -> None:
    found = measure(make_space())
    assert {figure.condition["fpr"] for figure in found.figures if figure.name == "membership_tpr"} == {"0.01"}
    assert any("false positive rate of 0.001: 120 films held out" in reason for reason in found.not_measured)
    note = get(found, "membership_tpr", attack="distance").note
    assert "passes 0.00833 of 120 films held out" in note and "between 0.00021 and 0.046" in note
    rare = make_space()
    few = Space("toy", rare.train, rare.holdout[:60], rare.synthetic)
    assert not any(figure.name == "membership_tpr" for figure in measure(few).figures)


def test_films_of_a_patient_count_together() -> None:
    space = make_space()
    films = [np.repeat(side, 4, axis=0) for side in (space.train[:50], space.holdout[:30])]
    found = measure(
        Space("toy", films[0], films[1], space.synthetic),
        train_groups=[f"t{row // 4}" for row in range(200)],
        holdout_groups=[f"h{row // 4}" for row in range(120)],
    )
    figure = get(found, "membership_auroc", attack="distance")
    naive = auc_interval(positives=pick(found, "distance").members, negatives=pick(found, "distance").others)
    assert figure.interval is not None and figure.interval.method == "bootstrap of whole patients or anatomies"
    assert figure.interval.high - figure.interval.low > 1.5 * (naive.high - naive.low)
    # No film is among its own surroundings, nor is a sister: all four score alike, and not infinitely.
    assert np.ptp(pick(found, "density").members.reshape(50, 4), axis=1).max() < 1e-9
    rate = get(found, "membership_tpr", attack="distance")
    assert rate.interval is not None and "as many trials as there are patients" in rate.interval.method


def test_films_of_trained_patients_are_left_out() -> None:
    groups = [f"h{row}" for row in range(120)]
    groups[:5] = [f"t{row}" for row in range(5)]
    found = measure(make_space(), holdout_groups=groups)
    assert not found.compared[:5].any() and len(pick(found, "distance").others) == 115
    assert get(found, "membership_auroc").n_used["holdout"] == 115


def test_the_control_keeps_its_level() -> None:
    """Of sets that do not differ: p values are uniform, and the spread is that of the area from set to set."""
    found = [
        attack_without_synthetic(
            members=draw(60, 2 * seed), others=draw(40, 2 * seed + 1), member_groups=np.arange(60),
            other_groups=np.arange(60, 100), generator=np.random.default_rng(seed), num_dealings=20,
        )
        for seed in range(25)
    ]  # fmt: skip
    assert stats.kstest([one.p_value for one in found], "uniform").pvalue > 0.01
    areas = np.array([one.auroc for one in found])
    assert abs(areas.mean() - 0.5) < 4 * areas.std() / 25**0.5
    assert np.mean([one.spread for one in found]) == pytest.approx(areas.std(), rel=0.4)
    # Scores are ranks within folds, and the area is theirs.
    assert found[0].auroc == auc_interval(positives=found[0].members, negatives=found[0].others).value


def test_what_cannot_be_attacked_is_refused() -> None:
    space = make_space()
    with pytest.raises(ValueError, match="at least 10 training films"):
        measure(Space("toy", space.train, space.holdout[:9], space.synthetic))
    with pytest.raises(ValueError, match=r"losses must be \(200, k\)"):
        measure(space, losses=(np.zeros((200, 2)), np.zeros((120, 3))))
    with pytest.raises(ValueError, match="losses hold NaN"):
        measure(space, losses=(np.zeros((200, 2)), np.full((120, 2), np.nan)))
    with pytest.raises(ValueError, match="needs at least one space"):
        measure(space, train_groups=["t0"])
