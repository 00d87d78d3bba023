"""Settings of a reader study: its design, its cases, and how it will be analysed."""

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from cspine_bench.recipe import Recipe

Count = Annotated[int, Field(ge=0, le=10_000)]
Share = Annotated[float, Field(gt=0, lt=1)]
ErrorRate = Annotated[float, Field(ge=1e-6, lt=0.5)]
"""Of a test; beyond these no interval and no equivalence has a meaning."""
Words = Annotated[str, Field(min_length=1, max_length=400)]

Design = Literal["quartet", "pair", "single"]
NUM_PANES: Final[dict[Design, int]] = {"quartet": 4, "pair": 2, "single": 1}
CHANCE: Final[dict[Design, float]] = {"quartet": 1 / 4, "pair": 1 / 2, "single": 1 / 2}
"""Share of correct answers of a reader who sees no difference."""

Unit = Literal["reader", "quartet"]
Stratum = Literal["sex", "age_band", "curvature", "disease", "facing"]


class AnalysisRecipe(Recipe):
    """What is decided before the first answer: margins, error rates, units."""

    alpha: ErrorRate = Field(0.05, description="Error rate of every test; intervals cover 1 - alpha.")
    accuracy_margin: Share = Field(
        0.10, description="Largest distance of the accuracy from chance that does not matter, as a share."
    )
    rating_margin: Annotated[float, Field(gt=0)] = Field(
        0.2, description="Largest difference of mean ratings, real minus synthetic, that does not matter, in steps."
    )
    rating_unit: Unit = Field("reader", description="Whose mean differences the Wilcoxon tests rank.")
    control_accuracy: Share = Field(
        0.5, description="Accuracy on positive controls below which a study shows nothing about small differences."
    )
    ordinal_model: bool = Field(False, description="Also fit the cumulative-link mixed model of the ratings; seconds.")


class StudyRecipe(Recipe):
    """A whole reader study."""

    title: Words = "Which of these radiographs is real?"
    design: Design = Field(
        "quartet", description="One real image among four, one of two, or single images that are real or synthetic."
    )
    readers: Annotated[int, Field(ge=1, le=200)] = Field(8, description="How many read; each gets a link.")
    cases: Annotated[int, Field(ge=2, le=2000)] = Field(50, description="Display sets of the primary analysis.")
    training: Count = Field(4, description="Display sets to practise on, in no analysis.")
    repeats: Count = Field(8, description="Cases that every reader sees a second time, for intra-reader agreement.")
    repeat_lag: Annotated[int, Field(ge=1)] = Field(15, description="Fewest trials between a case and its repeat.")
    positive_controls: Count = Field(6, description="Display sets that a reader who looks must get right.")
    negative_controls: Count = Field(0, description="Display sets all of whose images are synthetic: they show habits.")
    ratings: bool = Field(True, description="Whether every image is rated for realism too.")
    anchors: Annotated[tuple[Words, ...], Field(min_length=2, max_length=9)] = Field(
        ("clearly not a radiograph", "more artificial than real", "more real than artificial", "like a radiograph"),
        description="What each step of the rating scale means, from 1 up.",
    )
    strata: tuple[Stratum, ...] = Field((), description="Labels in which all images of a display set agree.")
    size: Annotated[int, Field(ge=32, le=4096)] | None = Field(
        None, description="Side of the images as shown, px.  [that of the images, which must be one]"
    )
    bit_depth: Literal[8, 16] | None = Field(None, description="Of the images as shown.  [the least of all inputs]")
    copy_limit: Annotated[float, Field(gt=0, le=1)] = Field(
        0.85, description="Correlation of fine structure above which two images are not in one display set: copies."
    )
    leak_limit: Annotated[float, Field(ge=0.5, le=1)] = Field(
        0.7, description="AUC of non-anatomical features, real against synthetic, above which a plan is refused."
    )
    analysis: AnalysisRecipe = AnalysisRecipe()

    @model_validator(mode="after")
    def _possible(self) -> "StudyRecipe":
        if self.repeats > self.cases:
            raise ValueError(f"repeats ({self.repeats}) are some of the cases ({self.cases})")
        if self.repeats and self.cases + self.positive_controls + self.negative_controls <= self.repeat_lag:
            raise ValueError(f"repeat_lag {self.repeat_lag} needs more cases than that between a case and its repeat")
        if self.negative_controls and self.design == "single":
            raise ValueError("negative_controls have no meaning for single images; set 0")
        if len(set(self.strata)) != len(self.strata):
            raise ValueError(f"strata names one twice: {', '.join(self.strata)}")
        return self

    @property
    def num_panes(self) -> int:
        """Images of a display set."""
        return NUM_PANES[self.design]

    @property
    def chance(self) -> float:
        """Accuracy of a reader who sees no difference."""
        return CHANCE[self.design]
