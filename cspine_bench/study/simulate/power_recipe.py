"""Settings of a power calculation: which designs, which truths, and what is asked of a study."""

from typing import Annotated, Final

from pydantic import Field, model_validator

from cspine_bench.recipe import Recipe
from cspine_bench.study.recipe import CHANCE, Design, ErrorRate
from cspine_bench.study.simulate.recipe import RatingRecipe, Share, Spread

Readers = Annotated[int, Field(ge=2, le=200)]
Cases = Annotated[int, Field(ge=2, le=2000)]
Margin = Annotated[float, Field(gt=0, le=0.5)]
Steps = Annotated[float, Field(gt=0, le=3)]
MOST_ANSWERS: Final = 40_000
"""Of one study: readers times cases."""


class PowerRecipe(Recipe):
    """A power calculation."""

    design: Design = Field("quartet", description="Of the display sets.")
    readers: Annotated[tuple[Readers, ...], Field(min_length=1)] = Field(
        (4, 8, 12, 16), description="Each is combined with each number of cases."
    )
    cases: Annotated[tuple[Cases, ...], Field(min_length=1)] = Field((50, 100), description="Display sets of a reader.")
    accuracies: tuple[Share, ...] = Field(
        (),
        description="True accuracies to detect: over all readers and cases that there might be.  [by design: 0.3, 0.33 "
        "and 0.35 for quartets, 0.55, 0.6 and 0.65 else]",
    )
    margins: Annotated[tuple[Margin, ...], Field(min_length=1)] = Field(
        (0.05, 0.10), description="Distances from chance within which equivalence is to be shown."
    )
    rating_margins: tuple[Steps, ...] = Field((0.2,), description="The same for mean ratings, in steps of the scale.")
    reader_sd: Spread = Field(0.25, description="Between readers, on the logit of a right answer.")
    case_sd: Spread = Field(0.45, description="Between cases, on the logit of a right answer.")
    alpha: ErrorRate = Field(0.05, description="Error rate of every test; intervals cover 1 - alpha.")
    power: Share = Field(0.8, description="Wanted, where the smallest design or accuracy is looked for.")
    studies: Annotated[int, Field(ge=100, le=100_000)] = Field(4000, description="Simulated for each figure.")
    search_studies: Annotated[int, Field(ge=0, le=100_000)] = Field(
        1000,
        description="Simulated at each step of a search for the smallest design or accuracy, at most `studies`; 0: no "
        "search.",
    )
    most_readers: Readers = Field(32, description="At which the search for the smallest design gives up.")
    num_steps: Annotated[int, Field(ge=2, le=9)] = Field(4, description="Of the rating scale.")
    ratings: RatingRecipe = Field(RatingRecipe(), description="How readers rate; equivalence of ratings rests on it.")

    @model_validator(mode="after")
    def _possible(self) -> "PowerRecipe":
        largest = max(self.readers) * max(self.cases)
        if largest > MOST_ANSWERS:
            raise ValueError(f"readers times cases is {largest:,}; the most that is simulated is {MOST_ANSWERS:,}")
        low = [accuracy for accuracy in self.accuracies if accuracy <= CHANCE[self.design]]
        if low:
            raise ValueError(
                f"accuracies must lie above chance, which is {CHANCE[self.design]:g} in this design; got {low[0]:g}"
            )
        return self

    @property
    def chance(self) -> float:
        """Accuracy of a reader who sees no difference."""
        return CHANCE[self.design]

    @property
    def num_searched(self) -> int:
        """Studies at each step of a search: no more than for a figure, or what only guides would take the longest."""
        return min(self.search_studies, self.studies)

    @property
    def asked_accuracies(self) -> tuple[float, ...]:
        """Rising, those of the design where none are named."""
        usual = (0.30, 0.33, 0.35) if self.design == "quartet" else (0.55, 0.60, 0.65)
        return tuple(sorted(set(self.accuracies or usual)))
