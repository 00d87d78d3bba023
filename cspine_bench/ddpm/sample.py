"""A trained generator as a source of radiographs."""

import copy
import functools
import math
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from cspine_bench.anatomy.landmarks import NUM_LANDMARKS
from cspine_bench.dataset.source import Radiograph, Rejected, SampleKey
from cspine_bench.ddpm.checkpoint import Generator
from cspine_bench.ddpm.classes import encode_classes
from cspine_bench.ddpm.conditions import Conditions, Told
from cspine_bench.ddpm.network import encode_skeleton, predict_clean
from cspine_bench.ddpm.noise import torch_generator
from cspine_bench.ddpm.path import select_path
from cspine_bench.ddpm.quality import QUALITY_RULES, find_broken_rule
from cspine_bench.ddpm.recipe import DdpmRecipe
from cspine_bench.ddpm.samplers import DEFAULT_NUM_STEPS, DEFAULT_SAMPLER, GRIDS, SAMPLERS, choose_grid
from cspine_bench.ddpm.skeleton import draw_skeleton
from cspine_bench.ddpm.upscale import PARAMETER, Upscaler, enlarge_landmarks
from cspine_bench.errors import DataError, RecipeError
from cspine_bench.imaging.body_masks import DRAWN_LEVELS, draw_body_mask
from cspine_bench.provenance import canonical_json, library_versions, package_version

_BYTES_PER_PIXEL: Final = 0.75
"""Encoded image; only sizes shards."""

_WINDOW_BATCHES: Final = 8
"""Batches of each of several checkpoints that are made before any image is given on, so that few are part-filled."""


@dataclass(frozen=True)
class DdpmSource:
    """Radiographs of a trained generator, 8 bits a pixel.

    Image i is a function of (weights, sampler, num_steps, grid, guidance_scale, precision, seed, i) and of what is told
    about it, see `Conditions`: to the bit on one kind of device at one batch size, whatever else is in the batch. Batch
    size and device reach the last bits of its arithmetic: in float32 on a CPU, less than a gray level for any batch
    size; with bfloat16 a trained network was seen to differ by two. Between a CPU and a GPU it was not measured.

    Args:
        generators: from `load_generator`, on the CPU: checkpoints of one run. Image i is made by number i modulo their
            count.
        count: number of samples.
        seed: 0 <= seed < 2**63.
        sampler: a key of `SAMPLERS`.
        num_steps: of the sampler.
        grid: a key of `GRIDS`; None: by `choose_grid`.
        guidance_scale: weight of the condition, 1 = as trained; None: 1, without the second evaluation.
            Source: Ho & Salimans 2022, equation 6, where w = guidance_scale - 1.
        classes: value of each class that all images shall have.
        balance: every other class value equally often; otherwise as often as it was trained.
        reject: rules of `QUALITY_RULES` that turn an image away. Its index is then left out, never made up for.
        batch_size: images made at once; the last batch is filled up.
        precision: of the network's arithmetic.
        compile: let torch.compile fuse the network; takes a minute to begin.
        device: "cpu", "cuda" or "cuda:N".
        upscale: makes each image larger, with its labels; rules judge it as it was before. None: it stays as it is.

    Raises:
        ValueError: count, num_steps or batch_size is not positive, a name is unknown, or the checkpoints are none,
            equal ones, or of several runs.
        RecipeError: guidance is not finite, or the run's network cannot do what is asked for: guidance, a class, or a
            rule; or its images are not of the size that `upscale` takes.
    """

    generators: tuple[Generator, ...]
    count: int
    seed: int = 0
    sampler: str = DEFAULT_SAMPLER
    num_steps: int = DEFAULT_NUM_STEPS
    grid: str | None = None
    guidance_scale: float | None = None
    classes: Mapping[str, str] = field(default_factory=dict)
    balance: bool = False
    reject: tuple[str, ...] = ()
    batch_size: int = 16
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    device: str = "cpu"
    upscale: Upscaler | None = None

    def __post_init__(self) -> None:
        for name in ("count", "num_steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.guidance_scale is not None and not math.isfinite(self.guidance_scale):
            raise RecipeError(
                f"guidance is {self.guidance_scale}, no finite number; 1 is as trained, 2 weighs it double"
            )
        _refuse_unknown("sampler", [self.sampler], list(SAMPLERS))
        _refuse_unknown("grid", [] if self.grid is None else [self.grid], list(GRIDS))
        _refuse_unknown("rule", self.reject, list(QUALITY_RULES))
        _refuse_unknown("precision", [self.precision], ["float32", "bfloat16"])
        if len({(one.step, one.ema) for one in self.generators}) != len(self.generators) or not self.generators:
            raise ValueError("name each checkpoint once, and at least one")
        if len({one.run_id for one in self.generators}) > 1:
            raise ValueError("the checkpoints are of several runs; sample from one run at a time")
        recipe = self.recipe
        if self.guidance_scale is not None and (not recipe.is_conditional or recipe.condition_dropout == 0):
            raise RecipeError(
                f"guidance needs a network trained with a condition that is withheld at times; this one has condition "
                f"{recipe.condition!r}, classes {list(recipe.classes)} and condition_dropout "
                f"{recipe.condition_dropout}: leave guidance out"
            )
        if self.upscale is not None and self.upscale.input_size != recipe.size:
            fitting = recipe.size * self.upscale.factor
            raise RecipeError(
                f"the super-resolver takes images of {self.upscale.input_size} px, and this generator makes "
                f"{recipe.size} px; train one with size={fitting} and factor {self.upscale.factor}"
            )
        # What cannot be done is said here, before any folder is begun.
        _ = self._find_limits(), self._conditions

    @property
    def recipe(self) -> DdpmRecipe:
        """What all of the generators were trained by."""
        return self.generators[0].recipe

    def describe(self) -> dict[str, Any]:
        """What decides the bytes."""
        return {
            "kind": "ddpm",
            "version": package_version(),
            # Their arithmetic decides the last bits.
            "libraries": library_versions(("torch", "diffusers")),
            "run_id": self.generators[0].run_id,
            "checkpoints": [
                {"step": one.step, "ema": one.ema, "weights_sha256": one.weights_sha256} for one in self.generators
            ],
            "seed": self.seed,
            "count": self.count,
            "batch_size": self.batch_size,
            "precision": self.precision,
            "device": torch.device(self.device).type,
            "reject": self._find_limits(),
            "training_data": self._describe_training_data(),
            **self._conditions.describe(),
            **self._settings,
            **self._describe_upscale(),
        }

    def _describe_training_data(self) -> dict[str, Any]:
        """What the images come from in the end: a release must be able to say so without the run."""
        generator = self.generators[0]
        films = generator.training_set
        return {
            "dataset_sha256": generator.dataset_sha256,
            "num_films": None if films is None else films.num_films,
            "sources": {} if films is None else films.sources,
        }

    def estimate_bytes(self) -> int:
        """About what one encoded sample takes."""
        return int(self._size**2 * _BYTES_PER_PIXEL) + 1024

    def list_samples(self) -> list[SampleKey]:
        """All samples; splits are balanced over the classes that the images are told.

        Raises:
            DataError: the shape model finds no plausible spine, or none of a class that is asked for.
        """
        return [build_key(index, self._conditions.tell(index)) for index in range(self.count)]

    def iter_radiographs(self, keys: Sequence[SampleKey]) -> Iterator[Radiograph | Rejected]:
        """Sample the given images.

        Raises:
            DataError: the weights give no finite image, or the device's memory is too small.
        """
        ways = len(self.generators)
        window = self.batch_size if ways == 1 else self.batch_size * ways * _WINDOW_BATCHES
        # One thread: a sum's order, and so its last bit, must not depend on how many cores there are.
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            for start in range(0, len(keys), window):
                wanted = keys[start : start + window]
                made: dict[str, Radiograph | Rejected] = {}
                for number, generator in enumerate(self.generators):
                    mine = [key for key in wanted if int(key.origin) % ways == number]
                    for first in range(0, len(mine), self.batch_size):
                        made |= self._make_batch(generator, mine[first : first + self.batch_size])
                for key in wanted:
                    yield made[key.sample_id]
        finally:
            torch.set_num_threads(threads)

    def _make_batch(self, generator: Generator, keys: Sequence[SampleKey]) -> dict[str, Radiograph | Rejected]:
        told = [self._conditions.tell(int(key.origin)) for key in keys]
        images = self._sample(generator, [int(key.origin) for key in keys], told)
        limits = self._find_limits()
        made: dict[str, Radiograph | Rejected] = {}
        for key, one, image in zip(keys, told, images, strict=True):
            landmarks = None if one.shape is None else one.shape.landmarks_xy
            reason = find_broken_rule(image, landmarks, limits)
            made[key.sample_id] = (
                self._build_radiograph(generator, key, one, image) if reason is None else Rejected(key, reason)
            )
        return made

    @torch.inference_mode()
    def _sample(self, generator: Generator, indices: Sequence[int], told: Sequence[Told]) -> NDArray[np.uint8]:
        """uint8 (len(indices), size, size)."""
        missing = self.batch_size - len(indices)
        indices, told = [*indices, *[indices[-1]] * missing], [*told, *[told[-1]] * missing]
        size, recipe, path = self.recipe.size, self.recipe, select_path(self.recipe)
        network = _place_network(generator.network, self.device, self.compile)
        noises = [torch_generator(self.seed, "ddpm.sample", index) for index in indices]

        def draw_noise(step: int) -> torch.Tensor:
            # The next of each image's own stream: every sampler asks in order.
            return torch.stack([torch.randn((1, size, size), generator=noise) for noise in noises]).to(self.device)

        condition, class_ids = _encode_told(recipe, told, self.device)

        def predict(x: torch.Tensor, time: float) -> torch.Tensor:
            with torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
                return predict_clean(
                    network, recipe, x, time, condition=condition, class_ids=class_ids,
                    guidance_scale=self.guidance_scale,
                )  # fmt: skip

        try:
            times = GRIDS[self._grid](self.num_steps, path)
            noise = draw_noise(0) * path.sigma(torch.tensor(times[0])).to(self.device)
            images = SAMPLERS[self.sampler](predict, path, noise, times, draw_noise).cpu()
        except torch.cuda.OutOfMemoryError as error:
            raise DataError(
                f"{self.device} has too little memory for a batch of {self.batch_size}; lower it"
            ) from error
        if not bool(torch.isfinite(images).all()):
            raise DataError(
                f"the weights {generator.weights_sha256[:12]} of step {generator.step} give images that are not "
                "finite; use another checkpoint"
            )
        gray = ((images[: len(images) - missing, 0] + 1) * 127.5).round().clamp(0, 255)
        return gray.to(torch.uint8).numpy()

    def _build_radiograph(
        self, generator: Generator, key: SampleKey, told: Told, image: NDArray[np.uint8]
    ) -> Radiograph:
        parameters = {"step": generator.step, "ema": generator.ema, "told": told.asked, **self._settings}
        parameters |= self._describe_upscale()
        if self.upscale is not None:
            image = self.upscale.enlarge(image, device=self.device)
        fields: dict[str, Any] = {
            "source_kind": "ddpm",
            "run_id": generator.run_id,
            "generator": "cspine-bench ddpm",
            "generator_version": package_version(),
            "recipe_sha256": generator.recipe.compute_sha256(),
            "weights_sha256": generator.weights_sha256,
            "seed": self.seed,
            "sample_index": int(key.origin),
            "sampler": self.sampler,
            "num_steps": self.num_steps,
            "guidance_scale": self.guidance_scale,
            "batch_size": self.batch_size,
            "dtype": self.precision,
            "device": torch.device(self.device).type,
        }
        if told.kind is not None:
            fields |= {"label_source": "conditioned", **told.labels}
            fields |= {"condition_kind": told.kind, "condition_sha256": told.compute_sha256()}
        shape, mask = told.shape, None
        landmarks_xy = np.full((NUM_LANDMARKS, 2), np.nan, np.float32)
        if shape is not None:
            training_set = generator.training_set
            plane = None if training_set is None else training_set.pixel_spacing_plane
            parameters["shape_draws"] = shape.num_draws
            spacing, points = shape.pixel_spacing_mm, shape.landmarks_xy
            if self.upscale is not None:
                spacing = None if spacing is None else spacing / self.upscale.factor
                points = enlarge_landmarks(points, self.upscale.factor)
            fields |= {
                "facing": shape.facing,
                "pixel_spacing_mm": spacing,
                "pixel_spacing_plane": None if spacing is None else plane or "unknown",
                "mask_levels": DRAWN_LEVELS,
            }
            mask = draw_body_mask(points, self._size)
            # A point that is drawn beyond the edge is not in the image.
            outside = ((points < -0.5) | (points > self._size - 0.5)).any(axis=1)
            landmarks_xy = points.copy()
            landmarks_xy[outside] = np.nan
        return Radiograph(
            key, image, mask, landmarks_xy, {**fields, "generator_parameters": canonical_json(parameters)}
        )

    @functools.cached_property
    def _conditions(self) -> Conditions:
        return Conditions(self.generators[0], self.seed, self.classes, self.balance, len(self.generators))

    @property
    def _size(self) -> int:
        """Side of a finished image, px."""
        return self.recipe.size * (1 if self.upscale is None else self.upscale.factor)

    def _describe_upscale(self) -> dict[str, Any]:
        """Nothing where images stay as they are: such a dataset is the same as before there was a way to enlarge."""
        return {} if self.upscale is None else {PARAMETER: dict(self.upscale.describe())}

    @property
    def _grid(self) -> str:
        return self.grid or choose_grid(self.recipe, self.sampler)

    @property
    def _settings(self) -> dict[str, Any]:
        return {
            "sampler": self.sampler,
            "num_steps": self.num_steps,
            "grid": self._grid,
            "guidance_scale": self.guidance_scale,
            "compile": self.compile,
        }

    def _find_limits(self) -> dict[str, float]:
        """By rule that is asked for."""
        training_set = self.generators[0].training_set
        limits = {}
        for name in self.reject:
            if QUALITY_RULES[name].needs_landmarks and self.recipe.condition != "skeleton":
                raise RecipeError(f"rule {name} compares an image with its skeleton, and this generator is shown none")
            if training_set is None or name not in training_set.limits:
                raise RecipeError(f"rule {name} has no limit: the run's training set was not measured; train it again")
            limits[name] = training_set.limits[name]
        return limits


def _refuse_unknown(kind: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"no {kind} {name!r}; there are {', '.join(known)}")


def build_key(index: int, told: Told) -> SampleKey:
    """Sample `index` before it is made; each is its own anatomy."""
    name = f"dd{index:08d}"
    return SampleKey(name, name, str(index), dict(told.labels))


@functools.lru_cache(maxsize=16)
def _place_network(network: torch.nn.Module, device: str, compile_it: bool) -> torch.nn.Module:
    """The network where it shall work, once for each process."""
    placed = network if torch.device(device).type == "cpu" else copy.deepcopy(network).to(device)
    return typing.cast(torch.nn.Module, torch.compile(placed)) if compile_it else placed


def _encode_told(
    recipe: DdpmRecipe, told: Sequence[Told], device: str
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Skeleton maps and class ids, as the network takes them."""
    maps, class_ids = None, None
    points = [one.shape.landmarks_xy for one in told if one.shape is not None]
    if points:
        # Drawn on the CPU, so that every device is given the same map.
        maps = encode_skeleton(draw_skeleton(torch.from_numpy(np.stack(points)), recipe.size)).to(device)
    if recipe.classes:
        ids = [encode_classes(recipe.classes, {name: one.asked.get(name) for name in recipe.classes}) for one in told]
        class_ids = torch.tensor(ids, device=device)
    return maps, class_ids
