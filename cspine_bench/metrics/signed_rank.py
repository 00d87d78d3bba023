"""Wilcoxon's signed-rank test with every convention named: what happens to zeros, to ties, and to the p value."""

import math
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

Zeros = Literal["wilcox", "pratt"]
"""`wilcox`: zero differences are dropped before ranking; `pratt`: ranked, then dropped."""

DECIMALS: Final = 9
MOST_EXACT: Final = 1000
"""Pairs up to which the exact p value is computed: about a second, and no probability underflows."""


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
    """Are differences as often, and as far, above 0 as below?

    Args:
        differences: float (n,), one for each pair; NaN: missing pair, left out and counted.
        zeros: `wilcox`: zero differences are dropped before ranking; `pratt`: ranked first, then dropped.
        decimals: differences are rounded to so many before ranking, as means that are equal on paper (3.30 - 3.20 and
            3.12 - 3.02) are not in binary, and would not share a rank.

    Returns:
        All differences zero: p values of 1 with the reason, and no z. No differences: everything None, with the reason.

    Raises:
        ValueError: not one-dimensional, infinite, or an unknown rule for zeros.

    Source: Wilcoxon 1945, Biometrics Bulletin 1, 80-83; Pratt 1959, JASA 54, 655-667; variance with ties as in R's
    wilcox.test and coin's wilcoxsign_test. Exact: the distribution of w_plus over all 2^used signs, with the mid-ranks
    as they are, by recursion over the pairs; two-sided: as far from its mean, on either side.
    """
    differences = np.asarray(differences, np.float64)
    if differences.ndim != 1 or np.isinf(differences).any():
        raise ValueError(f"needs finite differences (n,) or NaN, got shape {differences.shape}")
    if zeros not in ("wilcox", "pratt"):
        raise ValueError(f'zeros must be "wilcox" or "pratt", got {zeros!r}')
    kept = np.round(differences[~np.isnan(differences)], decimals)
    nonzero = kept != 0
    ranked = kept[nonzero] if zeros == "wilcox" else kept
    ranks = stats.rankdata(np.abs(ranked))[ranked != 0]
    signs = np.sign(kept[nonzero])
    counts: dict[str, Any] = {
        "zeros_rule": zeros,
        "pairs": len(kept),
        "missing": len(differences) - len(kept),
        "zeros": int((~nonzero).sum()),
        "used": len(ranks),
    }
    if len(ranks) == 0:
        p = 1.0 if len(kept) else None
        reason = "all differences are zero" if len(kept) else "no pairs"
        return SignedRank(**counts, w_plus=0.0, w_minus=0.0, z=None, p=p, z_corrected=None, p_corrected=p,
                          p_exact=p, p_exact_greater=p, reason=reason)  # fmt: skip
    w_plus, w_minus = float(ranks[signs > 0].sum()), float(ranks[signs < 0].sum())
    away = (w_plus - w_minus) / 2
    sd = math.sqrt(float((ranks**2).sum()) / 4)
    # As R does, also where mid-ranks put the sum nearer to its mean than half a rank, and the step leads past it.
    corrected = away - math.copysign(0.5, away) if away else 0.0
    exact, greater = exact_tails(ranks, w_plus) if len(ranks) <= MOST_EXACT else (None, None)
    return SignedRank(
        **counts,
        w_plus=w_plus,
        w_minus=w_minus,
        z=away / sd,
        p=float(2 * special.ndtr(-abs(away) / sd)),
        z_corrected=corrected / sd,
        p_corrected=float(2 * special.ndtr(-abs(corrected) / sd)),
        p_exact=exact,
        p_exact_greater=greater,
        reason="" if exact is not None else f"{len(ranks)} pairs: exact up to {MOST_EXACT}",
    )


def exact_tails(ranks: NDArray[np.floating], w_plus: float) -> tuple[float, float]:
    """Two-sided and upper p value of a sum of positive ranks, over all signs alike.

    Args:
        ranks: float (n,), each a multiple of 1/2: mid-ranks, with ties.
        w_plus: sum of those with a positive sign.

    Returns:
        (share of the sums as far from their mean, share of those at least as large).
    """
    # Twice a mid-rank is whole; what all have in common (all tied: one step) is taken out of the grid.
    doubled = np.rint(2 * np.asarray(ranks)).astype(np.int64)
    step = int(np.gcd.reduce(doubled))
    units = doubled // step
    total = int(units.sum())
    probability = np.zeros(total + 1)
    probability[0] = 1
    reached = 0
    for unit in np.sort(units):
        # With a plus the sum moves up by this rank, with a minus it stays; a half each.
        lower = probability[: reached + 1] / 2
        reached += int(unit)
        probability[: reached + 1] = 0
        probability[: len(lower)] = lower
        probability[unit : unit + len(lower)] += lower
    observed = round(2 * w_plus / step)
    low, high = min(observed, total - observed), max(observed, total - observed)
    # At the mean, which both sides hold, the two are more than 1.
    two = float(probability[: low + 1].sum() + probability[high:].sum())
    return min(1.0, two), min(1.0, float(probability[observed:].sum()))
