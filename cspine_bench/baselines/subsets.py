"""Label subsets: shares of the training groups, each inside the next larger one."""

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from cspine_bench.seeding import numpy_generator

FIXED: Final = 0
"""Number of the subset that all seeds share where the recipe says so, and that `baseline subset` writes."""


def number_of(subsets: Literal["per-seed", "fixed"], seed: int) -> int:
    """Number of the subset that networks of a seed learn from."""
    return FIXED if subsets == "fixed" else seed


def draw_subset(group_ids: Sequence[str], fraction: float, *, seed: int, number: int) -> NDArray[np.int64]:
    """Places of the radiographs whose groups are in a subset.

    Subsets of one seed and number are nested: what a smaller fraction holds, a larger one holds too.

    Args:
        group_ids: patient or anatomy of each radiograph.
        fraction: 0 < fraction <= 1, of the groups, rounded, at least one.
        seed: of the run.
        number: which of the subsets that the seed gives.

    Returns:
        int64, rising.
    """
    groups = sorted(set(group_ids))
    order = numpy_generator(seed, "baselines.subset", number).permutation(len(groups))
    chosen = {groups[place] for place in order[: max(1, round(fraction * len(groups)))]}
    return np.array([place for place, group in enumerate(group_ids) if group in chosen], np.int64)
