"""Settings of the learned generator: network, objective, condition and training."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from cspine_bench.recipe import Recipe

Objective = Literal["flow", "v", "epsilon"]
Schedule = Literal["cosine", "linear"]
Condition = Literal["none", "skeleton"]

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


class TrainingRecipe(Recipe):
    """Optimiser, length, and what is kept."""

    num_steps: Count = Field(1150, description="Updates.")
    batch_size: Count = Field(16, description="Images of an update.")
    learning_rate: Annotated[float, Field(gt=0)] = Field(2e-3, description="Of AdamW, at its highest.")
    betas: tuple[Decay, Decay] = Field((0.9, 0.99), description="Of AdamW.")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.0, description="Of AdamW.")
    warmup_steps: Annotated[int, Field(ge=0)] = Field(50, description="Updates over which the rate rises linearly.")
    decay_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.35, description="Share of the updates, at the end, over which the rate falls linearly to 0."
    )
    clip_norm: Annotated[float, Field(gt=0)] = Field(1.0, description="Longest gradient; a longer one is shortened.")
    ema_decay: Decay = Field(
        0.9995, description="Of the averaged weights that sample; update i uses i / (i + 9) where that is less."
    )
    times: Literal["logit-normal", "uniform"] = Field(
        "logit-normal", description="Times trained on: sigmoid of a standard normal number, or uniform."
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="Of the network's arithmetic; bfloat16 is faster on GPUs, and far slower on many CPUs."
    )
    validate_every: Count = Field(
        115, description="Updates between two validations, each with a checkpoint and a few samples."
    )
    checkpoint_steps: tuple[Count, ...] = Field(
        (), description="Updates after which the checkpoint is kept for good; of the others only the last stays."
    )

    @model_validator(mode="after")
    def _checkpoints_within_the_run(self) -> "TrainingRecipe":
        late = [step for step in self.checkpoint_steps if step > self.num_steps]
        if late:
            raise ValueError(f"checkpoint_steps {late} lie beyond num_steps = {self.num_steps}")
        return self


class DdpmRecipe(Recipe):
    """Everything but data, seed and device that decides a trained generator."""

    kind: Literal["ddpm"] = "ddpm"
    size: Annotated[int, Field(ge=8, le=1024)] = Field(
        64, description="Side of the square image, px; larger training images are averaged down by a whole factor."
    )
    network: NetworkRecipe = Field(NetworkRecipe(), description="Of the denoiser.")
    objective: Objective = Field("flow", description="What the network predicts.")
    schedule: Schedule = Field(
        "cosine", description="How the image fades into noise, for v and epsilon; flow has its own straight line."
    )
    min_snr_gamma: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Highest signal-to-noise ratio that counts in the loss, for v and epsilon; null = off."
    )
    condition: Condition = Field("none", description="What the network is told: nothing, or a map of the landmarks.")
    condition_dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.1, description="Share of training images whose condition is withheld."
    )
    training: TrainingRecipe = Field(TrainingRecipe(), description="Of the network.")

    @model_validator(mode="after")
    def _possible_together(self) -> "DdpmRecipe":
        multiple = self.network.size_multiple
        if self.size % multiple:
            raise ValueError(f"size {self.size} is not a multiple of {multiple} (unshuffle x 2 for each further level)")
        if self.objective == "flow" and self.min_snr_gamma is not None:
            raise ValueError("min_snr_gamma weights v and epsilon; flow is weighted by the times that it trains on")
        return self
