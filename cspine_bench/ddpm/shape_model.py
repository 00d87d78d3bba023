"""A statistical shape model of the landmarks: new spines for the generator to draw, none of them a training spine.

Shapes are aligned by similarity transforms (generalised Procrustes), and their coordinates joined with the pose that
was taken off and the pixel spacing. Principal components of that vector are drawn inside the ellipsoid that holds most
of the training shapes. Source: Cootes et al. 1995, Computer Vision and Image Understanding 61:38-59.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from cspine_bench.anatomy.classes import CURVATURE_CLASSES, FACINGS, Curvature, Facing
from cspine_bench.anatomy.curvature import compute_curvature_labels, curvature_class
from cspine_bench.anatomy.landmarks import CORNER_LEVELS, LANDMARK_INDEX, LANDMARK_NAMES, NUM_LANDMARKS
from cspine_bench.anatomy.procrustes import align_shapes, rotate
from cspine_bench.errors import DataError
from cspine_bench.seeding import numpy_generator

FloatArray = NDArray[np.float64]

MIN_SHAPES: Final = 24
_EXPLAINED: Final = 0.99
"""Share of the variance that the kept components hold."""
_INSIDE: Final = 0.95
"""Share of a Gaussian that the ellipsoid holds; beyond it the tails kink."""
_DRAWS_AT_ONCE: Final = 50
_MAX_DRAWS: Final = 1000
_MAX_DRAWS_OF_CLASS: Final = 5000
"""A class that one spine in two hundred has is found with near certainty."""
_POSE: Final = 5
"""Logarithm of scale, rotation, x, y, and logarithm of the pixel spacing."""

_DISCS: Final = tuple(
    (LANDMARK_INDEX[f"{upper}_inferior_{side}"], LANDMARK_INDEX[f"{lower}_superior_{side}"])
    for upper, lower in zip(("C2", *CORNER_LEVELS), CORNER_LEVELS, strict=False)
    for side in ("anterior", "posterior")
)
_ANTERIOR: Final = [index for index, name in enumerate(LANDMARK_NAMES) if name.endswith("_anterior")]
_POSTERIOR: Final = [index for index, name in enumerate(LANDMARK_NAMES) if name.endswith("_posterior")]
_COLUMN: Final = (LANDMARK_INDEX["C2_centroid"], LANDMARK_INDEX["C7_inferior_anterior"])


@dataclass(frozen=True)
class Shape:
    """A drawn spine.

    Attributes:
        landmarks_xy: float32 (23, 2) px.
        pixel_spacing_mm: side of a pixel; None where the training set gave none.
        num_draws: draws that it took, the rejected ones included.
    """

    landmarks_xy: NDArray[np.float32]
    pixel_spacing_mm: float | None
    num_draws: int = 1

    @property
    def facing(self) -> Facing:
        """Side of the image that the patient faces."""
        forward = self.landmarks_xy[_ANTERIOR, 0].mean() - self.landmarks_xy[_POSTERIOR, 0].mean()
        return "left" if forward < 0 else "right"

    @property
    def curvature(self) -> Curvature | None:
        """Its class by Toyama's rule; None where the pixel spacing is not known."""
        spacing = np.nan if self.pixel_spacing_mm is None else self.pixel_spacing_mm
        return curvature_class(self.landmarks_xy, pixel_spacing_mm=spacing, facing=self.facing)


@dataclass(frozen=True)
class ShapeModel:
    """Landmarks of a training set as a truncated Gaussian.

    Attributes:
        mean: (D,) D = 46 aligned coordinates and 5 of pose.
        spread: (D,) what each is divided by before the components.
        components: (K, D); deviations: (K,) their standard deviations.
        min_disc: (10,) least height of each disc's ends over the column's length, in training.
        training: (N, 23, 2) px; a draw never comes nearer to one of them than `min_distance_px`.
        min_distance_px: () root mean square over the landmarks.
    """

    mean: FloatArray
    spread: FloatArray
    components: FloatArray
    deviations: FloatArray
    min_disc: FloatArray
    training: FloatArray
    min_distance_px: FloatArray

    def draw(self, seed: int, index: int, *, curvature: str | None = None) -> Shape:
        """Shape `index` of a seed: inside the ellipsoid, with open discs, and no training shape.

        Args:
            seed: 0 <= seed < 2**63.
            index: number of the shape.
            curvature: its class; None: whatever is drawn. Of one index, a draw of another class is passed over.

        Raises:
            DataError: no such shape was found: the training set is too odd to model, hardly ever gives this class, or
                does not state the pixel spacing that classes need.
        """
        if curvature is not None and not np.isfinite(self.mean[-1]):
            raise DataError(
                f"no spine can be drawn for curvature {curvature}: classes are told apart in mm, and the training set "
                "does not state the pixel spacing of every film; ask for no curvature"
            )
        generator = numpy_generator(seed, "ddpm.shape", index)
        most = _MAX_DRAWS if curvature is None else _MAX_DRAWS_OF_CLASS
        for before in range(0, most, _DRAWS_AT_ONCE):
            weights = generator.standard_normal((_DRAWS_AT_ONCE, len(self.deviations)))
            plausible = self._iter_plausible(weights)
            if curvature is not None:
                plausible = _keep_class(list(plausible), curvature)
            for place, shape in plausible:
                if self.measure_nearest_px(shape.landmarks_xy) >= self.min_distance_px:
                    return replace(shape, num_draws=before + place + 1)
        wanted = "spine" if curvature is None else f"{curvature} spine"
        raise DataError(
            f"shape {index} of seed {seed}: none of {most} draws was a plausible new {wanted}; the shape model was "
            f"fitted to {len(self.training)} shapes, train on more{'' if curvature is None else ' of that class'}"
        )

    def _iter_plausible(self, weights: FloatArray) -> Iterator[tuple[int, Shape]]:
        """Of many draws, those inside the ellipsoid with open discs, each with its place."""
        vectors = self.mean + self.spread * ((weights * self.deviations) @ self.components)
        inside = (weights**2).sum(axis=1) <= stats.chi2.ppf(_INSIDE, len(self.deviations))
        for place in np.flatnonzero(inside):
            points = _pose(vectors[place, :-_POSE].reshape(NUM_LANDMARKS, 2), vectors[place, -_POSE:])
            if not (_measure_discs(points) < self.min_disc).any():
                spacing = float(np.exp(vectors[place, -1]))
                yield int(place), Shape(points.astype(np.float32), spacing if np.isfinite(spacing) else None)

    def measure_nearest_px(self, landmarks_xy: NDArray[np.floating]) -> float:
        """Root mean square distance (px) of a shape (23, 2) to the nearest training shape."""
        squared = ((self.training - landmarks_xy) ** 2).sum(-1).mean(-1)
        return float(np.sqrt(squared.min()))

    def to_arrays(self) -> dict[str, FloatArray]:
        """All attributes by name, for a checkpoint."""
        return {name: np.atleast_1d(np.asarray(value)) for name, value in vars(self).items()}

    @classmethod
    def from_arrays(cls, arrays: dict[str, Any]) -> "ShapeModel":
        """The inverse of `to_arrays`."""
        values = {name: np.asarray(value, dtype=np.float64) for name, value in arrays.items()}
        values["min_distance_px"] = values["min_distance_px"].reshape(())
        return cls(**values)


def fit_shape_model(landmarks_xy: NDArray[np.floating], pixel_spacing_mm: NDArray[np.floating]) -> ShapeModel:
    """Fit the model to a training set.

    Args:
        landmarks_xy: (N, 23, 2) px, all images of one size; shapes with a NaN are left out.
        pixel_spacing_mm: (N,) NaN = not known; if any is not known, drawn shapes carry none.

    Raises:
        DataError: fewer than 24 whole shapes.
    """
    whole = ~np.isnan(landmarks_xy).any(axis=(1, 2))
    shapes = np.asarray(landmarks_xy[whole], dtype=np.float64)
    if len(shapes) < MIN_SHAPES:
        raise DataError(
            f"a shape model needs {MIN_SHAPES} radiographs with all 23 landmarks, the training split has "
            f"{len(shapes)}; "
            "add labelled radiographs, or train without the skeleton condition"
        )
    spacing = np.log(np.asarray(pixel_spacing_mm, dtype=np.float64)[whole])
    known = bool(np.isfinite(spacing).all())
    aligned, pose = align_shapes(shapes)
    last = spacing if known else np.zeros(len(shapes))
    vectors = np.concatenate([aligned.reshape(len(shapes), -1), pose, last[:, None]], axis=1)
    mean = vectors.mean(axis=0)
    # One spread for all coordinates keeps their proportions; pose and spacing have their own units, and their own.
    spread = np.full(vectors.shape[1], vectors[:, :-_POSE].std(axis=0).mean())
    spread[-_POSE:] = np.maximum(vectors[:, -_POSE:].std(axis=0), 1e-9)
    _, singular, components = np.linalg.svd((vectors - mean) / spread, full_matrices=False)
    variance = singular**2 / (len(shapes) - 1)
    kept = int(np.searchsorted(np.cumsum(variance) / variance.sum(), _EXPLAINED)) + 1
    if not known:
        mean[-1] = np.nan
    return ShapeModel(
        mean=mean,
        spread=spread,
        components=components[:kept],
        deviations=np.sqrt(variance[:kept]),
        min_disc=_measure_discs(shapes).min(axis=0),
        training=shapes,
        min_distance_px=np.asarray(0.5 * _measure_spacing_of(shapes)),
    )


def _keep_class(drawn: Sequence[tuple[int, Shape]], curvature: str) -> Iterator[tuple[int, Shape]]:
    """Those of one class: as `Shape.curvature` judges, many at once in a fraction of the time."""
    labels = np.full(len(drawn), -1)
    for facing in FACINGS:
        same = [row for row, (_, shape) in enumerate(drawn) if shape.facing == facing]
        points = np.array([drawn[row][1].landmarks_xy for row in same]).reshape(-1, NUM_LANDMARKS, 2)
        spacing = np.array([drawn[row][1].pixel_spacing_mm for row in same], np.float64)
        labels[same] = compute_curvature_labels(points, pixel_spacing_mm=spacing, facing=facing)
    return (
        one for one, label in zip(drawn, labels, strict=True) if label >= 0 and CURVATURE_CLASSES[label] == curvature
    )


def _measure_spacing_of(shapes: FloatArray) -> float:
    """Median root mean square distance (px) of a training shape to its nearest other one, over at most 200 of them."""
    distances = []
    for index in range(min(len(shapes), 200)):
        squared = ((shapes - shapes[index]) ** 2).sum(-1).mean(-1)
        squared[index] = np.inf
        distances.append(np.sqrt(squared.min()))
    return float(np.median(distances))


def _pose(shape: FloatArray, pose: FloatArray) -> FloatArray:
    log_scale, angle, x, y = pose[:4]
    return np.asarray(np.exp(log_scale) * rotate(shape, angle) + (x, y))


def _measure_discs(shapes: FloatArray) -> FloatArray:
    """Signed heights (..., 10) of the disc ends along the column, over the column's length."""
    top, bottom = shapes[..., _COLUMN[0], :], shapes[..., _COLUMN[1], :]
    length = np.linalg.norm(bottom - top, axis=-1)
    down = (bottom - top) / length[..., None]
    ends = np.array(_DISCS)
    gaps = shapes[..., ends[:, 1], :] - shapes[..., ends[:, 0], :]
    heights: FloatArray = (gaps * down[..., None, :]).sum(-1) / length[..., None]
    return heights
