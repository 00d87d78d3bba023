"""The phantom as a whole: exact labels, reproducible samples, recipes that refuse nonsense."""

import hashlib
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from cspine_bench.anatomy.alignment import cobb_c2_c7_deg
from cspine_bench.anatomy.classes import CURVATURE_CLASSES, Facing
from cspine_bench.anatomy.curvature import curvature_class
from cspine_bench.anatomy.landmarks import CORNER_LEVELS, LANDMARK_NAMES, MASK_LABELS
from cspine_bench.dataset.source import Radiograph
from cspine_bench.errors import RecipeError
from cspine_bench.recipe import apply_overrides
from cspine_bench.seeding import numpy_generator
from cspine_bench.sources.phantom import PhantomRecipe, PhantomSource
from cspine_bench.sources.phantom.artefacts import ARTEFACTS
from cspine_bench.sources.phantom.person import BODY_LEVELS, draw_person
from cspine_bench.sources.phantom.render import build_anatomy, render_masks
from cspine_bench.sources.phantom.subject import build_camera, draw_subject


def make(recipe: PhantomRecipe, count: int, seed: int = 3, only: list[int] | None = None) -> list[Radiograph]:
    source = PhantomSource(recipe, count, seed)
    keys = source.list_samples()
    return list(source.iter_radiographs(keys if only is None else [keys[index] for index in only]))


def digest(radiograph: Radiograph) -> str:
    parts = (radiograph.image, radiograph.mask, radiograph.landmarks_xy)
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


@pytest.fixture(scope="module")
def films() -> list[Radiograph]:
    return make(PhantomRecipe(), 24)


def test_landmarks_lie_on_the_masks_corners_within_a_pixel() -> None:
    """Within a pixel (at 256) of the mask's corner: near its edge, where it fills about a quarter of the neighbourhood.

    Looked at with 1024 pixels, where a pixel's own size no longer blurs what is being measured.
    """
    recipe = PhantomRecipe(size=1024)
    subjects = [draw_subject(recipe, 3, index) for index in range(8)]
    anatomy, points = build_anatomy(subjects)
    camera = build_camera(subjects, 1024)
    masks = render_masks(anatomy, camera, 1024)
    landmarks = camera.project_points(points, 1024).numpy()
    for mask, xy, subject in zip(masks, landmarks, subjects, strict=True):
        for name, (x, y) in zip(LANDMARK_NAMES[1:], xy[1:], strict=True):
            column, row = round(x), round(y)
            body = mask[row - 24 : row + 25, column - 24 : column + 25] == MASK_LABELS[name[:2]]
            rows, columns = np.mgrid[row - 24 : row + 25, column - 24 : column + 25]
            distance = np.hypot(columns - x, rows - y)
            where = f"sample {subject.index} {name}"
            assert distance[body].min() <= 4.0, f"{where}: {distance[body].min() / 4:.2f} px outside its body"
            assert distance[~body].min() <= 4.0, f"{where}: {distance[~body].min() / 4:.2f} px inside its body"
            filled = body[distance < 18].mean()
            assert 0.12 < filled < 0.36, f"{where}: the mask fills {filled:.2f} round it; an edge would fill half"


def test_every_mask_holds_its_levels_and_the_centroid_lies_in_c2(films: list[Radiograph]) -> None:
    for film in films:
        assert film.mask is not None
        assert set(np.unique(film.mask)) >= {0, 2, 3, 4, 5, 6, 7}
        assert set(np.unique(film.mask)) <= set(range(9))
        x, y = film.landmarks_xy[0].round().astype(int)
        assert film.mask[y, x] == MASK_LABELS["C2"]


def test_bodies_are_brighter_than_the_discs_between_them(films: list[Radiograph]) -> None:
    """Pixels agree with labels: along the column, every disc of C3 to C7 is a dip."""
    dips = []
    for film in films:
        for upper, lower in pairwise(CORNER_LEVELS):
            corners = {
                name: film.landmarks_xy[LANDMARK_NAMES.index(name)]
                for name in (f"{upper}_inferior_anterior", f"{upper}_inferior_posterior", f"{lower}_superior_anterior",
                             f"{lower}_superior_posterior")
            }  # fmt: skip
            disc = np.mean(list(corners.values()), axis=0)
            bodies = [
                np.mean(
                    [film.landmarks_xy[i] for i, name in enumerate(LANDMARK_NAMES) if name.startswith(level)], axis=0
                )
                for level in (upper, lower)
            ]
            image = film.image.astype(np.float64)
            value = [image[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2].mean() for x, y in (disc, *bodies)]
            dips.append(value[0] < (value[1] + value[2]) / 2)
    assert np.mean(dips) > 0.9


def test_the_curvature_label_is_the_rules_verdict_on_the_landmarks(films: list[Radiograph]) -> None:
    for film in films:
        verdict = curvature_class(film.landmarks_xy, pixel_spacing_mm=film.fields["pixel_spacing_mm"])
        assert film.fields["curvature"] == verdict


def test_landmarks_stay_inside_the_film_and_the_collimator(films: list[Radiograph]) -> None:
    for film in films:
        assert film.landmarks_xy.min() > 0.03 * 256
        assert film.landmarks_xy.max() < 0.97 * 256
    for film in make(PhantomRecipe(size=128, collimation_share=1.0), 20):
        columns, rows = film.landmarks_xy.round().astype(int).T
        # The shutter leaves exact zeros; soft tissue never is.
        assert (film.image[rows, columns] > 0).all()


def test_a_sample_does_not_depend_on_its_neighbours() -> None:
    recipe = PhantomRecipe(size=128)
    together = make(recipe, 6)
    alone = [make(recipe, 6, only=[index])[0] for index in (5, 0, 3)]
    shuffled = make(recipe, 6, only=[4, 1, 5])
    longer = make(recipe, 50, only=[2])
    assert [digest(film) for film in alone] == [digest(together[index]) for index in (5, 0, 3)]
    assert [digest(film) for film in shuffled] == [digest(together[index]) for index in (4, 1, 5)]
    assert digest(longer[0]) == digest(together[2])


def test_seeds_and_indices_give_different_people() -> None:
    recipe = PhantomRecipe(size=64)
    assert len({digest(film) for film in make(recipe, 8) + make(recipe, 8, seed=4)}) == 16


def test_more_pixels_show_the_same_person() -> None:
    small, large = make(PhantomRecipe(size=128), 1)[0], make(PhantomRecipe(size=512), 1)[0]
    np.testing.assert_allclose((small.landmarks_xy + 0.5) * 4 - 0.5, large.landmarks_xy, atol=1e-3)
    shrunk = large.image.reshape(128, 4, 128, 4).mean((1, 3))
    assert np.corrcoef(shrunk.ravel(), small.image.ravel())[0, 1] > 0.97


def test_facing_right_mirrors_the_anatomy() -> None:
    left, right = make(PhantomRecipe(), 1)[0], make(PhantomRecipe(facing="right"), 1)[0]
    np.testing.assert_allclose(255 - left.landmarks_xy[:, 0], right.landmarks_xy[:, 0], atol=1e-3)
    assert (left.mask[:, ::-1] == right.mask).mean() > 0.9999
    facing = "right"
    cobb = cobb_c2_c7_deg(right.landmarks_xy, facing=facing)
    assert cobb == pytest.approx(cobb_c2_c7_deg(left.landmarks_xy), abs=1e-3)


def test_sixteen_bits_hold_more_than_eight() -> None:
    eight, sixteen = make(PhantomRecipe(), 1)[0], make(PhantomRecipe(bit_depth=16), 1)[0]
    assert sixteen.image.dtype == np.uint16
    assert len(np.unique(sixteen.image)) > 5 * len(np.unique(eight.image))
    assert np.abs(sixteen.image / 257 - eight.image).max() <= 0.51


def test_bone_and_soft_layers_split_the_film() -> None:
    layers = {layer: make(PhantomRecipe(layer=layer), 1)[0] for layer in ("all", "bone", "soft")}
    assert len({digest(film) for film in layers.values()}) == 3
    masked = layers["all"].mask == MASK_LABELS["C4"]
    bone = layers["bone"].image.astype(np.float64)
    assert bone[masked].mean() > 60 + np.median(bone), "bone alone stands on black"
    spread = {name: film.image.astype(np.float64)[masked].std() for name, film in layers.items()}
    assert spread["soft"] < spread["all"]


def test_other_views_show_the_same_person_without_lateral_landmarks() -> None:
    views = (0.0, 8.0, 20.0, 90.0)
    source = PhantomSource(PhantomRecipe(view_angles_deg=views, rotation_sd_deg=0.5), 8, 1)
    keys = source.list_samples()
    assert [key.group_id for key in keys] == ["person-00000000"] * 4 + ["person-00000001"] * 4
    films = list(source.iter_radiographs(keys))
    assert [bool(np.isnan(film.landmarks_xy).all()) for film in films] == [False, False, True, True] * 2
    for film in films:
        lateral = not np.isnan(film.landmarks_xy).any()
        for name in ("facing", "curvature", "pixel_spacing_mm", "pixel_spacing_plane"):
            assert (film.fields[name] is not None) == lateral
    assert digest(films[0]) == digest(make(PhantomRecipe(rotation_sd_deg=0.5), 1, seed=1)[0])
    # Seen from in front the column is wider than from the side: 22 mm against 16.
    widths = [np.ptp(np.argwhere(film.mask == MASK_LABELS["C5"])[:, 1]) for film in films[:4]]
    assert widths[3] > 1.15 * widths[0]


@pytest.mark.parametrize(("facing", "view"), [("left", -9.0), ("right", 9.0)])
def test_oblique_labels_agree_with_their_own_landmarks(facing: Facing, view: float) -> None:
    for film in make(PhantomRecipe(size=64, facing=facing, view_angles_deg=(view,), rotation_sd_deg=2.0), 30):
        if film.fields["curvature"] is not None:
            spacing = film.fields["pixel_spacing_mm"]
            verdict = curvature_class(film.landmarks_xy, pixel_spacing_mm=spacing, facing=facing)
            assert film.fields["curvature"] == verdict


def test_class_labels_bear_landmarks_that_are_slightly_off(films: list[Radiograph]) -> None:
    """A tenth of a pixel of noise on every landmark does not change a class."""
    noise = np.random.default_rng(0)
    for film in films:
        shaken = film.landmarks_xy + noise.normal(0, 0.1, (23, 2))
        assert curvature_class(shaken, pixel_spacing_mm=film.fields["pixel_spacing_mm"]) == film.fields["curvature"]


@pytest.fixture(scope="module")
def clean() -> list[Radiograph]:
    return make(PhantomRecipe(), 2)


@pytest.mark.parametrize("name", ARTEFACTS)
def test_artefacts_spoil_the_image_and_leave_the_labels(clean: list[Radiograph], name: str) -> None:
    weak = make(PhantomRecipe(artefacts=(name,), artefact_strength=(0.2, 0.2)), 2)
    strong = make(PhantomRecipe(artefacts=(name,), artefact_strength=(0.9, 0.9)), 2)
    for reference, mild, heavy in zip(clean, weak, strong, strict=True):
        assert heavy.fields["artefact"] == name
        assert heavy.fields["artefact_strength"] == pytest.approx(0.9)
        np.testing.assert_array_equal(reference.mask, heavy.mask)
        np.testing.assert_array_equal(reference.landmarks_xy, heavy.landmarks_xy)
        errors = [np.mean((film.image.astype(float) - reference.image) ** 2) for film in (mild, heavy)]
        assert 0 < errors[0] < errors[1]


def test_traits_follow_the_recipe() -> None:
    keys = PhantomSource(PhantomRecipe(), 4000, 0).list_samples()
    counts = Counter(key.strata["curvature"] for key in keys)
    # CSXA: 1,760 lordotic and 504 kyphotic of 4,963; 4 standard errors of n = 4,000.
    assert counts["lordotic"] / 4000 == pytest.approx(1760 / 4963, abs=0.031)
    assert counts["kyphotic"] / 4000 == pytest.approx(504 / 4963, abs=0.02)
    only = apply_overrides(PhantomRecipe(), [f"curvature.{name}=0" for name in CURVATURE_CLASSES if name != "sigmoid2"])
    assert {key.strata["curvature"] for key in PhantomSource(only, 50, 0).list_samples()} == {"sigmoid2"}


def test_people_have_the_published_dimensions() -> None:
    people = {
        sex: [draw_person(numpy_generator(1, "test", i), sex=sex, age=45, disease="healthy") for i in range(400)]
        for sex in ("male", "female")
    }
    everyone = people["male"] + people["female"]
    cervical = slice(BODY_LEVELS.index("C3"), BODY_LEVELS.index("C7") + 1)
    # Tolerances: four standard errors of n = 800, and half the last digit of the source.
    depth = np.array([(p.superior_depth + p.inferior_depth)[cervical] / 2 for p in everyone])
    assert depth.mean() == pytest.approx(16.1, abs=0.4), "CT, n = 130: 16.1 (SD 1.8) mm"
    assert depth.std() == pytest.approx(1.8, abs=0.25)
    assert depth[:, 0].mean() < depth[:, 4].mean()
    for name, mean in (("anterior_height", 10.0), ("posterior_height", 11.1)):
        heights = np.array([getattr(p, name)[cervical] for p in everyone])
        assert heights.mean() == pytest.approx(mean, abs=0.25), name
        assert heights.std() == pytest.approx(1.4, abs=0.25), name
        assert BODY_LEVELS[cervical][int(heights.mean(0).argmin())] == "C5"
        assert BODY_LEVELS[cervical][int(heights.mean(0).argmax())] == "C7"
        assert (depth.mean(0) > heights.mean(0)).all(), "bodies are deeper than high from C3 to C7"
    discs = {name: np.array([getattr(p, name)[:5] for p in everyone]) for name in ("anterior_disc", "posterior_disc")}
    np.testing.assert_allclose(discs["anterior_disc"].mean(0), [4.1, 4.3, 4.0, 3.6, 3.6], atol=0.25)
    np.testing.assert_allclose(discs["posterior_disc"].mean(0), [3.0, 2.8, 2.5, 2.9, 2.5], atol=0.2)
    spinous = np.array([p.spinous_length for p in everyone])
    assert spinous[:, 1:5].mean() == pytest.approx(15.3, abs=0.5), "C3-C6: 15.3 (SD 4.3) mm"
    assert BODY_LEVELS[int(spinous.mean(0)[1:6].argmin()) + 1] == "C3"
    assert BODY_LEVELS[int(spinous.mean(0)[1:6].argmax()) + 1] == "C7"
    for name, ratio in (("superior_depth", 1.05), ("canal", 1.03)):
        means = {sex: np.mean([getattr(p, name)[1:6] for p in group]) for sex, group in people.items()}
        assert means["male"] / means["female"] == pytest.approx(ratio, abs=0.025), name
    assert np.corrcoef(depth[:, 0], depth[:, 4])[0, 1] > 0.4, "levels of one person go together"


def test_spondylosis_narrows_discs_and_grows_osteophytes() -> None:
    groups = {
        disease: [draw_person(numpy_generator(2, "test", i), sex="male", age=60, disease=disease) for i in range(200)]
        for disease in ("healthy", "spondylosis")
    }
    discs = {disease: np.mean([p.anterior_disc for p in people], axis=0) for disease, people in groups.items()}
    assert (discs["spondylosis"] < discs["healthy"]).all()
    assert (1 - discs["spondylosis"] / discs["healthy"]).argmax() in (3, 4), "C5/6 or C6/7 narrows most"
    spurs = {disease: np.mean([p.osteophyte.max() for p in people]) for disease, people in groups.items()}
    assert spurs["spondylosis"] > 3 * spurs["healthy"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("colour=red", "unknown setting 'colour'"),
        ("facng=right", "did you mean 'facing'"),
        ("curvature.lordotc=1", "unknown setting 'curvature.lordotc'; did you mean 'lordotic'"),
        ("flexion_sd_deg=40", "less than or equal to 12"),
        ("size=100", "multiple of 16"),
        ("facing=up", "'left' or 'right'"),
        ("field_of_view_mm=[90, 100]", "within 140 and 260 (C2 to C7 must fit in"),
        ("field_of_view_mm=[200, 170]", "two rising numbers"),
        ("artefacts=[smudge]", "known: motion, blur"),
        ("artefact_strength=[0.5, 1.5]", "within 0 and 1"),
        ("curvature.lordotic=-1", "greater than or equal to 0"),
        ("curvature=3", "valid dictionary"),
        ("spondylosis_share=.nan", "spondylosis_share"),
        ("size", "key=value"),
        ("size.deep=3", "no nested settings"),
    ],
)
def test_impossible_recipes_are_refused_with_the_reason(override: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        apply_overrides(PhantomRecipe(), [override])
    assert message in str(caught.value)


def test_a_mix_without_any_class_is_refused() -> None:
    with pytest.raises(RecipeError, match="at least one curvature class"):
        apply_overrides(PhantomRecipe(), [f"curvature.{name}=0" for name in CURVATURE_CLASSES])
