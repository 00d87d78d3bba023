"""Settings of made-up readers, and kinds of them by name."""

from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from cspine_bench.errors import RecipeError
from cspine_bench.recipe import Recipe, load_recipe

Share = Annotated[float, Field(gt=0, lt=1)]
Part = Annotated[float, Field(ge=0, lt=1)]
Spread = Annotated[float, Field(ge=0, le=5)]
People = Annotated[int, Field(ge=0, le=200)]


class RatingRecipe(Recipe):
    """How made-up readers rate realism: a cumulative logit model."""

    mean: Share = Field(0.77, description="Mean rating of real images: 0 is the lowest step, 1 the highest.")
    step: Annotated[float, Field(gt=0, le=5)] = Field(2.0, description="Distance between two bounds, on the logit.")
    shifts: tuple[Annotated[float, Field(ge=-10, le=10)], ...] = Field(
        (), description="How much less real each synthetic source looks than real images, in order, on the logit."
    )
    reader_sd: Spread = Field(0.75, description="Between readers, on the logit: strict ones and mild ones.")
    case_sd: Spread = Field(0.6, description="Between cases.")
    image_sd: Spread = Field(0.75, description="Between images of a case, the same for all readers.")
    source_sd: Spread = Field(0.1, description="Between readers in what they think of a source.")
    private_share: Part = Field(
        0.6, description="How much of what one reader alone sees in an image comes back at a second reading."
    )
    cue_share: Annotated[float, Field(ge=-1, le=1)] = Field(
        0.6, description="Correlation of an image's rating with what makes readers pick it."
    )


class ReadersRecipe(Recipe):
    """Readers with the skill, the habits and the faults that are asked for."""

    accuracy: Share | None = Field(
        None,
        description="Mean share of right answers, over readers and cases, habits and lapses included.  [what "
        "`detectability` alone gives: chance where that is 0]",
    )
    reader_sd: Spread = Field(0.25, description="Between readers, on the logit of a right answer.")
    case_sd: Spread = Field(
        0.45,
        description="Between cases, on the logit of a right answer; it comes from images that all readers find more, "
        "or less, like a radiograph, whether they are real or not.",
    )
    private_share: Part = Field(
        0.5, description="How much of what one reader alone sees in an image comes back at a second reading."
    )
    detectability: tuple[Annotated[float, Field(ge=-10, le=10)], ...] = Field(
        (),
        description="How much easier each synthetic source is to tell, in order, on the logit; not told: 0.",
    )
    control_accuracy: Annotated[float, Field(gt=0, le=0.999)] = Field(
        0.95, description="Right answers on positive controls of readers who look: without lapses."
    )
    pane_habit: Spread = Field(
        0.1, description="Of a reader's liking for a pane, or for the answer `real`, standard deviation on the logit."
    )
    lapses: Part = Field(0.0, description="Share of trials that are answered without looking.")
    one_pane: People = Field(0, description="Readers who always pick the first pane, or always say `real`.")
    straight_lining: People = Field(0, description="Readers who give every image the same rating.")
    narrow_raters: People = Field(0, description="Readers who use the two highest steps of the scale alone.")
    dropouts: People = Field(0, description="Readers who stop early.")
    dropout_after: Share = Field(0.4, description="Share of the trials after which they stop.")
    missing: Part = Field(
        0.0,
        description="Share of trials without an answer; none in a planned study, where no trial can be skipped.",
    )
    time_median_s: Annotated[float, Field(gt=0, le=3600)] = Field(15.0, description="Of an answer.")
    time_reader_sd: Spread = Field(0.3, description="Between readers, on the natural logarithm.")
    time_sd: Spread = Field(0.5, description="Between a reader's trials, on the natural logarithm.")
    learning: Annotated[float, Field(ge=0, le=1)] = Field(
        0.1, description="By how much the logarithm of the time falls each time the number of trials doubles."
    )
    ratings: RatingRecipe = RatingRecipe()


PRESETS: Final[dict[str, ReadersRecipe]] = {
    "chance": ReadersRecipe(reader_sd=0.0),
    "skilled": ReadersRecipe(
        accuracy=0.7, reader_sd=0.4, ratings=RatingRecipe(shifts=(1.5, 1.5, 1.5, 1.5, 1.5, 1.5)), learning=0.15
    ),
    # Accuracy, agreement on the pick and mean ratings near those of arXiv 2510.22166.
    "paper-like": ReadersRecipe(
        accuracy=0.29, reader_sd=0.1, case_sd=0.6, ratings=RatingRecipe(shifts=(0.25, 0.18, 0.0))
    ),
    "one-poor-checkpoint": ReadersRecipe(detectability=(1.5,), ratings=RatingRecipe(shifts=(1.0,))),
    "careless": ReadersRecipe(
        pane_habit=0.8, lapses=0.3, control_accuracy=0.75, one_pane=1, straight_lining=1, narrow_raters=1, dropouts=1,
        missing=0.05, time_median_s=4.0,
    ),
}  # fmt: skip
"""Kinds of readers. Each is chosen to show something, and describes nobody: `paper-like` excepted, which comes near the
figures that were published."""


def load_readers(name: str) -> ReadersRecipe:
    """A recipe by the name of a kind, or from a YAML file.

    Raises:
        RecipeError: neither; or the file holds no such recipe.
    """
    if name in PRESETS:
        return PRESETS[name]
    if Path(name).is_file():
        return load_recipe(Path(name), ReadersRecipe)
    raise RecipeError(f"{name!r} is neither a file nor one of {', '.join(PRESETS)}; name one, or write a YAML file")
