"""Structural similarity and the peak's ratio to the error: by hand, beside scikit-image, and what must always hold."""

import math

import numpy as np
import pytest
import torch
from skimage import metrics as reference

from cspine_bench.metrics.structural_similarity import (
    peak_signal_to_noise_ratio,
    structural_similarity,
    structural_similarity_map,
)


def draw_pairs(count: int = 4, height: int = 24, width: int = 31) -> tuple[torch.Tensor, torch.Tensor]:
    """Images in -1..1 from smooth to rough, each with a spoilt copy of it."""
    draw = np.random.default_rng(0)
    rows, columns = np.mgrid[:height, :width] / height
    smooth = 0.8 * np.sin(4 * rows) * np.cos(3 * columns)
    images = smooth + np.linspace(0, 0.3, count)[:, None, None] * draw.normal(size=(count, height, width))
    spoilt = 0.8 * images + 0.1 + 0.05 * draw.normal(size=images.shape)
    return torch.from_numpy(images.clip(-1, 1)), torch.from_numpy(spoilt.clip(-1, 1))


def test_flat_images_by_hand() -> None:
    # Without any structure only the luminance counts: (2 a b + C1) / (a^2 + b^2 + C1), C1 = (0.01 * 1)^2.
    dark, bright = torch.full((1, 12, 12), 0.2, dtype=torch.float64), torch.full((1, 12, 12), 0.6, dtype=torch.float64)
    value = float(structural_similarity(preds=dark, target=bright, data_range=1.0))
    assert value == pytest.approx((2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4), abs=1e-12)
    # A mean squared error of 0.16 against a peak of 1.
    assert float(peak_signal_to_noise_ratio(preds=dark, target=bright, data_range=1.0)) == pytest.approx(
        10 * math.log10(1 / 0.16)
    )


@pytest.mark.parametrize("data_range", [2.0, 1.0])
def test_both_are_those_of_scikit_image(data_range: float) -> None:
    images, spoilt = draw_pairs()
    means = structural_similarity(preds=spoilt, target=images, data_range=data_range)
    maps = structural_similarity_map(preds=spoilt, target=images, data_range=data_range)
    ratios = peak_signal_to_noise_ratio(preds=spoilt, target=images, data_range=data_range)
    for number in range(len(images)):
        pair = images[number].numpy(), spoilt[number].numpy()
        mean, by_pixel = reference.structural_similarity(
            *pair, data_range=data_range, gaussian_weights=True, use_sample_covariance=False, full=True
        )
        assert float(means[number]) == pytest.approx(mean, abs=1e-12)
        np.testing.assert_allclose(maps[number].numpy(), by_pixel, atol=1e-12)
        expected = reference.peak_signal_noise_ratio(*pair, data_range=data_range)
        assert float(ratios[number]) == pytest.approx(expected, abs=1e-9)


def test_an_image_is_wholly_like_itself_and_the_order_of_a_pair_does_not_matter() -> None:
    images, spoilt = (pictures.float() for pictures in draw_pairs())
    assert torch.equal(structural_similarity_map(preds=images, target=images, data_range=2.0), torch.ones(4, 24, 31))
    assert torch.isinf(peak_signal_to_noise_ratio(preds=images, target=images, data_range=2.0)).all()
    forth = structural_similarity(preds=images, target=spoilt, data_range=2.0)
    assert torch.equal(forth, structural_similarity(preds=spoilt, target=images, data_range=2.0))
    assert forth.shape == (4,)
    # Another unit of the gray levels changes nothing, if the range goes along.
    in_levels = structural_similarity(preds=images * 127.5, target=spoilt * 127.5, data_range=255.0)
    torch.testing.assert_close(in_levels, forth, atol=1e-5, rtol=0)


def test_half_precision_is_widened_and_gradients_flow() -> None:
    images, spoilt = (pictures.float() for pictures in draw_pairs())
    learnt = spoilt.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        value = structural_similarity(preds=learnt, target=images, data_range=2.0)
    torch.testing.assert_close(
        value.detach().double(), structural_similarity(preds=spoilt.double(), target=images.double(), data_range=2.0),
        atol=1e-5, rtol=0,
    )  # fmt: skip
    value.sum().backward()
    assert learnt.grad is not None
    better = spoilt + 0.01 * learnt.grad / learnt.grad.abs().max()
    assert (structural_similarity(preds=better, target=images, data_range=2.0) > value.detach()).all()


def test_bad_input_is_refused() -> None:
    images, spoilt = draw_pairs()
    with pytest.raises(ValueError, match="one shape"):
        structural_similarity(preds=images[:2], target=spoilt, data_range=2.0)
    with pytest.raises(ValueError, match="at least 11 px"):
        structural_similarity(preds=images[:, :10], target=spoilt[:, :10], data_range=2.0)
    with pytest.raises(ValueError, match="above 0"):
        peak_signal_to_noise_ratio(preds=images, target=spoilt, data_range=0.0)
