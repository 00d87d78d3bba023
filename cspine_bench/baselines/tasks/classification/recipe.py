"""Settings of classification."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from cspine_bench.recipe import Recipe

GrayLevels = Annotated[float, Field(gt=0, le=255)]
Count = Annotated[int, Field(ge=1, le=1000)]


class AttackRecipe(Recipe):
    """Changes of single pixels that are sought to raise the loss: projected gradient ascent (Madry et al. 2018)."""

    epsilon: GrayLevels = Field(2.0, description="Largest change of a pixel, in gray levels of 255.")
    steps: Count = Field(3, description="Of the search; each costs about as much as an update without an attack.")
    step_size: GrayLevels | None = Field(
        None, description="Of a step, in gray levels of 255.  [2.5 epsilon / steps, as Madry et al.]"
    )

    @property
    def step_levels(self) -> float:
        """Of a step, in gray levels of 255."""
        return 2.5 * self.epsilon / self.steps if self.step_size is None else self.step_size


class RobustnessRecipe(Recipe):
    """What the test radiographs go through, besides being classified as they are."""

    epsilons: tuple[GrayLevels, ...] = Field(
        (1.0, 2.0, 4.0), description="Largest changes of a pixel by an attack, in gray levels of 255."
    )
    steps: Count = Field(10, description="Of each attack, of 2.5 epsilon / steps each.")
    restarts: Count = Field(1, description="Attacks from random starts of which the worst counts.")
    ladder: bool = Field(True, description="Blur, noise, JPEG and contrast, each from mild to strong.")

    @model_validator(mode="after")
    def _names_each_once(self) -> "RobustnessRecipe":
        if len(set(self.epsilons)) != len(self.epsilons):
            raise ValueError(f"epsilons names a value twice: {', '.join(map(str, self.epsilons))}")
        return self


class SaliencyRecipe(Recipe):
    """Where the network looks: gradients of its answer, averaged over noisy copies of a radiograph (SmoothGrad)."""

    samples: Count = Field(4, description="Noisy copies of each radiograph.")
    noise: Annotated[float, Field(ge=0, le=1)] = Field(0.1, description="Standard deviation, in shares of full scale.")


class ClassificationRecipe(Recipe):
    """Which class a radiograph has."""

    kind: Literal["classification"] = "classification"
    label: Literal["curvature", "curvature-3", "disease", "sex"] = Field(
        "curvature-3", description="`curvature-3` joins straight and both sigmoid kinds; `sex` is a sanity task."
    )
    head: Literal["placed", "pooled"] = Field(
        "placed", description="`placed` sees where features lie, `pooled` only their mean and their greatest."
    )
    saliency: SaliencyRecipe | None = Field(
        SaliencyRecipe(), description="Share of the network's attention that lies on the spine; null: not measured."
    )
    adversarial: AttackRecipe | None = Field(
        None, description="Learn from attacked radiographs instead of those that were taken; null: do not."
    )
    robustness: RobustnessRecipe | None = Field(
        None, description="Accuracy under attacks and degradations; null: not measured. It costs many predictions."
    )
