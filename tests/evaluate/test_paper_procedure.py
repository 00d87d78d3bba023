"""Encoder neighbours and the published ranking: planted copies come first; honest images are no more than that."""

import numpy as np
import pytest
from numpy.typing import NDArray

from cspine_bench.evaluate.memorization.encoder_neighbours import (
    EncoderNeighbours,
    Space,
    find_unseen,
    measure_encoder_neighbours,
)
from cspine_bench.evaluate.memorization.paper import rank_pairs
from cspine_bench.metrics.calibration import compute_distance_ratios
from cspine_bench.metrics.nearest import find_nearest
from cspine_bench.results import Figure

Features = NDArray[np.float32]


def draw(count: int, seed: int) -> Features:
    return (np.random.default_rng(seed).normal(size=(count, 24)) + 2).astype(np.float32)


def make_space(num_copies: int = 0, num_synthetic: int = 150) -> Space:
    train, synthetic = draw(300, 0), draw(num_synthetic, 2)
    noise = np.random.default_rng(3).normal(0, 0.1, (num_copies, 24))
    synthetic[:num_copies] = train[:num_copies] + noise
    return Space("toy", train, draw(200, 1), synthetic)


TRAIN_GROUPS = [f"t{number}" for number in range(300)]
HOLDOUT_GROUPS = [f"h{number}" for number in range(200)]


def measure(space: Space, **options: object) -> EncoderNeighbours:
    given = {"train_groups": TRAIN_GROUPS, "holdout_groups": HOLDOUT_GROUPS, **options}
    return measure_encoder_neighbours(space=space, **given)  # type: ignore[arg-type]


def get(found: EncoderNeighbours, name: str) -> Figure:
    return next(figure for figure in found.figures if figure.name == name)


def test_honest_images_are_not_listed() -> None:
    found = measure(make_space())
    assert not found.listed.any()
    share, nearer = get(found, "listed_share"), get(found, "nearer_train_share")
    assert share.value == 0 and share.interval is not None and share.condition == {"space": "toy"}
    assert share.n_used == {"train": 300, "holdout": 200, "synthetic": 150}
    # 1 / 201 x 150 / .05 images at the smallest p value.
    assert "fewer than 15 such images cannot be listed" in share.note
    assert nearer.interval is not None and nearer.interval.low < 0.5 < nearer.interval.high
    assert nearer.floor is not None and nearer.floor.low < 0.5 < nearer.floor.high and nearer.floor.n_used == (200, 199)


def test_copies_are_listed_beside_their_films() -> None:
    found = measure(make_space(num_copies=30))
    assert found.listed[:30].all() and found.listed[30:].mean() < 0.1
    assert np.array_equal(found.train_index[:30], np.arange(30))
    assert (found.p_value[:30] == 1 / 201).all()
    assert (found.holdout_distance[:30] > found.train_distance[:30]).all()
    assert get(found, "listed_share").value == pytest.approx(found.listed.mean())
    expected = find_nearest(queries=draw(200, 1), references=draw(300, 0), count=50).distance
    assert np.allclose(found.holdout_ratio, compute_distance_ratios(distances=expected))


def test_a_few_copies_are_listed_by_the_tail_alone() -> None:
    """4 of 150 at 200 films held out: too few for ranks, whose smallest p value is 1 / 201."""
    for num_copies in (0, 4):
        found = measure(make_space(num_copies=num_copies))
        assert found.tail_p_value is not None and not found.listed.any()
        assert np.flatnonzero(found.tail_listed).tolist() == list(range(num_copies))
        by_tail = found.figures[1]
        assert by_tail.condition == {"space": "toy", "p_value": "extrapolated"} and "a model" in by_tail.note
        assert by_tail.value == num_copies / 150


def test_sisters_of_a_film_do_not_hide_its_copy() -> None:
    """Fifty films of one patient, all but the same: a copy of one is near to all of them."""
    space = make_space(num_copies=1)
    space.train[1:50] = space.train[0] + np.random.default_rng(4).normal(0, 0.1, (49, 24))
    one_patient = ["t0"] * 50 + TRAIN_GROUPS[50:]
    blind, seeing = measure(space), measure(space, train_groups=one_patient)
    assert blind.ratio[0] > 0.5 and seeing.ratio[0] < 0.2
    assert seeing.p_value[0] == 1 / 201


def test_films_of_trained_patients_calibrate_nothing() -> None:
    """Copies of training films among those held out would make copies look honest."""
    space = make_space(num_copies=30)
    space.holdout[:40] = space.train[100:140]
    groups = ["t100"] * 40 + HOLDOUT_GROUPS[40:]
    assert find_unseen(train_groups=TRAIN_GROUPS, holdout_groups=groups).sum() == 160
    found = measure(space, holdout_groups=groups)
    assert found.listed[:30].all() and not found.compared[:40].any() and np.isnan(found.holdout_ratio[:40]).all()
    assert found.holdout_index.min() >= 40
    figure = get(found, "listed_share")
    assert (figure.n_used["holdout"], figure.n_available["holdout"]) == (160, 200)


def test_by_lists_the_recall_is_said() -> None:
    pytest.importorskip("faiss", reason="the extra faiss is not installed")
    space = make_space(num_copies=10)
    exact, found = measure(space), measure(space, most_pairs=100)
    assert exact.recall is None and found.recall is not None and found.recall.value > 0.9
    assert "Not all pairs were compared: the nearest training film was found for" in get(found, "listed_share").note
    assert np.array_equal(found.train_index[:10], np.arange(10))


def test_too_few_films_held_out_say_so() -> None:
    space = make_space(num_copies=30)
    few = Space("toy", space.train, space.holdout[:12], space.synthetic)
    found = measure(few, holdout_groups=HOLDOUT_GROUPS[:12])
    assert not found.listed.any() and "no image could be listed, whatever it is" in get(found, "listed_share").note
    assert found.tail_p_value is None and len(found.figures) == 2
    with pytest.raises(ValueError, match="films held out of patients that were not trained on"):
        measure(few, holdout_groups=TRAIN_GROUPS[:12])
    with pytest.raises(ValueError, match="all training films are of one patient"):
        measure(few, train_groups=["t0"] * 300, holdout_groups=HOLDOUT_GROUPS[:12])
    with pytest.raises(ValueError, match="needs a group for each film"):
        measure(few)


def test_more_films_held_out_than_trained_on() -> None:
    space = make_space()
    found = measure(Space("toy", space.train[:80], space.holdout, space.synthetic), train_groups=TRAIN_GROUPS[:80])
    figure = get(found, "nearer_train_share")
    assert (figure.n_used["holdout"], figure.n_available["holdout"]) == (80, 200)
    assert figure.interval is not None and figure.interval.low < 0.5 < figure.interval.high


def test_pairs_are_ranked_by_cosine() -> None:
    space = make_space(num_copies=3)
    ids = {"synthetic_ids": [f"s{row}" for row in range(150)], "train_ids": [f"film{row}" for row in range(300)]}
    groups = {"train_groups": TRAIN_GROUPS, "holdout_groups": HOLDOUT_GROUPS}
    found = rank_pairs(space=space, num_pairs=5, **ids, **groups)
    assert [pair.rank for pair in found.pairs] == [1, 2, 3, 4, 5]
    first = {(pair.synthetic_id, pair.train_id) for pair in found.pairs[:3]}
    assert first == {("s0", "film0"), ("s1", "film1"), ("s2", "film2")}
    unit = [
        part / np.linalg.norm(part, axis=1, keepdims=True) for part in (space.synthetic, space.train, space.holdout)
    ]
    assert np.allclose(found.cosine, (unit[0] @ unit[1].T).max(axis=1), atol=1e-6)
    assert np.allclose(found.holdout_cosine, (unit[2] @ unit[1].T).max(axis=1), atol=1e-6)
    assert [pair.holdout_share for pair in found.pairs[:3]] == [0, 0, 0]
    last = found.pairs[-1]
    assert last.holdout_share == (found.holdout_cosine >= last.cosine).mean()
    assert "toy" in found.note and "200 films held out" in found.note
    space.synthetic[7] = 0
    with pytest.raises(ValueError, match="1 synthetic features have length 0"):
        rank_pairs(space=space, **ids, **groups)
