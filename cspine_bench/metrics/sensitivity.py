"""Shares of right answers as d', the distance of real from synthetic in units of the reader's own noise."""

import math
from dataclasses import dataclass

from scipy import integrate, optimize, special


@dataclass(frozen=True)
class YesNoSensitivity:
    """Of readers who call single images real or synthetic.

    Attributes:
        dprime: distance, 0: cannot tell; None where not defined.
        criterion: 0: calls neither more readily; above: slow to call an image real.
        hit_rate: share of real ones called real, corrected.
        false_alarm_rate: share of synthetic ones called real, corrected.
        reason: why it is not defined; "" where it is.
    """

    dprime: float | None
    criterion: float | None
    hit_rate: float | None
    false_alarm_rate: float | None
    reason: str = ""


def share_from_dprime(dprime: float, *, num_alternatives: int) -> float:
    """Share of right picks among m images, one of them real, by a reader without bias at this d'.

    Args:
        dprime: distance of the real image from the others, in standard deviations; -inf gives 0, inf gives 1.
        num_alternatives: m, at least 2.

    Raises:
        ValueError: fewer than 2 alternatives, or NaN.

    Source: Green, Swets 1966, Signal Detection Theory and Psychophysics: the integral of phi(x - d') Phi(x)^(m - 1).
    """
    if num_alternatives < 2 or math.isnan(dprime):
        raise ValueError(f"needs a d' and at least 2 alternatives, got {dprime} and {num_alternatives}")
    if math.isinf(dprime):
        return 1.0 if dprime > 0 else 0.0
    if num_alternatives == 2:
        return float(special.ndtr(dprime / math.sqrt(2)))

    def density(x: float) -> float:
        # One exponential of a sum: for a strongly negative d' the factors alone would vanish.
        return math.exp(-((x - dprime) ** 2) / 2 + (num_alternatives - 1) * float(special.log_ndtr(x)))

    # Beyond 10 standard deviations of either side nothing is left; the peak lies between d' and the others' largest.
    ends = (min(dprime, 0.0) - 10, max(dprime, 0.0) + 10)
    total = integrate.quad(density, *ends, epsabs=1e-14, epsrel=1e-12, limit=200, points=[min(max(dprime, -30), 30)])
    return min(1.0, float(total[0]) / math.sqrt(2 * math.pi))


def dprime_from_share(share: float, *, num_alternatives: int) -> float:
    """d' of a reader without bias who picks the real one of m images with this share; below chance it is negative.

    Args:
        share: of right picks, 0..1; 0 gives -inf and 1 gives inf, so that the ends of an interval can be taken over.
        num_alternatives: m, at least 2.

    Raises:
        ValueError: a share outside 0..1, or fewer than 2 alternatives.

    Source: inverse of `share_from_dprime`; 0 at a share of 1 / m.
    """
    if num_alternatives < 2 or not 0 <= share <= 1:
        raise ValueError(f"needs a share in 0..1 and at least 2 alternatives, got {share} and {num_alternatives}")
    if share in (0, 1):
        return math.copysign(math.inf, share - 0.5)

    def excess(dprime: float) -> float:
        return share_from_dprime(dprime, num_alternatives=num_alternatives) - share

    # No share that a computer can hold, other than 0 and 1, asks for more; the loop widens only as far as needed.
    reach = 4.0
    while excess(-reach) > 0 or excess(reach) < 0:
        if reach > 100:
            return math.copysign(math.inf, share - 0.5)
        reach *= 2
    return float(optimize.brentq(excess, -reach, reach, xtol=1e-12))


def yes_no_sensitivity(*, hits: int, num_real: int, false_alarms: int, num_synthetic: int) -> YesNoSensitivity:
    """d' and criterion of answers "real" about single images; "real" about a real one is a hit.

    Args:
        hits: real images called real, 0..num_real.
        num_real: answers about real images; 0: not defined.
        false_alarms: synthetic images called real, 0..num_synthetic.
        num_synthetic: answers about synthetic images; 0: not defined.

    Raises:
        ValueError: a count outside its range.

    Source: log-linear correction, (count + 1/2) / (total + 1): Hautus 1995, Behavior Research Methods, Instruments and
    Computers 27, 46-51. It keeps both finite and draws d' slightly to 0.
    """
    if not 0 <= hits <= num_real or not 0 <= false_alarms <= num_synthetic:
        raise ValueError(
            f"counts must lie in 0..total, got {hits} of {num_real} real, {false_alarms} of {num_synthetic} synthetic"
        )
    for total, kind in ((num_real, "real"), (num_synthetic, "synthetic")):
        if total == 0:
            return YesNoSensitivity(None, None, None, None, f"no answers about {kind} images")
    hit_rate, false_alarm_rate = (hits + 0.5) / (num_real + 1), (false_alarms + 0.5) / (num_synthetic + 1)
    hit_z, false_alarm_z = float(special.ndtri(hit_rate)), float(special.ndtri(false_alarm_rate))
    return YesNoSensitivity(
        dprime=hit_z - false_alarm_z,
        criterion=-(hit_z + false_alarm_z) / 2,
        hit_rate=hit_rate,
        false_alarm_rate=false_alarm_rate,
    )
