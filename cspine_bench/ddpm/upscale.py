"""Sampled images made larger by a model that somebody else trained: what it must be, and how labels go along."""

from collections.abc import Mapping
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

PARAMETER: Final = "upscale"
"""Where the description of a source, and `generator_parameters` of a record, name the model."""


class Upscaler(Protocol):
    """A model that makes images larger. Must be picklable: images are made in worker processes.

    Attributes:
        factor: how many times the side.
        input_size: side of the images that it takes, px.
        weights_sha256: of its weights.
    """

    @property
    def factor(self) -> int: ...
    @property
    def input_size(self) -> int: ...
    @property
    def weights_sha256(self) -> str: ...

    def describe(self) -> Mapping[str, Any]:
        """All that decides what it makes, as JSON values; `weights_sha256` among them."""
        ...

    def enlarge(self, image: NDArray[np.uint8], *, device: str) -> NDArray[np.uint8]:
        """uint8 (S, S) to (S factor, S factor); the answer depends on nothing but that image."""
        ...


def enlarge_landmarks(landmarks_xy: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Landmarks of an image in pixels of the larger one, float32 of the same shape; NaN stays NaN.

    (0, 0) is the centre of the top-left pixel, before and after.
    """
    return np.asarray((np.asarray(landmarks_xy, np.float64) + 0.5) * factor - 0.5, np.float32)
