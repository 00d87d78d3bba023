"""Traps of diffusers' random draws: that each one is there, and that ours does not have it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler
from diffusers.utils.torch_utils import randn_tensor
from small_run import SIZE, load_small

from cspine_bench.ddpm.checkpoint import Generator
from cspine_bench.ddpm.export import build_plain_unet
from cspine_bench.ddpm.noise import torch_generator
from cspine_bench.ddpm.path import COSINE
from cspine_bench.ddpm.sample import DdpmSource

SHAPE = (1, 8, 8)


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    return load_small(tmp_path_factory.mktemp("noise"), condition="none", objective="v")


def seed(*numbers: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(number) for number in numbers]


def make(generator: Generator, indices: Sequence[int], *, batch_size: int, sampler: str = "ddpm") -> np.ndarray:
    source = DdpmSource((generator,), max(indices) + 1, sampler=sampler, num_steps=3, batch_size=batch_size)
    keys = source.list_samples()
    return np.stack([made.image for made in source.iter_radiographs([keys[index] for index in indices])]).astype(int)


def test_a_list_of_generators_that_is_too_long_is_accepted_by_diffusers(generator: Generator) -> None:
    too_many = randn_tensor((2, *SHAPE), generator=seed(1, 2, 3))
    torch.testing.assert_close(too_many, randn_tensor((2, *SHAPE), generator=seed(1, 2)))
    # Ours makes the generators from the indices that were asked for: one each, no more and no fewer.
    assert len(make(generator, [4, 1], batch_size=16)) == 2


def test_a_list_of_one_generator_becomes_a_shared_one_in_diffusers(generator: Generator) -> None:
    shared = randn_tensor((4, *SHAPE), generator=seed(1))
    torch.testing.assert_close(shared, randn_tensor((4, *SHAPE), generator=seed(1)[0]))
    # So image 1 is not what generator 1 would make of it, but what is left of generator 0.
    assert not torch.equal(shared[1], randn_tensor((2, *SHAPE), generator=seed(1, 1))[1])
    alone, among = make(generator, [0], batch_size=4), make(generator, [0, 1, 2, 3], batch_size=4)
    assert (alone[0] == among[0]).all()


def test_streams_of_randn_depend_on_size_and_type(generator: Generator) -> None:
    def draw(count: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.randn(count, generator=seed(3)[0], dtype=dtype)

    # Sixteen numbers and more are drawn in another way than fewer, and float64 in another than float32.
    assert not torch.allclose(draw(15), draw(16)[:15])
    assert not torch.allclose(draw(64), draw(64, torch.float64).float())
    # Ours draws one image at a time, float32, whatever the batch or the type of the arithmetic is.
    source = DdpmSource((generator,), 1, num_steps=1, batch_size=1)
    expected = torch.randn((1, SIZE, SIZE), generator=torch_generator(0, "ddpm.sample", 0))
    for batch_size in (1, 3):
        seen: list[torch.Tensor] = []
        network = generator.network
        handle = network.register_forward_pre_hook(lambda module, inputs, seen=seen: seen.append(inputs[0].clone()))
        list(DdpmSource((generator,), 1, num_steps=1, batch_size=batch_size).iter_radiographs(source.list_samples()))
        handle.remove()
        torch.testing.assert_close(seen[0][0], float(COSINE.sigma(torch.tensor(1.0))) * expected)
        assert seen[0].dtype == torch.float32


def test_an_image_of_ddpm_pipeline_depends_on_its_batch(generator: Generator) -> None:
    pipeline = DDPMPipeline(
        build_plain_unet(generator.network, generator.recipe), DDPMScheduler(timestep_spacing="trailing")
    )
    pipeline.set_progress_bar_config(disable=True)

    def run(batch_size: int) -> np.ndarray:
        images: np.ndarray = pipeline(batch_size, generator=seed(5)[0], num_inference_steps=3, output_type="np").images
        return images

    # The first image begins with the same noise in any batch, and is then given other noise at each step.
    assert np.abs(run(1)[0] - run(4)[0]).max() > 0.05
    for sampler in ("ddpm", "dpmpp-2m"):
        alone, among = (make(generator, [0, 1, 2, 3], batch_size=size, sampler=sampler) for size in (1, 4))
        assert np.abs(alone - among).max() <= 1


def test_a_stream_depends_on_its_seed_name_and_index_alone(tmp_path: Path) -> None:
    def first(*key: object) -> float:
        return float(torch.randn(1, generator=torch_generator(*key)))  # type: ignore[arg-type]

    keys = [(0, "a", 0), (1, "a", 0), (0, "b", 0), (0, "a", 1)]
    values = [first(*key) for key in keys]
    assert len(set(values)) == 4
    torch.manual_seed(99)
    assert [first(*key) for key in keys] == values
    with pytest.raises(ValueError, match="index must be between 0"):
        torch_generator(0, "a", -1)
