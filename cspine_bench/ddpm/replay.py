"""Make one image of a dataset again from its record, and compare."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cspine_bench.dataset.encode import encode_radiograph
from cspine_bench.dataset.read import open_dataset
from cspine_bench.dataset.source import Rejected, SampleKey
from cspine_bench.ddpm.checkpoint import Generator, load_generator
from cspine_bench.ddpm.run_folder import read_run
from cspine_bench.ddpm.sample import DdpmSource
from cspine_bench.ddpm.upscale import PARAMETER, Upscaler
from cspine_bench.errors import CheckpointError, DataError
from cspine_bench.imaging.png import decode_png
from cspine_bench.schema import Record


@dataclass(frozen=True)
class ReplayResult:
    """How an image and its record compare with what the generator makes of that record.

    Attributes:
        same: the record is equal in every field, and so the image in every byte.
        max_gray_difference: largest difference of a pixel, gray levels; another device or library may round otherwise.
        different_fields: names of fields that differ.
    """

    sample_id: str
    same: bool
    max_gray_difference: int
    different_fields: tuple[str, ...]


def replay(
    dataset: Path, sample_id: str, run: Path, *, device: str | None = None, upscale: Upscaler | None = None
) -> ReplayResult:
    """Make one sample again.

    Args:
        dataset: folder that holds it.
        sample_id: the sample.
        run: folder of the run that made it, with the checkpoint that the record names.
        device: where; None: the kind of device that the record names.
        upscale: that enlarged the sample; None: none did.

    Raises:
        DataError: the dataset cannot be read or holds no such sample, the sample was not made by a trained generator,
            or its kind of device is not there.
        CheckpointError: the run cannot be read; or the run, or what enlarged the sample, has other weights than the
            record names.
    """
    record = _find_record(dataset, sample_id)
    index, seed = record.sample_index, record.seed
    sampler, num_steps, batch_size = record.sampler, record.num_steps, record.batch_size
    device = device or record.device
    parameters = _read_parameters(record)
    if index is None or seed is None or sampler is None or num_steps is None or batch_size is None or device is None:
        raise DataError(
            f"{dataset}: sample {sample_id} is of kind {record.source_kind}; only what a trained generator made can be "
            "replayed"
        )
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise DataError(f"sample {sample_id}: {device} is not there; name another device to compare with")
    _require_same_upscaler(record, parameters.get(PARAMETER), upscale)
    source = DdpmSource(
        (_load_same_weights(run, record, parameters),),
        count=index + 1,
        seed=seed,
        sampler=sampler,
        num_steps=num_steps,
        grid=parameters.get("grid"),
        guidance_scale=record.guidance_scale,
        # All that the image was told is fixed now, however it was chosen then.
        classes=parameters.get("told", {}),
        batch_size=batch_size,
        precision="bfloat16" if record.dtype == "bfloat16" else "float32",
        compile=bool(parameters.get("compile")),
        device=device,
        upscale=upscale,
    )
    [made] = source.iter_radiographs([SampleKey(sample_id, record.group_id, str(index))])
    if isinstance(made, Rejected):
        raise DataError(f"sample {sample_id}: is turned away now ({made.reason})")
    again = encode_radiograph(made, record.split)
    before = decode_png(record.image, where=f"{dataset}: {sample_id}").astype(np.int32)
    if before.shape != made.image.shape:
        raise DataError(f"sample {sample_id} is {before.shape} px, its generator makes {made.image.shape}")
    different = tuple(name for name in Record.model_fields if not _is_equal(record, again, name))
    difference = int(np.abs(before - made.image.astype(np.int32)).max())
    return ReplayResult(sample_id, not different, difference, different)


def _find_record(dataset: Path, sample_id: str) -> Record:
    for record in open_dataset(dataset).iter_records():
        if record.sample_id == sample_id:
            return record
    raise DataError(f"{dataset}: holds no sample {sample_id}; `cspine-bench dataset inspect` shows what it holds")


def _read_parameters(record: Record) -> dict[str, Any]:
    try:
        parameters = json.loads(record.generator_parameters or "{}")
    except ValueError as error:
        raise DataError(f"sample {record.sample_id}: its generator_parameters are no JSON ({error})") from error
    return parameters if isinstance(parameters, dict) else {}


def _load_same_weights(run: Path, record: Record, parameters: dict[str, Any]) -> Generator:
    step, run_id = parameters.get("step"), read_run(run)[0].run_id
    if run_id != record.run_id:
        raise CheckpointError(
            f"{run}: is run {run_id}, sample {record.sample_id} was made by run {record.run_id}; name that run"
        )
    generator = load_generator(run, step, ema=parameters.get("ema"))
    if generator.weights_sha256 != record.weights_sha256:
        raise CheckpointError(
            f"{run}: step {step} has the weights {generator.weights_sha256}, sample {record.sample_id} was made by "
            f"{record.weights_sha256} of run {record.run_id}; name that run"
        )
    return generator


def _require_same_upscaler(record: Record, named: dict[str, Any] | None, given: Upscaler | None) -> None:
    before = None if named is None else named.get("weights_sha256")
    if given is None and before is not None:
        raise DataError(
            f"sample {record.sample_id}: was enlarged by the super-resolver {before}; name it with --upscale"
        )
    if given is not None and given.weights_sha256 != before:
        found = (
            "was not enlarged; leave --upscale out" if before is None else f"was enlarged by {before}; name that one"
        )
        raise CheckpointError(
            f"the super-resolver has the weights {given.weights_sha256}, sample {record.sample_id} {found}"
        )


def _is_equal(record: Record, again: Record, name: str) -> bool:
    old, new = getattr(record, name), getattr(again, name)
    if name == "landmarks_xy" or isinstance(old, float):
        # NaN is equal to NaN here; the folder stores 32 bits.
        return np.array_equal(np.float32(old), np.float32(new), equal_nan=True)
    return bool(old == new)
