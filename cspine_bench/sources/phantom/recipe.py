"""Settings of the phantom: what varies, and by how much."""

from typing import Annotated, Final, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

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


_LIMITS: Final[dict[str, tuple[float, float, str]]] = {
    "age_years": (18, 100, "the dimensions are adults'"),
    "field_of_view_mm": (140, 260, "C2 to C7 must fit in, and nothing beyond skull base and shoulders is modelled"),
    "detector_gap_mm": (0, 300, "the detector stands behind the far shoulder"),
    "source_detector_mm": (1000, 5000, "the person must fit before the source"),
    "photons_per_mm2": (100, 1e8, "fewer is no image, more is no noise"),
    "scatter_ratio": (0, 10, "scattered over primary intensity"),
    "blur_mm": (0, 5, "standard deviation"),
    "artefact_strength": (0, 1, "a share"),
}
"""What an interval may hold, and why."""


class PhantomRecipe(Recipe):
    """Everything but seed and count that decides the phantom's radiographs. Intervals are assumptions."""

    kind: Literal["phantom"] = "phantom"
    size: Annotated[int, Field(ge=64, le=2048, multiple_of=16)] = Field(
        256, description="Side of the square image, px."
    )
    bit_depth: Literal[8, 16] = Field(8, description="Bits per pixel.")
    facing: Facing = Field("left", description="Side of the image that the patient faces.")
    layer: Literal["all", "bone", "soft"] = Field(
        "all", description="Which tissue to project: all, bone only, soft only."
    )
    view_angles_deg: tuple[Annotated[float, Field(ge=-90, le=90)], ...] = Field(
        (0.0,), min_length=1, description="Views of each person, degrees about the vertical: 0 lateral, 90 frontal."
    )
    curvature: CurvatureMix = Field(CurvatureMix(), description="Relative weights of the curvature classes.")
    spondylosis_share: Share = Field(0.5, description="Share of people with narrowed discs and osteophytes.")
    female_share: Share = Field(0.5, description="Share of women.")
    age_years: tuple[int, int] = Field((18, 85), description="Uniform, both ends included.")
    rotation_sd_deg: Annotated[float, Field(ge=0, le=10)] = Field(
        2.0, description="Spread of turn and lean against the beam."
    )
    flexion_sd_deg: Annotated[float, Field(ge=0, le=12)] = Field(
        5.0, description="Spread of flexion and extension: of the head, and with it the upper neck."
    )
    field_of_view_mm: Interval = Field((165.0, 198.0), description="Side of the image in the midsagittal plane.")
    detector_gap_mm: Interval = Field(
        (5.0, 60.0), description="From the far shoulder to the detector; with the shoulder it sets the magnification."
    )
    source_detector_mm: Interval = Field((1500.0, 1830.0), description="Focus to detector.")
    photons_per_mm2: Interval = Field((4.0e4, 2.5e5), description="Log-uniform; sets the quantum noise.")
    scatter_ratio: Interval = Field((0.3, 0.9), description="Scattered over primary intensity behind the neck.")
    blur_mm: Interval = Field((0.15, 0.4), description="Spread of focal spot and detector, as a standard deviation.")
    collimation_share: Share = Field(0.35, description="Share of films with visible shutter edges.")
    marker_share: Share = Field(0.5, description="Share of films with a side marker.")
    artefacts: tuple[str, ...] = Field((), description="Names to draw one artefact from; empty = none.")
    artefact_share: Share = Field(1.0, description="Share of films with an artefact, if any are named.")
    artefact_strength: Interval = Field((0.2, 1.0), description="Uniform; 1 is the worst.")

    @field_validator(*_LIMITS)
    @classmethod
    def _rising_within_limits(cls, interval: Interval, info: ValidationInfo) -> Interval:
        low, high, reason = _LIMITS[str(info.field_name)]
        if not low <= interval[0] <= interval[1] <= high:
            raise ValueError(f"needs two rising numbers within {low:g} and {high:g} ({reason}), got {interval}")
        return interval

    @field_validator("artefacts")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(names) - set(ARTEFACTS))
        if unknown:
            raise ValueError(f"unknown artefacts {unknown}; known: {', '.join(ARTEFACTS)}")
        return names
