"""Ratings of realism by made-up readers: a cumulative logit model whose bounds give a wanted mean.

An image is rated k or lower with probability expit(bound_k - look): `look` sums what the reader, the case, the image
and its source bring, as `RatingRecipe` spells it.
"""

import functools
import math

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from cspine_bench.study.simulate.recipe import RatingRecipe

Floats = NDArray[np.float64]
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(61)


@functools.lru_cache(maxsize=256)
def find_bounds(recipe: RatingRecipe, num_steps: int) -> tuple[float, ...]:
    """Bounds between the steps, (num_steps - 1,), that give real images the mean rating of the recipe.

    Args:
        recipe: of ratings.
        num_steps: of the scale, at least 2.
    """
    even = recipe.step * (np.arange(num_steps - 1) - (num_steps - 2) / 2)
    spread = math.sqrt(recipe.reader_sd**2 + recipe.case_sd**2 + recipe.image_sd**2 + recipe.source_sd**2)
    wanted = recipe.mean * (num_steps - 1)

    def excess(move: float) -> float:
        above = special.expit(spread * _NODES[:, None] - even - move).sum(axis=1)
        return float(above @ _WEIGHTS / _WEIGHTS.sum()) - wanted

    return tuple((even + optimize.brentq(excess, -60, 60)).tolist())


def rate(looks: NDArray[np.floating], *, bounds: tuple[float, ...], uniform: NDArray[np.floating]) -> NDArray[np.int16]:
    """Ratings from 1.

    Args:
        looks: on the logit.
        bounds: rising.
        uniform: as looks, 0..1: decides.
    """
    felt = looks + special.logit(uniform)
    return np.asarray(1 + sum((felt > bound).astype(np.int16) for bound in bounds), np.int16)


def draw_rating_differences(
    recipe: RatingRecipe, *, num_steps: int, readers: int, cases: int, studies: int, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Rating of the real image less that of a synthetic one that looks no less real, (studies, readers, cases).

    Args:
        recipe: of ratings; its shifts are not used.
        num_steps: of the scale.
        readers: of a study.
        cases: of a study, with one real image and one of the source each.
        studies: how many.
        generator: of all draws.
    """
    bounds = find_bounds(recipe, num_steps)

    def draw(spread: float, *shape: int) -> NDArray[np.float32]:
        return np.float32(spread) * generator.standard_normal(shape, dtype=np.float32)

    shared = draw(recipe.reader_sd, studies, readers, 1) + draw(recipe.case_sd, studies, 1, cases)
    ratings = []
    for _ in range(2):
        looks = shared + draw(recipe.image_sd, studies, 1, cases) + draw(recipe.source_sd, studies, readers, 1)
        uniform = np.clip(generator.random((studies, readers, cases), dtype=np.float32), 1e-6, 1 - 1e-6)
        ratings.append(rate(looks, bounds=bounds, uniform=uniform))
    return (ratings[0] - ratings[1]).astype(np.float32)
