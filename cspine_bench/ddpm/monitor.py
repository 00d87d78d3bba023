"""How good the samples of a run are, while it runs: distances from held-out radiographs, and a watch for copies.

references = build_references(train, validation, count=256, seed=0)     once
row = measure(references, images)                                       at each measurement
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.ddpm.films import Films
from cspine_bench.errors import DataError
from cspine_bench.features.encoder import Encoder
from cspine_bench.features.registry import DEFAULT_ENCODER, load_encoder
from cspine_bench.metrics.copying import find_neighbours, remove_low_frequencies, watch_copying
from cspine_bench.metrics.frechet import frechet_interval
from cspine_bench.metrics.intervals import CONFIDENCE, Estimate
from cspine_bench.metrics.kernel import kernel_interval
from cspine_bench.seeding import numpy_generator

LEAST_IMAGES: Final = 4
"""Fewer have no interval."""
MOST_REAL: Final = 2048
"""Of the validation radiographs, so that a measurement stays cheap."""

Row = dict[str, Any]


@dataclass(frozen=True)
class References:
    """The real side of every measurement, computed once.

    Attributes:
        encoder: that features come from.
        count: synthetic images of a measurement.
        seed: decides which radiographs were drawn, and the groups of the jackknife.
        features: float32 (n, D), of validation radiographs.
        train_maps: float32 (N, s, s), every training radiograph as `remove_low_frequencies` gives it.
        holdout_maps: float32 (n, s, s), the validation radiographs, likewise.
        holdout_similarity: float32 (n,), of each validation radiograph to its nearest training radiograph.
        frechet_floor: distance of `count` training radiographs from the validation ones.
        kernel_floor: likewise.
    """

    encoder: Encoder
    count: int
    seed: int
    features: NDArray[np.float32]
    train_maps: NDArray[np.float32]
    holdout_maps: NDArray[np.float32]
    holdout_similarity: NDArray[np.float32]
    frechet_floor: Estimate
    kernel_floor: Estimate


def build_references(
    train: Films,
    validation: Films,
    *,
    count: int,
    seed: int,
    encoder: str = DEFAULT_ENCODER,
    device: str = "cpu",
) -> References:
    """Everything that `measure` compares with.

    Args:
        train: every radiograph that is trained on.
        validation: radiographs held out, of other patients; 2,048 of them at most are used.
        count: synthetic images of each measurement. So many training radiographs make the floor: what real images,
            as few as these, score.
        seed: decides which radiographs are drawn where not all are used.
        encoder: see `cspine_bench.features.registry.ENCODERS`.
        device: where the encoder works.

    Raises:
        DataError: there are fewer training radiographs than `count`, fewer than 4 of a kind, or a blank one.
        MissingExtraError: the encoder's package is not installed.
    """
    if len(validation) < LEAST_IMAGES or not LEAST_IMAGES <= count <= len(train):
        raise DataError(
            f"measuring {count} samples needs {max(count, LEAST_IMAGES)} training and {LEAST_IMAGES} validation "
            f"radiographs, there are {len(train)} and {len(validation)}; set training.monitor.count to at least "
            f"{LEAST_IMAGES} and at most {len(train)}, use a larger dataset, or set training.monitor=null"
        )
    network = load_encoder(encoder, device=device)
    held_out = _draw_rows(len(validation), min(len(validation), MOST_REAL), seed, "ddpm.monitor.validation")
    drawn = _draw_rows(len(train), count, seed, "ddpm.monitor.train")
    features = network.encode(validation.pixels[held_out])
    drawn_features = network.encode(train.pixels[drawn])
    train_maps = remove_low_frequencies(train.pixels)
    holdout_maps = remove_low_frequencies(validation.pixels[held_out])
    return References(
        encoder=network,
        count=count,
        seed=seed,
        features=features,
        train_maps=train_maps,
        holdout_maps=holdout_maps,
        holdout_similarity=find_neighbours(images=holdout_maps, references=train_maps).similarity,
        frechet_floor=frechet_interval(
            real=features, synthetic=drawn_features, generator=numpy_generator(seed, "ddpm.monitor.groups")
        ),
        kernel_floor=kernel_interval(real=features, synthetic=drawn_features),
    )


def _draw_rows(count: int, wanted: int, seed: int, stream: str) -> NDArray[np.int64]:
    return np.sort(numpy_generator(seed, stream).permutation(count)[:wanted])


def measure(references: References, images: NDArray[np.uint8]) -> Row:
    """Compare samples with real radiographs.

    Args:
        references: of this run.
        images: uint8 (count, S, S), as many as the references were built for, of the radiographs' size.

    Returns:
        What goes into a line of the log, numbers and text: `encoder`, `encoder_sha256`, `num_synthetic`, `num_real`,
        `num_train`, `num_blank` (samples of one gray level), `confidence`; `frechet_distance` and `kernel_distance`,
        each with `_low`, `_high`, `_floor`, `_floor_low`, `_floor_high`, lower is better; `nearer_train_share` with
        `_low` and `_high`, and `nearer_train_expected`, what it is where nothing is copied; `train_similarity` and
        `holdout_similarity`, the largest of a sample and of a validation radiograph to a training radiograph, 0..1;
        `num_beyond_holdout`, samples above the latter, and `num_beyond_expected`, how many there would be of real
        radiographs.

    Raises:
        ValueError: another number or size of images.
    """
    size = references.holdout_maps.shape[1:]
    if len(images) != references.count or remove_low_frequencies(images[:1]).shape[1:] != size:
        raise ValueError(f"expected {references.count} images of the radiographs' size, got shape {images.shape}")
    features = references.encoder.encode(images, allow_blank=True)
    draw = numpy_generator(references.seed, "ddpm.monitor.groups")
    largest = float(references.holdout_similarity.max())
    watch = watch_copying(
        synthetic=remove_low_frequencies(images),
        train=references.train_maps,
        holdout=references.holdout_maps,
        largest_holdout_similarity=largest,
    )
    num_real = len(references.features)
    return {
        "encoder": references.encoder.name,
        "encoder_sha256": references.encoder.weights_sha256,
        "num_synthetic": references.count,
        "num_real": num_real,
        "num_train": len(references.train_maps),
        "num_blank": int((images.min(axis=(1, 2)) == images.max(axis=(1, 2))).sum()),
        "confidence": CONFIDENCE,
        **_spell("frechet_distance", frechet_interval(real=references.features, synthetic=features, generator=draw)),
        **_spell("frechet_distance_floor", references.frechet_floor),
        **_spell("kernel_distance", kernel_interval(real=references.features, synthetic=features)),
        **_spell("kernel_distance_floor", references.kernel_floor),
        **_spell("nearer_train_share", watch.share_nearer_train),
        "nearer_train_expected": watch.expected_share,
        "train_similarity": float(watch.train.similarity.max()),
        "holdout_similarity": largest,
        "num_beyond_holdout": watch.num_beyond_holdout,
        # Of exchangeable images, each is as likely as any of the n held out to be beyond the others.
        "num_beyond_expected": references.count / (num_real + 1),
    }


def _spell(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
