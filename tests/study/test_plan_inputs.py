"""What a plan refuses, and what it says; what it leaves out, and how it counts that."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cspine_bench.errors import DataError, RecipeError
from cspine_bench.recipe import apply_overrides
from cspine_bench.study.folder import map_frames
from cspine_bench.study.plan.frames import Canvas, choose_canvas, choose_window
from cspine_bench.study.plan.make import build_plan, name_readers
from cspine_bench.study.plan.match import draw_sets
from cspine_bench.study.plan.pools import build_pools
from cspine_bench.study.plan.sides import Sides, open_sides
from cspine_bench.study.plan.write import write_plan
from cspine_bench.study.protocol import spell_rehearsal
from cspine_bench.study.recipe import StudyRecipe
from cspine_bench.study.shipped import list_recipes, open_recipe
from tests.study.small_images import write_images
from tests.study.small_study import SECRET, SMALL, build_small_plan, make_small_sources, open_small_sides

MakeOnce = Callable[..., Path]


@pytest.fixture(scope="module")
def odd(make_once: MakeOnce) -> Path:
    """Datasets that do not fit: larger, deeper, of the same patients, copies, and mirrored near copies."""

    def mirror(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return image[:, ::-1] + random.standard_normal(image.shape)

    def fill(folder: Path) -> None:
        write_images(folder / "large", range(300, 324), "large", size=80)
        write_images(folder / "deep", range(400, 424), "deep", bits=16)
        write_images(folder / "deeper", range(450, 474), "deeper", bits=16)
        write_images(folder / "patients", range(500, 512), "few", groups=4)
        write_images(folder / "copies", range(10), "copy")
        write_images(folder / "twins", range(600, 624), "twin", change=mirror)
        write_images(folder / "made", range(700, 714), "made", kind="phantom", test_share=1)
        write_images(folder / "women", range(800, 848, 2), "woman")
        write_images(folder / "twinfilms", range(600, 624), "model")

    return make_once("study-odd-sources", fill)


def recipe_of(*settings: str) -> StudyRecipe:
    return apply_overrides(StudyRecipe(), [*SMALL, *settings])


def refuse(sides: Sides, *settings: str) -> str:
    with pytest.raises(DataError) as met:
        build_plan(sides, recipe_of(*settings), seed=0, secret=SECRET)
    return str(met.value)


def test_too_few_images_are_refused_with_the_numbers(make_once: MakeOnce, odd: Path) -> None:
    sides = open_small_sides(make_once)
    told = refuse(sides, "cases=20")
    assert (
        "real: films (test) gives 15 images of its 15; the study needs 22 (20 for cases, 1 for training, 1 for" in told
    )
    assert "--set cases=13" in told
    assert "s1: s1 gives 24 images of its 24; the study needs 27" in refuse(sides, "cases=12", "negative_controls=3")
    patients = open_sides(odd / "patients", [str(make_small_sources(make_once) / "s1")], real_splits=("train", "test"))
    told = refuse(patients)
    assert "gives 3 images of its 12; 9 show a patient again; the study needs 6" in told
    assert "each of another patient" in told
    # Of two patients' two films each no more are to be had; single images are drawn half and half.
    assert "the study needs 10 " in refuse(patients, "design=single", "negative_controls=0", "cases=18")


def test_strata_run_out_by_name(make_once: MakeOnce, odd: Path) -> None:
    sides = open_small_sides(make_once)
    women = open_sides(make_small_sources(make_once) / "films", [str(odd / "women")])
    told = refuse(women, "cases=10", "strata=[sex]", "design=pair")
    assert "of 13 display sets no further one can be matched" in told
    assert "sex female: real 0 of 8, s1 16 of 24; sex male: real 7 of 7, s1 0 of 0" in told
    assert "real: films (test) gives 0 images of its 15; 15 have no label of the strata" in refuse(
        sides, "strata=[disease]"
    )


def test_matched_sets_agree_and_are_counted(make_once: MakeOnce) -> None:
    sides = open_small_sides(make_once)
    recipe = recipe_of("strata=[sex,age_band,facing]")
    pools = build_pools(sides, choose_canvas([sides.real], recipe), strata=recipe.strata, seed=0)
    draw = draw_sets(pools, recipe)
    everything = sides.list_all()
    for one in draw.sets:
        sexes = {everything[m.side].labels["sex"][m.place] for m in one.members}
        assert len(sexes) == 1
    assert sum(draw.strata.values()) == 6 and all(key[2] == "left" for key in draw.strata)
    drawn = [(m.side, m.place) for one in draw.sets for m in one.members]
    assert len(set(drawn)) == len(drawn)
    # Two sources share three places evenly; three have one each.
    counts = [[m.source for m in one.members].count("s1") for one in draw.sets if one.kind == "main"]
    assert sorted(counts) == [1, 1, 2, 2]
    three = replace(sides, synthetic=dict(zip(("a", "b", "c"), [*sides.synthetic.values()] * 2, strict=False)))
    pools = build_pools(three, choose_canvas([sides.real], recipe), strata=(), seed=0)
    for one in draw_sets(pools, recipe_of("training=0", "positive_controls=0", "negative_controls=0")).sets:
        assert [m.source for m in one.members] == ["real", "a", "b", "c"]


def test_near_copies_and_siblings_are_parted(make_once: MakeOnce, odd: Path) -> None:
    # Every film has its mirrored, noisy twin among the samples: none may sit beside its own.
    sides = open_sides(odd / "twinfilms", [str(odd / "twins")], real_splits=("train", "test"))
    recipe = recipe_of("training=0", "positive_controls=0", "negative_controls=0", "design=pair", "cases=12")
    pools = build_pools(sides, choose_canvas([sides.real], recipe), strata=(), seed=0)
    assert pools["real"].compare(0, [(pools["real"], 0)]) == pytest.approx(1)
    draw = draw_sets(pools, recipe)
    for one in draw.sets:
        real, other = (sides.list_all()[m.side].sample_ids[m.place] for m in one.members)
        assert real[-8:] != other[-8:]
    assert draw.most_alike < recipe.copy_limit < 1
    strict = draw_sets(pools, recipe_of("design=pair", "copy_limit=0.5", "cases=12", "negative_controls=0"))
    assert strict.most_alike <= 0.5
    # A side of twins alone: nothing can be shown with anything, and that is said.
    own = replace(sides, synthetic={"s1": sides.real})
    pools = build_pools(own, choose_canvas([sides.real], recipe), strata=(), seed=0)
    alone = {
        name: replace(pool, places=pool.places[:6], maps=pools["real"].maps[:1].repeat(6, 0))
        for name, pool in pools.items()
    }
    with pytest.raises(DataError, match="after 0 of 6 display sets"):
        draw_sets(
            alone, recipe_of("design=pair", "cases=6", "training=0", "positive_controls=0", "negative_controls=0")
        )


def test_one_image_twice_is_refused_wherever_it_is(make_once: MakeOnce, odd: Path, tmp_path: Path) -> None:
    films = make_small_sources(make_once) / "films"
    with pytest.raises(DataError, match=r"s1 copy\d+ has the pixels of real film\d+ \(and \d+ more\)"):
        open_sides(films, [str(odd / "copies")], real_splits=("train",))
    s1 = str(make_small_sources(make_once) / "s1")
    with pytest.raises(DataError, match=r"late early\d+ has the pixels of early early\d+ \(and 23 more\)"):
        open_sides(films, [f"early={s1}", f"late={s1}"])
    with pytest.raises(DataError, match="has the pixels of s1"):
        open_sides(films, [s1], control=s1)

    def flatten(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return np.linspace(0, 255, image.size).reshape(image.shape) * (1 + (random.integers(2) > 2))

    twice = write_images(
        tmp_path / "twice", range(700, 703), "twice", test_share=1.0, change=lambda i, r: flatten(i, r)
    )
    with pytest.raises(DataError, match=r"have the same pixels|has the pixels of"):
        open_sides(twice, [s1])


def test_sources_are_named_once_and_well(make_once: MakeOnce) -> None:
    folder = make_small_sources(make_once)
    films, s1, s2 = (str(folder / name) for name in ("films", "s1", "s2"))
    sides = open_sides(films, [f"early={s1}", s2])
    assert list(sides.synthetic) == ["early", "s2"]
    assert any("its split test is used" in note for note in sides.notes)
    for texts in ([f"real={s1}"], [f"a={s1}", f"a={s2}"], [f"a b={s1}"], [f"={s1}"], [f"control={s1}"]):
        with pytest.raises(DataError, match="a source cannot be called"):
            open_sides(films, texts)
    with pytest.raises(DataError, match="no synthetic source"):
        open_sides(films, [])
    for names in (("R1", "R1"), ("Dr. Smith",), ("",), ("R1\n",)):
        with pytest.raises(RecipeError, match="use a pseudonym"):
            name_readers(StudyRecipe(), names)
    assert name_readers(StudyRecipe(), ("a", "b"))[0].readers == 2
    assert name_readers(StudyRecipe(readers=12), ())[1][:2] == ("R01", "R02")


def test_training_films_and_their_patients_are_left_out(make_once: MakeOnce) -> None:
    folder = make_small_sources(make_once)
    with_train = open_sides(
        folder / "films",
        [str(folder / "s1"), str(folder / "s2")],
        real_splits=("train", "test"),
        train=folder / "films",
    )
    assert "gives 0 images of its 30; 30 were trained on by the generator" in refuse(with_train)
    plan = build_small_plan(make_once)
    assert any("--train" in note for note in plan.notes)


def test_a_study_without_films_is_a_rehearsal_by_what_images_say(make_once: MakeOnce, odd: Path) -> None:
    sides = open_sides(odd / "made", [str(make_small_sources(make_once) / "s1")])
    words = "14 of 14 images of made are marked as synthetic"
    plan = build_plan(sides, recipe_of("negative_controls=0"), seed=0, secret=SECRET)
    assert plan.protocol.rehearsal == words and any(words in note and "rehearsal" in note for note in plan.notes)
    assert spell_rehearsal(plan.protocol) == f"Rehearsal: {words}. "
    assert spell_rehearsal(build_small_plan(make_once).protocol) == spell_rehearsal(None) == ""
    assert any("fewer than 20 images" in note for note in plan.notes)


def test_sizes_and_depths_come_together_by_one_rule_or_not_at_all(make_once: MakeOnce, odd: Path) -> None:
    small, large, deep = (
        open_sides(make_small_sources(make_once) / "films", [str(folder)])
        for folder in (make_small_sources(make_once) / "s1", odd / "large", odd / "deep")
    )

    def choose(sides: Sides, *settings: str) -> Canvas:
        return choose_canvas(list(sides.list_all().values()), recipe_of(*settings))

    assert (choose(small).width, choose(small).resampled, choose(small, "size=40").resampled) == (40, False, False)
    with pytest.raises(DataError, match=r"several sizes \(real 40 x 40; s1 80 x 80 px\).*--set size=32"):
        choose(large)
    for size in (40, 64):
        with pytest.raises(DataError, match=f"size {size} px would shrink some images and not others"):
            choose(large, f"size={size}")
    assert choose(large, "size=36").resampled
    with pytest.raises(DataError, match=r"size 96 px lies above that of all images .* set a size below 40"):
        choose(large, "size=96")
    assert choose(deep).bit_depth == 8 and "24 images of 16 bits are rounded to 8" in choose(deep).notes[0]
    with pytest.raises(DataError, match="bit_depth 16 was asked for, and 15 of 39 images have 8 bits"):
        choose(deep, "bit_depth=16")
    sixteen = replace(deep, real=deep.synthetic["s1"])
    assert choose(sixteen).bit_depth == 16 and choose(sixteen, "bit_depth=8").bit_depth == 8
    # By hand: 16 bits to 8 is a division by 257; a wide image is padded to a square by black, then shrunk.
    eight = Canvas(4, 4, 8, False).render(np.array([[0, 257, 65535, 128 * 257 + 128]], np.uint16))
    assert eight.tolist() == [[0, 1, 255, 128]] and eight.dtype == np.uint8
    wide = Canvas(32, 32, 8, True).render(np.full((32, 64), 200, np.uint8))
    assert wide.shape == (32, 32) and (wide[:6] <= 1).all() and (wide[12:20] == 200).all()
    centre, width = choose_window(np.arange(201, dtype=np.uint8).reshape(1, 3, 67))
    assert (centre, width) == (100.5, 199.0), "percentiles .5 and 99.5 of 0..200 are 1 and 199"
    assert choose_window(np.full((1, 4, 4), 7, np.uint8)) == (7.5, 2.0)


def test_frames_of_sixteen_bits_and_of_another_size_are_stored_as_told(odd: Path, tmp_path: Path) -> None:
    every = ("train", "test")
    deep = open_sides(odd / "deep", [str(odd / "deeper")], real_splits=every)
    mixed = open_sides(odd / "twins", [str(odd / "large")], real_splits=every)
    for name, sides, settings, dtype, side in (("deep", deep, (), "<u2", 40), ("mixed", mixed, ("size=36",), "u1", 36)):
        plan = build_plan(sides, recipe_of(*settings), seed=0, allow_leaks="two sizes")
        study = write_plan(plan, tmp_path / name)
        frames = map_frames(study)
        assert frames.dtype == np.dtype(dtype) and frames.shape[1:] == (side, side)
        assert np.array_equal(frames, plan.pixels) and study.protocol.frames.bit_depth == 8 * frames.itemsize
        low, high = np.percentile(frames, (0.5, 99.5))
        centre, width = study.protocol.frames.window
        # Black and white of DICOM's linear function: c - .5 -+ (w - 1) / 2.
        assert centre - 0.5 - (width - 1) / 2 == pytest.approx(low)
        assert centre - 0.5 + (width - 1) / 2 == pytest.approx(high)


def test_recipes_that_come_with_the_package(tmp_path: Path) -> None:
    assert list_recipes() == ["pair", "quartet", "single"]
    assert [open_recipe(name).design for name in list_recipes()] == list_recipes()
    with pytest.raises(RecipeError, match="did you mean quartet"):
        open_recipe("quartets")
    own = tmp_path / "mine.yaml"
    own.write_text("design: pair\ncases: 12\nreadres: 3\n")
    with pytest.raises(RecipeError, match="did you mean 'readers'"):
        open_recipe(str(own))
