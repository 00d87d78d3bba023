"""Drawn spines are plausible, new, and the same whenever they are drawn."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cspine_bench.anatomy.alignment import cobb_c2_c7_deg
from cspine_bench.ddpm.shape_model import ShapeModel, fit_shape_model
from cspine_bench.ddpm.skeleton import draw_skeleton
from cspine_bench.errors import DataError
from cspine_bench.sources.phantom import PhantomRecipe
from cspine_bench.sources.phantom.render import build_anatomy
from cspine_bench.sources.phantom.subject import build_camera, draw_subject

SIZE = 64


@pytest.fixture(scope="module")
def landmarks() -> np.ndarray:
    subjects = [draw_subject(PhantomRecipe(size=SIZE), 1, index) for index in range(120)]
    _, points = build_anatomy(subjects)
    return build_camera(subjects, SIZE).project_points(points, SIZE).numpy()


@pytest.fixture(scope="module")
def model(landmarks: np.ndarray) -> ShapeModel:
    return fit_shape_model(landmarks, np.full(len(landmarks), 2.9))


def test_drawn_shapes_have_the_training_sets_spread(landmarks: np.ndarray, model: ShapeModel) -> None:
    drawn = np.stack([model.draw(0, index).landmarks_xy for index in range(300)]).astype(np.float64)
    np.testing.assert_allclose(drawn.mean(0), landmarks.mean(0), atol=0.8)
    ratio = drawn.std(0) / landmarks.std(0)
    # The ellipsoid cuts the tails of a Gaussian, so a little less than 1.
    assert 0.7 < ratio.mean() < 1.1
    cobb = [cobb_c2_c7_deg(shapes) for shapes in (landmarks, drawn)]
    assert abs(np.mean(cobb[0]) - np.mean(cobb[1])) < 4
    assert model.draw(0, 0).pixel_spacing_mm == pytest.approx(2.9)


def test_no_drawn_shape_is_a_training_shape(landmarks: np.ndarray, model: ShapeModel) -> None:
    for index in range(100):
        shape = model.draw(3, index).landmarks_xy
        nearest = np.sqrt(((landmarks - shape) ** 2).sum(-1).mean(-1)).min()
        assert nearest >= model.min_distance_px * 0.999 > 0
    assert model.measure_nearest_px(landmarks[17]) == 0


@pytest.mark.parametrize("curvature", ["lordotic", "straight", "kyphotic"])
def test_spines_of_a_class_are_drawn_of_that_class_and_still_new(
    landmarks: np.ndarray, model: ShapeModel, curvature: str
) -> None:
    draws = []
    for index in range(8):
        shape = model.draw(3, index, curvature=curvature)
        assert shape.curvature == curvature
        assert np.sqrt(((landmarks - shape.landmarks_xy) ** 2).sum(-1).mean(-1)).min() >= model.min_distance_px * 0.999
        draws.append(shape.num_draws)
        free = model.draw(3, index)
        if free.curvature == curvature:  # the first draw that may be kept is of the class: the same one
            assert np.array_equal(free.landmarks_xy, shape.landmarks_xy) and free.num_draws == shape.num_draws
    assert max(draws) > 1


def test_a_draw_near_a_training_shape_is_passed_over(model: ShapeModel) -> None:
    free = model.draw(3, 0)
    known = replace(model, training=np.concatenate([model.training, free.landmarks_xy[None].astype(np.float64)]))
    again = known.draw(3, 0)
    assert again.num_draws > free.num_draws
    assert known.measure_nearest_px(again.landmarks_xy) >= known.min_distance_px


def test_a_class_that_cannot_be_drawn_is_one_error(landmarks: np.ndarray, model: ShapeModel) -> None:
    unknown = fit_shape_model(landmarks, np.full(len(landmarks), np.nan))
    with pytest.raises(DataError, match="classes are told apart in mm"):
        unknown.draw(0, 0, curvature="straight")
    # At a hundredth of a millimetre a pixel, every column is straight.
    small = replace(model, mean=np.append(model.mean[:-1], np.log(0.01)))
    with pytest.raises(DataError, match="none of 5000 draws was a plausible new kyphotic spine"):
        small.draw(0, 0, curvature="kyphotic")


def test_a_shape_depends_on_seed_and_index_and_survives_storage(model: ShapeModel) -> None:
    again = ShapeModel.from_arrays(model.to_arrays())
    for index in (0, 5):
        np.testing.assert_array_equal(model.draw(1, index).landmarks_xy, again.draw(1, index).landmarks_xy)
    assert not np.array_equal(model.draw(1, 0).landmarks_xy, model.draw(2, 0).landmarks_xy)


def test_unlabelled_and_too_few_shapes(landmarks: np.ndarray) -> None:
    some = landmarks.copy()
    some[3, 4] = np.nan
    assert len(fit_shape_model(some, np.full(len(some), np.nan)).training) == len(some) - 1
    assert fit_shape_model(some, np.full(len(some), np.nan)).draw(0, 0).pixel_spacing_mm is None
    with pytest.raises(DataError, match="needs 24 radiographs with all 23 landmarks, the training split has 10"):
        fit_shape_model(landmarks[:10], np.ones(10))


def test_the_skeleton_shows_bodies_and_points(landmarks: np.ndarray) -> None:
    points = torch.from_numpy(landmarks[:2])
    skeleton = draw_skeleton(points, SIZE)
    assert skeleton.shape == (2, 1, SIZE, SIZE)
    assert skeleton.min() >= 0
    assert skeleton.max() <= 1
    for x, y in landmarks[0]:
        assert skeleton[0, 0, round(y), round(x)] > 0.5
    # Drawn large: a body is gray inside its white outline, and the disc below it is black.
    large = draw_skeleton((points + 0.5) * 4 - 0.5, 4 * SIZE)[0, 0]
    c5, c6 = ((landmarks[0, first : first + 4] + 0.5) * 4 - 0.5 for first in (11, 15))
    places = {
        "inside": c5.mean(0),
        "outline": c5[2:].mean(0) - (0, 1),
        "disc": np.concatenate([c5[2:], c6[:2]]).mean(0),
    }
    seen = {name: float(large[round(y), round(x)]) for name, (x, y) in places.items()}
    assert seen == {"inside": 0.5, "outline": pytest.approx(1, abs=0.3), "disc": pytest.approx(0, abs=0.01)}
    assert skeleton[0, 0, :, -4:].max() < 0.01
    # Twice the size shows the same spine.
    larger = draw_skeleton((points + 0.5) * 2 - 0.5, 2 * SIZE)
    shrunk = torch.nn.functional.avg_pool2d(larger, 2)
    assert (shrunk - skeleton).abs().mean() < 0.01


def test_a_missing_point_leaves_out_its_body_only(landmarks: np.ndarray) -> None:
    points = torch.from_numpy(landmarks[:1].copy())
    points[0, 11] = float("nan")
    whole, partial = draw_skeleton(torch.from_numpy(landmarks[:1]), SIZE), draw_skeleton(points, SIZE)
    assert torch.isfinite(partial).all()
    c3, c5 = (landmarks[0, first : first + 4].mean(0).round().astype(int) for first in (3, 11))
    assert partial[0, 0, c5[1], c5[0]] < whole[0, 0, c5[1], c5[0]]
    assert partial[0, 0, c3[1], c3[0]] == whole[0, 0, c3[1], c3[0]]
