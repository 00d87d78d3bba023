"""Agreement of several raters: published examples, other formulas for the same, what it keeps, and what is 0 / 0."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from cspine_bench.metrics.category_weights import weigh_categories
from cspine_bench.metrics.rater_agreement import (
    Agreement,
    fleiss_kappa,
    fleiss_kappa_null,
    gwet_ac,
    krippendorff_alpha,
    leave_out_raters,
)

Floats = NDArray[np.float64]
NAN = math.nan

# Four observers and twelve units: Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, section C; data set
# cac.raw4raters of R's irrCAC.
UNITS = np.array(
    [
        [1, 1, NAN, 1],
        [2, 2, 3, 2],
        [3, 3, 3, 3],
        [3, 3, 3, 3],
        [2, 2, 2, 2],
        [1, 2, 3, 4],
        [4, 4, 4, 4],
        [1, 1, 2, 1],
        [2, 2, 2, 2],
        [NAN, 5, 5, 5],
        [NAN, NAN, 1, 1],
        [NAN, NAN, 3, NAN],
    ]
)
FIVE = (1, 2, 3, 4, 5)

# Six psychiatrists and fifteen patients, by diagnosis: irrCAC's distrib.6raters.
PATIENTS = np.array(
    [
        [0, 0, 0, 6, 0],
        [0, 3, 0, 0, 3],
        [0, 1, 4, 0, 1],
        [0, 0, 0, 0, 6],
        [0, 3, 0, 3, 0],
        [2, 0, 4, 0, 0],
        [0, 0, 4, 0, 2],
        [2, 0, 3, 1, 0],
        [2, 0, 0, 4, 0],
        [0, 0, 0, 0, 6],
        [1, 0, 0, 5, 0],
        [1, 1, 0, 4, 0],
        [0, 3, 3, 0, 0],
        [1, 0, 0, 5, 0],
        [0, 2, 0, 3, 1],
    ]
)

COEFFICIENTS: dict[str, Callable[[Floats], Agreement]] = {
    "kappa": lambda ratings: fleiss_kappa(ratings=ratings, categories=FIVE),
    "quadratic kappa": lambda ratings: fleiss_kappa(ratings=ratings, categories=FIVE, weighting="quadratic"),
    "AC1": lambda ratings: gwet_ac(ratings=ratings, categories=FIVE),
    "AC2": lambda ratings: gwet_ac(ratings=ratings, categories=FIVE, weighting="ordinal"),
    "nominal alpha": lambda ratings: krippendorff_alpha(ratings=ratings, categories=FIVE),
    "ordinal alpha": lambda ratings: krippendorff_alpha(ratings=ratings, categories=FIVE, level="ordinal"),
    "interval alpha": lambda ratings: krippendorff_alpha(ratings=ratings, categories=FIVE, level="interval"),
}


def spread_out(counts: NDArray[np.int64]) -> Floats:
    """Ratings 1, 2, ... from how many raters chose each."""
    return np.array([np.repeat(np.arange(1.0, len(row) + 1), row) for row in counts])


def make_ratings(
    generator: np.random.Generator, *, subjects: int = 60, raters: int = 6, missing: float = 0.3
) -> Floats:
    middle = generator.normal(3, 1, (subjects, 1))
    ratings = np.clip(np.round(middle + generator.normal(0, 0.9, (subjects, raters))), 1, 5)
    return np.where(generator.random(ratings.shape) < missing, NAN, ratings)


def test_ratings_with_gaps_as_published() -> None:
    # irrCAC 1.3: fleiss.kappa.raw, gwet.ac1.raw, krippen.alpha.raw of cac.raw4raters, as in its README. Alpha's
    # interval there has 11 degrees of freedom, one for the unit that takes no part in it; here 10.
    kappa = fleiss_kappa(ratings=UNITS, categories=FIVE)
    assert (kappa.value, kappa.standard_error) == (pytest.approx(0.76117, abs=6e-6), pytest.approx(0.15302, abs=6e-6))
    assert (kappa.observed, kappa.chance) == (pytest.approx(0.8181818, abs=1e-7), pytest.approx(0.2387153, abs=1e-7))
    assert (kappa.low, kappa.high) == (pytest.approx(0.424, abs=6e-4), 1.0)
    assert kappa.p_value == pytest.approx(0.000419173, abs=1e-9)
    assert (kappa.subjects, kappa.compared, kappa.ratings, kappa.reason) == (12, 11, 41, "")
    first = gwet_ac(ratings=UNITS, categories=FIVE)
    assert (first.value, first.standard_error) == (pytest.approx(0.77544, abs=6e-6), pytest.approx(0.14295, abs=6e-6))
    assert (first.low, first.chance) == (pytest.approx(0.461, abs=6e-4), pytest.approx(0.1903212, abs=1e-7))
    assert first.p_value == pytest.approx(0.000208721, abs=1e-9)
    alpha = krippendorff_alpha(ratings=UNITS, categories=FIVE)
    assert (alpha.value, alpha.standard_error) == (pytest.approx(0.74342, abs=6e-6), pytest.approx(0.14548, abs=6e-6))
    assert (alpha.observed, alpha.chance) == (pytest.approx(0.805), pytest.approx(0.24))
    assert (alpha.subjects, alpha.ratings) == (11, 40)
    # Krippendorff 2011: nominal .743, ordinal .815, interval .849.
    assert krippendorff_alpha(ratings=UNITS, categories=FIVE, level="ordinal").value == pytest.approx(0.815, abs=5e-4)
    assert krippendorff_alpha(ratings=UNITS, categories=FIVE, level="interval").value == pytest.approx(0.849, abs=5e-4)


def test_equal_numbers_as_published() -> None:
    # irrCAC 1.3: fleiss.kappa.dist, gwet.ac1.dist, krippen.alpha.dist of distrib.6raters, as in its README.
    ratings = spread_out(PATIENTS)
    kappa = fleiss_kappa(ratings=ratings, categories=FIVE)
    assert (kappa.value, kappa.standard_error) == (pytest.approx(0.4139265, abs=1e-7), pytest.approx(0.08119291))
    assert kappa.p_value == pytest.approx(0.0001622724, abs=1e-9)
    first = gwet_ac(ratings=ratings, categories=FIVE)
    assert (first.value, first.standard_error) == (pytest.approx(0.4448007, abs=1e-7), pytest.approx(0.08418757))
    assert krippendorff_alpha(ratings=ratings, categories=FIVE).value == pytest.approx(0.4204384, abs=1e-7)


def test_the_null_standard_error_is_that_of_fleiss_nee_and_landis() -> None:
    found = fleiss_kappa_null(ratings=spread_out(PATIENTS), categories=FIVE)
    subjects, raters = 15, 6
    p = PATIENTS.sum(axis=0) / (subjects * raters)
    q = 1 - p
    spread = (p * q).sum()
    root = math.sqrt(spread**2 - (p * q * (q - p)).sum())
    assert found.standard_error == pytest.approx(
        math.sqrt(2) / (spread * math.sqrt(subjects * raters * (raters - 1))) * root
    )
    assert found.value == pytest.approx(0.4139265, abs=1e-7) and found.method == "Fleiss"
    assert found.z is not None and found.standard_error is not None
    assert found.z == pytest.approx(0.4139265 / found.standard_error, rel=1e-6) and found.p_value < 1e-20


def test_the_null_test_holds_with_gaps_too() -> None:
    generator = np.random.default_rng(11)
    numbers = np.repeat([1, 2, 3, 6, 8], [8, 10, 10, 10, 12])
    gaps = np.arange(8) >= numbers[:, None]
    found = [
        fleiss_kappa_null(
            ratings=np.where(gaps, NAN, generator.choice(FIVE[:4], (50, 8), p=[0.4, 0.3, 0.2, 0.1])),
            categories=FIVE[:4],
        )
        for _ in range(300)
    ]
    assert {one.method for one in found} == {"Fleiss, extended to unequal numbers"}
    z = np.array([one.z for one in found])
    # Three standard errors of a standard deviation and of a share of 5 %.
    assert z.std() == pytest.approx(1, abs=3 / math.sqrt(600))
    assert (np.abs(z) > 1.96).mean() == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / 300))


def test_weights_by_hand() -> None:
    np.testing.assert_allclose(weigh_categories((1, 2, 3, 4), "linear")[0], [1, 2 / 3, 1 / 3, 0])
    np.testing.assert_allclose(weigh_categories((1, 2, 3, 4), "quadratic")[0], [1, 8 / 9, 5 / 9, 0])
    # Pairs among 2, 3 and 4 neighbours: 1, 3 and 6.
    np.testing.assert_allclose(weigh_categories((1, 2, 3, 4), "ordinal")[0], [1, 5 / 6, 3 / 6, 0])
    np.testing.assert_allclose(weigh_categories((0, 1, 5), "linear")[1], [0.8, 1, 0.2])
    for wrong in ((1,), (2, 1), (1, NAN)):
        with pytest.raises(ValueError, match="at least 2 rising numbers"):
            weigh_categories(wrong, "linear")
    with pytest.raises(ValueError, match="weighting must be"):
        weigh_categories((1, 2), "cubic")  # type: ignore[arg-type]


def test_two_raters_by_hand() -> None:
    # Pairs (1,1) (1,2) (2,2) (2,2): 3 of 4 agree; shares 3/8 and 5/8, so by chance 34/64 do.
    found = fleiss_kappa(ratings=np.array([[1, 1], [1, 2], [2, 2], [2, 2.0]]), categories=(1, 2))
    assert (found.observed, found.chance) == (0.75, pytest.approx(34 / 64))
    assert found.value == pytest.approx((0.75 - 34 / 64) / (30 / 64))
    # AC1: by chance 2 x 3/8 x 5/8.
    first = gwet_ac(ratings=np.array([[1, 1], [1, 2], [2, 2], [2, 2.0]]), categories=(1, 2))
    assert first.value == pytest.approx((0.75 - 30 / 64) / (34 / 64))


def test_standard_errors_are_near_those_of_the_jackknife_over_subjects() -> None:
    ratings = make_ratings(np.random.default_rng(5), subjects=60)
    # Of subjects with a single rating irrCAC's formula, which is kept, makes a little more than the jackknife does.
    ratings = ratings[(~np.isnan(ratings)).sum(axis=1) >= 2]
    subjects = len(ratings)
    for name, coefficient in COEFFICIENTS.items():
        if name == "ordinal alpha":
            # Its own is that jackknife.
            continue
        without = np.array([coefficient(np.delete(ratings, row, axis=0)).value for row in range(subjects)])
        jackknife = math.sqrt((subjects - 1) / subjects * ((without - without.mean()) ** 2).sum())
        assert coefficient(ratings).standard_error == pytest.approx(jackknife, rel=0.03), name


def test_what_agreement_keeps() -> None:
    generator = np.random.default_rng(6)
    ratings = make_ratings(generator)
    relabel = np.array([NAN, 4, 1, 5, 2, 3])
    renamed = np.where(np.isnan(ratings), NAN, relabel[np.nan_to_num(ratings).astype(int)])
    shuffled = np.array([generator.permutation(row) for row in ratings])[generator.permutation(60)]
    empty = np.vstack([ratings, np.full((3, 6), NAN)])
    for name, coefficient in COEFFICIENTS.items():
        found = coefficient(ratings)
        assert found.low is not None and found.value is not None and found.high is not None, name
        assert found.low < found.value < found.high <= 1
        for same in (shuffled, empty, 6 - ratings):
            other = coefficient(same)
            assert (other.value, other.low) == (pytest.approx(found.value), pytest.approx(found.low)), name
        if name in ("kappa", "AC1", "nominal alpha"):
            assert coefficient(renamed).value == pytest.approx(found.value), name
        perfect = coefficient(np.repeat(ratings[:, :1], 6, axis=1))
        assert perfect.value == pytest.approx(1) and perfect.standard_error == 0
        assert perfect.low is perfect.high is perfect.p_value is None and "how sure" in perfect.reason
    full = make_ratings(generator, missing=0)
    kappa = fleiss_kappa(ratings=full, categories=FIVE, weighting="quadratic").value
    alpha = krippendorff_alpha(ratings=full, categories=FIVE, level="interval").value
    # Krippendorff's correction for small samples is all that parts them.
    assert kappa is not None and alpha == pytest.approx(1 - (1 - 1 / 360) * (1 - kappa))


def test_unused_categories_matter_to_gwet_alone() -> None:
    few = np.where(UNITS > 2, 2, UNITS)
    for coefficient in (fleiss_kappa, krippendorff_alpha):
        assert coefficient(ratings=few, categories=FIVE).value == coefficient(ratings=few, categories=(1, 2)).value
    assert gwet_ac(ratings=few, categories=FIVE).value > gwet_ac(ratings=few, categories=(1, 2)).value


def test_nothing_to_tell_agreement_from_chance() -> None:
    alike = np.full((9, 4), 3.0)
    for name, coefficient in COEFFICIENTS.items():
        found = coefficient(alike)
        if name.startswith("AC"):
            assert found.value == 1 and found.low is None and found.reason
        else:
            assert found.value is None and found.chance == 1 and "0 / 0" in found.reason, name
        for few in (np.array([[1.0], [2.0], [2.0]]), np.array([[1, NAN], [NAN, 2.0]])):
            alone = coefficient(few)
            assert alone.value is None and alone.reason == "no subject has two ratings", name
            assert alone.compared == 0
        for nothing in (np.empty((0, 3)), np.full((4, 3), NAN), np.empty((3, 0))):
            assert coefficient(nothing).value is None and coefficient(nothing).ratings == 0, name
        single = coefficient(np.array([[1, 2, 2.0]]))
        assert single.value is not None and single.low is None and "at least 2" in single.reason, name
    for ratings in (alike, alike[:, :1], np.empty((0, 3))):
        null = fleiss_kappa_null(ratings=ratings, categories=FIVE)
        assert null.value is null.z is null.p_value is None and null.reason


def test_leaving_out_each_rater() -> None:
    coefficient = COEFFICIENTS["AC1"]
    found = leave_out_raters(coefficient, ratings=UNITS)
    assert found.left_out[1] == coefficient(UNITS[:, [0, 2, 3]]).value and found.reason == ""
    without = np.array(found.left_out, float)
    assert found.standard_error == pytest.approx(math.sqrt(3 / 4 * ((without - without.mean()) ** 2).sum()))
    assert found.low is not None and found.low < coefficient(UNITS).value <= found.high == 1
    assert leave_out_raters(coefficient, ratings=UNITS[:, :2]).reason == "needs at least 3 raters, got 2"
    lonely = np.array([[1, 2, NAN], [2, 2, NAN], [1, 1, NAN]])
    undefined = leave_out_raters(coefficient, ratings=lonely)
    assert undefined.left_out[0] is None and undefined.low is None and "without one" in undefined.reason


def test_misuse() -> None:
    for coefficient in COEFFICIENTS.values():
        with pytest.raises(ValueError, match=r"one of \[1.0, 2.0, 3.0, 4.0, 5.0\] or NaN, got \[6.0\]"):
            coefficient(UNITS + 1)
        with pytest.raises(ValueError, match=r"\(subjects, raters\), got \(12,\)"):
            coefficient(UNITS[:, 0])
    with pytest.raises(ValueError, match="level must be"):
        krippendorff_alpha(ratings=UNITS, categories=FIVE, level="ratio")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\(subjects, raters\)"):
        leave_out_raters(COEFFICIENTS["AC1"], ratings=UNITS[:, 0])
