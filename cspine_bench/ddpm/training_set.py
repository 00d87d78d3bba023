"""What a generator remembers of its training films besides its weights: counts, and the limits of the quality rules."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from cspine_bench.ddpm.films import Films
from cspine_bench.ddpm.quality import calibrate_rules
from cspine_bench.ddpm.recipe import ClassName


class TrainingSet(BaseModel):
    """Facts about the films of the train split; part of `run.json`.

    Args:
        num_films: how many.
        sources: films by kind of source: phantom, csxa, images, dicom. Empty: not stated.
        classes: films by value of each class; those whose value is not known are not counted.
        pixel_spacing_plane: of all of them; None: not known, or not of one plane.
        limits: of the quality rules, see `calibrate_rules`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_films: int
    sources: dict[str, int] = {}
    classes: dict[ClassName, dict[str, int]]
    pixel_spacing_plane: str | None
    limits: dict[str, float]


def describe_films(films: Films) -> TrainingSet:
    """The facts about a training set."""
    planes = set(films.pixel_spacing_plane)
    images = np.rint(films.pixels / 257).astype(np.uint8)  # 65535 / 255: as sampled images are stored
    return TrainingSet(
        num_films=len(films),
        sources=_count(films.source_kind),
        classes={"curvature": _count(films.curvature), "sex": _count(films.sex)},
        pixel_spacing_plane=planes.pop() if len(planes) == 1 else None,
        limits=calibrate_rules(images, films.landmarks_xy),
    )


def _count(values: Sequence[str | None]) -> dict[str, int]:
    return dict(sorted(Counter(value for value in values if value is not None).items()))
