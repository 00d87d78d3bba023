"""The arms of the protocol: what each learns from, in which stages, all with the same number of updates."""

from dataclasses import dataclass

import numpy as np

from cspine_bench.baselines.cases import Cases, join_cases
from cspine_bench.baselines.learn import Stage
from cspine_bench.baselines.recipe import ArmName, BaselineRecipe, ProtocolRecipe
from cspine_bench.seeding import numpy_generator


@dataclass(frozen=True)
class Arm:
    """One arm.

    Attributes:
        name: see `recipe.ARMS`.
        ratio: synthetic radiographs for each real one, in `mixed`.
    """

    name: ArmName
    ratio: float | None = None

    @property
    def label(self) -> str:
        """As figures and tables call it: `real`, `mixed-0.5`."""
        return self.name if self.ratio is None else f"{self.name}-{self.ratio:g}"

    @property
    def uses_real(self) -> bool:
        """Whether it learns from real radiographs, so that a fraction of them matters."""
        return self.name != "synthetic"

    @property
    def uses_synthetic(self) -> bool:
        """Whether it learns from synthetic radiographs."""
        return not self.name.startswith("real")

    @property
    def needs_synthetic_labels(self) -> bool:
        """Whether those must have labels."""
        return self.uses_synthetic and self.name != "self-supervised"


def list_arms(protocol: ProtocolRecipe) -> tuple[Arm, ...]:
    """The arms of a recipe, `real` first."""
    arms = []
    for name in sorted(protocol.arms, key=lambda name: name != "real"):
        arms += [Arm(name, ratio) for ratio in protocol.ratios] if name == "mixed" else [Arm(name)]
    return tuple(arms)


def build_stages(arm: Arm, recipe: BaselineRecipe, real: Cases, synthetic: Cases, *, seed: int) -> list[Stage]:
    """What an arm's network does, stage after stage.

    Args:
        arm: which one.
        recipe: of the baseline.
        real: the label subset.
        synthetic: all that may be used; labelled where the arm needs it.
        seed: of the network; draws which synthetic radiographs are mixed in.
    """
    updates = recipe.learning.updates
    before = round(updates * recipe.protocol.pretrain_share)
    match arm.name:
        case "real":
            return [Stage(real, updates)]
        case "real-augmented":
            return [Stage(real, updates, augment=recipe.augment)]
        case "real-restarted":
            return [Stage(real, before), Stage(real, updates - before)]
        case "synthetic":
            return [Stage(synthetic, updates)]
        case "mixed":
            return [Stage(join_cases(real, _draw(synthetic, count_synthetic(arm, real, synthetic), seed)), updates)]
        case "pretrained":
            return [Stage(synthetic, before), Stage(real, updates - before)]
        case "self-supervised":
            return [Stage(synthetic, before, self_supervised=True), Stage(real, updates - before)]


def count_synthetic(arm: Arm, real: Cases, synthetic: Cases) -> int:
    """Synthetic radiographs that an arm's network can meet."""
    if arm.ratio is not None:
        return min(len(synthetic), max(1, round(arm.ratio * len(real))))
    return len(synthetic) if arm.uses_synthetic else 0


def _draw(synthetic: Cases, count: int, seed: int) -> Cases:
    """Some of them; a larger draw of one seed holds the smaller one."""
    order = numpy_generator(seed, "baselines.mixed").permutation(len(synthetic))
    return synthetic.take(np.sort(order[:count]))
