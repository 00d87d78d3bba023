"""Bones stand where the person's dimensions say: measured in the solids themselves, not in the image."""

import numpy as np
import pytest
import torch

from cspine_bench.sources.phantom.arch import add_dens_and_atlas, add_posterior_elements
from cspine_bench.sources.phantom.body import build_bodies
from cspine_bench.sources.phantom.bone import BONE
from cspine_bench.sources.phantom.person import Person, stack_people
from cspine_bench.sources.phantom.posture import Chain, build_chain, stack_postures
from cspine_bench.sources.phantom.recipe import PhantomRecipe
from cspine_bench.sources.phantom.render import build_anatomy, project_soft
from cspine_bench.sources.phantom.solids import SolidGroup, SolidList, apply_frame, invert_frame
from cspine_bench.sources.phantom.subject import Subject, build_camera, draw_subject

SUBJECTS = 12


@pytest.fixture(scope="module")
def subjects() -> list[Subject]:
    return [draw_subject(PhantomRecipe(), 6, index) for index in range(SUBJECTS)]


@pytest.fixture(scope="module")
def people(subjects: list[Subject]) -> tuple[Person, Chain]:
    person = stack_people([subject.person for subject in subjects])
    return person, build_chain(person, stack_postures([subject.posture for subject in subjects]))


def is_bone(groups: list[SolidGroup], row: int, points: np.ndarray) -> np.ndarray:
    """Which points (N, 3) lie inside any outer solid of a radiograph."""
    homogeneous = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    found = np.zeros(len(points), dtype=bool)
    for group in groups:
        outer = (group.channels == BONE) & (group.weights[row] > 0)
        quadrics, planes = group.quadrics[row, outer].numpy(), group.planes[row, outer].numpy()
        inside = (np.einsum("pi,nkij,pj->npk", homogeneous, quadrics, homogeneous) <= 0).all(-1)
        inside &= (np.einsum("nhi,pi->nph", planes, homogeneous) <= 0).all(-1)
        found |= inside.any(axis=0)
    return found


def test_the_canal_is_as_wide_as_was_drawn(people: tuple[Person, Chain]) -> None:
    """From the posterior wall straight back in the midline, the first bone is the spinolaminar line."""
    person, chain = people
    body = build_bodies(person)
    solids = SolidList(SUBJECTS)
    add_posterior_elements(solids, person, body, chain)
    groups = solids.build_groups()
    steps = np.arange(2, 40, 0.1)
    widths = np.empty((SUBJECTS, 5))
    for row in range(SUBJECTS):
        for level in range(1, 6):
            free = []
            # The process slopes: take the narrowest of a few heights.
            for height in np.arange(-8, 3, 1.0):
                local = np.stack([-body.semi_depth[row, level] - steps, 0 * steps, 0 * steps + height], axis=1)
                bone = is_bone(groups, row, apply_frame(chain.bodies[row, level], local))
                free.append(steps[bone.argmax()] if bone.any() else np.inf)
            widths[row, level - 1] = min(free)
    np.testing.assert_allclose(widths, person.canal[:, 1:6], atol=1.5)


def test_the_anterior_arch_stands_one_interval_before_the_dens(people: tuple[Person, Chain]) -> None:
    person, chain = people
    body = build_bodies(person)
    solids = SolidList(SUBJECTS)
    add_dens_and_atlas(solids, person, body, chain)
    groups = solids.build_groups()
    steps = np.arange(0, 16, 0.05)
    for row in range(SUBJECTS):
        gaps = []
        for height in np.arange(-2, 3, 0.5):
            bone = is_bone(
                groups, row, apply_frame(chain.atlas[row, 0], np.stack([steps, 0 * steps, 0 * steps + height], 1))
            )
            runs = np.flatnonzero(np.diff(bone.astype(int)))
            gaps += [steps[runs[1]] - steps[runs[0]]] if len(runs) >= 2 else []
        # The arch is round and the dens leans: the narrowest place is the interval, give or take that lean.
        assert min(gaps) == pytest.approx(float(person.atlantodental[row]), abs=0.6)


def test_laminae_run_back_towards_the_midline(people: tuple[Person, Chain]) -> None:
    person, chain = people
    solids = SolidList(SUBJECTS)
    add_posterior_elements(solids, person, build_bodies(person), chain)
    groups = solids.build_groups()
    for row in range(3):
        for level in range(1, 6):
            back = -build_bodies(person).semi_depth[row, level] - person.canal[row, level]
            for side in (-1.0, 1.0):
                medial = np.array([[back - 2.5, side * 5.0, -4.0]])
                inside_canal = np.array([[back + 7.0, side * 3.0, -4.0]])
                frame = chain.bodies[row, level]
                assert is_bone(groups, row, apply_frame(frame, medial)).all()
                assert not is_bone(groups, row, apply_frame(frame, inside_canal)).any()


def test_the_hyoid_lies_in_soft_tissue() -> None:
    subjects = [draw_subject(PhantomRecipe(), 8, index) for index in range(30)]
    anatomy, _ = build_anatomy(subjects)
    camera = build_camera(subjects, 128)
    soft = project_soft(anatomy, camera, 128)
    person = stack_people([subject.person for subject in subjects])
    chain = build_chain(person, stack_postures([subject.posture for subject in subjects]))
    front = person.superior_depth[:, 2] / 2 + person.prevertebral[:, 0] + person.hyoid_shift[:, 0]
    local = np.stack([front + 32, 0 * front, person.hyoid_shift[:, 1] + 5.5], axis=-1)
    points = apply_frame(chain.bodies[:, 2], local)
    places = camera.project_points(torch.from_numpy(points[:, None]), 128)[:, 0].round().long()
    for row, (x, y) in enumerate(places.tolist()):
        if 0 <= x < 128 and 0 <= y < 128:
            assert soft[row, y, x] > 20, f"sample {row}: {soft[row, y, x]:.0f} mm of soft tissue at the hyoid"


def test_frames_invert(people: tuple[Person, Chain]) -> None:
    _, chain = people
    np.testing.assert_allclose(
        invert_frame(chain.bodies) @ chain.bodies, np.broadcast_to(np.eye(4), (SUBJECTS, 8, 4, 4)), atol=1e-12
    )
