"""What is said where memory or a device is missing, or where accelerate is set up for another kind of training."""

from types import SimpleNamespace

import pytest
import torch

from cspine_bench.ddpm.processes import Processes, explain_full_memory, find_device, join_processes
from cspine_bench.errors import DataError, RecipeError

CPU = torch.device("cpu")


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_memory_that_is_full_is_explained(error: Exception) -> None:
    message = r"needs more memory than there is; raise training.accumulation_steps"
    with pytest.raises(RecipeError, match=message), explain_full_memory(CPU):
        raise error


def test_the_allocator_of_the_host_is_recognised() -> None:
    with pytest.raises(RecipeError, match="needs more memory"), explain_full_memory(CPU):
        torch.empty(2**60)


def test_other_errors_are_left_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"), explain_full_memory(CPU):
        raise RuntimeError("shapes differ")


@pytest.mark.parametrize("name", ["cuda:99", "meta", "gpu"])
def test_a_device_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(DataError, match=f"'{name}' is (not there: this machine has|none of cpu, cuda and cuda:N)"):
        find_device(name)
    assert find_device("cpu") == CPU


def test_a_network_is_not_cut_into_pieces() -> None:
    accelerator = SimpleNamespace(distributed_type=SimpleNamespace(value="DEEPSPEED"))
    with pytest.raises(RecipeError, match="set up for DEEPSPEED; training copies the whole network to every device"):
        join_processes(accelerator, "cpu")  # type: ignore[arg-type]


def test_shares_are_the_batch() -> None:
    places = []
    for rank in range(3):
        accelerator = SimpleNamespace(num_processes=3, process_index=rank)
        places += range(12)[Processes(CPU, accelerator).take_share(12)]  # type: ignore[arg-type]
    assert places == list(range(12))
    assert Processes(CPU).take_share(12) == slice(0, 12)
