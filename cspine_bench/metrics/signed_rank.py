"""Wilcoxon's signed-rank test with every convention named: what happens to zeros, to ties, and to the p value."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Zeros = Literal["wilcox", "pratt"]
"""`wilcox`: zero differences are dropped before ranking; `pratt`: ranked, then dropped."""

DECIMALS: Final = 9


@dataclass(frozen=True)
class SignedRank:
    """A signed-rank test of differences.

    Attributes:
        zeros_rule: how zeros were treated.
        pairs: differences that are not NaN.
        missing: NaN ones, left out.
        zeros: zero differences.
        used: non-zero differences.
        w_plus: sum of the (mid-)ranks of positive differences.
        w_minus: of negative ones.
        z: normal deviate, ties and zeros corrected, no continuity correction; positive: differences are positive.
        p: two-sided, of z.
        z_corrected: with continuity correction.
        p_corrected: likewise.
        p_exact: two-sided, over all signs of the non-zero differences, each as likely.
        p_exact_greater: one-sided, of so large a w_plus.
        reason: why something is None, or what is special; "" otherwise.
    """

    zeros_rule: Zeros
    pairs: int
    missing: int
    zeros: int
    used: int
    w_plus: float
    w_minus: float
    z: float | None
    p: float | None
    z_corrected: float | None
    p_corrected: float | None
    p_exact: float | None
    p_exact_greater: float | None
    reason: str = ""


def signed_rank_test(
    differences: NDArray[np.floating], *, zeros: Zeros = "wilcox", decimals: int = DECIMALS
) -> SignedRank:
    """Differences (n,), NaN: missing pair, left out and counted; rounded to `decimals` before ranking."""
    raise NotImplementedError
