"""Who sample i is: sex, age, disease, curvature, body, posture and camera, from (seed, i, recipe) alone.

Cheap on purpose: `draw_traits` needs no geometry, so a dataset's splits can be planned before any pixel is made.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from cspine_bench.anatomy.alignment import compute_toyama_px
from cspine_bench.anatomy.classes import CURVATURE_CLASSES, Curvature, Disease, Sex
from cspine_bench.anatomy.curvature import STRAIGHT_BELOW_MM, compute_curvature_labels
from cspine_bench.errors import DataError
from cspine_bench.seeding import numpy_generator
from cspine_bench.sources.phantom.body import build_bodies, find_landmarks
from cspine_bench.sources.phantom.person import Person, draw_person, stack_people
from cspine_bench.sources.phantom.posture import Posture, build_chain, draw_posture, stack_postures
from cspine_bench.sources.phantom.projection import Camera
from cspine_bench.sources.phantom.recipe import PhantomRecipe

_POSTURES_AT_ONCE: Final = 8
_POSTURE_ROUNDS: Final = 60
_CLASS_MARGIN_MM: Final = 0.3
"""By how much every centre's distance may be off before the class changes: labels never sit on an edge."""


@dataclass(frozen=True)
class Traits:
    """What is known of a person before the body is drawn."""

    sex: Sex
    age: int
    disease: Disease
    curvature: Curvature


@dataclass(frozen=True)
class Geometry:
    """How one film is taken, mm: see `projection.Camera` for the fields."""

    source_x: float
    source_z: float
    source_distance: float
    centre_x: float
    centre_z: float
    field_of_view: float
    mirror: float


@dataclass(frozen=True)
class Subject:
    """One person before one camera."""

    index: int
    traits: Traits
    person: Person
    posture: Posture
    geometry: Geometry
    view_rad: float


def draw_traits(recipe: PhantomRecipe, seed: int, person_index: int) -> Traits:
    """Sex, age, disease and curvature class of a person."""
    generator = numpy_generator(seed, "phantom.traits", person_index)
    weights = recipe.curvature.weights()
    share = np.array(list(weights.values())) / sum(weights.values())
    return Traits(
        sex="female" if generator.random() < recipe.female_share else "male",
        age=int(generator.integers(recipe.age_years[0], recipe.age_years[1] + 1)),
        disease="spondylosis" if generator.random() < recipe.spondylosis_share else "healthy",
        curvature=CURVATURE_CLASSES[int(generator.choice(len(share), p=share))],
    )


def draw_subject(recipe: PhantomRecipe, seed: int, index: int) -> Subject:
    """Sample `index` of a recipe: person index // views, seen at view index % views.

    Raises:
        DataError: no posture of the class that was drawn was found; only far-off recipes come here.
    """
    person_index, view = divmod(index, len(recipe.view_angles_deg))
    view_rad = float(np.radians(recipe.view_angles_deg[view]))
    traits = draw_traits(recipe, seed, person_index)
    generator = numpy_generator(seed, "phantom.person", person_index)
    person = draw_person(generator, sex=traits.sex, age=traits.age, disease=traits.disease)
    people = stack_people([person])
    bodies = build_bodies(people)
    posing = numpy_generator(seed, "phantom.posture", person_index)
    filming = numpy_generator(seed, "phantom.camera", person_index)
    # The detector stands behind the far shoulder, so a broad person is magnified more.
    object_detector = float(person.shoulder_width) + filming.uniform(*recipe.detector_gap_mm)
    source_distance = filming.uniform(*recipe.source_detector_mm) - object_detector
    aim = filming.normal(0, 8, 2)
    field_of_view = filming.uniform(*recipe.field_of_view_mm)
    jitter = filming.normal(0, 0.02, 2)
    for _ in range(_POSTURE_ROUNDS):
        postures = [_draw_posture(posing, traits, recipe) for _ in range(_POSTURES_AT_ONCE)]
        chain = build_chain(people, stack_postures(postures))
        points = find_landmarks(bodies, chain)
        for candidate in np.flatnonzero(_has_class(points, source_distance, aim, traits.curvature)):
            posture = postures[candidate]
            seen, skull = points[candidate], chain.skull[candidate, 0, :3, 3]
            if view_rad != 0:
                turned = build_chain(people, stack_postures([posture]), view_rad=view_rad)
                seen, skull = find_landmarks(bodies, turned)[0], turned.skull[0, 0, :3, 3]
            geometry = _frame_film(seen, skull, aim, source_distance, field_of_view, jitter, recipe)
            return Subject(index, traits, person, posture, geometry, view_rad)
    raise DataError(
        f"phantom sample {index}: no {traits.curvature} posture found in {_POSTURE_ROUNDS * _POSTURES_AT_ONCE} draws; "
        f"lower rotation_sd_deg ({recipe.rotation_sd_deg}) or change the curvature mix"
    )


def _draw_posture(generator: np.random.Generator, traits: Traits, recipe: PhantomRecipe) -> Posture:
    return draw_posture(
        generator,
        curvature=traits.curvature,
        sex=traits.sex,
        age=traits.age,
        rotation_sd_deg=recipe.rotation_sd_deg,
        flexion_sd_deg=recipe.flexion_sd_deg,
    )


def _has_class(
    points: NDArray[np.float64], source_distance: float, aim: NDArray[np.float64], curvature: Curvature
) -> NDArray[np.bool_]:
    """Whether landmarks (B, 23, 3), mm, have the class on the lateral film, with `_CLASS_MARGIN_MM` to spare."""
    magnified = source_distance / (source_distance + points[..., 1])
    x = aim[0] + (points[..., 0] - aim[0]) * magnified
    z = aim[1] + (points[..., 2] - aim[1]) * magnified
    seen = np.stack([-x, -z], axis=-1)
    fits = compute_curvature_labels(seen, pixel_spacing_mm=1.0) == CURVATURE_CLASSES.index(curvature)
    distances = compute_toyama_px(seen)[..., :4]
    furthest = np.abs(distances).max(axis=-1)
    if curvature == "straight":
        return np.asarray(fits & (furthest < STRAIGHT_BELOW_MM - _CLASS_MARGIN_MM))
    fits &= furthest > STRAIGHT_BELOW_MM + _CLASS_MARGIN_MM
    least, most = distances.min(axis=-1), distances.max(axis=-1)
    if curvature == "lordotic":
        return np.asarray(fits & (least > _CLASS_MARGIN_MM))
    if curvature == "kyphotic":
        return np.asarray(fits & (most < -_CLASS_MARGIN_MM))
    upper_less_lower = distances[..., :2].sum(axis=-1) - distances[..., 2:].sum(axis=-1)
    both_sides = (least < -_CLASS_MARGIN_MM) & (most > _CLASS_MARGIN_MM)
    return np.asarray(fits & both_sides & (np.abs(upper_less_lower) > 4 * _CLASS_MARGIN_MM))


def _frame_film(
    seen: NDArray[np.float64],
    skull: NDArray[np.float64],
    aim: NDArray[np.float64],
    source_distance: float,
    field_of_view: float,
    jitter: NDArray[np.float64],
    recipe: PhantomRecipe,
) -> Geometry:
    """Place the film so that it shows the skull base to C7, and all landmarks lie at least 4 % inside its edges."""
    low, high = seen.min(axis=0), seen.max(axis=0)
    centre_x = (low[0] + high[0]) / 2 + (0.02 + jitter[0]) * field_of_view
    centre_z = (skull[2] + 8 + low[2] - 20) / 2 + jitter[1] * field_of_view
    reach = 0.46 * field_of_view
    centre_x = float(np.clip(centre_x, high[0] - reach, low[0] + reach))
    centre_z = float(np.clip(centre_z, high[2] - reach, low[2] + reach))
    return Geometry(
        source_x=float(aim[0]),
        source_z=float(aim[1]),
        source_distance=source_distance,
        centre_x=centre_x,
        centre_z=centre_z,
        field_of_view=field_of_view,
        mirror=1.0 if recipe.facing == "left" else -1.0,
    )


def build_camera(subjects: list[Subject], size: int) -> Camera:
    """The camera of a batch."""

    def gather(name: str) -> torch.Tensor:
        return torch.tensor([getattr(subject.geometry, name) for subject in subjects], dtype=torch.float64)

    return Camera(
        source_x=gather("source_x"),
        source_z=gather("source_z"),
        source_distance=gather("source_distance"),
        centre_x=gather("centre_x"),
        centre_z=gather("centre_z"),
        spacing=gather("field_of_view") / size,
        mirror=gather("mirror"),
    )
