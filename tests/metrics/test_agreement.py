"""Agreement: published worked examples, second implementations, and bootstrap weights that equal repetition."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from cspine_bench.metrics.agreement import (
    bland_altman,
    intraclass_correlation,
    mean_intraclass_correlation,
    weighted_intraclass_correlation,
)

Floats = NDArray[np.float64]
NAN = np.nan

# Peak expiratory flow, l/min, by a Wright and by a mini Wright meter: Bland, Altman 1986, Lancet 327, 307-310, table 1.
WRIGHT = np.array([494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427.0])
MINI = np.array([512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451.0])

# Six targets and four judges: Shrout, Fleiss 1979, table 2.
JUDGES = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7.0]])


def test_limits_of_the_flow_meters_are_as_published() -> None:
    found = bland_altman(preds=WRIGHT, target=MINI)
    assert (found.bias.value, found.sd) == (pytest.approx(-2.1, abs=0.05), pytest.approx(38.8, abs=0.05))
    assert (found.bias.low, found.bias.high) == (pytest.approx(-22.0, abs=0.06), pytest.approx(17.8, abs=0.06))
    # Published with 3 / n for the variance's factor, of which the exact one's root differs by 0.7 %.
    half = found.lower.high - found.lower.value
    assert half == pytest.approx((-45.1 + 114.3) / 2, rel=0.01)
    assert found.upper.high - found.upper.value == pytest.approx(half)
    # Published with 2 standard deviations for 1.96.
    two = (found.bias.value + (limit.value - found.bias.value) * 2 / 1.96 for limit in (found.lower, found.upper))
    assert tuple(two) == (pytest.approx(-79.7, abs=0.06), pytest.approx(75.5, abs=0.1))
    assert found.used == 17


def test_the_mean_over_judges_is_as_published() -> None:
    found = mean_intraclass_correlation(ratings=JUDGES)
    assert found.value == pytest.approx(0.62, abs=0.005)
    # R psych 2.2.9, ICC(JUDGES, lmer = FALSE): ICC2k.
    expected = (0.62005055, 0.071136815, 0.92723204)
    assert (found.value, found.low, found.high) == pytest.approx(expected, abs=1e-8)
    # One judge sees the opposite of the other: their mean is no steadier than chance.
    assert mean_intraclass_correlation(ratings=np.array([[1, 3], [2, 2], [3, 1.0]])).low == -np.inf


def test_the_bias_has_the_interval_of_a_paired_t_test() -> None:
    interval = stats.ttest_rel(WRIGHT, MINI).confidence_interval(0.9)
    found = bland_altman(preds=WRIGHT, target=MINI, confidence=0.9).bias
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))


def test_intervals_of_limits_cover_the_true_ones() -> None:
    draw, trials, covering = np.random.default_rng(0), 300, np.zeros(2, int)
    for _ in range(trials):
        found = bland_altman(preds=draw.normal(1, 2, 30), target=np.zeros(30))
        for number, (limit, truth) in enumerate(((found.lower, 1 - 1.96 * 2), (found.upper, 1 + 1.96 * 2))):
            covering[number] += limit.low <= truth <= limit.high
    # Of intervals that cover with 95 %, fewer than this cover once in 10,000 tests.
    assert (covering >= stats.binom.ppf(1e-4, trials, 0.95)).all(), covering


def test_agreement_of_the_judges_is_as_published() -> None:
    """0.29 in the paper's table 4; the ends as R's psych and McGraw and Wong's formulas give them for this table."""
    found = intraclass_correlation(ratings=JUDGES)
    assert found.value == pytest.approx(0.29, abs=0.005)
    assert (found.low, found.high) == (pytest.approx(0.019, abs=0.0005), pytest.approx(0.761, abs=0.0005))


def icc_by_regression(ratings: Floats) -> float:
    """ICC(2,1) from sums of squares of least-squares fits, for a second opinion."""
    count, raters = ratings.shape
    rows, columns = np.repeat(np.eye(count), raters, axis=0), np.tile(np.eye(raters), (count, 1))
    values = ratings.ravel()

    def left(design: Floats) -> float:
        return float(((values - design @ np.linalg.lstsq(design, values, rcond=None)[0]) ** 2).sum())

    whole, error = float(((values - values.mean()) ** 2).sum()), left(np.hstack([rows, columns]))
    between = (whole - left(rows)) / (count - 1)
    judges = (whole - left(columns)) / (raters - 1)
    rest = error / ((count - 1) * (raters - 1))
    return (between - rest) / (between + (raters - 1) * rest + raters * (judges - rest) / count)


@pytest.mark.parametrize(("count", "raters"), [(2, 2), (9, 2), (30, 5)])
def test_correlation_is_that_of_a_second_implementation(count: int, raters: int) -> None:
    draw = np.random.default_rng(count)
    ratings = 1000 + draw.normal(0, 3, (count, 1)) + draw.normal(0, 1, raters) + draw.normal(0, 2, (count, raters))
    found = intraclass_correlation(ratings=ratings)
    assert found.value == pytest.approx(icc_by_regression(ratings), abs=1e-9)
    assert found.low <= found.value <= found.high <= 1
    assert intraclass_correlation(ratings=5 * ratings - 3).value == pytest.approx(found.value)
    assert intraclass_correlation(ratings=ratings[:, ::-1]).value == pytest.approx(found.value)


def test_weights_count_rows_as_often_as_they_were_drawn() -> None:
    draw = np.random.default_rng(1)
    ratings = draw.normal(0, 3, (12, 1)) + draw.normal(0, 1, (12, 2))
    ratings[4, 1] = NAN
    weights = draw.integers(0, 4, (6, 12)).astype(float)
    weights[5] = 0
    weights[5, [2, 4]] = 1  # a single complete row
    found = weighted_intraclass_correlation(ratings)(weights)
    for row, drawn in zip(found[:5], weights, strict=False):
        assert row == pytest.approx(intraclass_correlation(ratings=np.repeat(ratings, drawn.astype(int), axis=0)).value)
    assert np.isnan(found[5])
    assert np.isnan(weighted_intraclass_correlation(np.full((3, 2), 7.0))(np.ones((1, 3))))


def test_perfect_agreement_and_none() -> None:
    truth = np.array([1.0, 4.0, 9.0, 16.0])
    found = bland_altman(preds=truth, target=truth)
    assert (found.bias.value, found.lower.low, found.upper.high, found.sd) == (0, 0, 0, 0)
    perfect = intraclass_correlation(ratings=np.column_stack([truth, truth]))
    assert (perfect.value, perfect.low, perfect.high) == (1, 1, 1)
    assert intraclass_correlation(ratings=np.column_stack([truth, -truth])).value < 0
    shifted = intraclass_correlation(ratings=np.column_stack([truth, truth + 2]))  # consistent, yet not in agreement
    assert shifted.low <= shifted.value < 1


def test_what_is_not_there_takes_no_part() -> None:
    holed = bland_altman(preds=np.append(WRIGHT, [NAN, 5]), target=np.append(MINI, [5, NAN]))
    assert holed == bland_altman(preds=WRIGHT, target=MINI)
    with_hole = np.vstack([JUDGES, [1, 2, NAN, 4]])
    assert intraclass_correlation(ratings=with_hole) == intraclass_correlation(ratings=JUDGES)


def test_misuse_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 pairs, got 1"):
        bland_altman(preds=np.array([1.0, NAN]), target=np.array([2.0, 3.0]))
    with pytest.raises(ValueError, match=r"of one shape \(n,\), got \(3,\) and \(2,\)"):
        bland_altman(preds=np.ones(3), target=np.ones(2))
    with pytest.raises(ValueError, match="at least 2 complete rows, got 1"):
        intraclass_correlation(ratings=np.array([[1.0, 2], [NAN, 2]]))
    for call in (lambda ratings: intraclass_correlation(ratings=ratings), weighted_intraclass_correlation):
        with pytest.raises(ValueError, match="at least 2 raters"):
            call(np.ones((3, 1)))
    with pytest.raises(ValueError, match="the same, so nothing tells"):
        intraclass_correlation(ratings=np.ones((3, 2)))
