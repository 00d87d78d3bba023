"""Readers' mean area: by hand, its variance over every sample that could have been drawn, and missing ratings."""

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from cspine_bench.metrics.reader_auc import reader_auc

Floats = NDArray[np.float64]


def draw(seed: int) -> tuple[Floats, Floats]:
    """Ratings 1-4 of 5 readers, of 12 real and 20 synthetic images."""
    generator = np.random.default_rng(seed)
    taste = generator.normal(size=(5, 1))
    real = 2.9 + taste * 0.3 + generator.normal(size=(1, 12)) * 0.5 + generator.normal(size=(5, 12))
    synthetic = 2.4 + taste * 0.3 + generator.normal(size=(1, 20)) * 0.5 + generator.normal(size=(5, 20))
    return np.clip(np.round(real), 1, 4), np.clip(np.round(synthetic), 1, 4)


def test_areas_by_hand() -> None:
    # Reader 0: 3 beats 1 and 2, 2 beats 1 and ties 2: 3.5 of 4. Reader 1: 1 loses to both, 4 beats both: 2 of 4.
    found = reader_auc(real=np.array([[3.0, 2.0], [1.0, 4.0]]), synthetic=np.array([[1.0, 2.0], [2.0, 3.0]]))
    assert found.per_reader == (0.875, 0.5) and found.auc == 0.6875
    assert found.msr == pytest.approx(0.375**2 / 2)
    # Over real images 1, 3/4 and 0, 1: covariance -1/8; over synthetic 1, 3/4 and 1/2, 1/2: 0. Each over 2 images.
    assert found.cov2 == pytest.approx(-1 / 16) and found.var_or == pytest.approx(0.375**2 / 4)
    assert found.df == pytest.approx(1) and (found.readers, found.ratings, found.ratings_missing) == (2, 8, 0)


def test_readers_who_share_some_images_by_hand() -> None:
    found = reader_auc(real=np.array([[3.0, 1.0, 2.0], [3.0, 1.0, np.nan]]), synthetic=np.full((2, 2), 2.0))
    # Over the two shared real images 1, 0 and 1, 0: covariance 1/2, of means over 3 and over 2: x 2 / (3 x 2).
    assert found.cov2 == pytest.approx(1 / 6) and (found.msr, found.var_or) == (0, pytest.approx(1 / 6))
    # No image shared: nothing that they have in common.
    apart = reader_auc(
        real=np.array([[3.0, 1.0, np.nan, np.nan], [np.nan, np.nan, 3.0, 1.0]]),
        synthetic=np.array([[2.0, 1.0, np.nan, np.nan], [np.nan, np.nan, 1.0, 1.0]]),
    )
    assert apart.cov2 == 0 and apart.per_reader == (0.625, 0.75) and apart.reason == ""


@pytest.mark.parametrize("torn", [False, True])
def test_the_unbiased_variance_over_every_sample(torn: bool) -> None:
    # A world of 2 readers, 2 real and 2 synthetic images; a study draws 3 readers and 2 images of each kind from it,
    # with replacement. Over all studies, the mean of the variance found is the variance of the area, also where some
    # ratings are missing.
    real_world, synthetic_world = np.array([[3.0, 1.0], [2.0, 4.0]]), np.array([[2.0, 1.0], [1.0, 3.0]])
    there_real, there_synthetic = np.ones((3, 2), bool), np.ones((3, 2), bool)
    if torn:
        there_real[0, 1] = there_synthetic[2, 0] = False
    areas, variances = [], []
    for readers in itertools.product([0, 1], repeat=3):
        for mine, its in itertools.product(itertools.product([0, 1], repeat=2), repeat=2):
            real, synthetic = real_world[np.ix_(readers, mine)], synthetic_world[np.ix_(readers, its)]
            found = reader_auc(
                real=np.where(there_real, real, np.nan), synthetic=np.where(there_synthetic, synthetic, np.nan)
            )
            assert found.auc is not None and found.var_u is not None
            areas.append(found.auc)
            variances.append(found.var_u)
    assert len(areas) == 128 and np.mean(variances) == pytest.approx(np.var(areas), rel=1e-9)


def test_the_unbiased_variance_by_every_pair() -> None:
    real, synthetic = draw(1)
    real, synthetic = real[:3, :4].copy(), synthetic[:3, :3].copy()
    real[0, 2] = synthetic[1, 1] = math.nan
    wins, weights = {}, {}
    for reader in range(3):
        pairs = list(itertools.product(np.flatnonzero(~np.isnan(real[reader])), range(3)))
        pairs = [(i, j) for i, j in pairs if not np.isnan(synthetic[reader, j])]
        for i, j in pairs:
            wins[reader, i, j] = 0.5 + np.sign(real[reader, i] - synthetic[reader, j]) / 2
            weights[reader, i, j] = 1 / len(pairs) / 3
    moments: dict[tuple[bool, ...], list[float]] = {}
    carried: dict[tuple[bool, ...], float] = {}
    for one, two in itertools.product(wins, repeat=2):
        kind = tuple(a == b for a, b in zip(one, two, strict=True))
        moments.setdefault(kind, []).append((wins[one] - 0.5) * (wins[two] - 0.5))
        carried[kind] = carried.get(kind, 0.0) + weights[one] * weights[two]
    expected = sum(carried[kind] * np.mean(moments[kind]) for kind in moments) - np.mean(moments[False, False, False])
    assert reader_auc(real=real, synthetic=synthetic).var_u == pytest.approx(expected, rel=1e-9)


def test_what_must_change_nothing() -> None:
    real, synthetic = draw(2)
    generator = np.random.default_rng(3)
    for tear in (False, True):
        if tear:
            real[generator.random(real.shape) < 0.2] = math.nan
            synthetic[generator.random(synthetic.shape) < 0.2] = math.nan
        found = reader_auc(real=real, synthetic=synthetic)
        assert found.ratings_missing == np.isnan(real).sum() + np.isnan(synthetic).sum()
        order = generator.permutation(5)
        moved = reader_auc(
            real=real[order][:, generator.permutation(12)], synthetic=synthetic[order][:, generator.permutation(20)]
        )
        steeper = reader_auc(real=np.exp(real), synthetic=np.exp(synthetic))
        swapped = reader_auc(real=synthetic, synthetic=real)
        nobody = np.full((1, 32), np.nan)
        padded = reader_auc(real=np.vstack([real, nobody[:, :12]]), synthetic=np.vstack([synthetic, nobody[:, :20]]))
        for other in (moved, steeper, swapped, padded):
            for name in ("var_u", "msr", "cov2", "var_or", "df", "p_two"):
                assert getattr(other, name) == pytest.approx(getattr(found, name), rel=1e-9), name
        assert found.auc is not None and swapped.auc == pytest.approx(1 - found.auc)
        assert padded.per_reader[-1] is None and padded.readers == 5 and len(padded.per_reader) == 6
        assert found.low is not None and found.high is not None and found.low < found.auc < found.high
        assert found.p_greater == pytest.approx((found.p_two or 0) / 2 if found.auc > 0.5 else math.nan)


def test_what_is_not_defined_says_why() -> None:
    real, synthetic = draw(4)
    nothing = reader_auc(real=np.full((2, 3), np.nan), synthetic=np.ones((2, 4)))
    assert nothing.auc is None and nothing.per_reader == (None, None) and "no reader rated both" in nothing.reason
    single = reader_auc(real=real[:1], synthetic=synthetic[:1])
    assert single.auc == single.per_reader[0] and single.var_or is None and single.reason.startswith("one reader")
    few = reader_auc(real=real[:, :1], synthetic=synthetic)
    assert few.auc is not None and few.p_two is None and "too few images" in few.reason
    # Everyone gives everything a 3: an area of one half, and no spread to judge it by.
    same = reader_auc(real=np.full((4, 5), 3.0), synthetic=np.full((4, 6), 3.0))
    assert (same.auc, same.var_or, same.var_u, same.p_two, same.low) == (0.5, 0, 0, None, None)
    assert same.reason.startswith("no spread")
    perfect = reader_auc(real=np.full((4, 5), 4.0), synthetic=np.full((4, 6), 3.0))
    assert perfect.auc == 1 and perfect.p_two is None and perfect.reason.startswith("no spread")
    with pytest.raises(ValueError, match="of the same readers"):
        reader_auc(real=real[:2], synthetic=synthetic)
    with pytest.raises(ValueError, match="finite or NaN"):
        reader_auc(real=real + math.inf, synthetic=synthetic)
