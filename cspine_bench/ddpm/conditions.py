"""What the generator is told about image i: a spine from the shape model, and classes."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cspine_bench.ddpm.checkpoint import Generator
from cspine_bench.ddpm.classes import CLASS_VALUES
from cspine_bench.ddpm.recipe import ClassName
from cspine_bench.ddpm.shape_model import Shape
from cspine_bench.errors import RecipeError
from cspine_bench.provenance import canonical_json, sha256_bytes
from cspine_bench.seeding import numpy_generator


@dataclass(frozen=True)
class Told:
    """What is told about one image.

    Attributes:
        asked: by class, what was decided before anything was drawn; of a skeleton's curvature, what it was drawn for.
        shape: the spine; None for a network that is shown no skeleton.
    """

    asked: dict[str, str]
    shape: Shape | None

    @property
    def labels(self) -> dict[str, str]:
        """By class, what is known of the image because it was told: the shape knows its own curvature."""
        drawn = None if self.shape is None else self.shape.curvature
        return self.asked if drawn is None else {**self.asked, "curvature": drawn}

    @property
    def kind(self) -> str | None:
        """`condition_kind` of a record: skeleton, class, or both; None where nothing is told."""
        parts = [] if self.shape is None else ["skeleton"]
        told = self.asked if self.shape is None else {name for name in self.asked if name != "curvature"}
        return "+".join([*parts, *(["class"] if told else [])]) or None

    def compute_sha256(self) -> str | None:
        """`condition_sha256` of a record: of the landmarks' bytes (little-endian float32), and of the classes."""
        if self.kind is None:
            return None
        data = b"" if self.shape is None else self.shape.landmarks_xy.astype("<f4").tobytes()
        classes = {name: value for name, value in self.asked.items() if self.shape is None or name != "curvature"}
        return sha256_bytes(data + (canonical_json(classes).encode() if classes else b""))


@dataclass(frozen=True)
class Conditions:
    """How images of a generator come to what they are told.

    A class that is neither fixed nor balanced is drawn as often as it was trained; a skeleton's curvature is then
    whatever the shape model draws.

    Args:
        generator: any of a run's; they share recipe, shape model and training set.
        seed: of the draws.
        fixed: value by class, for all images.
        balance: every combination of the other classes equally often, in turn.
        stride: images in a row that get the same combination: the number of checkpoints, so that each has them all.

    Raises:
        RecipeError: a class that the network is not told, or a value that was not trained.
    """

    generator: Generator
    seed: int
    fixed: Mapping[str, str]
    balance: bool
    stride: int

    def __post_init__(self) -> None:
        known = self._list_known()
        if self.balance and not known:
            raise RecipeError(
                "balance needs a generator that is told classes or shown a skeleton; this one is told nothing"
            )
        for name, value in self.fixed.items():
            if name not in known:
                listed = ", ".join(known) or "nothing"
                raise RecipeError(f"this generator is not told {name}: it is told {listed}; leave that class out")
            if value not in CLASS_VALUES[_class_name(name)]:
                raise RecipeError(f"no {name} {value!r}; there are {', '.join(CLASS_VALUES[_class_name(name)])}")
            if value not in (trained := self._count_trained(_class_name(name))):
                listed = (
                    ", ".join(f"{count} {other}" for other, count in trained.items()) or "none whose class is known"
                )
                raise RecipeError(f"no film of {name} {value} was trained; there were {listed}: name one of those")

    def _list_known(self) -> list[ClassName]:
        recipe = self.generator.recipe
        return [
            name
            for name in CLASS_VALUES
            if name in recipe.classes or (name, recipe.condition) == ("curvature", "skeleton")
        ]

    def _count_trained(self, name: ClassName) -> dict[str, int]:
        if self.generator.training_set is None:
            raise RecipeError("the run does not state its training set, so no class can be asked for; train it again")
        found = self.generator.training_set.classes[name]
        return {value: found[value] for value in CLASS_VALUES[name] if found.get(value, 0) > 0}

    def describe(self) -> dict[str, Any]:
        """What decides the classes, as JSON values."""
        return {"classes": dict(sorted(self.fixed.items())), "balance": self.balance}

    def tell(self, index: int) -> Told:
        """What is told about image `index`.

        Raises:
            DataError: the shape model finds no plausible spine, or none of the class that is asked for.
            RecipeError: classes are to be drawn, and the run does not state how often each was trained.
        """
        asked = self._ask(index)
        model = self.generator.shape_model
        if model is None:
            return Told(asked, None)
        return Told(asked, model.draw(self.seed, index, curvature=asked.get("curvature")))

    def _ask(self, index: int) -> dict[str, str]:
        free = [name for name in self._list_known() if name not in self.fixed]
        asked = dict(self.fixed)
        if self.balance:
            combinations = list(itertools.product(*(self._count_trained(name) for name in free)))
            if not combinations:
                raise RecipeError(
                    f"no film of a known {' and '.join(free)} was trained, so there is nothing to balance"
                )
            asked |= dict(zip(free, combinations[index // self.stride % len(combinations)], strict=True))
        else:
            generator = numpy_generator(self.seed, "ddpm.classes", index)
            for name in free:
                if name in self.generator.recipe.classes and (trained := self._count_trained(name)):
                    place = generator.integers(sum(trained.values()))
                    totals = itertools.accumulate(trained.values())
                    asked[name] = next(value for value, total in zip(trained, totals, strict=True) if place < total)
        return dict(sorted(asked.items()))


def _class_name(name: str) -> ClassName:
    return next(known for known in CLASS_VALUES if known == name)
