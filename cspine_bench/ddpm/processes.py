"""The processes that train one network together: each works on its share of every batch, and gradients are averaged."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch

from cspine_bench.errors import DataError, RecipeError

if TYPE_CHECKING:
    from accelerate import Accelerator

_KINDS: Final = ("NO", "MULTI_CPU", "MULTI_GPU")
"""Kinds of accelerate that keep the whole network on every device."""


@dataclass(frozen=True)
class Processes:
    """This process, and what it shares with those beside it.

    Attributes:
        device: where this one computes.
        accelerator: what they exchange gradients through; None: there is no other.
    """

    device: torch.device
    accelerator: "Accelerator | None" = None

    @property
    def count(self) -> int:
        """How many there are, on all hosts."""
        return 1 if self.accelerator is None else int(self.accelerator.num_processes)

    @property
    def rank(self) -> int:
        """Number of this one, from 0."""
        return 0 if self.accelerator is None else int(self.accelerator.process_index)

    @property
    def is_main(self) -> bool:
        """This one writes the run folder."""
        return self.rank == 0

    def prepare(self, network: torch.nn.Module) -> Any:
        """The network as it is called in an update: one whose gradients are averaged over all processes."""
        return network if self.count == 1 or self.accelerator is None else self.accelerator.prepare_model(network)

    def hold_back(self, prepared: torch.nn.Module) -> AbstractContextManager[Any]:
        """While it lasts, gradients add up here and are not averaged yet."""
        return nullcontext() if self.count == 1 or self.accelerator is None else self.accelerator.no_sync(prepared)

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Mean over all processes; of the shape of `values`. Every process must call it."""
        if self.count == 1 or self.accelerator is None:
            return values
        averaged: torch.Tensor = self.accelerator.reduce(values, reduction="mean")
        return averaged

    def wait(self) -> None:
        """Until every process is here."""
        if self.accelerator is not None:
            self.accelerator.wait_for_everyone()

    def take_share(self, batch_size: int) -> slice:
        """The places of a batch that this process works on."""
        share = batch_size // self.count
        return slice(self.rank * share, (self.rank + 1) * share)


def join_processes(accelerator: "Accelerator | None", device: str) -> Processes:
    """The processes that `accelerate launch` started, or this one alone.

    Args:
        accelerator: of this process, made after the launch; None: alone.
        device: of a process that is alone, "cpu", "cuda" or "cuda:N".

    Raises:
        DataError: there is no such device.
        RecipeError: accelerate is set up to cut the network into pieces.
    """
    if accelerator is None:
        return Processes(find_device(device))
    if accelerator.distributed_type.value not in _KINDS:
        raise RecipeError(
            f"accelerate is set up for {accelerator.distributed_type.value}; training copies the whole network to "
            f"every device, which is one of {', '.join(_KINDS)}: run `accelerate config` again"
        )
    return Processes(accelerator.device, accelerator)


def find_device(name: str) -> torch.device:
    """A device that is there.

    Raises:
        DataError: it is none of cpu, cuda and cuda:N, or this machine has no such device. There is no fallback.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DataError(f"{name!r} is none of cpu, cuda and cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise DataError(f"{name!r} is none of cpu, cuda and cuda:N")
    found = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= found:
        raise DataError(f"{name!r} is not there: this machine has {found} CUDA devices that torch can use; name cpu")
    return device


@contextmanager
def explain_full_memory(device: torch.device) -> Iterator[None]:
    """Turn "out of memory", of the device or of the host, into a RecipeError that says which settings to lower."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # torch's allocator on the host has no exception of its own.
        if not (isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)):
            raise
        raise RecipeError(
            f"{device}: training needs more memory than there is; raise training.accumulation_steps, or lower "
            "training.batch_size, size or network.widths, and train into another folder"
        ) from error
