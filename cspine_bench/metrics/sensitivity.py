"""Shares of right answers as d', the distance of real from synthetic in units of the reader's own noise."""

from dataclasses import dataclass


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
    """Share of right picks among m images at this d'; -inf gives 0, inf gives 1."""
    raise NotImplementedError


def dprime_from_share(share: float, *, num_alternatives: int) -> float:
    """d' at which this share of picks is right; 0 gives -inf, 1 gives inf."""
    raise NotImplementedError


def yes_no_sensitivity(*, hits: int, num_real: int, false_alarms: int, num_synthetic: int) -> YesNoSensitivity:
    """d' and criterion with the log-linear correction."""
    raise NotImplementedError
