"""Moments of blocks are the moments of all rows, and the Fréchet distance needs no more."""

import numpy as np
import pytest

from cspine_bench.metrics.frechet import frechet_distance
from cspine_bench.metrics.moments import Moments, frechet_distance_of_moments


def test_by_hand() -> None:
    # Rows 1, 3 and 8: mean 4, squares 9 + 1 + 16.
    found = Moments.of(np.array([[1.0], [3]])).merge(Moments.of(np.array([[8.0]])))
    assert (found.count, found.mean.tolist(), found.scatter.tolist()) == (3, [4.0], [[26.0]])
    assert found.covariance.tolist() == [[13.0]]


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_blocks_in_any_order_are_all_rows(offset: float) -> None:
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(211, 7)) @ draw.normal(size=(7, 7)) + offset
    parts = [Moments.of(part) for part in np.split(rows, [1, 40, 41, 160])]
    forwards = backwards = None
    for part in parts:
        forwards = part if forwards is None else forwards.merge(part)
    for part in parts[::-1]:
        backwards = part if backwards is None else backwards.merge(part)
    assert forwards is not None and backwards is not None
    for found in (forwards, backwards, Moments.of(rows.astype(np.longdouble).astype(np.float64))):
        assert found.count == 211
        assert np.allclose(found.mean, rows.mean(axis=0), rtol=1e-12)
        assert np.allclose(found.covariance, np.cov(rows, rowvar=False), rtol=1e-7, atol=1e-7)


def test_the_distance_is_that_of_the_rows() -> None:
    draw = np.random.default_rng(1)
    real, synthetic = draw.normal(size=(300, 12)), draw.normal(0.4, 1.3, (200, 12))
    pair = {"real": Moments.of(real[:90]).merge(Moments.of(real[90:])), "synthetic": Moments.of(synthetic)}
    assert frechet_distance_of_moments(**pair) == pytest.approx(frechet_distance(real=real, synthetic=synthetic))
    same = frechet_distance_of_moments(real=pair["real"], synthetic=Moments.of(real[::-1]))
    assert 0 <= same < 1e-9


def test_what_has_no_moments_is_refused() -> None:
    for rows in (np.zeros((0, 3)), np.zeros(3)):
        with pytest.raises(ValueError, match="with at least one row"):
            Moments.of(rows)
    with pytest.raises(ValueError, match="NaN or infinity"):
        Moments.of(np.full((2, 2), np.inf))
    one, two = Moments.of(np.ones((1, 3))), Moments.of(np.ones((2, 4)))
    with pytest.raises(ValueError, match="1 feature vectors have no covariance"):
        _ = one.covariance
    with pytest.raises(ValueError, match="moments of 3 and of 4 features"):
        one.merge(two)
    with pytest.raises(ValueError, match="real 3 and synthetic 4"):
        frechet_distance_of_moments(real=one, synthetic=two)
