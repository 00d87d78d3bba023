"""The projection is differentiable: a spine's pose is found again from its image by gradient descent."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from cspine_bench.sources.phantom.bone import BONE
from cspine_bench.sources.phantom.detector import gaussian_blur
from cspine_bench.sources.phantom.projection import Camera, project_solids
from cspine_bench.sources.phantom.recipe import PhantomRecipe
from cspine_bench.sources.phantom.render import Anatomy, build_anatomy
from cspine_bench.sources.phantom.subject import build_camera, draw_subject

SIZE = 64


def rigid(pose: torch.Tensor) -> torch.Tensor:
    """(yaw, pitch) in degrees and (x, z) shifts in mm -> (1, 4, 4)."""
    yaw, pitch = pose[0] * math.pi / 180, pose[1] * math.pi / 180
    one, zero = torch.ones_like(yaw), torch.zeros_like(yaw)
    turn = torch.stack([yaw.cos(), -yaw.sin(), zero, yaw.sin(), yaw.cos(), zero, zero, zero, one]).view(3, 3)
    nod = torch.stack([pitch.cos(), zero, pitch.sin(), zero, one, zero, -pitch.sin(), zero, pitch.cos()]).view(3, 3)
    shift = torch.stack([pose[2], zero, pose[3]])[:, None]
    bottom = torch.tensor([[0.0, 0.0, 0.0, 1.0]], dtype=pose.dtype)
    return torch.cat([torch.cat([turn @ nod, shift], 1), bottom])[None]


def project(anatomy: Anatomy, camera: Camera, pose: torch.Tensor, blur_px: float) -> torch.Tensor:
    groups = [group.move(rigid(pose)) for group in anatomy.fine + anatomy.coarse]
    bone = project_solids(groups, camera, size=SIZE, num_channels=2)[:, BONE]
    return gaussian_blur(bone, torch.tensor([blur_px], dtype=torch.float64))


@pytest.mark.parametrize("index", [0, 3])
def test_two_rotations_and_two_shifts_are_recovered(index: int) -> None:
    recipe = PhantomRecipe(size=SIZE)
    subject = draw_subject(recipe, 5, index)
    # A spine seen square on is the same turned to either side, but for perspective: start from a side.
    subject = replace(
        subject, posture=replace(subject.posture, yaw=np.asarray(math.radians(3.0)), roll=np.asarray(0.0))
    )
    anatomy, _ = build_anatomy([subject])
    camera = build_camera([subject], SIZE)
    truth = torch.tensor([4.0, -5.0, 4.0, -3.0], dtype=torch.float64)
    pose = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    for blur_px in (3.0, 1.0):
        with torch.no_grad():
            film = project(anatomy, camera, truth, blur_px)
        optimizer = torch.optim.LBFGS([pose], max_iter=10, line_search_fn="strong_wolfe")

        def compute_loss(
            blur_px: float = blur_px, film: torch.Tensor = film, pose: torch.Tensor = pose
        ) -> torch.Tensor:
            pose.grad = None
            # In units in which the first step is neither tiny nor huge.
            loss = 100 * (project(anatomy, camera, pose, blur_px) - film).square().mean()
            loss.backward()
            assert torch.isfinite(pose.grad).all()
            return loss

        optimizer.step(compute_loss)
    error = (pose.detach() - truth).abs()
    # A pixel is about 3 mm here: 0.3 degrees turn a body's rim by less than a tenth of one.
    assert error[:2].max() < 0.3, f"rotation error {error[:2].tolist()} degrees"
    assert error[2:].max() < 0.1, f"shift error {error[2:].tolist()} mm"
