"""Several tests at once: p values that keep the chance of any false finding among all of them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def adjust_holm(p_values: NDArray[Any]) -> NDArray[np.float64]:
    """p values after Holm: to call a finding where it is at most 0.05 is wrong anywhere among them in at most 5 %.

    It holds whatever the tests have in common; here they share their reference and their test radiographs.

    Args:
        p_values: float (m,), 0..1; NaN: not tested, and not counted.

    Returns:
        float64 (m,), 0..1, none below its own; NaN stays.

    Raises:
        ValueError: not one-dimensional, or a p value outside 0..1.

    Source: Holm 1979, Scandinavian Journal of Statistics 6, 65-70.
    """
    p_values = np.asarray(p_values, np.float64)
    if p_values.ndim != 1 or ((p_values < 0) | (p_values > 1)).any():
        raise ValueError(f"needs p values (m,) in 0..1, got shape {p_values.shape} and {p_values.tolist()}")
    adjusted = p_values.copy()
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    scaled = p_values[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(scaled))
    return adjusted
