"""Anatomy fidelity: known changes of spines are found in their figure and no other; spines that cannot be are named."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

sys.path.insert(0, str(Path(__file__).parent))

from spine_toys import SIDE_PX, MakeOnce, Points, as_synthetic, draw_spines, open_toys

from cspine_bench.anatomy.alignment import PARAMETERS, compute_parameters
from cspine_bench.evaluate.fidelity.anatomy import DEFINITIONS, MEANS, PRIMARY, Anatomy, measure_anatomy
from cspine_bench.evaluate.fidelity.plausible import RULES, measure_plausibility
from cspine_bench.measurement.inputs import UNKNOWN, Images
from cspine_bench.results import Figure

COUNT = 120


@pytest.fixture(scope="module")
def real(make_once: MakeOnce) -> Images:
    return open_toys(make_once, COUNT)


@pytest.fixture(scope="module")
def honest(real: Images) -> Anatomy:
    return measure_anatomy(real, as_synthetic(real, draw_spines(COUNT, 2)), seed=0)


def find(anatomy: Anatomy, name: str, **condition: str) -> Figure:
    (figure,) = [
        figure for figure in (*anatomy.figures, *anatomy.table) if figure.name == name and figure.condition == condition
    ]
    return figure


def list_implausible(anatomy: Anatomy, role: str = "synthetic") -> dict[str, tuple[str, ...]]:
    return {one.sample_id: one.rules for one in anatomy.implausible if one.role == role}


def test_every_parameter_has_its_figures(honest: Anatomy) -> None:
    assert set(DEFINITIONS) == set(honest.units) == set(MEANS) | set(PARAMETERS)
    measured = [figure.condition["parameter"] for figure in honest.figures if "parameter" in figure.condition]
    assert measured == [name for name in PRIMARY for _ in range(3)]
    rest = {figure.condition["parameter"] for figure in honest.table}
    assert rest == set(DEFINITIONS) - set(PRIMARY)
    assert honest.not_measured == {}
    for figure in (*honest.figures, *honest.table):
        assert figure.interval is not None and figure.interval.low <= figure.value <= figure.interval.high
    distance = find(honest, "anatomy_wasserstein_distance", parameter="body_depth_superior")
    assert distance.unit == "mm" and distance.floor is not None and distance.floor.n_used == (60, 60)
    assert distance.n_used == distance.n_available == {"real": COUNT, "synthetic": COUNT}


def test_honest_spines_are_not_told_apart(honest: Anatomy) -> None:
    assert min(honest.p_values.values()) > 0.01
    assert any("no difference was shown in any of 15" in warning for warning in honest.warnings)


def test_a_set_is_itself(real: Images) -> None:
    same = measure_anatomy(real, replace(real, role="synthetic"), seed=0)
    for name in PRIMARY:
        distance = find(same, "anatomy_wasserstein_distance", parameter=name)
        assert distance.value == pytest.approx(0, abs=1e-9)
        assert distance.floor is not None and distance.floor.matched is not None
        assert distance.value < distance.floor.low < distance.floor.high
        assert distance.floor.matched < distance.floor.high
        assert find(same, "anatomy_mean_difference", parameter=name).value == pytest.approx(0, abs=1e-9)
        assert find(same, "anatomy_spread_ratio", parameter=name).value == pytest.approx(1)
    assert set(same.p_values.values()) == {1.0}


def test_larger_spines_are_larger_and_curved_alike(real: Images) -> None:
    spines = draw_spines(COUNT, 1)
    grown = measure_anatomy(real, as_synthetic(real, np.float32(1.1) * spines), seed=0)
    expected = compute_parameters(spines)
    for name, parts in (("body_depth_superior", [f"row{k}s" for k in range(3, 8)]), ("SVA", ["SVA"])):
        values = np.mean([expected[part] for part in parts], axis=0)
        assert grown.values["synthetic"][name] == pytest.approx(1.1 * values, rel=1e-5)
        found = find(grown, "anatomy_wasserstein_distance", parameter=name)
        assert found.value == pytest.approx(
            stats.wasserstein_distance(grown.values["real"][name], grown.values["synthetic"][name])
        )
    difference = find(grown, "anatomy_mean_difference", parameter="body_depth_superior")
    assert difference.interval is not None and difference.interval.low > 0
    differing = {name for name, p_value in grown.p_values.items() if p_value < 0.01}
    assert differing >= {"body_depth_superior", "body_depth_inferior", "body_height_anterior", "body_height_posterior"}
    assert not differing & {"C2-7Cobb", "CCI", "C7S", "SA3-4"}
    assert any(
        "differ from the real ones: " in warning and "body_depth_superior" in warning for warning in grown.warnings
    )


def test_samples_that_crowd_about_the_mean_have_a_small_spread(real: Images) -> None:
    crowded = measure_anatomy(real, as_synthetic(real, draw_spines(COUNT, 1, variety=0.3)), seed=0)
    ratio = find(crowded, "anatomy_spread_ratio", parameter="C2-7Cobb")
    assert ratio.interval is not None and ratio.interval.high < 0.6
    assert ratio.value == pytest.approx(0.3, rel=0.25)


def test_mirrored_spines_are_the_same_where_the_record_says_so(real: Images, honest: Anatomy) -> None:
    mirrored = draw_spines(COUNT, 2)
    mirrored[..., 0] = SIDE_PX - 1 - mirrored[..., 0]
    found = measure_anatomy(real, as_synthetic(real, mirrored, facing=("right",) * COUNT), seed=0)
    for figure, other in zip(honest.figures, found.figures, strict=True):
        assert other.value == pytest.approx(figure.value, abs=1e-4)
    wrong = measure_anatomy(real, as_synthetic(real, mirrored), seed=0)
    assert all("corners" in rules for rules in list_implausible(wrong).values())
    assert find(wrong, "implausible_share", side="synthetic").value == 1


def test_without_a_facing_only_lengths_are_known(real: Images) -> None:
    found = measure_anatomy(real, as_synthetic(real, draw_spines(COUNT, 1), facing=(UNKNOWN,) * COUNT), seed=0)
    assert set(found.p_values) == set(MEANS)
    assert "known of 60 real and 0 synthetic" in found.not_measured["parameter C2-7Cobb"]
    assert any("which way the patient faces is not known of 120 labelled images" in one for one in found.warnings)
    assert find(found, "implausible_share", side="synthetic", rule="corners").value == 0


def test_scales_are_never_mixed(real: Images, honest: Anatomy) -> None:
    spines = draw_spines(COUNT, 2)
    finer = as_synthetic(real, 3 * spines, pixel_spacing_mm=np.full(COUNT, 1 / 3))
    in_mm = find(measure_anatomy(real, finer, seed=0), "anatomy_wasserstein_distance", parameter="SVA")
    expected = find(honest, "anatomy_wasserstein_distance", parameter="SVA")
    assert in_mm.value == pytest.approx(expected.value, rel=1e-4) and in_mm.unit == "mm"
    bare = as_synthetic(real, 3 * real.landmarks_xy, pixel_spacing_mm=np.full(COUNT, np.nan))
    found = measure_anatomy(real, bare, seed=0)
    depth = find(found, "anatomy_wasserstein_distance", parameter="body_depth_superior")
    assert depth.unit == "percent" and depth.value == pytest.approx(0, abs=1e-4)
    assert "In percent of the C2-C7 length." in depth.note
    assert 15 < found.values["real"]["body_depth_superior"].mean() < 30
    assert any("pixel spacing is known of 120 of 120 labelled real images, 0 of 120" in one for one in found.warnings)
    few = np.where(np.arange(COUNT) < 20, np.nan, 1.0)
    found = measure_anatomy(real, as_synthetic(real, spines, pixel_spacing_mm=few), seed=0)
    assert find(found, "anatomy_wasserstein_distance", parameter="SVA").n_used == {"real": 120, "synthetic": 100}
    assert find(found, "anatomy_wasserstein_distance", parameter="CCI").n_used == {"real": 120, "synthetic": 120}


@pytest.mark.parametrize(
    ("source", "said"), [("conditioned", "measures that model, not the pixels"), ("measured", "its errors are in this")]
)
def test_the_origin_of_landmarks_is_in_every_note(real: Images, source: str, said: str) -> None:
    found = measure_anatomy(real, as_synthetic(real, draw_spines(COUNT, 1), label_source=(source,) * COUNT), seed=0)
    assert all(said in figure.note for figure in (*found.figures, *found.table))
    assert said in found.warnings[0]


def test_without_landmarks_the_reason_is_given(real: Images) -> None:
    bare = as_synthetic(real, np.full((COUNT, 23, 2), np.nan, np.float32))
    found = measure_anatomy(real, bare, seed=0)
    assert found.not_measured == {
        "anatomy": "known of 60 real and 0 synthetic patients or anatomies; 4 of each are the least",
        "implausible spines, synthetic": "none of 120 images has all 23 landmarks",
    }
    assert found.table == () and found.p_values == {}
    assert {figure.condition["side"] for figure in found.figures} == {"real"}
    both = measure_anatomy(replace(real, landmarks_xy=bare.landmarks_xy), bare, seed=0)
    assert both.figures == () and "rule shape" in both.not_measured


def test_parameters_need_their_own_points_alone(real: Images) -> None:
    spines = draw_spines(COUNT, 1)
    spines[:, 22] = np.nan
    found = measure_anatomy(real, as_synthetic(real, spines), seed=0)
    assert "parameter C2-7Cobb" in found.not_measured and "parameter SVA" not in found.not_measured
    assert find(found, "anatomy_wasserstein_distance", parameter="SA2-3").n_used["synthetic"] == COUNT
    assert "implausible spines, synthetic" in found.not_measured


@pytest.mark.parametrize("counts", [(1, 1), (1, COUNT), (COUNT, 1)])
def test_one_image_is_no_traceback(make_once: MakeOnce, real: Images, counts: tuple[int, int]) -> None:
    first, second = (real if count == COUNT else open_toys(make_once, 1) for count in counts)
    found = measure_anatomy(first, replace(second, role="synthetic"), seed=0)
    assert next(iter(found.not_measured)) == "anatomy"
    assert {figure.name for figure in found.figures} == {"implausible_share"}


def swap(points: Points, first: slice, second: slice) -> Points:
    changed = points.copy()
    changed[:, first], changed[:, second] = points[:, second], points[:, first]
    return changed


def mirror_c5(points: Points) -> Points:
    changed = points.copy()
    changed[:, 11:15] = points[:, [12, 11, 14, 13]]
    return changed


def stretch_c4(points: Points) -> Points:
    changed = points.copy()
    changed[:, [8, 10], 0] += 60
    return changed


def lower_c2(points: Points) -> Points:
    changed = points.copy()
    changed[:, 0, 1] += 15
    return changed


BROKEN: dict[str, tuple[Callable[[Points], Points], str]] = {
    "C3 and C4 swapped": (lambda points: swap(points, slice(3, 7), slice(7, 11)), "order"),
    "top and bottom of C6 swapped": (lambda points: swap(points, slice(15, 17), slice(17, 19)), "corners"),
    "front and back of C5 swapped": (mirror_c5, "corners"),
    "upside down": (lambda points: SIDE_PX - 1 - points, "upright"),
    "C2 centroid below its endplate": (lower_c2, "order"),
    "points in reverse": (lambda points: points[:, ::-1], "upright"),
    "C4 over C5": (lambda points: points + (np.abs(np.arange(23) - 8.5) < 2)[:, None] * [0.0, 9.0], "discs"),
    "C4 five times as deep": (stretch_c4, "proportions"),
    "in centimetres": (lambda points: points / 10, "size"),
    "outside": (lambda points: points + [100.0, 0.0], "inside"),
    "all in one point": (lambda points: np.full_like(points, 50), "order"),
    "far away": (lambda points: points * 1e30, "inside"),
    "of noise": (lambda points: points + np.random.default_rng(0).normal(0, 2, points.shape), "shape"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_spines_that_cannot_be_are_named(real: Images, fault: str) -> None:
    change, rule = BROKEN[fault]
    spines = draw_spines(COUNT, 1)
    spines[:7] = change(spines[:7])
    found = measure_plausibility(real, as_synthetic(real, spines), seed=0)
    broken = {one.sample_id: one for one in found.implausible if one.role == "synthetic"}
    for sample_id in real.sample_ids[:7]:
        assert rule in broken[sample_id].rules, broken.get(sample_id)
        assert "allowed" in broken[sample_id].reason
    assert len(broken) <= 7 + 6
    shares = {figure.condition.get("rule", ""): figure for figure in found.figures if "synthetic" in figure.n_used}
    assert shares[rule].value >= 7 / COUNT
    assert shares[""].interval is not None and shares[""].interval.low > 0.02


def test_a_fault_of_the_real_set_does_not_widen_the_limit(real: Images) -> None:
    """Shapes are fitted to real spines that break no other rule."""
    spines = real.landmarks_xy.copy()
    spines[:12] = swap(spines[:12], slice(3, 7), slice(7, 11))
    noisy = as_synthetic(real, draw_spines(COUNT, 1) + np.random.default_rng(0).normal(0, 2, spines.shape))
    found = measure_plausibility(replace(real, landmarks_xy=spines), noisy, seed=0)
    shares = {tuple(figure.condition.values()): figure.value for figure in found.figures}
    assert shares["real", "order"] == pytest.approx(0.1)
    assert shares["synthetic", "shape"] == 1


def test_honest_spines_are_seldom_implausible(real: Images) -> None:
    found = measure_plausibility(real, as_synthetic(real, draw_spines(COUNT, 3)), seed=0)
    shares = {tuple(figure.condition.values()): figure for figure in found.figures}
    assert len(shares) == 2 * (1 + len(RULES))
    for key, figure in shares.items():
        limit = stats.binom.ppf(0.999, COUNT, 0.02) / COUNT if key[-1] in ("shape", "synthetic") else 0.02
        assert figure.value <= limit, key
    assert f"Of honest spines {100 / 121:.1f} % are beyond" in shares["synthetic", "shape"].note
    # Two films of a group count as one.
    whole = shares[("real",)].interval
    assert whole is not None and whole.high >= 1 - 0.025 ** (1 / 60) - 1e-9
