"""Phantoms made again from their records, together with what they would be without bone."""

from collections.abc import Iterator, Sequence

import torch

from cspine_bench.sources.phantom.recipe import PhantomRecipe
from cspine_bench.sources.phantom.render import BoneFree, render_bone_free
from cspine_bench.sources.phantom.subject import draw_subject

_TOGETHER = 16
"""Samples whose geometry is built at once."""


def iter_bone_free(recipe: PhantomRecipe, seed: int, indices: Sequence[int]) -> Iterator[tuple[int, BoneFree]]:
    """Radiographs of a phantom with and without bone, rendered on the CPU.

    Args:
        recipe: that they were made by, of all layers.
        seed: of the source that made them.
        indices: which of its samples.

    Yields:
        (index, pair) of each, those that share a view angle together.

    Raises:
        ValueError: the recipe projects one layer alone.
    """
    views = len(recipe.view_angles_deg)
    for view in range(views):
        of_view = [index for index in indices if index % views == view]
        for start in range(0, len(of_view), _TOGETHER):
            chosen = of_view[start : start + _TOGETHER]
            subjects = [draw_subject(recipe, seed, index) for index in chosen]
            # One thread, as when they were made: the order of a sum reaches its last bit.
            threads = torch.get_num_threads()
            torch.set_num_threads(1)
            try:
                pairs = render_bone_free(recipe, seed, subjects)
            finally:
                torch.set_num_threads(threads)
            yield from zip(chosen, pairs, strict=True)
