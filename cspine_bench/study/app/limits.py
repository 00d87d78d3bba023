"""How fast a link may ask, and all unknown links together; kept in memory, and about links alone: no address."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests a second on the average, after so many at once."""

    per_second: float
    at_once: int


PER_LINK = Rate(50, 300)
"""A trial of four panes takes six requests, so nobody who looks at images comes near it."""
UNKNOWN_LINKS = Rate(5, 50)


class Limit:
    """A bucket that fills at a rate and from which each request takes one, for each key."""

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._levels: dict[str, tuple[float, float]] = {}

    def take(self, key: str) -> int:
        """Count one request.

        Args:
            key: whose; there are as many buckets as keys were ever given, so never give it what a stranger sends.

        Returns:
            0: go on; otherwise in how many whole seconds to ask again.
        """
        now = self._clock()
        level, then = self._levels.get(key, (float(self._rate.at_once), now))
        level = min(float(self._rate.at_once), level + (now - then) * self._rate.per_second)
        allowed = level >= 1
        self._levels[key] = (level - allowed, now)
        return 0 if allowed else math.ceil((1 - level) / self._rate.per_second)
