"""Settings of the phantom: what varies, and by how much."""

from typing import Annotated, Final, Literal

from pydantic import Field, field_validator, model_validator

from cspine_bench.anatomy.classes import CSXA_CURVATURE_COUNTS, Curvature, Facing
from cspine_bench.recipe import Recipe
from cspine_bench.sources.phantom.artefacts import ARTEFACTS

Interval = tuple[float, float]
Share = Annotated[float, Field(ge=0, le=1)]

_CSXA_TOTAL: Final = sum(CSXA_CURVATURE_COUNTS.values())


class CurvatureMix(Recipe):
    """Relative weights of the curvature classes. The default is CSXA's mix, its sigmoid films halved."""

    lordotic: Annotated[float, Field(ge=0)] = CSXA_CURVATURE_COUNTS["lordotic"] / _CSXA_TOTAL
    straight: Annotated[float, Field(ge=0)] = CSXA_CURVATURE_COUNTS["straight"] / _CSXA_TOTAL
    sigmoid1: Annotated[float, Field(ge=0)] = CSXA_CURVATURE_COUNTS["sigmoid"] / _CSXA_TOTAL / 2
    sigmoid2: Annotated[float, Field(ge=0)] = CSXA_CURVATURE_COUNTS["sigmoid"] / _CSXA_TOTAL / 2
    kyphotic: Annotated[float, Field(ge=0)] = CSXA_CURVATURE_COUNTS["kyphotic"] / _CSXA_TOTAL

    @model_validator(mode="after")
    def _some_class_possible(self) -> "CurvatureMix":
        if sum(self.weights().values()) <= 0:
            raise ValueError("at least one curvature class needs a weight above 0")
        return self

    def weights(self) -> dict[Curvature, float]:
        """Weight of each class, in the order of `CURVATURE_CLASSES`."""
        return {
            "lordotic": self.lordotic,
            "straight": self.straight,
            "sigmoid1": self.sigmoid1,
            "sigmoid2": self.sigmoid2,
            "kyphotic": self.kyphotic,
        }


class PhantomRecipe(Recipe):
    """Everything but seed and count that decides the phantom's radiographs."""

    kind: Literal["phantom"] = "phantom"
    size: Annotated[int, Field(ge=64, le=2048, multiple_of=16)] = Field(
        256, description="Side of the square image, px."
    )
    bit_depth: Literal[8, 16] = 8
    facing: Facing = Field("left", description="Side of the image that the patient faces.")
    layer: Literal["all", "bone", "soft"] = Field(
        "all", description="Which tissue to project: all, bone only, soft only."
    )
    view_angles_deg: tuple[Annotated[float, Field(ge=-90, le=90)], ...] = Field(
        (0.0,), min_length=1, description="Views of each person, degrees about the vertical: 0 lateral, 90 frontal."
    )
    curvature: CurvatureMix = CurvatureMix()
    spondylosis_share: Share = 0.5
    female_share: Share = 0.5
    age_years: tuple[int, int] = (18, 85)
    rotation_sd_deg: Annotated[float, Field(ge=0, le=10)] = Field(2.0, description="Turn and lean against the beam.")
    flexion_sd_deg: Annotated[float, Field(ge=0, le=20)] = 5.0
    field_of_view_mm: Interval = Field((172.0, 205.0), description="Side of the image in the midsagittal plane.")
    magnification: Interval = (1.10, 1.20)
    source_detector_mm: Interval = (1500.0, 1830.0)
    photons_per_mm2: Interval = Field((4.0e4, 2.5e5), description="Log-uniform; sets the quantum noise.")
    scatter_ratio: Interval = (0.3, 0.9)
    blur_mm: Interval = (0.15, 0.4)
    collimation_share: Share = Field(0.35, description="Share of films with visible shutter edges.")
    marker_share: Share = Field(0.5, description="Share of films with a side marker.")
    artefacts: tuple[str, ...] = Field((), description="Names to draw one artefact from; empty = none.")
    artefact_share: Share = Field(1.0, description="Share of films with an artefact, if any are named.")
    artefact_strength: Interval = (0.2, 1.0)

    @field_validator("field_of_view_mm", "magnification", "source_detector_mm", "photons_per_mm2", "scatter_ratio",
                     "blur_mm", "artefact_strength", "age_years")  # fmt: skip
    @classmethod
    def _rising(cls, interval: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= interval[0] <= interval[1]:
            raise ValueError(f"needs two rising numbers from 0 up, got {interval}")
        return interval

    @field_validator("field_of_view_mm")
    @classmethod
    def _holds_a_neck(cls, interval: Interval) -> Interval:
        if not interval[0] >= 140 or interval[1] > 400:
            raise ValueError(f"must lie within 140 and 400 mm so that C2 to C7 fit in, got {interval}")
        return interval

    @field_validator("magnification")
    @classmethod
    def _beyond_one(cls, interval: Interval) -> Interval:
        if interval[0] < 1.02 or interval[1] > 2:
            raise ValueError(f"must lie within 1.02 and 2, got {interval}")
        return interval

    @field_validator("source_detector_mm")
    @classmethod
    def _far_enough(cls, interval: Interval) -> Interval:
        if interval[0] < 1000 or interval[1] > 5000:
            raise ValueError(
                f"must lie within 1000 and 5000 mm, so that the person fits before the source, got {interval}"
            )
        return interval

    @field_validator("photons_per_mm2")
    @classmethod
    def _some_photons(cls, interval: Interval) -> Interval:
        if interval[0] < 100 or interval[1] > 1e8:
            raise ValueError(f"must lie within 100 and 1e8, got {interval}")
        return interval

    @field_validator("artefact_strength")
    @classmethod
    def _at_most_one(cls, interval: Interval) -> Interval:
        if interval[1] > 1:
            raise ValueError(f"must lie within 0 and 1, got {interval}")
        return interval

    @field_validator("age_years")
    @classmethod
    def _adults(cls, interval: tuple[int, int]) -> tuple[int, int]:
        if interval[0] < 18 or interval[1] > 100:
            raise ValueError(f"must lie within 18 and 100 (dimensions are adults'), got {interval}")
        return interval

    @field_validator("artefacts")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(names) - set(ARTEFACTS))
        if unknown:
            raise ValueError(f"unknown artefacts {unknown}; known: {', '.join(ARTEFACTS)}")
        return names
