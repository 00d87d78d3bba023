"""Mean and covariance of features that arrive in blocks: any number of rows in the memory of two matrices."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cspine_bench.metrics.frechet import LEAST_ROWS, Floats, trace_root_of_covariances


@dataclass(frozen=True)
class Moments:
    """Count, mean and scatter of feature vectors.

    moments = Moments.of(first)
    for block in blocks: moments = moments.merge(Moments.of(block))

    Attributes:
        count: of rows.
        mean: float64 (d,).
        scatter: float64 (d, d), sum over rows of the outer products of their differences from the mean.
    """

    count: int
    mean: Floats
    scatter: Floats

    @classmethod
    def of(cls, features: NDArray[Any]) -> "Moments":
        """Of one block.

        Args:
            features: float (n, d), n >= 1.

        Raises:
            ValueError: not (n, d), no row, or a value is not finite.
        """
        if features.ndim != 2 or len(features) == 0:
            raise ValueError(f"features must be (n, d) with at least one row, got shape {features.shape}")
        if not np.isfinite(features).all():
            raise ValueError("features hold NaN or infinity")
        mean = features.mean(axis=0, dtype=np.float64)
        centred = features - mean
        return cls(len(features), mean, centred.T @ centred)

    def merge(self, other: "Moments") -> "Moments":
        """Of the rows of both.

        Raises:
            ValueError: they have different numbers of features.

        Source: Chan, Golub, LeVeque 1983, American Statistician 37, 242-247, for vectors.
        """
        if self.mean.shape != other.mean.shape:
            raise ValueError(f"moments of {len(self.mean)} and of {len(other.mean)} features cannot be merged")
        total = self.count + other.count
        apart = other.mean - self.mean
        scatter = self.scatter + other.scatter
        scatter += np.outer(apart, apart) * (self.count * other.count / total)
        return Moments(total, self.mean + apart * (other.count / total), scatter)

    @property
    def covariance(self) -> Floats:
        """Unbiased, float64 (d, d).

        Raises:
            ValueError: of fewer than 2 rows.
        """
        if self.count < LEAST_ROWS:
            raise ValueError(f"{self.count} feature vectors have no covariance, at least {LEAST_ROWS} are needed")
        return self.scatter / (self.count - 1)


def frechet_distance_of_moments(*, real: Moments, synthetic: Moments) -> float:
    """`frechet_distance` where only the moments of both sets are kept.

    For fewer rows than features the rows themselves are faster and more exact: see `frechet_distance`.

    Args:
        real: of at least 2 rows.
        synthetic: likewise, of as many features.

    Raises:
        ValueError: fewer than 2 rows, or different numbers of features.

    Source: see `frechet_distance`.
    """
    if real.mean.shape != synthetic.mean.shape:
        raise ValueError(f"features must be as many, got real {len(real.mean)} and synthetic {len(synthetic.mean)}")
    a, b, shift = real.covariance, synthetic.covariance, real.mean - synthetic.mean
    spread = float(np.trace(a) + np.trace(b))
    return max(0.0, float(shift @ shift) + spread - 2 * trace_root_of_covariances(a, b))
