"""Shapes without pose: what was moved, turned and enlarged is the same shape; what was bent or mirrored is not."""

import numpy as np

from cspine_bench.anatomy.procrustes import align_shapes, align_to, rotate

SHAPE = np.random.default_rng(0).normal(size=(23, 2))


def pose(shape: np.ndarray, scale: float, angle: float, x: float, y: float) -> np.ndarray:
    return scale * rotate(shape, np.array(angle)) + (x, y)


def test_pose_is_taken_off_and_told() -> None:
    poses = np.array([[1.0, 0.0, 0.0, 0.0], [3.0, 0.5, 40.0, -7.0], [0.2, -2.0, 1.0, 1.0]])
    shapes = np.stack([pose(SHAPE, *one) for one in poses])
    aligned, found = align_shapes(shapes)
    assert np.allclose(aligned, aligned[0]) and np.allclose((aligned**2).sum(axis=(1, 2)), 1)
    assert np.allclose(np.exp(found[:, 0] - found[0, 0]), poses[:, 0])
    turned = found[:, 1] - found[0, 1] - poses[:, 1]
    assert np.allclose(np.exp(1j * turned), 1)
    rebuilt = np.exp(found[:, 0])[:, None, None] * rotate(aligned, found[:, 1]) + found[:, None, 2:]
    assert np.allclose(rebuilt, shapes)


def test_a_shape_is_turned_onto_a_reference() -> None:
    (reference,), _ = align_shapes(SHAPE[None])
    same, mirrored = align_to(np.stack([pose(SHAPE, 5, 3, 9, 9), SHAPE * [-1, 1]]), reference)
    assert np.allclose(same, reference)
    assert np.linalg.norm(mirrored - reference) > 0.5
