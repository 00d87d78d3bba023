"""How near two categories are, for agreement that counts a near miss for something."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Weighting = Literal["identity", "linear", "quadratic", "ordinal"]


def weigh_categories(categories: Sequence[float], weighting: Weighting) -> Floats:
    """Weight of each pair of categories: 1 on the diagonal, 0 for the two that lie farthest apart.

    Args:
        categories: rising, at least 2.
        weighting: "identity": 0 off the diagonal; "linear", "quadratic": 1 less the share of the range between their
            values, or its square; "ordinal": by the number of pairs among the categories from one to the other.

    Returns:
        float64 (categories, categories), 0..1, symmetric.

    Raises:
        ValueError: fewer than two categories, not rising or not finite, or an unknown weighting.

    Source: Cohen 1968, Psychological Bulletin 70, 213-220; "ordinal": Gwet 2014, Handbook of Inter-Rater Reliability,
    4th edition, section 3.5.
    """
    values = check_categories(categories)
    apart = np.abs(values[:, None] - values)
    if weighting == "identity":
        return np.eye(len(values))
    if weighting == "linear":
        return np.asarray(1 - apart / apart.max(), np.float64)
    if weighting == "quadratic":
        return np.asarray(1 - (apart / apart.max()) ** 2, np.float64)
    if weighting == "ordinal":
        places = np.arange(len(values))
        reach = np.abs(places[:, None] - places) + 1
        pairs = reach * (reach - 1) / 2
        return np.asarray(1 - pairs / pairs.max(), np.float64)
    raise ValueError(f"weighting must be 'identity', 'linear', 'quadratic' or 'ordinal', got {weighting!r}")


def check_categories(categories: Sequence[float]) -> Floats:
    """Categories as float64.

    Raises:
        ValueError: fewer than two, not rising or not finite.
    """
    values = np.asarray(categories, np.float64)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all() or (np.diff(values) <= 0).any():
        raise ValueError(f"categories must be at least 2 rising numbers, got {list(categories)}")
    return values


def check_ratings(ratings: Floats, categories: Floats) -> None:
    """Raise ValueError if a rating is neither NaN nor one of the categories."""
    strange = np.setdiff1d(ratings[~np.isnan(ratings)], categories)
    if len(strange):
        raise ValueError(f"a rating must be one of {categories.tolist()} or NaN, got {strange[:5].tolist()}")
