"""Features with units of their own are compared on one scale; those of a network as they are."""

import numpy as np

from cspine_bench.evaluate.fidelity.feature_scale import bring_to_one_scale
from cspine_bench.features.pixels import load_pixels
from cspine_bench.features.radiomics import load_radiomics
from cspine_bench.metrics.frechet import frechet_distance

DRAW = np.random.default_rng(0)
FILMS = DRAW.integers(0, 256, (24, 32, 32)).astype(np.uint8) // np.arange(1, 25, dtype=np.uint8)[:, None, None]


def test_no_unit_decides_a_distance() -> None:
    encoder = load_radiomics()
    features = encoder.encode(FILMS)
    real, synthetic = features[::2], features[1::2]
    found = bring_to_one_scale(encoder, real=real, synthetic=synthetic)
    changed = np.array([1e6, *[1.0] * (encoder.dimension - 1)])
    again = bring_to_one_scale(
        encoder, real=(real * changed).astype(np.float32), synthetic=(synthetic * changed).astype(np.float32)
    )
    one, other = (frechet_distance(real=sides.real, synthetic=sides.synthetic) for sides in (found, again))
    np.testing.assert_allclose(one, other, rtol=1e-4)
    spread = found.real.std(axis=0)
    assert np.all((np.abs(spread - 1) < 1e-4) | (real.std(axis=0) < 1e-6 * np.abs(real.mean(axis=0)) + 1e-12))


def test_other_images_come_into_the_same_space() -> None:
    encoder = load_radiomics()
    features = encoder.encode(FILMS)
    found = bring_to_one_scale(encoder, real=features[::2], synthetic=features[1::2])
    np.testing.assert_allclose(found.encoder.encode(FILMS[1::2]), found.synthetic, rtol=1e-5, atol=1e-5)
    assert found.encoder.sha256 != encoder.sha256
    assert "spread in real images" in found.encoder.name


def test_features_of_one_kind_stay() -> None:
    features = DRAW.normal(size=(6, 4)).astype(np.float32)
    encoder = load_pixels()
    found = bring_to_one_scale(encoder, real=features, synthetic=features)
    assert found.encoder is encoder
    assert found.real is features
