"""Phantoms as cases, without a dataset folder between."""

import functools

import numpy as np

from cspine_bench.anatomy.landmarks import LEVELS
from cspine_bench.baselines.cases import Cases, PhantomOrigin
from cspine_bench.imaging.shrink import shrink_image, shrink_landmarks, shrink_mask
from cspine_bench.sources.phantom.recipe import PhantomRecipe
from cspine_bench.sources.phantom.source import PhantomSource

SEED = 7


@functools.cache
def make_phantoms(count: int, size: int = 32, *, bit_depth: int = 8, layer: str = "all") -> Cases:
    """Phantoms of 64 px, averaged down to `size`; shared between tests, which change copies alone."""
    recipe = PhantomRecipe.model_validate({"size": 64, "bit_depth": bit_depth, "layer": layer})
    source = PhantomSource(recipe, count, SEED)
    made = list(source.iter_radiographs(source.list_samples()))
    factor, highest = 64 // size, 2**bit_depth - 1
    depth = np.uint8 if bit_depth == 8 else np.uint16
    return Cases(
        where="phantoms",
        sample_ids=tuple(one.key.sample_id for one in made),
        group_ids=tuple(one.key.group_id for one in made),
        facing=("left",) * count,
        label_values={},
        pixels=np.stack([np.rint(shrink_image(one.image, factor) * highest).astype(depth) for one in made]),
        masks=np.stack([shrink_mask(one.mask, factor) for one in made if one.mask is not None]),
        annotated=np.ones((count, len(LEVELS)), np.bool_),
        landmarks_xy=np.stack([shrink_landmarks(one.landmarks_xy, factor) for one in made]),
        pixel_spacing_mm=np.full(count, 2.5 * factor),
        phantoms=tuple(
            PhantomOrigin(one.fields["generator_parameters"], SEED, index) for index, one in enumerate(made)
        ),
        artefacts=(None,) * count,
    )
