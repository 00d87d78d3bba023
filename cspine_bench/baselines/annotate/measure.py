"""What teachers say of the radiographs of a dataset, in pixels of the dataset's own images."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.anatomy.classes import CURVATURE_CLASSES, FACINGS
from cspine_bench.anatomy.landmarks import CORNER_LEVELS, CORNERS, LANDMARK_INDEX, LEVELS, NUM_LANDMARKS
from cspine_bench.anatomy.spine_shapes import turn_left
from cspine_bench.baselines.annotate.ask import Asking, ask_all, list_files, read_answers
from cspine_bench.baselines.curvature_agreement import classify_landmarks
from cspine_bench.baselines.task import Arrays
from cspine_bench.baselines.train_model import measure_confidence
from cspine_bench.dataset.ray_tasks import RayCluster
from cspine_bench.measurement.inputs import Images
from cspine_bench.measurement.task import ShowStage

_CURVATURE_POINTS: Final = [
    *(LANDMARK_INDEX[f"{level}_inferior_{side}"] for level in ("C2", "C7") for side in ("anterior", "posterior")),
    *(LANDMARK_INDEX[f"{level}_{corner}"] for level in CORNER_LEVELS[:4] for corner in CORNERS),
]
"""All that the rule of curvature looks at."""


@dataclass(frozen=True)
class Said:
    """What one teacher says.

    Attributes:
        predictions: as its task gives them.
        factors: float64 (n,), pixels of an image along one of its own.
    """

    predictions: Arrays = field(repr=False)
    factors: NDArray[np.float64] = field(repr=False)

    def take(self, places: NDArray[np.int64]) -> "Said":
        """Of some of the radiographs, by their places."""
        predictions = {name: values[places] for name, values in self.predictions.items()}
        return Said(predictions, self.factors[places])


@dataclass(frozen=True)
class Measured:
    """Labels of some radiographs of a dataset.

    Attributes:
        rows: int64 (n,), their places in the dataset.
        sample_ids: (n,).
        facing: (n,), as the record says, or else as the landmarks do; `unknown` where neither does.
        pixel_spacing_mm: float64 (n,), of the images; NaN: not known.
        side_px: float64 (n,), of the images, which are square.
        said: by what is labelled.
        landmarks_xy: float32 (n, 23, 2), px of the images, also outside them; NaN: nobody measured.
        landmark_confidence: float32 (n, 23), NaN: none.
        masks: uint8 (n, S, S), label ids at the teacher's size; None: nobody measured.
        mask_levels: that the masks annotate.
        mask_confidence: float64 (n,), of the whole mask; NaN: none.
        level_confidence: float32 (n, 8), of each of `LEVELS`; NaN: none.
        curvature: int64 (n,), place in `CURVATURE_CLASSES`; -1: not known.
        curvature_confidence: float64 (n,); NaN: none.
    """

    rows: NDArray[np.int64]
    sample_ids: tuple[str, ...] = field(repr=False)
    facing: tuple[str, ...] = field(repr=False)
    pixel_spacing_mm: NDArray[np.float64] = field(repr=False)
    side_px: NDArray[np.float64] = field(repr=False)
    said: dict[str, Said] = field(repr=False)
    landmarks_xy: NDArray[np.float32] = field(repr=False)
    landmark_confidence: NDArray[np.float32] = field(repr=False)
    masks: NDArray[np.uint8] | None = field(repr=False)
    mask_levels: tuple[str, ...]
    mask_confidence: NDArray[np.float64] = field(repr=False)
    level_confidence: NDArray[np.float32] = field(repr=False)
    curvature: NDArray[np.int64] = field(repr=False)
    curvature_confidence: NDArray[np.float64] = field(repr=False)

    def __len__(self) -> int:
        """How many radiographs."""
        return len(self.rows)

    def take(self, places: NDArray[np.int64]) -> "Measured":
        """Some of them, by their places here."""
        return Measured(
            rows=self.rows[places],
            sample_ids=tuple(self.sample_ids[place] for place in places),
            facing=tuple(self.facing[place] for place in places),
            pixel_spacing_mm=self.pixel_spacing_mm[places],
            side_px=self.side_px[places],
            said={what: said.take(places) for what, said in self.said.items()},
            landmarks_xy=self.landmarks_xy[places],
            landmark_confidence=self.landmark_confidence[places],
            masks=None if self.masks is None else self.masks[places],
            mask_levels=self.mask_levels,
            mask_confidence=self.mask_confidence[places],
            level_confidence=self.level_confidence[places],
            curvature=self.curvature[places],
            curvature_confidence=self.curvature_confidence[places],
        )


def measure_labels(
    images: Images,
    rows: NDArray[np.int64],
    asking: Asking,
    show: ShowStage,
    *,
    num_workers: int = 1,
    ray: RayCluster | None = None,
) -> Measured:
    """Ask the teachers.

    Args:
        images: the dataset.
        rows: int64 (n,), places of the radiographs that are asked about, ascending.
        asking: the teachers, and what keeps their answers.
        show: told each stage.
        num_workers: processes that ask.
        ray: ask in tasks of this cluster instead.

    Raises:
        DataError: as `ask_all`.
    """
    files = list_files(images, rows)
    ask_all(asking, files, show, num_workers=num_workers, ray=ray)
    widths = np.concatenate(
        [images.folder.read_table(["width"], split).column("width").to_numpy() for split in images.splits]
    )
    said = {
        what: Said(read_answers(what, asking, files), widths[rows] / model.recipe.size)
        for what, model in asking.teachers.items().items()
    }
    count = len(rows)
    landmarks_xy = np.full((count, NUM_LANDMARKS, 2), np.nan, np.float32)
    landmark_confidence = np.full((count, NUM_LANDMARKS), np.nan, np.float32)
    if (one := said.get("landmarks")) is not None:
        landmarks_xy = _enlarge(one.predictions["landmarks_xy"], one.factors)
        landmark_confidence = one.predictions["confidence"].astype(np.float32)
    facing = tell_facing([images.facing[row] for row in rows], landmarks_xy)
    spacing = images.pixel_spacing_mm[rows]
    masks, levels, mask_confidence, level_confidence = _read_masks(said.get("masks"), count)
    curvature, curvature_confidence = _read_curvature(
        said.get("curvature"), landmarks_xy, landmark_confidence, facing, spacing
    )
    return Measured(
        rows=rows,
        sample_ids=tuple(images.sample_ids[row] for row in rows),
        facing=facing,
        pixel_spacing_mm=spacing,
        side_px=widths[rows].astype(np.float64),
        said=said,
        landmarks_xy=landmarks_xy,
        landmark_confidence=landmark_confidence,
        masks=masks,
        mask_levels=levels,
        mask_confidence=mask_confidence,
        level_confidence=level_confidence,
        curvature=curvature,
        curvature_confidence=curvature_confidence,
    )


def _enlarge(landmarks_xy: NDArray[np.floating], factors: NDArray[np.float64]) -> NDArray[np.float32]:
    """The inverse of `shrink_landmarks`, each radiograph by its own factor."""
    return np.asarray((landmarks_xy.astype(np.float64) + 0.5) * factors[:, None, None] - 0.5, np.float32)


def tell_facing(facing: Sequence[str], landmarks_xy: NDArray[np.float32]) -> tuple[str, ...]:
    """Side that each patient faces: as it was said, or else by which side of the measured landmarks is the front."""
    found = list(facing)
    for row, said in enumerate(facing):
        if said not in FACINGS and np.isfinite(landmarks_xy[row]).all():
            points = landmarks_xy[row : row + 1].astype(np.float64)
            found[row] = "left" if np.array_equal(turn_left(points, [said]), points) else "right"
    return tuple(found)


def _read_masks(
    said: Said | None, count: int
) -> tuple[NDArray[np.uint8] | None, tuple[str, ...], NDArray[np.float64], NDArray[np.float32]]:
    """Masks, the levels that they annotate, and their confidence as a whole and by level."""
    by_level = np.full((count, len(LEVELS)), np.nan, np.float32)
    if said is None:
        return None, (), np.full(count, np.nan), by_level
    told = said.predictions
    learnt = told["learnt"][0] if count else np.zeros(len(LEVELS), np.bool_)
    levels = tuple(level for level, known in zip(LEVELS, learnt.tolist(), strict=True) if known)
    return told["masks"], levels, told["confidence"].astype(np.float64), told["level_confidence"]


def _read_curvature(
    said: Said | None,
    landmarks_xy: NDArray[np.float32],
    landmark_confidence: NDArray[np.float32],
    facing: tuple[str, ...],
    spacing_mm: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    if said is not None:
        sure = measure_confidence(said.predictions)
        none = np.full(len(facing), np.nan)
        return said.predictions["predicted"].astype(np.int64), none if sure is None else sure
    labels = classify_landmarks(landmarks_xy, facing, spacing_mm)
    least = landmark_confidence[:, _CURVATURE_POINTS].astype(np.float64).min(axis=1)
    return labels, np.where(labels >= 0, least, np.nan)


def name_curvature(labels: NDArray[np.int64]) -> tuple[str | None, ...]:
    """Names of classes; None for -1."""
    return tuple(CURVATURE_CLASSES[label] if label >= 0 else None for label in labels)
