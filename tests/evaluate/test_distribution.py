"""Distances of features with intervals and floors: values by other ways, patients kept together, what is left out."""

import itertools
from typing import Any

import numpy as np
import pytest
import scipy.linalg
from numpy.typing import NDArray
from scipy import stats

from cspine_bench.errors import DataError
from cspine_bench.evaluate.fidelity.distances import DISTANCES, MANIFOLD, Vectors, measure_distances
from cspine_bench.evaluate.fidelity.distribution import Distribution, measure_distribution
from cspine_bench.evaluate.fidelity.floors import deal_halves, draw_rows, measure_floors, predict_floor
from cspine_bench.evaluate.fidelity.recipe import FidelityRecipe
from cspine_bench.metrics.frechet import frechet_distance
from cspine_bench.metrics.intervals import Jackknife
from cspine_bench.metrics.kernel import cmmd_distance, kernel_distance
from cspine_bench.results import Figure

Features = NDArray[np.float32]
RECIPE = FidelityRecipe(num_floors=4)


def draw_features(count: int, dimension: int, seed: int, shift: float = 0.0) -> Features:
    draw = np.random.default_rng(seed)
    return (draw.normal(shift, 1, (count, dimension)) / np.arange(1, dimension + 1) ** 0.5).astype(np.float32)


def measure(real: Features, synthetic: Features, *, images_of_one: int = 1, **more: Any) -> Distribution:
    return measure_distribution(
        real=real,
        synthetic=synthetic,
        real_groups=[f"patient-{row // images_of_one}" for row in range(len(real))],
        synthetic_groups=[f"anatomy-{row}" for row in range(len(synthetic))],
        available={"real": len(real) + 1, "synthetic": len(synthetic) + 2},
        **{"recipe": RECIPE, "seed": 3} | more,
    )


def by_name(found: Distribution) -> dict[str, Figure]:
    return {figure.name: figure for figure in found.figures}


def test_figures_are_those_of_other_ways() -> None:
    real, synthetic = draw_features(90, 12, 1), draw_features(70, 12, 2, 0.4)
    told: list[tuple[int, int]] = []
    found = measure(real, synthetic, on_progress=lambda done, total: told.append((done, total)))
    figures = by_name(found)
    assert tuple(figures) == DISTANCES
    a, b = np.cov(real, rowvar=False), np.cov(synthetic, rowvar=False)
    shift = real.mean(axis=0, dtype=np.float64) - synthetic.mean(axis=0, dtype=np.float64)
    root = np.trace(scipy.linalg.sqrtm(a @ b)).real
    assert figures["frechet_distance"].value == pytest.approx(shift @ shift + np.trace(a) + np.trace(b) - 2 * root)
    assert figures["kernel_distance"].value == pytest.approx(kernel_distance(real=real, synthetic=synthetic))
    assert figures["cmmd_distance"].value == pytest.approx(cmmd_distance(real=real, synthetic=synthetic))
    line = np.polyfit([1, 2, 3], found.trend, 1)
    assert figures["frechet_distance_limit"].value == pytest.approx(line[1])
    for name, figure in figures.items():
        assert figure.interval is not None and figure.floor is not None and figure.floor.matched is not None
        assert figure.interval.low <= figure.value <= figure.interval.high and figure.note
        assert figure.n_used == {"real": 90, "synthetic": 70}
        assert figure.n_available == {"real": 91, "synthetic": 72}
        assert figure.floor.n_used == (45, 45)
        assert figure.floor.value == pytest.approx(found.floor_draws[name].mean())
        assert figure.direction == ("higher" if name in MANIFOLD else "lower")
    assert told == [(done, 5) for done in range(1, 6)]
    assert by_name(measure(real, synthetic)) == figures
    assert by_name(measure(real, synthetic, seed=4)) != figures


def test_the_limit_says_how_far_the_trend_is_from_a_line() -> None:
    """Thirds of a side that hold hardly more images than features: the line alone would be sure of a wrong value."""
    real, synthetic = draw_features(240, 60, 40), draw_features(900, 60, 41)
    limit = by_name(measure(real, synthetic, recipe=FidelityRecipe(num_floors=2)))["frechet_distance_limit"]
    assert limit.interval is not None and "parabola" in limit.interval.method
    assert limit.value < 0  # of one distribution: it is 0
    assert limit.interval.low < 0 < limit.interval.high


def test_prdc_gives_the_same() -> None:
    prdc = pytest.importorskip("prdc", reason="prdc is an outside reference: pip install --no-deps prdc scikit-learn")
    real, synthetic = draw_features(120, 30, 3), draw_features(100, 30, 4, 0.3)
    figures = by_name(measure(real, synthetic))
    expected = prdc.compute_prdc(real, synthetic, RECIPE.num_neighbours)
    assert {name: figures[name].value for name in MANIFOLD} == pytest.approx(expected)


def test_identity_and_swap() -> None:
    real, synthetic = draw_features(60, 8, 5), draw_features(60, 8, 6, 0.8)
    same = by_name(measure(real, real[::-1].copy()))
    assert same["frechet_distance"].value == pytest.approx(0, abs=1e-6)
    assert [same[name].value for name in ("precision", "recall", "coverage")] == [1, 1, 1]
    assert same["kernel_distance"].value < 0
    one, other = by_name(measure(real, synthetic)), by_name(measure(synthetic, real))
    assert (one["precision"].value, one["recall"].value) == (other["recall"].value, other["precision"].value)
    assert one["precision"].value != one["recall"].value
    for name in ("frechet_distance", "kernel_distance", "cmmd_distance"):
        assert one[name].value == pytest.approx(other[name].value)


def test_a_shifted_set_lies_beyond_its_floor_and_a_fair_one_within() -> None:
    real = draw_features(120, 10, 7)
    for shift in (0.0, 0.8):
        for name, figure in by_name(measure(real, draw_features(110, 10, 8, shift))).items():
            floor = figure.floor
            assert floor is not None and floor.matched is not None
            if name in ("density", "coverage", "recall"):
                continue  # of a mere shift: hardly
            beyond = floor.matched > floor.high if figure.direction == "lower" else floor.matched < floor.low
            assert beyond == (shift > 0), name


def test_fewer_images_than_features() -> None:
    found = measure(draw_features(64, 300, 9), draw_features(50, 300, 10))
    figures = by_name(found)
    assert set(figures) == set(DISTANCES) - {"frechet_distance_limit"}
    assert "Fewer images than features" in figures["frechet_distance"].note
    (missing,) = found.not_measured
    assert missing.name == "frechet_distance_limit" and "at least 903 are needed on each side" in missing.reason


def test_the_fewer_images_the_fewer_figures_and_each_says_why() -> None:
    for count, left in ((3, 0), (8, 3), (11, 7)):
        found = measure(draw_features(count, 6, 11), draw_features(count + 1, 6, 12))
        assert len(found.figures) == left
        assert {figure.name for figure in found.figures} | {one.name for one in found.not_measured} == set(DISTANCES)
        assert all(
            f"there are {count} real and {count + 1} synthetic images" in one.reason for one in found.not_measured
        )
        assert all(
            np.isfinite(figure.value) and (figure.floor or "no floor" in figure.note.lower())
            for figure in found.figures
        )


def test_one_patient_has_no_interval_and_few_have_no_floor() -> None:
    real, synthetic = draw_features(40, 5, 13), draw_features(30, 5, 14)
    for figure in measure(real, synthetic, images_of_one=40).figures:
        assert figure.interval is None and figure.floor is None
        assert "No interval: all images of a side belong to one" in figure.note
    for figure in measure(real, synthetic, images_of_one=8).figures:
        assert figure.floor is None and "No floor: the real images are of 5 patients, 8 are needed." in figure.note


def test_a_share_of_none_has_an_interval_too() -> None:
    figures = by_name(measure(draw_features(40, 4, 15), draw_features(30, 4, 16, 50.0)))
    precision = figures["precision"]
    assert precision.value == 0 and precision.interval is not None
    assert precision.interval.high == pytest.approx(1 - 0.025 ** (1 / 30))
    assert figures["density"].interval is None and "says nothing of its error" in figures["density"].note


def test_what_no_encoder_gives_is_refused() -> None:
    real, synthetic = draw_features(30, 4, 17), draw_features(30, 4, 18)
    synthetic[7, 2] = np.nan
    with pytest.raises(DataError, match=r"synthetic: 1 of 30 feature vectors .* of image 7 "):
        measure(real, synthetic)
    real[3] = 0
    found = measure(real, draw_features(30, 4, 18))
    assert [one.name for one in found.not_measured] == ["cmmd_distance"]
    with pytest.raises(ValueError, match="3 groups"):
        Vectors(real, ("a", "b", "c"))


def test_halves_never_part_a_patient() -> None:
    draw = np.random.default_rng(19)
    groups = tuple(draw.integers(0, 25, 90).tolist())
    side = Vectors(draw_features(90, 3, 20), groups)
    seen = set()
    for _ in range(20):
        first, second = deal_halves(side, draw)
        assert sorted([*first, *second]) == list(range(90))
        assert not {groups[row] for row in first} & {groups[row] for row in second}
        assert abs(len(first) - len(second)) <= max(groups.count(group) for group in groups)
        seen.add(tuple(first))
    assert len(seen) > 15
    assert np.array_equal(draw_rows(side, 90, draw), np.arange(90))
    part = draw_rows(side, 40, draw)
    cut = [group for group in set(groups) if 0 < sum(groups[row] == group for row in part) < groups.count(group)]
    assert len(part) == 40 and len(cut) <= 1


def test_a_floor_that_parts_patients_is_too_low() -> None:
    """Four images of each patient: other patients differ far more than other images of the same."""
    draw = np.random.default_rng(21)

    def draw_patients(count: int) -> Features:
        return (np.repeat(draw.normal(size=(count, 6)), 4, axis=0) + draw.normal(0, 0.2, (4 * count, 6))).astype(
            np.float32
        )

    real = draw_patients(30)
    truth = np.mean([frechet_distance(real=draw_patients(15), synthetic=draw_patients(15)) for _ in range(20)])
    settings: dict[str, Any] = {
        "names": ("frechet_distance", "recall"),
        "num_neighbours": 5,
        "num_floors": 6,
        "seed": 0,
    }
    kept, parted = (
        measure_floors(Vectors(real, groups), Vectors(real, groups), **settings).floors
        for groups in (tuple(row // 4 for row in range(120)), tuple(range(120)))
    )
    assert parted["frechet_distance"].high < truth / 2
    assert kept["frechet_distance"].low < truth < kept["frechet_distance"].high
    assert parted["recall"].value > kept["recall"].value + 0.1


def test_the_ends_of_a_floor_hold_new_figures() -> None:
    """Where the ends of the deals themselves, which share their images, hold too few."""
    draw = np.random.default_rng(22)
    names, held, held_by_deals = ("frechet_distance",), [], []

    def draw_side(count: int) -> Vectors:
        scale = draw.standard_t(8, (count, 1))
        return Vectors((scale * draw.normal(size=(count, 5))).astype(np.float32), tuple(range(count)))

    new = [frechet_distance(real=draw_side(40).features, synthetic=draw_side(40).features) for _ in range(60)]
    for trial in range(15):
        side = draw_side(80)
        found = measure_floors(side, side, names=names, num_neighbours=5, num_floors=8, seed=trial)
        floor, deals = found.floors[names[0]], found.draws[names[0]]
        held.append(np.mean([floor.low <= value <= floor.high for value in new]))
        held_by_deals.append(np.mean([deals.min() <= value <= deals.max() for value in new]))
    assert np.mean(held) > 0.85 > np.mean(held_by_deals)


def test_a_floor_by_hand() -> None:
    # Deals 1 and 3: mean 2, s^2 = 2. Their mean without either group: 1.5 and 2.5, so v = 1/2 (0.25 + 0.25).
    deals = [Jackknife(1.0, np.array([0.5, 2.0])), Jackknife(3.0, np.array([2.5, 3.0]))]
    floor = predict_floor(deals, counts=(5, 6), matched=7.0, ends=(0.0, 9.0))
    half = stats.t.ppf(0.975, 1) * np.sqrt(2 * (1 - 1 / 2) + 2 * 0.25)
    assert (floor.value, floor.low, floor.high, floor.n_used, floor.matched) == (2, 0, 9, (5, 6), 7)
    assert predict_floor(deals, counts=(5, 6), matched=None, ends=(-99, 99)).high == pytest.approx(2 + half)


def test_what_is_matched_is_the_figure_at_the_counts_of_the_floor() -> None:
    """Where a half is the whole real set over again, and all synthetic images fit, it is the figure itself."""
    real, synthetic = draw_features(1, 4, 23), draw_features(25, 4, 24)
    alike = Vectors(np.repeat(real, 50, axis=0), tuple(range(50)))
    settings: dict[str, Any] = {"names": ("frechet_distance", "precision"), "num_neighbours": 5, "num_floors": 2}
    found = measure_floors(alike, Vectors(synthetic, tuple(range(25))), **settings, seed=6)
    expected = frechet_distance(real=alike.features[:25], synthetic=synthetic)
    assert found.floors["frechet_distance"].n_used == (25, 25)
    assert found.floors["frechet_distance"].matched == pytest.approx(expected)
    # Otherwise it is the mean over deals, each of another half against as many synthetic images.
    side = Vectors(draw_features(50, 4, 25), tuple(range(50)))
    found = measure_floors(side, Vectors(synthetic[:20], tuple(range(20))), **settings, seed=6)
    floor, matched = found.floors["frechet_distance"], found.matched["frechet_distance"]
    assert floor.n_used == (25, 20) and matched[0] != matched[1]
    assert floor.matched == pytest.approx(matched.mean())


def test_left_out_groups_are_patients() -> None:
    """An interval that takes images of one patient for independent ones is too narrow."""
    draw = np.random.default_rng(25)
    real = (np.repeat(draw.normal(size=(40, 3)), 5, axis=0) + draw.normal(0, 0.1, (200, 3))).astype(np.float32)
    synthetic = Vectors(draw_features(200, 3, 26, 0.5), tuple(range(200)))
    widths = []
    for images_of_one, name in itertools.product((5, 1), ("frechet_distance", "kernel_distance", "recall")):
        side = Vectors(real, tuple(row // images_of_one for row in range(200)))
        found = measure_distances(side, synthetic, names=(name,), num_neighbours=5, generator=np.random.default_rng(0))
        widths.append(found.figures[name].variance ** 0.5)
    assert all(kept > 1.3 * parted for kept, parted in zip(widths[:3], widths[3:], strict=True))
