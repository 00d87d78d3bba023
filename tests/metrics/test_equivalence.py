"""Two one-sided tests, and what they say beside the test of no difference."""

import numpy as np
import pytest
from scipy import stats

from cspine_bench.metrics.equivalence import combine_one_sided, find_standing


def test_it_is_the_ninety_percent_interval_inside_the_margin() -> None:
    draw = np.random.default_rng(0)
    for _ in range(50):
        sample = draw.normal(0.1, 1, 20)
        mean, error = sample.mean(), stats.sem(sample)
        margin = draw.uniform(0.2, 1)
        p_within = combine_one_sided(
            above_lower=float(stats.t.sf((mean + margin) / error, 19)),
            below_upper=float(stats.t.sf((margin - mean) / error, 19)),
        )
        half = stats.t.ppf(0.95, 19) * error
        assert (p_within <= 0.05) == (mean - half >= -margin and mean + half <= margin)


@pytest.mark.parametrize(
    ("p_different", "p_equivalent", "standing"),
    [(0.01, 0.6, "different"), (0.6, 0.01, "equivalent"), (0.05, 0.05, "both"), (0.2, 0.2, "inconclusive")],
)
def test_four_standings(p_different: float, p_equivalent: float, standing: str) -> None:
    assert find_standing(p_different=p_different, p_equivalent=p_equivalent) == standing


def test_no_p_value() -> None:
    with pytest.raises(ValueError, match=r"below_upper must be a p value in 0\.\.1, got nan"):
        combine_one_sided(above_lower=0.5, below_upper=float("nan"))
