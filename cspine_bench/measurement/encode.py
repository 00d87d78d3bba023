"""The features of a side's radiographs, by an encoder that a recipe or a command names.

encoder = open_encoder("lite0", device="cpu")
features = encode_images(real, encoder)
"""

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cspine_bench.dataset.ray_tasks import RayCluster
from cspine_bench.errors import RecipeError
from cspine_bench.features.encoder import Encoder
from cspine_bench.features.extract import encode_dataset
from cspine_bench.features.registry import load_encoder
from cspine_bench.features.store import FeatureStore
from cspine_bench.measurement.inputs import Images, OnProgress
from cspine_bench.measurement.task import Setup, ShowStage
from cspine_bench.results import EncoderUsed


def open_encoder(name: str, *, device: str) -> Encoder:
    """An encoder by the name that a recipe or a command gives.

    Raises:
        RecipeError: there is none of this name.
        MissingExtraError: a package that it needs is not installed.
        CheckpointError: its weights are missing, or not what they should be.
    """
    try:
        return load_encoder(name, device=device)
    except ValueError as error:
        raise RecipeError(str(error)) from error


def describe_encoder(encoder: Encoder, *, bit_depth: int) -> EncoderUsed:
    """As a result names its encoder."""
    return EncoderUsed(
        name=encoder.name,
        weights_sha256=encoder.weights_sha256,
        resize=f"{encoder.resize.rule}; {encoder.input_size_px or 'own'} px",
        bit_depth=16 if bit_depth == 16 else 8,
    )


def encode_images(
    images: Images,
    encoder: Encoder,
    store: FeatureStore | Path | None = None,
    *,
    num_workers: int = 1,
    ray: RayCluster | None = None,
    on_progress: OnProgress | None = None,
) -> NDArray[np.float32]:
    """Features of all radiographs of a side, float32 (n, dimension); what the store holds is not computed again.

    Raises:
        DataError: as `encode_dataset`.
    """
    parts, done = [], 0

    def tell(before: int, made: int, total: int) -> None:
        if on_progress is not None:
            on_progress(before + made, len(images))

    for split in images.splits:
        features = encode_dataset(
            images.folder,
            encoder,
            store,
            split=split,
            num_workers=num_workers,
            ray=ray,
            on_progress=partial(tell, done),
        )
        parts.append(features.values)
        done += len(features)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def encode_side(
    side: Images, encoder: Encoder, store: FeatureStore, setup: Setup, show: ShowStage
) -> NDArray[np.float32]:
    """Features of one side, float32 (n, dimension), by what the setup has."""
    with show(f"{encoder.name}, {side.role} images") as tell:
        return encode_images(side, encoder, store, num_workers=setup.num_workers, ray=setup.ray, on_progress=tell)
