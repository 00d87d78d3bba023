"""Figures of subgroups: which images they are of, equal counts, widened levels, and groups that are too small."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

sys.path.insert(0, str(Path(__file__).parent.parent / "dataset"))

from toy_source import ToySource

from cspine_bench.dataset.write import write_dataset
from cspine_bench.evaluate.fidelity.recipe import FidelityRecipe
from cspine_bench.evaluate.fidelity.subgroups import Subgroups, measure_subgroups
from cspine_bench.measurement.inputs import SUBGROUPS, UNKNOWN, Images, open_images
from cspine_bench.metrics.kernel import kernel_distance
from cspine_bench.results import Figure


@pytest.fixture(scope="module")
def toys(make_once: Callable[[str, Callable[[Path], object]], Path]) -> Images:
    return open_images("real", make_once("subgroup-toys", lambda path: write_dataset(ToySource(8), path)))


def make_side(toys: Images, role: str, **labels: tuple[str, ...]) -> Images:
    """Labels alone: figures of subgroups look at no image."""
    count = len(next(iter(labels.values())))
    ids = tuple(f"{role}-{row}" for row in range(count))
    every = {name: labels.get(name, (UNKNOWN,) * count) for name in SUBGROUPS}
    return replace(toys, role=role, sample_ids=ids, group_ids=ids, labels=every)


def draw(count: int, seed: int, shift: float = 0.0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(shift, 1, (count, 6)).astype(np.float32)


def measure(real: Images, synthetic: Images, *features: NDArray[np.float32], **settings: Any) -> Subgroups:
    recipe = FidelityRecipe(**{"least_subgroup": 30, "num_floors": 2, "subgroups": ("sex",)} | settings)
    return measure_subgroups(
        real, synthetic, real_features=features[0], synthetic_features=features[1], recipe=recipe, seed=2
    )


def of_group(found: Subgroups, name: str) -> dict[str, Figure]:
    return {next(iter(one.subgroup.values())): one for one in found.figures if one.name == name}


def test_each_group_is_compared_with_its_own(toys: Images) -> None:
    """The generator fails women alone."""
    real = make_side(toys, "real", sex=("female",) * 60 + ("male",) * 40 + (UNKNOWN,) * 5)
    synthetic = make_side(toys, "synthetic", sex=("male",) * 50 + ("female",) * 35)
    features = draw(105, 0), np.concatenate([draw(50, 1), draw(35, 2, 2.5)])
    found = measure(real, synthetic, *features)
    kernel = of_group(found, "kernel_distance")
    assert kernel["female"].value == pytest.approx(kernel_distance(real=features[0][:60], synthetic=features[1][50:]))
    assert kernel["male"].value == pytest.approx(kernel_distance(real=features[0][60:100], synthetic=features[1][:50]))
    assert kernel["female"].n_used == {"real": 60, "synthetic": 35} == kernel["female"].n_available
    for name in ("frechet_distance", "precision", "recall", "density", "coverage"):
        figures = of_group(found, name)
        assert [one.n_used for one in figures.values()] == [{"real": 40, "synthetic": 35}] * 2
        assert figures["female"].n_available == {"real": 60, "synthetic": 35}
        assert "cut to 40 real and 35 synthetic images" in figures["male"].note
        assert figures["male"].floor is not None and figures["male"].floor.n_used == (20, 20)
    assert of_group(found, "precision")["female"].value < 0.3 < 0.6 < of_group(found, "precision")["male"].value
    (missing,) = found.not_measured
    assert missing.subgroup == {"sex": UNKNOWN}
    assert missing.reason == "5 real and 0 synthetic images have no sex, and make no group"


def test_levels_are_widened_for_the_number_of_groups(toys: Images) -> None:
    ages = ("20-39", "40-59", "60-79", "80-99")
    real, synthetic = (
        make_side(toys, role, age_band=tuple(np.repeat(ages, 30)), sex=("female",) * 60 + ("male",) * 60)
        for role in ("real", "synthetic")
    )
    found = measure(real, synthetic, draw(120, 3), draw(120, 4), subgroups=("sex", "age_band"))
    levels = {next(iter(one.subgroup)): one.interval.level for one in found.figures if one.interval}
    assert levels == pytest.approx({"sex": 0.975, "age_band": 0.9875})
    old = of_group(found, "frechet_distance")["80-99"]
    assert old.interval is not None and "One of 4 groups by age band" in old.note
    alone = make_side(toys, "real", age_band=ages[:1] * 30 + ages[3:] * 30)
    one = measure(
        replace(alone, labels={**alone.labels, "age_band": (UNKNOWN,) * 30 + ages[3:] * 30}),
        make_side(toys, "synthetic", age_band=ages[3:] * 30),
        np.concatenate([draw(30, 9), draw(120, 3)[90:]]),
        draw(120, 4)[90:],
        subgroups=("age_band",),
    )
    single = of_group(one, "frechet_distance")["80-99"]
    assert (
        single.interval is not None and single.interval.level == pytest.approx(0.95) and "Bonferroni" not in single.note
    )
    widths = [figure.interval.high - figure.value for figure in (old, single) if figure.interval]
    assert old.value == single.value
    assert widths[0] / widths[1] == pytest.approx(stats.t.ppf(1 - 0.025 / 4, 19) / stats.t.ppf(0.975, 19))


def test_small_groups_are_named_and_not_measured(toys: Images) -> None:
    real = make_side(toys, "real", sex=("female",) * 60 + ("male",) * 29, disease=(UNKNOWN,) * 89)
    synthetic = make_side(toys, "synthetic", sex=("female",) * 50 + ("male",) * 900, disease=("healthy",) * 950)
    found = measure(real, synthetic, draw(89, 5), draw(950, 6), subgroups=("sex", "disease", "curvature", "checkpoint"))
    assert {next(iter(one.subgroup.values())) for one in found.figures} == {"female"}
    told = {(one.name, *one.subgroup.values()): one.reason for one in found.not_measured}
    assert told == {
        ("subgroup", "male"): "29 real and 900 synthetic images; at least 30 on each side are needed",
        ("subgroups by disease",): "no real image is labelled by disease",
        ("subgroups by curvature",): "no real and no synthetic image is labelled by curvature",
        ("subgroups by checkpoint",): "no synthetic image is labelled by checkpoint",
    }


def test_each_checkpoint_is_compared_with_all_real_images(toys: Images) -> None:
    real = make_side(toys, "real", sex=("female",) * 70)
    synthetic = make_side(toys, "synthetic", checkpoint=("aaa",) * 40 + ("bbb",) * 35 + (UNKNOWN,) * 4)
    features = draw(70, 7), draw(79, 8)
    found = measure(real, synthetic, *features, subgroups=("checkpoint",))
    kernel = of_group(found, "kernel_distance")
    assert kernel["bbb"].value == pytest.approx(kernel_distance(real=features[0], synthetic=features[1][40:75]))
    assert kernel["aaa"].n_used == {"real": 70, "synthetic": 40}
    assert "against all real ones" in kernel["aaa"].note
    assert [one.reason for one in found.not_measured] == ["4 synthetic images have no checkpoint, and make no group"]
    one = make_side(toys, "synthetic", checkpoint=("aaa",) * 79)
    alike = measure(real, one, *features, subgroups=("checkpoint",))
    assert alike.figures == () and "those of all" in alike.not_measured[0].reason
