"""A trained generator as a source of radiographs."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from cspine_bench.anatomy.classes import Facing
from cspine_bench.anatomy.curvature import curvature_class
from cspine_bench.anatomy.landmarks import LANDMARK_NAMES, NUM_LANDMARKS
from cspine_bench.dataset.source import Radiograph, SampleKey
from cspine_bench.ddpm.checkpoint import Generator
from cspine_bench.ddpm.classes import NOT_TOLD
from cspine_bench.ddpm.network import encode_skeleton, predict_clean
from cspine_bench.ddpm.noise import torch_generator
from cspine_bench.ddpm.path import select_path
from cspine_bench.ddpm.samplers import DEFAULT_NUM_STEPS, DEFAULT_SAMPLER, SAMPLERS, build_times
from cspine_bench.ddpm.shape_model import Shape
from cspine_bench.ddpm.skeleton import draw_skeleton
from cspine_bench.errors import DataError, RecipeError
from cspine_bench.provenance import canonical_json, package_version, sha256_bytes

_BYTES_PER_PIXEL: Final = 0.75
"""Encoded image; only sizes shards."""

_ANTERIOR: Final = [index for index, name in enumerate(LANDMARK_NAMES) if name.endswith("_anterior")]
_POSTERIOR: Final = [index for index, name in enumerate(LANDMARK_NAMES) if name.endswith("_posterior")]


@dataclass(frozen=True)
class DdpmSource:
    """Radiographs of a trained generator, 8 bits a pixel.

    Image i is a function of (weights, sampler, num_steps, guidance_scale, seed, i) and of the shape model's spine i of
    that seed. Batch size and device reach the last bits of its arithmetic: within one gray level on any, and to the bit
    on one kind of device at one batch size, whatever else is in the batch.

    Args:
        generator: from `load_generator`, on the CPU.
        count: number of samples.
        seed: 0 <= seed < 2**63.
        sampler: a key of `SAMPLERS`.
        num_steps: of the sampler.
        guidance_scale: weight of the condition, 1 = as trained; None: 1, without the second evaluation.
            Source: Ho & Salimans 2022, equation 6, where w = guidance_scale - 1.
        batch_size: images made at once; the last batch is filled up.
        device: "cpu", "cuda" or "cuda:N".

    Raises:
        ValueError: count, num_steps or batch_size is not positive, or the sampler is unknown.
        RecipeError: guidance for a network that was not trained both with and without a condition.
    """

    generator: Generator
    count: int
    seed: int = 0
    sampler: str = DEFAULT_SAMPLER
    num_steps: int = DEFAULT_NUM_STEPS
    guidance_scale: float | None = None
    batch_size: int = 16
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("count", "num_steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.sampler not in SAMPLERS:
            raise ValueError(f"no sampler {self.sampler!r}; there are {', '.join(SAMPLERS)}")
        recipe = self.generator.recipe
        if self.guidance_scale is not None and (not recipe.is_conditional or recipe.condition_dropout == 0):
            raise RecipeError(
                f"guidance needs a network trained with a condition that is withheld at times; this one has condition "
                f"{recipe.condition!r} and condition_dropout {recipe.condition_dropout}: leave guidance out"
            )

    def describe(self) -> dict[str, Any]:
        """What decides the bytes."""
        return {
            "kind": "ddpm",
            "version": package_version(),
            "run_id": self.generator.run_id,
            "weights_sha256": self.generator.weights_sha256,
            "seed": self.seed,
            "count": self.count,
            "batch_size": self.batch_size,
            "device": torch.device(self.device).type,
            **self._parameters,
        }

    def estimate_bytes(self) -> int:
        """About what one encoded sample takes."""
        return int(self.generator.size**2 * _BYTES_PER_PIXEL) + 1024

    def list_samples(self) -> list[SampleKey]:
        """All samples; splits are balanced over the curvature of the spines that are asked for.

        Raises:
            DataError: the shape model finds no plausible spine.
        """
        return [build_key(index, self._draw_shape(index)) for index in range(self.count)]

    def iter_radiographs(self, keys: Sequence[SampleKey]) -> Iterator[Radiograph]:
        """Sample the given images.

        Raises:
            DataError: the weights give no finite image, or the device's memory is too small.
        """
        network = self.generator.network
        if torch.device(self.device).type != "cpu":
            network = copy.deepcopy(network).to(self.device)
        # One thread: a sum's order, and so its last bit, must not depend on how many cores there are.
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            for start in range(0, len(keys), self.batch_size):
                chunk = keys[start : start + self.batch_size]
                indices = [int(key.origin) for key in chunk]
                shapes = [self._draw_shape(index) for index in indices]
                images = self._sample(network, indices, shapes)
                for key, index, shape, image in zip(chunk, indices, shapes, images, strict=True):
                    yield self._build_radiograph(key, index, shape, image)
        finally:
            torch.set_num_threads(threads)

    def _draw_shape(self, index: int) -> Shape | None:
        model = self.generator.shape_model
        return None if model is None else model.draw(self.seed, index)

    @torch.inference_mode()
    def _sample(
        self, network: torch.nn.Module, indices: Sequence[int], shapes: Sequence[Shape | None]
    ) -> NDArray[np.uint8]:
        """uint8 (len(indices), size, size)."""
        missing = self.batch_size - len(indices)
        indices = [*indices, *[indices[-1]] * missing]
        size, recipe = self.generator.size, self.generator.recipe
        path = select_path(recipe)
        noises = [torch_generator(self.seed, "ddpm.sample", index) for index in indices]

        def draw_noise(step: int) -> torch.Tensor:
            # The next of each image's own stream: every sampler asks in order.
            return torch.stack([torch.randn((1, size, size), generator=noise) for noise in noises]).to(self.device)

        condition = _draw_conditions([*shapes, *[shapes[-1]] * missing], size, self.device)
        class_ids = torch.full((len(indices),), NOT_TOLD, device=self.device) if recipe.classes else None

        def predict(x: torch.Tensor, time: float) -> torch.Tensor:
            return predict_clean(
                network, recipe, x, time, condition=condition, class_ids=class_ids, guidance_scale=self.guidance_scale
            )

        try:
            times = build_times(self.num_steps)
            noise = draw_noise(0) * path.sigma(torch.tensor(times[0])).to(self.device)
            images = SAMPLERS[self.sampler](predict, path, noise, times, draw_noise).cpu()
        except torch.cuda.OutOfMemoryError as error:
            raise DataError(
                f"{self.device} has too little memory for a batch of {self.batch_size}; lower it"
            ) from error
        if not bool(torch.isfinite(images).all()):
            raise DataError(
                f"the weights {self.generator.weights_sha256[:12]} of step {self.generator.step} give images that are "
                "not finite; use another checkpoint"
            )
        gray = ((images[: len(images) - missing, 0] + 1) * 127.5).round().clamp(0, 255)
        return gray.to(torch.uint8).numpy()

    def _build_radiograph(
        self, key: SampleKey, index: int, shape: Shape | None, image: NDArray[np.uint8]
    ) -> Radiograph:
        fields: dict[str, Any] = {
            "source_kind": "ddpm",
            "run_id": self.generator.run_id,
            "generator": "cspine-bench ddpm",
            "generator_version": package_version(),
            "generator_parameters": canonical_json(self._parameters),
            "recipe_sha256": self.generator.recipe.compute_sha256(),
            "weights_sha256": self.generator.weights_sha256,
            "seed": self.seed,
            "sample_index": index,
            "sampler": self.sampler,
            "num_steps": self.num_steps,
            "guidance_scale": self.guidance_scale,
            "batch_size": self.batch_size,
            "dtype": "float32",
            "device": torch.device(self.device).type,
        }
        if shape is None:
            return Radiograph(key, image, None, np.full((NUM_LANDMARKS, 2), np.nan, np.float32), fields)
        fields |= {
            "label_source": "conditioned",
            "facing": _find_facing(shape),
            "curvature": _find_curvature(shape),
            "pixel_spacing_mm": shape.pixel_spacing_mm,
            "pixel_spacing_plane": None if shape.pixel_spacing_mm is None else "unknown",
            "condition_kind": "skeleton",
            "condition_sha256": sha256_bytes(shape.landmarks_xy.astype("<f4").tobytes()),
        }
        # A point that is drawn beyond the edge is not in the image.
        last = self.generator.size - 0.5
        outside = ((shape.landmarks_xy < -0.5) | (shape.landmarks_xy > last)).any(axis=1)
        landmarks_xy = shape.landmarks_xy.copy()
        landmarks_xy[outside] = np.nan
        return Radiograph(key, image, None, landmarks_xy, fields)

    @property
    def _parameters(self) -> dict[str, Any]:
        return {
            "step": self.generator.step,
            "sampler": self.sampler,
            "num_steps": self.num_steps,
            "guidance_scale": self.guidance_scale,
        }


def build_key(index: int, shape: Shape | None) -> SampleKey:
    """Sample `index` before it is made; each is its own anatomy."""
    name = f"dd{index:08d}"
    curvature = None if shape is None else _find_curvature(shape)
    return SampleKey(name, name, str(index), {} if curvature is None else {"curvature": curvature})


def _draw_conditions(shapes: Sequence[Shape | None], size: int, device: str) -> torch.Tensor | None:
    points = [shape.landmarks_xy for shape in shapes if shape is not None]
    # Drawn on the CPU, so that every device is given the same map.
    return encode_skeleton(draw_skeleton(torch.from_numpy(np.stack(points)), size)).to(device) if points else None


def _find_facing(shape: Shape) -> Facing:
    forward = shape.landmarks_xy[_ANTERIOR, 0].mean() - shape.landmarks_xy[_POSTERIOR, 0].mean()
    return "left" if forward < 0 else "right"


def _find_curvature(shape: Shape) -> str | None:
    spacing = np.nan if shape.pixel_spacing_mm is None else shape.pixel_spacing_mm
    return curvature_class(shape.landmarks_xy, pixel_spacing_mm=spacing, facing=_find_facing(shape))
