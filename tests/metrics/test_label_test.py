"""The label test: against every deal of labels, one by one, and what it must keep."""

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cspine_bench.metrics.label_test import MISSING, LabelTest, label_test, single_image_test, swap_test

Ints = NDArray[np.integer[Any]]


def assert_as_dealt(found: LabelTest, hits: list[int], k: int) -> None:
    """That mean, spread and p values are those of the hits of every deal."""
    dealt = np.array(hits, np.float64)
    far = np.abs(dealt - dealt.mean()) >= abs(k - dealt.mean()) - 1e-9
    assert found.k == k
    ours = [found.mean, found.sd, found.p_greater, found.p_less, found.p_two, found.probability.sum()]
    expected = [dealt.mean(), dealt.std(), (dealt >= k).mean(), (dealt <= k).mean(), far.mean(), 1]
    np.testing.assert_allclose(np.array(ours, np.float64), expected, atol=1e-12)


def test_two_readers_and_two_cases_by_hand() -> None:
    # Case 0: both pick image 0, the real one. Case 1: one picks the real image 1, one image 2.
    found = label_test(np.array([[0, 1], [0, 2]]), labels=np.array([0, 1]), num_images=4)
    # Hits of case 0: 2 or 0, with 1/4 and 3/4; of case 1: 1 or 0, a half each. Three: 1/8; two: 1/8; one: 3/8.
    np.testing.assert_allclose(found.probability, [3 / 8, 3 / 8, 1 / 8, 1 / 8])
    assert (found.k, found.n, found.mean, found.p_greater) == (3, 4, 1, 1 / 8)
    # Variance 3/4 + 1/4, against 4 answers with 3/16 each.
    assert found.deff == pytest.approx(4 / 3) and found.sd == pytest.approx(1)


def test_every_deal_of_labels() -> None:
    generator = np.random.default_rng(7)
    for _ in range(6):
        sizes = generator.integers(2, 5, 5)
        labels = generator.integers(0, sizes)
        picks = generator.integers(0, sizes, (3, 5))
        picks[generator.random((3, 5)) < 0.3] = MISSING
        picks[:, 4] = MISSING
        labels[3] = MISSING
        found = label_test(picks, labels=labels, num_images=sizes)
        deals = itertools.product(*[range(size) if case < 3 else [-2] for case, size in enumerate(sizes)])
        hits = [int((picks == np.array(deal)).sum()) for deal in deals]
        used = picks[:, :3] != MISSING
        k = int((picks == labels)[:, :3][used].sum())
        assert_as_dealt(found, hits, k)
        read = int(used.any(axis=0).sum())
        counts = (found.n, found.cases, found.cases_left_out, found.readers, found.answers_missing)
        assert counts == (used.sum(), read, 5 - read, used.any(axis=1).sum(), (picks == MISSING).sum())


def test_every_swap() -> None:
    generator = np.random.default_rng(8)
    for _ in range(4):
        picks = generator.integers(-1, 4, (4, 6))
        labels, others = np.argsort(generator.random((6, 4)), axis=1)[:, :2].T
        found = swap_test(picks, labels=labels, others=others)
        deals = itertools.product([0, 1], repeat=6)
        hits = [int((picks == np.where(deal, others, labels)).sum()) for deal in deals]
        assert_as_dealt(found, hits, int((picks == labels).sum()))
        assert found.n == int(((picks == labels) | (picks == others)).sum())
        # The other label held against this one is the mirror image.
        mirror = swap_test(picks, labels=others, others=labels)
        assert mirror.k == found.n - found.k and mirror.p_less == pytest.approx(found.p_greater)
        assert mirror.p_two == pytest.approx(found.p_two)
        # With two images a case, the swap is the label test.
        pairs = picks.copy()
        pairs[(picks != labels) & (picks != others)] = MISSING
        pairs = np.where(pairs == MISSING, MISSING, (pairs == others).astype(int))
        two = label_test(pairs, labels=np.zeros(6, int), num_images=2)
        assert (two.k, two.n) == (found.k, found.n) and two.p_two == pytest.approx(found.p_two)
    left_out = swap_test(picks, labels=labels, others=np.full(6, MISSING))
    assert left_out.reason == "no answers" and left_out.cases_left_out == 6


def test_every_deal_to_single_images() -> None:
    generator = np.random.default_rng(9)
    for _ in range(4):
        answers = generator.integers(-1, 2, (3, 7))
        answers[:, 6] = MISSING
        labels = generator.permutation([1, 1, 1, 0, 0, 0, 1])
        read = np.flatnonzero((answers != MISSING).any(axis=0))
        hits = []
        for chosen in itertools.combinations(read, int(labels[read].sum())):
            dealt = np.isin(np.arange(7), chosen).astype(int)
            hits.append(int((answers == dealt)[:, read].sum()))
        found = single_image_test(answers, labels=labels)
        assert_as_dealt(found, hits, int((answers == labels)[:, read].sum()))
        assert (found.n, found.cases) == ((answers != MISSING).sum(), len(read))
        # Calling everything the other way round mirrors it.
        mirrored = np.where(answers == MISSING, MISSING, 1 - answers)
        assert single_image_test(mirrored, labels=labels).p_less == pytest.approx(found.p_greater)


def test_order_changes_nothing_and_a_copied_reader_brings_no_evidence() -> None:
    generator = np.random.default_rng(10)
    picks, labels = generator.integers(0, 4, (5, 20)), generator.integers(0, 4, 20)
    found = label_test(picks, labels=labels, num_images=4)
    cases, readers = generator.permutation(20), generator.permutation(5)
    moved = label_test(picks[readers][:, cases], labels=labels[cases], num_images=4)
    renamed = label_test(3 - picks, labels=3 - labels, num_images=np.full(20, 4))
    for other in (moved, renamed):
        assert other.k == found.k and other.p_two == pytest.approx(found.p_two, rel=1e-12)
    # Each reader twice: twice the hits, the same p value, where a binomial test would be twice as sure.
    twice = label_test(np.repeat(picks, 2, axis=0), labels=labels, num_images=4)
    assert twice.k == 2 * found.k and twice.p_greater == pytest.approx(found.p_greater, rel=1e-12)
    assert found.deff is not None and twice.deff == pytest.approx(2 * found.deff)


def test_one_reader_who_guesses_is_the_binomial() -> None:
    generator = np.random.default_rng(11)
    found = label_test(generator.integers(0, 4, (1, 30)), labels=generator.integers(0, 4, 30), num_images=4)
    assert found.deff == pytest.approx(1) and found.mean == pytest.approx(7.5)


def test_nothing_to_tell_has_a_reason_or_a_value() -> None:
    # Readers who share out their picks evenly hit as often whatever the labels are.
    even = label_test(np.arange(4)[:, None].repeat(3, axis=1), labels=np.array([0, 1, 2]), num_images=4)
    assert (even.k, even.p_two, even.p_greater, even.sd, even.deff) == (3, 1, 1, 0, 0)
    for none in (
        label_test(np.full((2, 3), MISSING), labels=np.zeros(3, int), num_images=4),
        label_test(np.zeros((0, 3), int), labels=np.zeros(3, int), num_images=4),
        label_test(np.zeros((2, 0), int), labels=np.zeros(0, int), num_images=4),
        single_image_test(np.full((2, 3), MISSING), labels=np.array([0, 1, 1])),
    ):
        assert none.p_two is None and none.reason == "no answers"
    single = single_image_test(np.array([[1, 0, 1]]), labels=np.array([1, 1, 1]))
    assert single.k == 2 and single.p_two is None and "one label" in single.reason


def test_a_whole_study_of_single_images_is_exact_and_quick() -> None:
    generator = np.random.default_rng(12)
    answers, labels = generator.integers(0, 2, (8, 100)), np.arange(100) % 2
    found = single_image_test(answers, labels=labels)
    draws = np.array([(answers == generator.permutation(labels)).sum() for _ in range(2000)])
    assert found.p_greater is not None and found.mean is not None and found.sd is not None
    assert abs((draws >= found.k).mean() - found.p_greater) < 0.05
    assert abs(draws.mean() - found.mean) < 5 * found.sd / 2000**0.5


def test_nonsense_is_refused() -> None:
    picks, labels = np.zeros((2, 3), int), np.zeros(3, int)
    with pytest.raises(ValueError, match=r"picks at \(0, 1\) is 4"):
        label_test(np.array([[0, 4, 0]]), labels=labels, num_images=4)
    with pytest.raises(ValueError, match=r"labels at \(2,\) is 5"):
        label_test(picks, labels=np.array([0, 1, 5]), num_images=4)
    with pytest.raises(ValueError, match="num_images at"):
        label_test(picks, labels=labels, num_images=1)
    with pytest.raises(ValueError, match="integers"):
        label_test(picks.astype(float), labels=labels, num_images=4)
    with pytest.raises(ValueError, match="needs picks"):
        label_test(picks, labels=np.zeros(2, int), num_images=4)
    with pytest.raises(ValueError, match="case 0: labels and others are one image"):
        swap_test(picks, labels=labels, others=labels)
    with pytest.raises(ValueError, match=r"answers at \(0, 0\) is 2"):
        single_image_test(picks + 2, labels=labels)
