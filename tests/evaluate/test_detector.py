"""The classifier of real against synthetic: folds, areas, their intervals, its choice; and the statistics it sees."""

import numpy as np
import pytest
from numpy.typing import NDArray

from cspine_bench.evaluate.fidelity.detector import (
    CrossFit,
    cross_fit,
    deal_folds,
    fit_linear,
    fold_area,
    fold_interval,
    join_units,
)
from cspine_bench.evaluate.fidelity.detector_statistics import (
    FACTS,
    STATISTICS,
    describe_facts,
    describe_statistics,
)
from cspine_bench.metrics.discrimination import auc_interval


def draw_sides(count: int, dimension: int, shift: float, seed: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    features = np.random.default_rng(seed).normal(size=(2 * count, dimension))
    synthetic = np.arange(2 * count) >= count
    features[synthetic, 0] += shift
    return features, synthetic


def fit(
    features: NDArray[np.float64], synthetic: NDArray[np.bool_], units: NDArray[np.int64] | None = None
) -> CrossFit:
    units = np.arange(len(features)) if units is None else units
    return cross_fit(views={"a": features}, synthetic=synthetic, units=units, generator=np.random.default_rng(5))


class TestFolds:
    def test_no_group_is_cut_and_both_sides_are_spread(self) -> None:
        draw = np.random.default_rng(0)
        units = draw.integers(0, 60, 200)
        synthetic = draw.random(200) < 0.5
        fold = deal_folds(units=units, synthetic=synthetic, count=5, generator=draw)
        assert all(len(np.unique(fold[units == unit])) == 1 for unit in np.unique(units))
        for side in (False, True):
            counts = np.bincount(fold[synthetic == side], minlength=5)
            assert counts.max() - counts.min() <= 6

    def test_equal_pixels_and_equal_groups_hang_together(self) -> None:
        groups = np.array(["a", "b", "b", "c", "d", "e"])
        pixels = np.array(["1", "1", "2", "2", "3", "4"])
        units = join_units(groups, pixels)
        assert len(set(units[:4])) == 1
        assert len(set(units)) == 3

    def test_groups_in_two_folds_would_be_recognised(self) -> None:
        """Six images of each patient, whose side is drawn at random: there is nothing to learn but who it is."""
        draw = np.random.default_rng(1)
        patients = np.repeat(np.arange(40), 6)
        features = draw.normal(size=(40, 60))[patients] + 0.3 * draw.normal(size=(240, 60))
        synthetic = patients >= 20
        whole = fit(features, synthetic, patients)
        honest = fold_interval(scores=whole.scores["a"], synthetic=synthetic, fold=whole.fold, units=patients)
        assert honest.low < 0.5 < honest.high
        cut = fit(features, synthetic)
        assert fold_area(cut.scores["a"], synthetic, cut.fold) > 0.95

    def test_too_few_images_for_folds_are_refused(self) -> None:
        with pytest.raises(ValueError, match="5 folds need at least 2 images of each side, one has 0"):
            fit(*draw_sides(12, 3, 0, 0), np.arange(24) // 12 * 12)


def test_the_classifier_is_scikit_learns() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is an outside reference")
    features, synthetic = draw_sides(50, 8, 1.0, 9)
    features = features * np.arange(1, 9) + 3
    standard = (features - features.mean(axis=0)) / features.std(axis=0)
    for strength, ours in zip((0.01, 1.0), fit_linear(features, synthetic, (0.01, 1.0)), strict=True):
        theirs = linear_model.LogisticRegression(C=strength, tol=1e-8).fit(standard, synthetic)
        np.testing.assert_allclose(ours.score(features), theirs.decision_function(standard), atol=2e-3)


class TestAreas:
    def test_area_and_variance_of_one_fold_are_delongs(self) -> None:
        metrics = pytest.importorskip("sklearn.metrics")
        draw = np.random.default_rng(2)
        synthetic = np.arange(80) >= 40
        scores = np.round(draw.normal(size=80) + synthetic, 1)
        fold, units = np.zeros(80, np.int64), np.arange(80)
        found = fold_interval(scores=scores, synthetic=synthetic, fold=fold, units=units, trained=False)
        assert found.value == pytest.approx(metrics.roc_auc_score(synthetic, scores))
        plain = auc_interval(positives=scores[synthetic], negatives=scores[~synthetic])
        width = np.log(found.high / (1 - found.high)) - np.log(found.low / (1 - found.low))
        assert width * found.value * (1 - found.value) == pytest.approx(plain.high - plain.low)

    def test_a_trained_detectors_variance_is_twice_that(self) -> None:
        synthetic, fold, units = np.arange(80) % 2 == 1, np.arange(80) // 16, np.arange(80)
        scores = np.random.default_rng(2).normal(size=80) + synthetic
        found = [
            fold_interval(scores=scores, synthetic=synthetic, fold=fold, units=units, trained=trained)
            for trained in (False, True)
        ]
        widths = [np.log(one.high / (1 - one.high)) - np.log(one.low / (1 - one.low)) for one in found]
        assert widths[1] / widths[0] == pytest.approx(np.sqrt(2))

    def test_images_of_one_patient_count_as_one(self) -> None:
        draw = np.random.default_rng(3)
        synthetic = np.arange(40) >= 20
        scores = draw.normal(size=40) + synthetic
        once = fold_interval(
            scores=scores, synthetic=synthetic, fold=np.zeros(40, np.int64), units=np.arange(40), trained=False
        )
        thrice = fold_interval(
            scores=np.repeat(scores, 3),
            synthetic=np.repeat(synthetic, 3),
            fold=np.zeros(120, np.int64),
            units=np.repeat(np.arange(40), 3),
            trained=False,
        )
        assert (thrice.value, thrice.low, thrice.high) == pytest.approx((once.value, once.low, once.high))

    def test_scores_of_different_folds_are_not_compared(self) -> None:
        """Each fold's classifier has a zero of its own."""
        synthetic, fold = np.arange(80) % 2 == 1, np.arange(80) // 16
        scores = np.random.default_rng(4).normal(size=80) + synthetic
        assert fold_area(scores + 10 * fold, synthetic, fold) == fold_area(scores, synthetic, fold)

    def test_complete_separation_has_an_interval(self) -> None:
        synthetic, fold = np.arange(60) % 2 == 1, np.arange(60) // 12
        found = fold_interval(scores=synthetic.astype(float), synthetic=synthetic, fold=fold, units=np.arange(60))
        assert (found.value, found.high) == (1, 1)
        assert found.low == pytest.approx(0.025 ** (1 / 30))

    def test_chance_is_covered(self) -> None:
        """Folds train each other: DeLong's variance is too small by half, and twice it is right."""
        draw = np.random.default_rng(10)
        synthetic, fold, units = np.arange(80) % 2 == 1, np.arange(80) // 16, np.arange(80)
        covered = np.zeros(2)
        for _ in range(300):
            features, scores = draw.normal(size=(80, 40)), np.empty(80)
            for number in range(5):
                train, test = fold != number, fold == number
                direction = features[train & synthetic].mean(axis=0) - features[train & ~synthetic].mean(axis=0)
                scores[test] = features[test] @ direction
            for place, trained in enumerate((False, True)):
                found = fold_interval(scores=scores, synthetic=synthetic, fold=fold, units=units, trained=trained)
                covered[place] += found.low <= 0.5 <= found.high
        assert covered[0] / 300 < 0.9
        assert 0.92 < covered[1] / 300 < 0.99


class TestChoice:
    def test_the_stronger_view_is_chosen(self) -> None:
        features, synthetic = draw_sides(50, 5, 2.0, 6)
        noise = np.random.default_rng(7).normal(size=features.shape)
        found = cross_fit(
            views={"noise": noise, "clue": features},
            synthetic=synthetic,
            units=np.arange(100),
            generator=np.random.default_rng(5),
        )
        assert found.chosen == ("clue",) * 5
        np.testing.assert_array_equal(found.chosen_scores, found.scores["clue"])
        assert fold_area(found.chosen_scores, synthetic, found.fold) > 0.85

    def test_choosing_among_those_that_see_nothing_sees_nothing(self) -> None:
        """The whole procedure on noise; of 8 intervals none or one may miss; 3 would be six in a thousand."""
        synthetic, units = np.arange(40) >= 20, np.arange(40)
        missed, chosen, best = 0, [], []
        for seed in range(8):
            draw = np.random.default_rng(seed)
            views = {view: draw.normal(size=(40, 2)) for view in "ab"}
            found = cross_fit(views=views, synthetic=synthetic, units=units, generator=draw)
            interval = fold_interval(scores=found.chosen_scores, synthetic=synthetic, fold=found.fold, units=units)
            missed += not interval.low <= 0.5 <= interval.high
            chosen.append(interval.value)
            best.append(max(fold_area(scores, synthetic, found.fold) for scores in found.scores.values()))
        assert missed < 3
        assert abs(np.mean(chosen) - 0.5) < 0.1
        assert np.mean(best) > np.mean(chosen) + 0.02


class TestStatistics:
    def test_white_noise_has_a_flat_spectrum_of_its_variance(self) -> None:
        noise = np.random.default_rng(0).normal(0.5, 0.05, (256, 256))
        found = describe_statistics((noise * 65535).astype(np.uint16))
        bands = [value for name, value in zip(STATISTICS, found, strict=True) if name.startswith("power")]
        # The lowest lacks what the mean of each tile takes away.
        np.testing.assert_allclose(bands[1:], np.log10(0.05**2), atol=0.1)

    def test_a_comb_is_a_peak_on_its_axis(self) -> None:
        plain = np.random.default_rng(0).normal(128, 5, (128, 128))
        combed, checkered = plain.copy(), plain.copy()
        combed[:, ::4] += 10 * np.random.default_rng(1).normal(1, 1, (128, 1))
        checkered[np.indices((128, 128)).sum(axis=0) % 2 == 0] += 6
        found, comb, checks = (
            dict(zip(STATISTICS, describe_statistics(image.astype(np.uint8)), strict=True))
            for image in (plain, combed, checkered)
        )
        for axis in ("horizontal", "vertical"):
            assert abs(found[f"{axis}_peak_at_0.250"]) < 0.4
            assert checks[f"{axis}_peak_at_0.500"] > 1
        assert comb["horizontal_peak_at_0.250"] > 1 and abs(comb["vertical_peak_at_0.250"]) < 0.4
        assert checks["power_0.600_to_0.707"] > found["power_0.600_to_0.707"] + 0.3

    def test_depth_does_not_matter_and_no_size_is_too_small(self) -> None:
        film = np.random.default_rng(0).normal(128, 20, (48, 40)).clip(0, 255).astype(np.uint8)
        deep = describe_statistics(film.astype(np.uint16) * 257)
        np.testing.assert_allclose(deep, describe_statistics(film), atol=1e-9)
        for shape in ((1, 2), (3, 5), (8, 8), (9, 200), (600, 40)):
            found = describe_statistics(np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8))
            assert found.shape == (len(STATISTICS),) and np.isfinite(found).all()
        assert np.isfinite(describe_statistics(np.full((32, 32), 7, np.uint8))).all()

    def test_facts(self) -> None:
        film = np.random.default_rng(0).normal(128, 20, (32, 32)).clip(5, 250).astype(np.uint8)
        film[:, -3:], film[:, :2] = 0, 9
        assert dict(zip(FACTS, describe_facts(film), strict=True)) == pytest.approx(
            {
                "width": 32,
                "height": 32,
                "bit depth": 8,
                "width of a plain border": 3,
                "darkest level": 0,
                "brightest level": film.max() / 255,
            }
        )
