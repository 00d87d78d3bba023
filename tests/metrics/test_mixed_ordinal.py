"""Ratings over readers, cases and images: R's ordinal, the logit model inside it, and what has no finite value."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from cspine_bench.metrics.crossed_fit import find_separation
from cspine_bench.metrics.mixed_logit import fit_mixed_logit
from cspine_bench.metrics.mixed_ordinal import MixedOrdinal, fit_mixed_ordinal

Floats = NDArray[np.float64]
NAN = math.nan

# A line for each reader, a sign for each image, those of a case side by side, one of each source. From R 4.2.2, ordinal
# 2022.11: clmm(rating ~ source + (1 | reader) + (1 | case) + (1 | image), d, Hess = TRUE).
GAPS = (
    ".23.23334.4411.552..3423.24122424.24..341224232222322.131.32",
    ".4342331.223221514322.214.4....323..323.453341331.532...2411",
    "22221..24211...2221154.3.1412442211.213431..42.12212121.2222",
    "32.222213323..324.14.4.2.142233.342.22..33..4.1434422332.432",
)
COMPLETE = ("343323343232243334443313324444", "242444434421344244344414234413", "122231221114231132424142233414")


def fit_lines(lines: tuple[str, ...], *, sources: int, categories: range) -> MixedOrdinal:
    signs = np.array([list(line) for line in lines])
    readers, images = np.indices(signs.shape).reshape(2, -1)
    return fit_mixed_ordinal(
        ratings=np.where(signs == ".", "nan", signs).astype(float).ravel(),
        categories=categories,
        groups=np.array(list("abc"))[images % sources],
        reference="a",
        readers=readers,
        cases=images // sources,
        images=images,
    )


def make_study(generator: np.random.Generator) -> dict[str, NDArray[np.generic]]:
    readers, cases, sources = np.indices((6, 10, 3)).reshape(3, -1)
    return {
        "ratings": generator.integers(1, 5, 180).astype(float),
        "groups": np.array(["real", "s1", "s2"])[sources],
        "readers": readers,
        "cases": cases,
        "images": 3 * cases + sources,
    }


def fit(study: dict[str, NDArray[np.generic]], **changed: NDArray[np.generic]) -> MixedOrdinal:
    return fit_mixed_ordinal(categories=(1, 2, 3, 4), reference="real", **(study | changed))  # type: ignore[arg-type]


def test_as_ordinal_has_it() -> None:
    gaps = fit_lines(GAPS, sources=3, categories=range(1, 6))
    # R stops within some 1e-5 of the top.
    assert gaps.thresholds == pytest.approx((-1.91020084, 0.103863224, 1.31070806, 3.56185967), abs=1e-5)
    assert gaps.effects is not None and list(gaps.effects) == ["b", "c"]
    assert [effect.value for effect in gaps.effects.values()] == pytest.approx([-0.804480721, 0.399344222], abs=1e-5)
    errors = [effect.standard_error for effect in gaps.effects.values()]
    assert errors == pytest.approx([0.3806649, 0.372833258], abs=2e-6)
    assert gaps.sds == {
        "reader": pytest.approx(0.435475843, abs=2e-6),
        "case": 0.0,
        "image": pytest.approx(0.503818942, abs=2e-6),
    }
    assert gaps.log_likelihood == pytest.approx(-258.257782, abs=1e-6)
    assert gaps.converged and gaps.singular == ("case",) and gaps.reason == gaps.note == "" and gaps.left_out == ()
    assert gaps.ratings == sum(len(line) - line.count(".") for line in GAPS)
    assert (gaps.readers, gaps.cases, gaps.images, gaps.unused) == (4, 20, 60, ())
    effect = gaps.effects["b"]
    assert effect.low is not None and effect.high is not None and effect.low < effect.value < effect.high < 0
    assert effect.p_value == pytest.approx(0.03457, abs=1e-5)

    complete = fit_lines(COMPLETE, sources=2, categories=range(1, 5))
    assert complete.thresholds == pytest.approx((-1.75554522, -0.329008364, 0.959866907), abs=3e-5)
    assert complete.effects is not None and complete.effects["b"].value == pytest.approx(0.581337846, abs=3e-4)
    assert complete.effects["b"].standard_error == pytest.approx(0.397823283, abs=1e-5)
    assert complete.sds is not None
    assert list(complete.sds.values()) == pytest.approx([0.741001363, 0.492184309, 0], abs=3e-5)
    assert complete.log_likelihood == pytest.approx(-115.432606, abs=1e-6)


def test_two_categories_are_the_logit_model() -> None:
    readers, cases = np.indices((5, 16)).reshape(2, -1)
    generator = np.random.default_rng(8)
    ratings = (generator.random(80) < 0.2 + 0.5 * (cases % 3 == 0)).astype(float)
    ordinal = fit_mixed_ordinal(
        ratings=1 + ratings,
        categories=(1, 2),
        groups=np.full(80, "real"),
        reference="real",
        readers=readers,
        cases=cases,
        images=cases + 100,
    )
    binary = fit_mixed_logit(correct=ratings, readers=readers, cases=cases)
    assert ordinal.thresholds is not None and binary.intercept is not None and binary.sd_case
    assert ordinal.thresholds[0] == -binary.intercept and ordinal.log_likelihood == binary.log_likelihood
    assert ordinal.sds == {"reader": binary.sd_reader, "case": binary.sd_case} and ordinal.effects == {}
    assert "image: the answers of each are those of one case" in ordinal.left_out[0]


def test_the_scale_reversed_reverses_the_effects() -> None:
    study = make_study(np.random.default_rng(9))
    study["ratings"] = np.clip(study["ratings"] + (study["groups"] == "s1") - (study["cases"] % 4 == 0), 1, 4)
    found, mirrored = fit(study), fit(study, ratings=5 - study["ratings"])
    assert found.thresholds is not None and mirrored.thresholds is not None
    assert mirrored.thresholds == pytest.approx([-part for part in found.thresholds[::-1]], abs=1e-5)
    assert found.effects is not None and mirrored.effects is not None and found.effects["s1"].value > 0.5
    for name, effect in found.effects.items():
        assert mirrored.effects[name].value == pytest.approx(-effect.value, abs=1e-5)
        assert mirrored.effects[name].standard_error == pytest.approx(effect.standard_error, abs=1e-5)
    assert mirrored.log_likelihood == pytest.approx(found.log_likelihood, abs=1e-9)


def test_categories_that_nobody_used() -> None:
    study = make_study(np.random.default_rng(10))
    ratings = study["ratings"]
    assert isinstance(ratings, np.ndarray)
    raised = fit(study, ratings=np.maximum(ratings, 2))
    assert raised.converged and (raised.categories, raised.unused) == ((2, 3, 4), (1,))
    assert raised.thresholds is not None and len(raised.thresholds) == 2
    # A gap in the middle is told too, and renaming what is left changes nothing.
    gap = fit(study, ratings=np.where(ratings == 2, 3, ratings))
    renamed = fit(study, ratings=np.where(ratings == 2, 3, ratings) - (ratings > 1))
    assert (gap.categories, gap.unused, gap.thresholds) == ((1, 3, 4), (2,), renamed.thresholds)


def test_ratings_without_a_finite_value() -> None:
    study = make_study(np.random.default_rng(12))
    ratings, groups = study["ratings"], study["groups"]
    for changed, reason in (
        (np.full(180, 3.0), "no rating but 3 (there are 180), which shows no boundary"),
        (np.full(180, NAN), "there is no rating"),
        (np.where(groups == "real", NAN, ratings), "no image of the reference real was rated"),
        (
            np.where(groups == "s1", 4, ratings),
            "no rating of s1 but 4, an end of what was used: no finite effect fits that",
        ),
        (
            np.where(groups == "real", 1, ratings),
            "no rating of real but 1, an end of what was used: no finite effect fits that",
        ),
        (1 + 2 * (groups == "s1") + (ratings > 2), "the groups' ratings do not overlap, so that no finite effect fits"),
        (1.0 + study["cases"] % 4, "the spread of cases grows without end: answers of one case hardly differ"),
    ):
        found = fit(study, ratings=changed)
        assert found.reason == reason and not found.converged
        assert found.thresholds is found.effects is found.sds is found.log_likelihood is None
    assert fit({name: part[:0] for name, part in study.items()}).reason == "there is no rating"
    missing = fit(study, ratings=np.where(groups == "s2", NAN, ratings))
    assert missing.left_out == ("s2: none of its images was rated",) and missing.converged
    assert missing.effects is not None and list(missing.effects) == ["s1"]
    one = study["readers"] == 0
    alone = fit({name: part[one] for name, part in study.items()})
    assert alone.converged and alone.sds is not None and list(alone.sds) == ["case"]
    assert [part.split(":")[0] for part in alone.left_out] == ["reader", "image"]


def test_separation_by_hand() -> None:
    group = np.array([[0.0], [0], [1], [1]])
    assert not find_separation(levels=np.array([0, 1, 0, 1]), design=group)
    # The group's ratings start where the others' end: it may move up without loss.
    assert find_separation(levels=np.array([0, 1, 1, 2]), design=group)
    assert not find_separation(levels=np.array([0, 2, 1, 1]), design=group)
    assert not find_separation(levels=np.array([0, 1, 2, 0]), design=np.empty((4, 0)))


def test_misuse() -> None:
    study = make_study(np.random.default_rng(13))
    with pytest.raises(ValueError, match=r"one shape \(n,\)"):
        fit(study, cases=np.zeros(3))
    with pytest.raises(ValueError, match=r"or NaN, got \[5.0\]"):
        fit(study, ratings=study["ratings"] + 1)
    with pytest.raises(ValueError, match="'real' is none of the groups \\['s1', 's2', 'x'\\]"):
        fit(study, groups=np.where(study["groups"] == "real", "x", study["groups"]))
