"""Settings of the learned generator: network, objective, condition and training."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from cspine_bench.augment import AugmentRecipe
from cspine_bench.recipe import Recipe

Objective = Literal["flow", "flow-edm", "v", "epsilon", "edm"]
Schedule = Literal["cosine", "linear"]
Condition = Literal["none", "skeleton"]
ClassName = Literal["curvature", "sex"]

Count = Annotated[int, Field(ge=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]


class NetworkRecipe(Recipe):
    """A U-Net that works on blocks of pixels: each block of `unshuffle` x `unshuffle` pixels becomes channels."""

    unshuffle: Annotated[int, Field(ge=1, le=16)] = Field(4, description="Side of a block of pixels.")
    widths: tuple[Annotated[int, Field(ge=8, multiple_of=8)], ...] = Field(
        (64, 96, 128), min_length=1, description="Channels of each level; every next level has half the side."
    )
    layers_per_block: Count = Field(1, description="Residual blocks in each level.")
    attention_levels: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (2,), description="Levels with self-attention, counted from 0; the middle always has it."
    )
    refine_channels: Annotated[int, Field(ge=0, le=64)] = Field(
        0, description="Channels of three convolutions over single pixels, after the blocks; 0 = none."
    )

    @model_validator(mode="after")
    def _attention_at_levels_that_exist(self) -> "NetworkRecipe":
        missing = [level for level in self.attention_levels if level >= len(self.widths)]
        if missing:
            raise ValueError(f"attention_levels {missing} do not exist: widths names {len(self.widths)} levels, from 0")
        return self

    @property
    def size_multiple(self) -> int:
        """The side of an image must be a multiple of this."""
        return self.unshuffle << (len(self.widths) - 1)


class MonitorRecipe(Recipe):
    """Samples measured while a run goes on; they decide which checkpoint is the best."""

    every: Count = Field(500, description="Updates between two measurements, each with a checkpoint.")
    count: Annotated[int, Field(ge=4)] = Field(
        256, description="Images of a measurement: the same noise, and the same conditions, every time."
    )
    num_steps: Count = Field(12, description="Of the sampler, dpmpp-2m.")
    batch_size: Count = Field(32, description="Images made at once.")


class TrainingRecipe(Recipe):
    """Optimiser, length, and what is kept."""

    num_steps: Count = Field(1150, description="Updates.")
    batch_size: Count = Field(16, description="Images of an update, of all processes together.")
    accumulation_steps: Count = Field(
        1, description="Parts that a batch is worked through in, to save memory; they divide batch_size."
    )
    learning_rate: Annotated[float, Field(gt=0)] = Field(2e-3, description="Of AdamW, at its highest.")
    betas: tuple[Decay, Decay] = Field((0.9, 0.99), description="Of AdamW.")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.0, description="Of AdamW.")
    warmup_steps: Annotated[int, Field(ge=0)] = Field(50, description="Updates over which the rate rises linearly.")
    decay_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.35, description="Share of the updates, at the end, over which the rate falls linearly to 0."
    )
    clip_norm: Annotated[float, Field(gt=0)] = Field(1.0, description="Longest gradient; a longer one is shortened.")
    ema_lengths: tuple[Annotated[float, Field(ge=0.01, le=0.25)], ...] = Field(
        (0.1, 0.05),
        min_length=1,
        description="Widths of the weights' running averages, as shares of the run so far: each is kept, the first "
        "samples. Source: Karras et al. 2024 (2312.02696), section 3.1.",
    )
    times: Literal["as-published", "logit-normal", "uniform", "log-normal"] = Field(
        "as-published",
        description="Times trained on: sigmoid of a standard normal number, uniform, or sigma log-normal; as-published "
        "is logit-normal for flow and flow-edm, uniform for v and epsilon, log-normal for edm.",
    )
    log_sigma: tuple[float, Annotated[float, Field(gt=0)]] = Field(
        (-1.2, 1.2), description="Mean and standard deviation of ln sigma, for log-normal times."
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="Of the network's arithmetic; bfloat16 is faster on GPUs, and far slower on many CPUs."
    )
    channels_last: bool = Field(False, description="Memory layout that convolutions on GPUs prefer.")
    compile: bool = Field(
        False, description="Let torch.compile fuse the network's update; takes minutes to begin, refused on a CPU."
    )
    augment: AugmentRecipe = Field(AugmentRecipe(), description="Of the training images.")
    monitor: MonitorRecipe | None = Field(None, description="Measured samples while the run goes on; null = off.")
    validate_every: Count = Field(
        115, description="Updates between two validations, each with a checkpoint and a few samples."
    )
    checkpoint_steps: tuple[Count, ...] = Field(
        (), description="Updates after which the checkpoint is kept for good; of the others the last and the best stay."
    )

    @model_validator(mode="after")
    def _checkpoints_within_the_run(self) -> "TrainingRecipe":
        late = [step for step in self.checkpoint_steps if step > self.num_steps]
        if late:
            raise ValueError(f"checkpoint_steps {late} lie beyond num_steps = {self.num_steps}")
        return self

    @model_validator(mode="after")
    def _parts_of_one_size(self) -> "TrainingRecipe":
        if self.batch_size % self.accumulation_steps:
            raise ValueError(f"accumulation_steps {self.accumulation_steps} do not divide batch_size {self.batch_size}")
        return self

    @model_validator(mode="after")
    def _averages_that_differ(self) -> "TrainingRecipe":
        if len(set(self.ema_lengths)) != len(self.ema_lengths):
            raise ValueError(f"ema_lengths {list(self.ema_lengths)} names one twice")
        return self


class DdpmRecipe(Recipe):
    """Everything but data, seed and device that decides a trained generator."""

    kind: Literal["ddpm"] = "ddpm"
    size: Annotated[int, Field(ge=8, le=1024)] = Field(
        64, description="Side of the square image, px; larger training images are averaged down by a whole factor."
    )
    network: NetworkRecipe = Field(NetworkRecipe(), description="Of the denoiser.")
    objective: Objective = Field(
        "flow",
        description="What the network predicts; flow-edm: the velocity of flow, behind the preconditioning of edm.",
    )
    schedule: Schedule = Field(
        "cosine", description="How the image fades into noise, for v and epsilon; flow and edm have their own."
    )
    zero_terminal_snr: bool = Field(
        False, description="For v: the schedule ends in noise alone, without a trace of the image."
    )
    min_snr_gamma: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Highest signal-to-noise ratio that counts in the loss, for v and epsilon; null = off."
    )
    condition: Condition = Field("none", description="What the network is shown: nothing, or a map of the landmarks.")
    classes: tuple[ClassName, ...] = Field((), description="Labels that the network is told: curvature, sex.")
    condition_dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.1, description="Share of training images whose map and labels are withheld."
    )
    detail_weight: Annotated[float, Field(ge=0)] = Field(
        0.0, description="Weight in the loss of the error of fine detail near the vertebrae of the map; 0 = off."
    )
    training: TrainingRecipe = Field(TrainingRecipe(), description="Of the network.")

    @model_validator(mode="after")
    def _possible_together(self) -> "DdpmRecipe":
        multiple = self.network.size_multiple
        if self.size % multiple:
            raise ValueError(f"size {self.size} is not a multiple of {multiple} (unshuffle x 2 for each further level)")
        if self.objective not in ("v", "epsilon") and self.min_snr_gamma is not None:
            raise ValueError(
                f"min_snr_gamma weights v and epsilon; {self.objective} is weighted by the times that it trains on"
            )
        if self.zero_terminal_snr and self.objective != "v":
            why = "from noise alone, its prediction tells nothing of the image"
            if self.objective != "epsilon":
                why = "its path ends in noise as it is"
            raise ValueError(f"zero_terminal_snr is for objective v, not {self.objective}: {why}")
        if self.detail_weight > 0 and (self.condition != "skeleton" or self.objective == "epsilon"):
            raise ValueError(
                "detail_weight needs condition skeleton, to say where vertebrae are, and an objective other than "
                "epsilon, whose error in the image has no bound in much noise"
            )
        if self.training.times == "log-normal" and self.objective != "edm":
            raise ValueError(f"training.times log-normal is for objective edm, this is {self.objective}")
        return self

    @model_validator(mode="after")
    def _classes_that_say_something(self) -> "DdpmRecipe":
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes {list(self.classes)} names one twice")
        if self.condition == "skeleton" and "curvature" in self.classes:
            raise ValueError("the skeleton decides the curvature: leave curvature out of classes, or condition at none")
        return self

    @property
    def is_conditional(self) -> bool:
        """The network is told something that it can also do without."""
        return self.condition != "none" or bool(self.classes)
