"""Films without bone: the same person, beam and noise, and nothing of the bone is left."""

import numpy as np
import pytest

from cspine_bench.sources.phantom.bone_free import iter_bone_free
from cspine_bench.sources.phantom.recipe import PhantomRecipe
from cspine_bench.sources.phantom.render import BoneFree
from cspine_bench.sources.phantom.source import PhantomSource

BESIDE_BONE = 0.02
SEED = 5


def make_pairs(recipe: PhantomRecipe, count: int) -> list[BoneFree]:
    made = dict(iter_bone_free(recipe, SEED, range(count)))
    return [made[index] for index in range(count)]


def make_films(recipe: PhantomRecipe, count: int) -> list[np.ndarray]:
    source = PhantomSource(recipe, count, SEED)
    return [film.image for film in source.iter_radiographs(source.list_samples())]


@pytest.mark.parametrize(
    "recipe",
    [
        PhantomRecipe(size=64, bit_depth=16, facing="right"),
        PhantomRecipe(size=64, artefacts=("noise", "motion", "overlay_text")),
        PhantomRecipe(size=64, view_angles_deg=(0.0, 8.0)),
    ],
    ids=("16-bit", "artefacts", "views"),
)
def test_the_film_is_made_again_to_the_byte(recipe: PhantomRecipe) -> None:
    pairs, films = make_pairs(recipe, 2), make_films(recipe, 2)
    for pair, film in zip(pairs, films, strict=True):
        np.testing.assert_array_equal(pair.film, film)
        assert pair.bone_free.dtype == film.dtype


def test_without_noise_it_is_the_soft_layer() -> None:
    """A second way to the same picture: the layer of soft tissue, with so many quanta that no noise shows."""
    clear = {"size": 64, "photons_per_mm2": (1e8, 1e8)}
    soft = make_films(PhantomRecipe(layer="soft", **clear), 2)
    pairs = make_pairs(PhantomRecipe(**clear), 2)
    for pair, film in zip(pairs, soft, strict=True):
        assert np.abs(pair.bone_free.astype(int) - film).max() <= 1


def test_soft_tissue_stays_and_the_bone_is_gone() -> None:
    for pair in make_pairs(PhantomRecipe(size=64, collimation_share=0, marker_share=0), 3):
        bone = pair.shadow > BESIDE_BONE
        taken = pair.film.astype(float) - pair.bone_free
        assert 0.3 < bone.mean() < 0.5
        assert np.median(np.abs(taken[~bone])) <= 2, "beside bone only scatter and coarse contrast change"
        assert np.median(taken[bone]) > 10, "bone is bright"
        # What was taken away has bone's pattern; what is left has none of it.
        signal = pair.shadow[bone] - pair.shadow[bone].mean()
        assert np.corrcoef(taken[bone], signal)[0, 1] > 0.6
        assert abs(np.corrcoef(pair.bone_free[bone].astype(float), signal)[0, 1]) < 0.45


def test_beside_bone_the_noise_is_the_same() -> None:
    """Few quanta: two draws of noise would differ by far more than the film and its bone-free twin do."""
    recipe = PhantomRecipe(size=64, photons_per_mm2=(300, 300), scatter_ratio=(0.3, 0.3))
    for pair in make_pairs(recipe, 2):
        air = (pair.shadow < 1e-6) & (pair.film > 20) & (pair.film < 235)
        own = np.abs(np.diff(pair.film.astype(float), axis=1))[air[:, 1:]].mean()
        apart = np.abs(np.diff(pair.film.astype(float) - pair.bone_free, axis=1))[air[:, 1:]].mean()
        assert air.sum() > 50
        assert apart < 0.4 * own


def test_one_layer_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="layer is 'bone'"):
        list(iter_bone_free(PhantomRecipe(size=64, layer="bone"), SEED, [0]))
