"""How far a spine's shape lies from those of other spines, and how far honest ones lie by chance.

Source: distance under a probabilistic principal component model, Tipping, Bishop 1999, JRSS B 61, 611-622, of
Procrustes-aligned points. The limit is a rank among spines that their model has not seen, as in split conformal
prediction: Papadopoulos et al. 2002, ECML, 345-356; with folds, of which a spine is measured by the one without it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.anatomy.landmarks import LANDMARK_NAMES
from cspine_bench.anatomy.procrustes import align_shapes, align_to

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

LEAST_SHAPES: Final = 24
"""Spines of fewer patients or anatomies make no model."""
BEYOND: Final = 0.01
"""Share of honest spines that may lie beyond the limit."""
NUM_FOLDS: Final = 5
_EXPLAINED: Final = 0.95
_FREE: Final = 4
"""Coordinates that alignment takes away: size, turn, and place."""

_ANTERIOR: Final = [index for index, name in enumerate(LANDMARK_NAMES) if name.endswith("_anterior")]
_POSTERIOR: Final = [index for index, name in enumerate(LANDMARK_NAMES) if name.endswith("_posterior")]


@dataclass(frozen=True)
class SpineShapes:
    """Spines that face left: mean, main components, and one variance for all that they leave.

    Attributes:
        mean: float64 (46,), points of unit size about their centre.
        components: float64 (K, 46).
        variances: float64 (K,) of the components.
        rest: float64 (), variance of each coordinate beside them.
    """

    mean: Floats
    components: Floats
    variances: Floats
    rest: Floats

    @classmethod
    def fit(cls, shapes: Floats) -> "SpineShapes":
        """From shapes float64 (n, 23, 2), n >= 2, that face left; no NaN."""
        aligned, _ = align_shapes(shapes)
        vectors = aligned.reshape(len(shapes), -1)
        mean = vectors.mean(axis=0)
        _, singular, components = np.linalg.svd(vectors - mean, full_matrices=False)
        variances = singular**2 / (len(shapes) - 1)
        explained = np.cumsum(variances) / variances.sum() if variances.sum() > 0 else np.ones(len(variances))
        kept = min(int(np.searchsorted(explained, _EXPLAINED)) + 1, max(1, len(shapes) // 5))
        rest = variances[kept:].sum() / (vectors.shape[1] - _FREE - kept)
        # Of shapes that are all alike, any other is far away; 1e-12 is a rounding of float32, squared.
        return cls(mean, components[:kept], np.maximum(variances[:kept], 1e-12), np.maximum(rest, 1e-12))

    def measure(self, shapes: Floats) -> Floats:
        """Mahalanobis distance of each shape (n, 23, 2) that faces left; infinite for points that all coincide."""
        if not len(shapes):
            return np.empty(0)
        with np.errstate(all="ignore"):
            aligned = align_to(shapes, self.mean.reshape(-1, 2)).reshape(len(shapes), -1) - self.mean
            scores = aligned @ self.components.T
            left = (aligned**2).sum(axis=1) - (scores**2).sum(axis=1)
            squared = (scores**2 / self.variances).sum(axis=1) + np.maximum(left, 0) / self.rest
        return np.where(np.isfinite(squared), np.sqrt(squared), np.inf)

    def to_arrays(self) -> dict[str, Floats]:
        """All attributes by name."""
        return {name: np.asarray(value, np.float64) for name, value in vars(self).items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Floats]) -> "SpineShapes":
        """The inverse of `to_arrays`; other names are passed over."""
        return cls(arrays["mean"], arrays["components"], arrays["variances"], arrays["rest"])


def turn_left(points: Floats, facing: Sequence[str]) -> Floats:
    """Spines as they are when their patients face left.

    Args:
        points: float64 (n, 23, 2) px.
        facing: (n,), `left`, `right`, or another word where nobody said it: then the points do, by which of their sides
            is called the front.

    Returns:
        Those that face right with x of the other sign.
    """
    said = np.array(facing, dtype=object)
    forward = points[:, _ANTERIOR, 0].mean(axis=1) - points[:, _POSTERIOR, 0].mean(axis=1)
    right = (said == "right") | ((said != "left") & (forward > 0))
    left = points.copy()
    left[right, :, 0] *= -1
    return left


def deal_folds(groups: Sequence[str], generator: np.random.Generator) -> NDArray[np.int64]:
    """Fold 0 .. `NUM_FOLDS` - 1 of each spine, int64 (n,): those of one group, a patient or anatomy, share one."""
    names, group = np.unique(np.array(groups, dtype=object).astype(str), return_inverse=True)
    return np.asarray((generator.permutation(len(names)) % NUM_FOLDS)[group], np.int64)


def find_limit(distances: Floats) -> tuple[float, float]:
    """The limit that nearly all honest spines keep.

    Args:
        distances: float64 (n,), n >= 1, of spines by models that have not seen them.

    Returns:
        The limit, and the chance of another honest spine to lie beyond it: at most `BEYOND`, or 1 / (n + 1) where the
        spines are too few for that.
    """
    reached = np.sort(distances)
    rank = min(len(reached), math.ceil((1 - BEYOND) * (len(reached) + 1)))
    return float(np.nextafter(reached[rank - 1], np.inf)), 1 - rank / (len(reached) + 1)
