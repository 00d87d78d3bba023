"""Share of correct answers over readers and cases: R's lme4, exact special cases, and what has no finite value."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import integrate, stats
from scipy.special import expit, logit

from cspine_bench.metrics.crossed_effects import CrossedModel
from cspine_bench.metrics.mixed_logit import MixedLogit, fit_mixed_logit

Floats = NDArray[np.float64]
NAN = math.nan

# A line for each reader, a sign for each case: correct, wrong, or no answer. From R 4.2.2, lme4 1.1-31:
# m <- glmer(y ~ 1 + (1 | reader) + (1 | case), d, binomial, control = glmerControl(optimizer = "bobyqa",
#            tolPwrss = 1e-13, optCtrl = list(rhoend = 1e-9, maxfun = 1e5)))
# c(fixef(m), sqrt(vcov(m, use.hessian = TRUE)), sd of reader, sd of case, logLik(m))
FITTED = {
    "gaps": (
        (
            "000.010111101001.010.00..01.0.",
            "00000.0011010..0010.01..110000",
            ".0..0.000100000.0011000....0..",
            "1000.0...00000010..001.1101100",
            "0.00..0.0..000..00.0000..10.00",
        ),
        (-1.2154746, 0.3435216, 0.3558396, 0.6238017, -59.973890),
    ),
    "readers alike": (
        ("011000000000", "100100000000", "001000000000"),
        (-2.0830803, 0.8486906, 0, 0.8569221, -14.40384),
    ),
    "few": (("000001", "100001", "000011", "000011"), (-1.9957116, 1.8880543, 0, 2.9608363, -11.492839)),
    "cases alike": (
        (
            "01111011111100011111100111101...0111101111.0111111",
            "11010110011.11.111.11111111011.1111.1111111.1.1111",
            "111011111111111.1111.1.1110111011111111.1011110.1.",
            "1.111111111111111101.1.11111101111011.111.111..11.",
            ".1.1.111111.11111111111111111111111111111111111111",
            "111111111111111.1110111111.1111111.111111111111111",
            "1101110.1111111111111011.1.11101.110.1111111111111",
            "11111.111111111011.11111111111111011111.11110110.0",
        ),
        (2.3894377, 0.3183019, 0.6567186, 0, -112.420965),
    ),
}


def read_lines(lines: tuple[str, ...]) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    signs = np.array([list(line) for line in lines])
    readers, cases = np.indices(signs.shape)
    return np.where(signs == ".", NAN, signs == "1").ravel(), readers.ravel(), cases.ravel()


def fit_lines(lines: tuple[str, ...]) -> MixedLogit:
    correct, readers, cases = read_lines(lines)
    return fit_mixed_logit(correct=correct, readers=readers, cases=cases)


@pytest.fixture(scope="module")
def fits() -> dict[str, MixedLogit]:
    return {name: fit_lines(lines) for name, (lines, _) in FITTED.items()}


def test_as_lme4_has_it(fits: dict[str, MixedLogit]) -> None:
    for name, (lines, expected) in FITTED.items():
        found = fits[name]
        assert found.converged and found.reason == found.note == "" and found.left_out == ()
        values = (found.intercept, found.standard_error, found.sd_reader, found.sd_case)
        # lme4 stops within some 1e-5 of the top, and the top is flatter where there are few answers.
        assert values == pytest.approx(expected[:4], abs=3e-5), name
        assert found.log_likelihood == pytest.approx(expected[4], abs=2e-6), name
        assert found.trials == sum(len(line) - line.count(".") for line in lines)
    assert fits["readers alike"].singular == ("reader",)
    assert (fits["cases alike"].singular, fits["cases alike"].sd_case) == (("case",), 0.0)
    assert fits["gaps"].singular == ()


def test_the_probability_is_over_readers_and_cases(fits: dict[str, MixedLogit]) -> None:
    for found in fits.values():
        assert found.intercept is not None and found.sd_reader is not None and found.sd_case is not None
        assert found.probability is not None and found.logit_probability is not None
        whole = math.hypot(found.sd_reader, found.sd_case)

        def weigh(z: float, middle: float = found.intercept, whole: float = whole) -> float:
            return float(expit(middle + whole * z) * stats.norm.pdf(z))

        expected, _ = integrate.quad(weigh, -12, 12, epsabs=1e-12)
        assert found.probability.value == pytest.approx(expected, abs=1e-9)
        assert 0 < found.probability.low < expected < found.probability.high < 1
        # Nearer to one half than the reader and the case in the middle.
        assert abs(expected - 0.5) < abs(expit(found.intercept) - 0.5)
        chance = found.p_above(found.probability.value)
        assert chance == pytest.approx(0.5)
        lower = found.p_above(found.probability.low)
        assert lower == pytest.approx(0.025, abs=1e-9)


def test_one_reader_is_a_plain_share() -> None:
    correct = np.repeat([1.0, 0.0], [18, 42])
    found = fit_mixed_logit(correct=correct, readers=np.full(60, "R1"), cases=np.arange(60))
    assert (found.intercept, found.standard_error) == pytest.approx((logit(0.3), math.sqrt(1 / (60 * 0.3 * 0.7))))
    assert found.probability is not None and found.probability.value == pytest.approx(0.3)
    assert (found.sd_reader, found.sd_case, found.singular) == (None, None, ())
    assert [part.split(":")[0] for part in found.left_out] == ["reader", "case"]
    twins = fit_mixed_logit(
        correct=np.array([0, 1, 1, 0, 1, 1.0]), readers=np.array([0, 0, 1, 1, 2, 2]), cases=np.array([5, 5, 3, 3, 4, 4])
    )
    assert "cannot be told apart" in twins.left_out[0] and twins.sd_case is None and twins.converged


def test_what_the_model_keeps() -> None:
    correct, readers, cases = read_lines(FITTED["gaps"][0])
    found = fit_mixed_logit(correct=correct, readers=readers, cases=cases)
    assert found.intercept is not None
    order = np.random.default_rng(2).permutation(len(correct))
    shuffled = fit_mixed_logit(
        correct=correct[order], readers=np.array(list("cabed"))[readers[order]], cases=-cases[order]
    )
    mirrored = fit_mixed_logit(correct=1 - correct, readers=readers, cases=cases)
    for same, sign in ((shuffled, 1), (mirrored, -1)):
        assert same.intercept == pytest.approx(sign * found.intercept, abs=1e-5)
        assert (same.sd_reader, same.sd_case) == pytest.approx((found.sd_reader, found.sd_case), abs=1e-5)
        assert same.log_likelihood == pytest.approx(found.log_likelihood, abs=1e-9)


def test_slopes_are_those_of_the_likelihood() -> None:
    generator = np.random.default_rng(4)
    levels = np.concatenate([generator.integers(0, 4, 116), np.arange(4)])
    factors = [generator.permutation(np.arange(120) % size) for size in (5, 13, 31)]
    model = CrossedModel(levels=levels, design=generator.normal(size=(120, 2)), factors=factors)
    for sds in ([0.4, 0.8, 1.3], [0.0, 0.5, 0.0]):
        point = np.array([-1.5, -0.1, 1.2, 0.3, -0.4, *sds])
        slope = model.evaluate(point)[1]
        moves = 1e-4 * np.eye(len(point))
        measured = [(model.evaluate(point + move)[0] - model.evaluate(point - move)[0]) / 2e-4 for move in moves]
        np.testing.assert_allclose(slope, measured, atol=1e-5)


def test_answers_without_a_finite_value() -> None:
    readers, cases = np.indices((8, 50)).reshape(2, -1)
    for answer, word in ((1.0, "but correct ones (there are 400)"), (0.0, "but wrong ones"), (NAN, "no answer")):
        found = fit_mixed_logit(correct=np.full(400, answer), readers=readers, cases=cases)
        assert word in found.reason and not found.converged
        assert found.intercept is found.probability is found.log_likelihood is found.p_above(0.25) is None
    agreeing = fit_mixed_logit(correct=(cases % 4 == 0).astype(float), readers=readers, cases=cases)
    assert agreeing.reason == "the spread of cases grows without end: answers of one case hardly differ"
    assert agreeing.probability is None and not agreeing.converged
    # One correct answer of 400: the false top at large spreads, where the approximation fails, is not the one given.
    single = fit_mixed_logit(correct=(np.arange(400) == 7).astype(float), readers=readers, cases=cases)
    assert single.converged and single.singular == ("reader", "case") and "second top" in single.note
    assert single.intercept == pytest.approx(logit(1 / 400), abs=1e-4)


def test_misuse() -> None:
    two = np.zeros(2)
    with pytest.raises(ValueError, match=r"one shape \(trials,\), got \[\(2,\), \(3,\), \(2,\)\]"):
        fit_mixed_logit(correct=two, readers=np.zeros(3), cases=two)
    with pytest.raises(ValueError, match=r"0, 1 or NaN, got \[2.0\]"):
        fit_mixed_logit(correct=two + 2, readers=two, cases=two)
    with pytest.raises(ValueError, match="between 0 and 1, got 1"):
        fit_lines(FITTED["few"][0]).p_above(1)
