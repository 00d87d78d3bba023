"""Is a difference too small to matter? That none was found does not answer it; two one-sided tests can."""

from typing import Literal

Standing = Literal["different", "equivalent", "both", "inconclusive"]
"""What two questions, asked apart, say together. `both`: there is a difference, and it is too small to matter."""

ALPHA = 0.05


def combine_one_sided(*, above_lower: float, below_upper: float) -> float:
    """p value of "the difference lies within the margin", from those of "above -margin" and "below +margin".

    At 0.05 this asks whether the two-sided 90 % interval lies inside the margin.

    Args:
        above_lower: one-sided p value, small where the difference is surely above the lower end of the margin.
        below_upper: likewise below its upper end.

    Returns:
        The larger: both must be shown.

    Raises:
        ValueError: a p value outside 0..1.

    Source: Schuirmann 1987, Journal of Pharmacokinetics and Biopharmaceutics 15, 657-680.
    """
    for name, value in (("above_lower", above_lower), ("below_upper", below_upper)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must be a p value in 0..1, got {value}")
    return max(above_lower, below_upper)


def find_standing(*, p_different: float, p_equivalent: float, alpha: float = ALPHA) -> Standing:
    """What the two tests say together.

    Args:
        p_different: two-sided, of no difference at all.
        p_equivalent: of a difference as large as the margin; see `combine_one_sided`.
        alpha: largest p value that shows something.
    """
    different, equivalent = p_different <= alpha, p_equivalent <= alpha
    if different:
        return "both" if equivalent else "different"
    return "equivalent" if equivalent else "inconclusive"
