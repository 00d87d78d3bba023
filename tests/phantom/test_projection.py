"""Chords against values worked by hand and against a brute-force march along each ray."""

import math

import numpy as np
import pytest
import torch

from cspine_bench.sources.phantom.projection import Camera, project_labels, project_solids
from cspine_bench.sources.phantom.solids import SolidList, axial_quadric, build_frame, half_space


def make_camera(*, spacing: float, distance: float = 1500.0, centre: tuple[float, float] = (0.0, 0.0)) -> Camera:
    values = {
        "source_x": 12.0,
        "source_z": -7.0,
        "source_distance": distance,
        "centre_x": centre[0],
        "centre_z": centre[1],
        "spacing": spacing,
        "mirror": 1.0,
    }
    return Camera(**{name: torch.tensor([value], dtype=torch.float64) for name, value in values.items()})


def frames(*places: tuple[float, float, float, float, float]) -> np.ndarray:
    return np.stack([build_frame(origin=(x, y, z), pitch_rad=p, yaw_rad=q) for x, y, z, p, q in places])[None]


def march(solid: dict, frame: np.ndarray, camera: Camera, size: int, step: float = 0.02) -> np.ndarray:
    """Length of each ray inside the solid, by testing points every `step` mm of y: the definition, not the formula."""
    source = np.array([float(camera.source_x), -float(camera.source_distance), float(camera.source_z)])
    pixels = np.arange(size) - (size - 1) / 2
    x = float(camera.centre_x) - pixels * float(camera.spacing)
    z = float(camera.centre_z) - pixels * float(camera.spacing)
    target = np.stack(np.broadcast_arrays(x[None, :], 0.0, z[:, None]), -1)
    direction = (target - source) / float(camera.source_distance)
    y = np.arange(-60, 60, step) + step / 2
    points = target[:, :, None] + direction[:, :, None] * y[:, None]
    homogeneous = np.concatenate([points, np.ones((*points.shape[:-1], 1))], -1) @ np.linalg.inv(frame).T
    inside = np.ones(points.shape[:-1], dtype=bool)
    for quadric in solid["quadrics"]:
        inside &= np.einsum("...i,ij,...j->...", homogeneous, quadric, homogeneous) <= 0
    for plane in solid["planes"]:
        inside &= homogeneous @ plane <= 0
    return inside.sum(-1) * step * np.linalg.norm(direction, axis=-1)


def test_a_ray_through_a_sphere_centre_is_as_long_as_the_sphere_is_thick() -> None:
    solids = SolidList(1)
    solids.add_ellipsoid(channel=0, weight=1.0, frame=frames((0, 0, 0, 0, 0)), semi_axes=(10.0, 10.0, 10.0))
    camera = make_camera(spacing=2.0)
    image = project_solids(solids.build_groups(), camera, size=16, num_channels=1)[0, 0]
    # Pixel (7, 7) is the ray through (1, 0, 1): it misses the centre by 2^0.5 mm, less the slant's second order.
    assert float(image[7, 7]) == pytest.approx(2 * math.sqrt(100 - 2), rel=1e-3)
    assert float(image[0, 0]) < 0.01


SOLIDS = {
    "ellipsoid": {"quadrics": [axial_quadric(inverse_squares=(1 / 64, 1 / 100, 1 / 25))], "planes": []},
    "waisted body between tilted endplates": {
        "quadrics": [axial_quadric(inverse_squares=(1 / 64, 1 / 121, -1 / 400), linear_z=-0.01)],
        "planes": [half_space(normal=(0.1, 0, 1), offset=5.0), half_space(normal=(0.05, 0.03, -1), offset=6.0)],
    },
    "hollow: two quadrics and a plane": {
        "quadrics": [
            axial_quadric(inverse_squares=(1 / 64, 1 / 121, 0)),
            axial_quadric(inverse_squares=(1 / 49, 1 / 81, 1 / 9)),
        ],
        "planes": [half_space(normal=(0, 0, 1), offset=0.5)],
    },
    "pillar: ellipsoid between facets": {
        "quadrics": [axial_quadric(inverse_squares=(1 / 52, 1 / 36, 1 / 150))],
        "planes": [half_space(normal=(-0.7, 0, 0.7), offset=4.0), half_space(normal=(0.7, 0, -0.7), offset=4.0)],
    },
}


@pytest.mark.parametrize("name", SOLIDS)
@pytest.mark.parametrize("place", [(3.0, 0.0, -2.0, 0.0, 0.0), (-4.0, 22.0, 5.0, 0.4, -0.7)])
def test_chords_equal_a_march_along_the_ray(name: str, place: tuple[float, float, float, float, float]) -> None:
    solid = SOLIDS[name]
    frame = frames(place)
    solids = SolidList(1)
    solids.add(channel=0, weight=1.0, frame=frame, **solid, low=(-14, -16, -14), high=(14, 16, 14))
    camera = make_camera(spacing=2.55, centre=(1.0, -1.5))
    image = project_solids(solids.build_groups(), camera, size=16, num_channels=1)[0, 0].numpy()
    expected = march(solid, frame[0, 0], camera, 16)
    assert expected.max() > 5
    # The march is right to one step at either end of the chord.
    np.testing.assert_allclose(image, expected, atol=0.06)


def test_channels_weights_and_batch_rows_stay_apart() -> None:
    solids = SolidList(2)
    frame = np.broadcast_to(frames((0, 0, 0, 0, 0), (8, 0, 0, 0, 0)), (2, 2, 4, 4))
    weights = np.array([[1.0, -2.0], [0.0, 3.0]])
    solids.add_ellipsoid(channel=[0, 1], weight=weights, frame=frame, semi_axes=(4.0, 6.0, 4.0))
    one = make_camera(spacing=1.0)
    camera = Camera(**{name: tensor.repeat(2) for name, tensor in vars(one).items()})
    image = project_solids(solids.build_groups(), camera, size=32, num_channels=2)
    assert image[0, 0].max() == pytest.approx(12, abs=0.3)
    assert image[0, 1].min() == pytest.approx(-24, abs=0.6)
    assert not image[1, 0].any()
    assert image[1, 1].max() == pytest.approx(36, abs=0.9)


def test_oversampling_averages_rays_inside_the_pixel() -> None:
    solids = SolidList(1)
    plane = half_space(normal=(0, 0, 1), offset=0.0)
    solids.add_ellipsoid(channel=0, weight=1.0, frame=frames((0, 0, 0.2, 0, 0)), semi_axes=(9, 9, 9), planes=[plane])
    camera = make_camera(spacing=1.0, distance=1e5)
    fine = project_solids(solids.build_groups(), camera, size=16, num_channels=1, oversample=4)[0, 0]
    half = make_camera(spacing=0.25, distance=1e5)
    rays = project_solids(solids.build_groups(), half, size=64, num_channels=1)[0, 0]
    torch.testing.assert_close(
        fine, rays.unflatten(0, (16, 4)).unflatten(2, (16, 4)).mean((1, 3)), atol=1e-3, rtol=1e-4
    )


def test_fourth_powers_blend_instead_of_adding() -> None:
    solids = SolidList(1)
    solids.add_ellipsoid(channel=0, weight=1.0, frame=frames((0, 0, 0, 0, 0), (0, 0, 0, 0, 0)), semi_axes=(9, 9, 9))
    image = project_solids(solids.build_groups(), make_camera(spacing=1.0), size=16, num_channels=1, fourth_power=True)
    assert float(image[0, 0, 8, 8]) ** 0.25 == pytest.approx(2**0.25 * 18, rel=0.01)


def test_labels_go_to_the_solid_with_the_longest_chord() -> None:
    solids = SolidList(1)
    places = frames((-3, 0, 0, 0, 0), (3, 0, 0, 0, 0))
    solids.add_ellipsoid(channel=[0, 1], weight=[0.5, 0.25], frame=places, semi_axes=(5, 8, 5))
    labels = project_labels(solids.build_groups(), make_camera(spacing=1.0), size=16, num_channels=2)[0]
    # Facing left: anterior (x > 0) is at the left.
    assert labels[8, 4] == 2
    assert labels[8, 11] == 1
    assert labels[8, 8] == 1, "twice the weight wins in the middle"
    assert labels[0, 0] == 0


def test_points_project_where_their_solids_do() -> None:
    camera = make_camera(spacing=0.5)
    place = (6.0, 30.0, -4.0)
    solids = SolidList(1)
    solids.add_ellipsoid(channel=0, weight=1.0, frame=frames((*place, 0, 0)), semi_axes=(2.0, 2.0, 2.0))
    image = project_solids(solids.build_groups(), camera, size=64, num_channels=1)[0, 0].numpy()
    rows, columns = np.mgrid[:64, :64]
    weighted = np.array([(image * columns).sum(), (image * rows).sum()]) / image.sum()
    point = camera.project_points(torch.tensor([[place]], dtype=torch.float64), 64)[0, 0].numpy()
    np.testing.assert_allclose(weighted, point, atol=0.02)
