"""Settings of a baseline: the task, its network, how it learns, and the protocol of arms, label fractions and seeds."""

from typing import Annotated, Final, Literal, get_args

from pydantic import Field, model_validator

from cspine_bench.augment import AugmentRecipe
from cspine_bench.baselines.tasks.classification.recipe import ClassificationRecipe
from cspine_bench.baselines.tasks.landmarking.recipe import LandmarkingRecipe
from cspine_bench.baselines.tasks.quality.recipe import QualityRecipe
from cspine_bench.baselines.tasks.restoration.recipe import RestorationRecipe
from cspine_bench.baselines.tasks.segmentation.recipe import SegmentationRecipe
from cspine_bench.recipe import Recipe

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, le=1)]

TaskRecipe = Annotated[
    LandmarkingRecipe | SegmentationRecipe | ClassificationRecipe | QualityRecipe | RestorationRecipe,
    Field(discriminator="kind"),
]

ArmName = Literal[
    "real", "real-augmented", "real-restarted", "synthetic", "mixed", "pretrained", "self-supervised"
]  # fmt: skip
ARMS: Final[dict[ArmName, str]] = {
    "real": "real radiographs alone: what every other arm is compared with, at the same number of updates",
    "real-augmented": "control: real radiographs alone, with classical augmentation",
    "real-restarted": "control: real radiographs in both stages of a pre-trained arm, so that the schedule is the same",
    "synthetic": "synthetic radiographs alone",
    "mixed": "real and synthetic radiographs together, at each of the recipe's ratios",
    "pretrained": "synthetic radiographs with their labels first, then real ones",
    "self-supervised": "synthetic radiographs without labels first, then real ones",
}
"""What each arm of the protocol learns from."""
CONTROLS: Final = ("real-augmented", "real-restarted")


class UnetRecipe(Recipe):
    """A U-Net on blocks of pixels: each block of `unshuffle` x `unshuffle` pixels becomes channels."""

    unshuffle: Annotated[int, Field(ge=1, le=16)] = Field(2, description="Side of a block of pixels.")
    widths: tuple[Annotated[int, Field(ge=8, multiple_of=8)], ...] = Field(
        (32, 64, 96), min_length=1, description="Channels of each level; every next level has half the side."
    )

    @property
    def size_multiple(self) -> int:
        """The side of an image must be a multiple of this."""
        return self.unshuffle << (len(self.widths) - 1)


class LearningRecipe(Recipe):
    """Optimiser and length; the same in every arm."""

    updates: Count = Field(400, description="Updates of the weights in all stages of an arm together.")
    batch_size: Count = Field(16, description="Radiographs of an update.")
    learning_rates: tuple[Annotated[float, Field(gt=0, le=0.1)], ...] = Field(
        (2e-3,),
        min_length=1,
        description="Tried in every arm alike; where there are several, the real validation split chooses.",
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(1e-4, description="Of AdamW.")
    warmup_share: Annotated[float, Field(ge=0, lt=1)] = Field(0.05, description="Of a stage, with a rising rate.")
    decay_share: Annotated[float, Field(ge=0, le=1)] = Field(0.5, description="Of a stage, with a falling rate.")
    clip: Annotated[float, Field(gt=0)] = Field(1.0, description="Longest gradient.")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="Of the network's arithmetic.")


class ProtocolRecipe(Recipe):
    """What is compared, and how surely."""

    arms: tuple[ArmName, ...] = Field(get_args(ArmName), min_length=1, description="`real` must be among them.")
    fractions: tuple[Share, ...] = Field(
        (0.01, 0.05, 0.1, 0.25, 1.0), min_length=1, description="Of the real training groups, nested."
    )
    num_seeds: Annotated[int, Field(ge=1, le=100)] = Field(5, description="Networks of each arm and fraction.")
    subsets: Literal["per-seed", "fixed"] = Field(
        "per-seed", description="Whether every seed draws its own label subset, or all share that of `baseline subset`."
    )
    ratios: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (1.0,), description="Synthetic radiographs for each real one, in the arm `mixed`."
    )
    pretrain_share: Annotated[float, Field(gt=0, lt=1)] = Field(0.5, description="Of the updates, in two-stage arms.")
    margin: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Largest difference that does not matter, in the primary score's unit.  [that of the task]"
    )
    num_bootstrap: Annotated[int, Field(ge=100)] = Field(2000, description="Resamples of the test groups.")
    least_train: Count = Field(2, description="Fewest real radiographs that a fraction must leave.")
    encoders: tuple[str, ...] = Field(
        (), description="Image encoders by name whose frozen features a linear probe learns from, as a reference."
    )
    image_text: tuple[str, ...] = Field(
        (), description="Models of image and text, FOLDER or OWNER/NAME@REVISION, that classify without learning."
    )
    prompts: dict[str, tuple[str, ...]] = Field(
        {}, description="For `image_text`: sentences that describe each class, by its name."
    )

    @model_validator(mode="after")
    def _has_its_reference(self) -> "ProtocolRecipe":
        if "real" not in self.arms:
            raise ValueError("arms must name `real`, which the others are compared with")
        for name in ("arms", "fractions", "ratios", "encoders", "image_text"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                raise ValueError(f"{name} names a value twice: {', '.join(map(str, values))}")
        return self


class BaselineRecipe(Recipe):
    """A whole baseline."""

    task: TaskRecipe = Field(description="Which task, by its `kind`, with its own settings.")
    size: Annotated[int, Field(ge=16, le=4096)] = Field(64, description="Side of the radiographs, px.")
    network: UnetRecipe = UnetRecipe()
    learning: LearningRecipe = LearningRecipe()
    augment: AugmentRecipe = Field(
        AugmentRecipe(shift=0.06, rotate_deg=8, zoom=0.08, gain=0.15, gamma=0.15),
        description="Classical augmentation: of the arm `real-augmented`, and of `baseline train`.",
    )
    protocol: ProtocolRecipe = ProtocolRecipe()

    @model_validator(mode="after")
    def _size_fits_the_network(self) -> "BaselineRecipe":
        multiple = self.network.size_multiple
        if self.size % multiple:
            raise ValueError(f"size {self.size} must be a multiple of {multiple}, the network's smallest map")
        return self
