"""Running averages of the weights: the share of each update, by hand."""

import numpy as np
import pytest
import torch

from cspine_bench.ddpm.averages import find_exponent, update_average


def average_marks(num_steps: int, exponent: float) -> np.ndarray:
    """What the average holds of each update: after update i, the weight is 1 at place i and 0 elsewhere."""
    average = torch.full((num_steps,), 7.0, dtype=torch.float64)
    for step in range(1, num_steps + 1):
        mark = torch.zeros(num_steps, dtype=torch.float64)
        mark[step - 1] = 1
        update_average([average], [mark], step=step, exponent=exponent)
    return average.numpy()


def test_three_updates_by_hand() -> None:
    # gamma = 1: t^2 grows by 1, 3 and 5 of 9.
    np.testing.assert_allclose(average_marks(3, 1.0), [1 / 9, 3 / 9, 5 / 9], rtol=1e-12)


@pytest.mark.parametrize("length", [0.05, 0.1, 0.2])
def test_the_profile_has_the_width_that_its_name_says(length: float) -> None:
    exponent, steps = find_exponent(length), 400
    shares = average_marks(steps, exponent)
    edges = (np.arange(steps + 1) / steps) ** (exponent + 1)
    np.testing.assert_allclose(shares, np.diff(edges), rtol=1e-6, atol=1e-12)
    places = (np.arange(steps) + 0.5) / steps
    mean = (shares * places).sum()
    assert np.sqrt((shares * (places - mean) ** 2).sum()) == pytest.approx(length, rel=1e-3)


def test_exponents_of_the_paper() -> None:
    # Karras et al. 2024, section 3.1: gamma = 16.97 for a width of 5 %, 6.94 for 10 %.
    assert [round(find_exponent(length), 2) for length in (0.05, 0.1)] == [16.97, 6.94]
    with pytest.raises(ValueError, match=r"0.01 to 0.25 of the run wide, got 0.5"):
        find_exponent(0.5)
