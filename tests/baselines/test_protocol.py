"""The protocol's parts: nested label subsets, equal updates in every arm, and sides that share no radiograph."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from phantom_cases import make_phantoms
from small_sides import build_small_recipe, write_sides, write_small

from cspine_bench.baselines.arms import build_stages, list_arms
from cspine_bench.baselines.learn import rate_share, train_network
from cspine_bench.baselines.recipe import ARMS, BaselineRecipe, LearningRecipe
from cspine_bench.baselines.registry import build_task
from cspine_bench.baselines.run import open_usefulness
from cspine_bench.baselines.sides import describe_copies, describe_facing, open_sides, refuse_leaks
from cspine_bench.baselines.subsets import draw_subset
from cspine_bench.baselines.task import Batch, Task
from cspine_bench.baselines.unet import TaskNetwork
from cspine_bench.baselines.within import require_within, write_subset
from cspine_bench.dataset.read import open_dataset
from cspine_bench.errors import CspineBenchError, DataError, RecipeError
from cspine_bench.measurement.inputs import open_images

MakeOnce = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="module")
def folder(make_once: MakeOnce) -> Path:
    return make_once("small-sides", write_sides)


def test_subsets_are_nested_and_cut_no_group() -> None:
    groups = [f"g{number // 3}" for number in range(60)]
    chosen = [set(draw_subset(groups, fraction, seed=4, number=1)) for fraction in (0.05, 0.1, 0.5, 1.0)]
    assert [len(places) for places in chosen] == [3, 6, 30, 60]
    assert all(small <= large for small, large in itertools.pairwise(chosen))
    assert all(len({groups[place] for place in places}) * 3 == len(places) for places in chosen)
    others = [set(draw_subset(groups, 0.1, seed=4, number=number)) for number in range(8)]
    assert len({frozenset(other) for other in others}) > 1


def test_every_arm_makes_as_many_updates() -> None:
    recipe = build_small_recipe(arms=list(ARMS), ratios=[0.5, 2.0])
    cases = make_phantoms(8)
    real, synthetic = cases.take(np.arange(4)), cases.take(np.arange(4, 8))
    counts = {}
    for arm in list_arms(recipe.protocol):
        stages = build_stages(arm, recipe, real, synthetic, seed=0)
        assert sum(stage.updates for stage in stages) == recipe.learning.updates
        counts[arm.label] = [len(stage.cases) for stage in stages]
    assert counts == {
        "real": [4], "real-augmented": [4], "real-restarted": [4, 4], "synthetic": [4], "mixed-0.5": [6],
        "mixed-2": [8], "pretrained": [4, 4], "self-supervised": [4, 4],
    }  # fmt: skip


def test_rate_rises_stays_and_falls() -> None:
    recipe = LearningRecipe(warmup_share=0.1, decay_share=0.5)
    shares = [rate_share(recipe, update, 100) for update in range(100)]
    assert shares[0] == pytest.approx(0.1) and shares[9] == shares[49] == 1.0
    assert shares[75] == pytest.approx(0.5) and shares[99] == pytest.approx(0.02)


def test_a_seed_gives_the_same_network_and_a_loss_that_is_none_stops() -> None:
    recipe = build_small_recipe()
    task, cases = build_task(recipe), make_phantoms(6)
    [arm] = [arm for arm in list_arms(recipe.protocol) if arm.name == "self-supervised"]
    stages = build_stages(arm, recipe, cases, cases, seed=0)
    first, again = (train_network(task, recipe, stages, seed=5, learning_rate=1e-3).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    with pytest.raises(CspineBenchError, match=r"set a lower learning\.learning_rates"):
        train_network(cast(Task, _Exploding()), recipe, stages[1:], seed=0, learning_rate=1e-3)


class _Exploding:
    """A task whose loss is no number."""

    def build_network(self) -> TaskNetwork:
        return build_task(build_small_recipe()).build_network()

    def compute_loss(self, network: TaskNetwork, batch: Batch) -> torch.Tensor:
        return network(batch.images).sum() * float("nan")


def test_sides_are_dealt_into_roles(folder: Path) -> None:
    recipe = build_small_recipe()
    sides = open_sides(build_task(recipe), 32, real=folder / "real", synthetic=folder / "synthetic")
    assert [len(cases) for cases in (sides.train, sides.validation, sides.test)] == [6, 3, 3]
    assert [len(cases) for cases in (sides.synthetic, sides.synthetic_test)] == [9, 3]
    assert [item.role for item in sides.inputs] == ["real", "synthetic"]


def test_a_test_radiograph_to_learn_from_is_refused_by_name(folder: Path, tmp_path: Path) -> None:
    recipe = build_small_recipe()
    with pytest.raises(DataError, match=r"the very pixels of.*small0000\d+ = small0000\d+"):
        open_sides(build_task(recipe), 32, real=folder / "real", synthetic=folder / "real")
    # Other pixels of the same anatomy, by a source whose groups are numbers of its own.
    films = open_images("real", folder / "real", splits=("test",))
    same = replace(films, pixel_sha256=tuple("0" * 64 for _ in films.sample_ids))
    with pytest.raises(DataError, match="the patient or anatomy of"):
        refuse_leaks({"test": films}, same)


def test_real_films_among_the_synthetic_ones_are_told_of(folder: Path) -> None:
    films = {split: open_images("real", folder / "real", splits=(split,)) for split in ("train", "validation", "test")}
    made = open_images("synthetic", folder / "synthetic")
    assert describe_copies(films, made) == []
    copies = replace(made, pixel_sha256=(*films["train"].pixel_sha256[:2], *made.pixel_sha256[2:]))
    refuse_leaks(films, copies)
    assert describe_copies(films, copies)[0].startswith("2 of 12 synthetic radiographs have the very pixels")
    # Other pixels of the same patients.
    patients = replace(films["train"], role="synthetic", pixel_sha256=tuple(str(n) for n in range(6)))
    assert describe_copies(films, patients)[0].startswith("6 of 6 ")


def test_synthetic_radiographs_that_face_the_other_way_are_told_of(folder: Path) -> None:
    test = open_images("real", folder / "real", splits=("test",))
    made = open_images("synthetic", folder / "synthetic")

    def face(side: str) -> list[str]:
        return describe_facing(replace(test, facing=("left",) * 3), replace(made, facing=(side,) * 12))

    assert face("right")[0].startswith("The synthetic radiographs face right, those of the test split left: ")
    assert face("left") == face("unknown") == []


def test_a_missing_split_and_missing_labels_are_named(folder: Path, tmp_path: Path) -> None:
    task = build_task(build_small_recipe())
    write_subset(folder / "real", tmp_path / "all", fraction=1.0, seed=0)
    lonely = tmp_path / "one"
    write_small(lonely, 1, first=500)
    with pytest.raises(DataError, match="has no split"):
        open_sides(task, 32, real=lonely, synthetic=folder / "synthetic")
    with pytest.raises(DataError, match="no whole multiple of the recipe's size 48"):
        open_sides(task, 48, real=folder / "real", synthetic=folder / "synthetic")


def test_a_subset_is_a_dataset_and_a_generator_must_have_stayed_inside(folder: Path, tmp_path: Path) -> None:
    recipe = build_small_recipe(subsets="fixed")
    summary = write_subset(folder / "real", tmp_path / "half", fraction=0.5, seed=0)
    assert summary.num_samples == {"train": 3, "validation": 3, "test": 3}
    whole = {record.sample_id: record for record in open_dataset(folder / "real").iter_records()}
    rows = list(open_dataset(tmp_path / "half").iter_records())
    assert all(whole[record.sample_id] == record for record in rows)
    films = open_images("real", folder / "real", splits=("train",))
    places = draw_subset(films.group_ids, 0.5, seed=0, number=0)
    assert {record.sample_id for record in rows if record.split == "train"} == {films.sample_ids[p] for p in places}
    sides = open_sides(build_task(recipe), 32, real=folder / "real", synthetic=folder / "synthetic")
    synthetic = str(folder / "synthetic")
    with pytest.raises(DataError, match="nothing in its manifest says"):
        require_within(sides, recipe, {0.5: synthetic}, seed=0)
    with pytest.raises(RecipeError, match=r"fractions are 0\.5, 1"):
        require_within(sides, recipe, {0.25: synthetic}, seed=0)
    with pytest.raises(RecipeError, match=r"protocol\.subsets=fixed"):
        require_within(sides, build_small_recipe(), {0.5: synthetic}, seed=0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"protocol": {"arms": ["synthetic"]}}, "must name `real`"),
        ({"protocol": {"fractions": [0.5, 0.5]}}, "names a value twice"),
        ({"size": 36, "network": {"unshuffle": 4, "widths": [8, 16]}}, "multiple of 8"),
    ],
)
def test_an_impossible_recipe_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        BaselineRecipe.model_validate({"task": {"kind": "landmarking"}} | change)


def test_what_the_generator_learnt_from_begins_the_verdict_below_all_labels(folder: Path, tmp_path: Path) -> None:
    task = open_usefulness(build_small_recipe(), tmp_path, real=folder / "real", synthetic=folder / "synthetic")
    assert task.sides.origin == "" and task.cautions == ()
    learnt = replace(task, sides=replace(task.sides, origin="The generator of ds learnt from 6 films: ..."))
    assert learnt.cautions == (learnt.sides.origin,)
    whole = replace(
        learnt, job=replace(task.job, store=replace(task.job.store, recipe=build_small_recipe(fractions=[1.0])))
    )
    assert whole.cautions == ()
