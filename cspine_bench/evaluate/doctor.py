"""Self-tests of the measures on the user's machine: cases whose answer is known, each through the code that measures.

A library that was built differently, a processor with other rounding, an encoder file that is not what it says: here it
shows, before a figure of it is printed.
"""

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.evaluate.memorization.channels import Searcher, list_channels
from cspine_bench.evaluate.memorization.maps import make_map
from cspine_bench.evaluate.memorization.recipe import MemorizationRecipe
from cspine_bench.evaluate.memorization.transforms import TRANSFORMS
from cspine_bench.features.encoder import Encoder
from cspine_bench.features.registry import DEFAULT_ENCODER
from cspine_bench.features.store import FeatureStore
from cspine_bench.measurement.encode import open_encoder
from cspine_bench.measurement.inputs import OnProgress
from cspine_bench.metrics.frechet import frechet_distance
from cspine_bench.metrics.kernel import kernel_distance
from cspine_bench.metrics.manifold import measure_manifold
from cspine_bench.metrics.moments import Moments, frechet_distance_of_moments
from cspine_bench.provenance import sha256_bytes
from cspine_bench.seeding import numpy_generator

_BATCH_TOLERANCE: Final = 1e-4
_DEPTH_TOLERANCE: Final = 1e-4
_FRECHET_TOLERANCE: Final = 1e-6
_NUM_FILMS: Final = 24
_NUM_HONEST: Final = 12


@dataclass(frozen=True)
class Check:
    """One self-test.

    Attributes:
        name: of what was tested.
        passed: whether the known answer came out.
        sentence: what came out, and what should.
    """

    name: str
    passed: bool
    sentence: str


def examine(*, encoder: str | None = None, device: str = "cpu", on_progress: OnProgress | None = None) -> list[Check]:
    """Run all self-tests. About ten seconds on a processor.

    Args:
        encoder: see `cspine_bench.features.registry.load_encoder`; None: the default one.
        device: where it works.
        on_progress: told the tests that are done, and all.

    Raises:
        CheckpointError: the encoder's weights are missing or damaged.
        MissingExtraError: a package that it needs is not installed.
        RecipeError: there is no such encoder.
    """
    network = open_encoder(encoder or DEFAULT_ENCODER, device=device)
    tests: list[Callable[[], Check]] = [
        _check_gaussians,
        _check_small_sets,
        _check_identity,
        _check_swap,
        _check_kernel,
        lambda: _check_batches(network),
        lambda: _check_depth(network),
        lambda: _check_store(network),
        _check_copies,
    ]
    checks = []
    for number, test in enumerate(tests):
        if on_progress is not None:
            on_progress(number, len(tests))
        checks.append(test())
    if on_progress is not None:
        on_progress(len(tests), len(tests))
    return checks


def _draw(name: str) -> np.random.Generator:
    return numpy_generator(0, f"evaluate.doctor.{name}")


def _check_gaussians() -> Check:
    """Two Gaussians with diagonal covariances: |m|^2 + sum (s - t)^2. Dowson, Landau 1982."""
    dimension, count = 96, 1000
    mean = np.linspace(-1, 1, dimension)
    first, second = np.linspace(0.5, 2, dimension), np.linspace(1.5, 0.7, dimension)
    expected = float(np.sum(mean**2) + np.sum((first - second) ** 2))
    found = frechet_distance_of_moments(
        real=Moments(count, np.zeros(dimension), np.diag(first**2) * (count - 1)),
        synthetic=Moments(count, mean, np.diag(second**2) * (count - 1)),
    )
    passed = math.isclose(found, expected, rel_tol=_FRECHET_TOLERANCE)
    return Check("closed form", passed, f"two Gaussians: Frechet distance {found:.6f}, by formula {expected:.6f}")


def _check_small_sets() -> Check:
    """Fewer images than features takes another way through the algebra: both must agree."""
    features = _draw("small").standard_normal((2, 60, 40))
    plain = frechet_distance(real=features[0], synthetic=features[1])
    # Features that are always zero add dimensions, and no distance.
    padded = np.pad(features, ((0, 0), (0, 0), (0, 100)))
    wide = frechet_distance(real=padded[0], synthetic=padded[1])
    passed = math.isclose(plain, wide, rel_tol=_FRECHET_TOLERANCE)
    return Check("few images", passed, f"60 images: {plain:.6f} in 40 dimensions, {wide:.6f} among 140 with 100 empty")


def _check_identity() -> Check:
    features = _draw("identity").standard_normal((200, 32))
    distance = frechet_distance(real=features, synthetic=features)
    [balls] = measure_manifold(real=features, synthetic=features)
    passed = distance < 1e-9 and balls.precision == balls.recall == balls.coverage == 1
    return Check(
        "identity",
        passed,
        f"a set against itself: Frechet distance {distance:.1e} (should be 0), precision {balls.precision:g}, recall "
        f"{balls.recall:g}, coverage {balls.coverage:g} (should be 1)",
    )


def _check_swap() -> Check:
    """Synthetic images that are all good, and of one kind: full precision, little recall; not the other way round."""
    generator = _draw("swap")
    real = generator.standard_normal((400, 8))
    narrow = 0.05 * generator.standard_normal((400, 8))
    [balls] = measure_manifold(real=real, synthetic=narrow)
    passed = balls.precision > 0.95 and balls.recall < 0.05
    return Check(
        "which side is which",
        passed,
        f"images of one kind: precision {balls.precision:.2f} (should be near 1), recall {balls.recall:.2f} (near 0)",
    )


def _check_kernel() -> Check:
    """The cubic kernel worked out in full for a few vectors."""
    generator = _draw("kernel")
    real, synthetic = generator.standard_normal((12, 5)), generator.standard_normal((9, 5)) + 0.5

    def mean(x: NDArray[Any], y: NDArray[Any]) -> float:
        cubes = (x @ y.T / 5 + 1) ** 3
        return float(cubes.mean() if x is not y else (cubes.sum() - np.trace(cubes)) / (len(x) * (len(x) - 1)))

    expected = mean(real, real) + mean(synthetic, synthetic) - 2 * mean(real, synthetic)
    found = kernel_distance(real=real, synthetic=synthetic)
    passed = math.isclose(found, expected, rel_tol=1e-9)
    return Check("kernel distance", passed, f"by blocks {found:.9f}, in full {expected:.9f}")


def _draw_films(count: int, side: int = 96) -> NDArray[np.uint8]:
    """Made-up images with something in them; no radiographs."""
    rows, columns = np.mgrid[:side, :side] / side
    generator = _draw("films")
    waves = generator.uniform(1, 6, (count, 4, 2))
    image = sum(np.sin(2 * np.pi * (waves[:, k, :1, None] * rows + waves[:, k, 1:, None] * columns)) for k in range(4))
    return np.asarray(127 + 28 * image + generator.normal(0, 6, (count, side, side))).clip(0, 255).astype(np.uint8)


def _check_batches(encoder: Encoder) -> Check:
    films = _draw_films(6)
    together, alone = encoder.encode(films, batch_size=6), encoder.encode(films, batch_size=1)
    apart = float(np.abs(together - alone).max() / np.abs(together).max())
    passed = apart < _BATCH_TOLERANCE
    return Check(
        "batch size", passed, f"{encoder.name}: features of six images together and one by one differ by {apart:.1e}"
    )


def _check_depth(encoder: Encoder) -> Check:
    """The fault that makes others report a distance of 0 between any two folders of 16-bit images."""
    films = _draw_films(6)
    deep = films.astype(np.uint16) * 257
    plain, found = encoder.encode(films), encoder.encode(deep)
    apart = float(np.abs(plain - found).max() / np.abs(plain).max())
    distinct = len(np.unique(found.round(6), axis=0))
    passed = apart < _DEPTH_TOLERANCE and distinct == len(films)
    return Check(
        "16 bits",
        passed,
        f"{encoder.name}: the same six images at 8 and 16 bits differ by {apart:.1e}, {distinct} of 6 are distinct",
    )


def _check_store(encoder: Encoder) -> Check:
    """Other pixels under the name of an old file must get features of their own."""
    first, second = _draw_films(2)
    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore(Path(folder), encoder)
        hashes = [sha256_bytes(film.tobytes()) for film in (first, second)]
        features = encoder.encode(np.stack([first, second]))
        store.add(hashes, hashes, features)
        kept = FeatureStore(Path(folder), encoder).gather(hashes)
    passed = bool(np.array_equal(kept, features)) and not np.array_equal(kept[0], kept[1])
    return Check("feature store", passed, "what is kept is read again to the bit, by its pixels and not by its name")


def _check_copies() -> Check:
    """Films among others, changed in the common ways: the search must name each, nearer than any honest image is."""
    recipe = MemorizationRecipe(regions=False, variants=("shifted", "turned"))
    films = _draw_films(_NUM_FILMS + _NUM_HONEST)
    train, honest = films[:_NUM_FILMS], films[_NUM_FILMS:]
    common = [transform for transform in TRANSFORMS if transform.common]
    copies = [
        transform.apply(train[row], honest[0], _draw(f"copies.{transform.name}"))
        for row, transform in enumerate(common)
    ]
    maps = np.stack([make_map(image) for image in (*train, *honest, *copies)])
    clusters = np.arange(_NUM_FILMS)
    searcher = Searcher(maps[:_NUM_FILMS], list_channels(recipe), clusters=clusters, num_neighbours=_NUM_FILMS)
    found = searcher.search(maps[_NUM_FILMS:])
    limit = found.ratio[:_NUM_HONEST].min()
    ratio, index = found.ratio[_NUM_HONEST:], found.index[_NUM_HONEST:]
    best = ratio.argmin(axis=1)
    rows = np.arange(len(copies))
    named = (index[rows, best] == rows) & (ratio[rows, best] < limit)
    missed = ", ".join(transform.name for transform, is_named in zip(common, named, strict=True) if not is_named)
    sentence = (
        f"{int(named.sum())} of {len(copies)} copies named, each nearer to its film than {_NUM_HONEST} others to any"
    )
    return Check("planted copies", bool(named.all()), f"{sentence}; missed: {missed}" if missed else sentence)
