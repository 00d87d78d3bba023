"""The phantom as a source of annotated radiographs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch

from cspine_bench.anatomy.classes import Curvature
from cspine_bench.anatomy.curvature import curvature_class
from cspine_bench.anatomy.landmarks import ALL_LEVELS
from cspine_bench.dataset.source import Radiograph, SampleKey
from cspine_bench.dataset.splits import age_band
from cspine_bench.provenance import canonical_json
from cspine_bench.sources.phantom.recipe import PhantomRecipe
from cspine_bench.sources.phantom.render import Rendering, render_subjects
from cspine_bench.sources.phantom.subject import draw_subject, draw_traits

PHANTOM_VERSION: Final = "1.0.0"
"""Raised whenever the same recipe, seed and index would give other pixels or labels."""

_BATCH_PIXELS: Final = 12 * 256**2
"""Samples rendered together, by their pixels: arrays below 32 MB, which the allocator reuses instead of returning."""
_BYTES_PER_PIXEL: Final = {8: 0.62, 16: 1.75}
"""Encoded image and mask, measured on the default recipe; only sizes shards."""


@dataclass(frozen=True)
class PhantomSource:
    """Annotated radiographs of the analytic phantom.

    Sample i is a function of (recipe, seed, i). Several view angles of one person share a group.

    Args:
        recipe: what varies, and by how much.
        count: number of samples (views counted one by one).
        seed: 0 <= seed < 2**63.
        device: where to render; "cpu" gives the same bytes on every run, "cuda" is faster, within one gray level.

    Raises:
        ValueError: count is not positive, or the seed does not fit a signed 64-bit integer.
    """

    recipe: PhantomRecipe
    count: int
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count must be at least 1, got {self.count}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be between 0 and 2**63 - 1, got {self.seed}")

    def describe(self) -> dict[str, Any]:
        """Recipe, seed, count, version and kind of device: what decides the bytes."""
        return {
            "kind": "phantom",
            "version": PHANTOM_VERSION,
            "seed": self.seed,
            "count": self.count,
            "device": torch.device(self.device).type,
            "recipe": self.recipe.model_dump(mode="json"),
        }

    def estimate_bytes(self) -> int:
        """About what one encoded sample takes."""
        return int(self.recipe.size**2 * _BYTES_PER_PIXEL[self.recipe.bit_depth]) + 4096

    def list_samples(self) -> list[SampleKey]:
        """All samples, with the strata that splits are balanced over."""
        views = len(self.recipe.view_angles_deg)
        keys = []
        for index in range(self.count):
            if index % views == 0:
                traits = draw_traits(self.recipe, self.seed, index // views)
                strata = {
                    "sex": traits.sex,
                    "age_band": age_band(traits.age),
                    "curvature": traits.curvature,
                    "disease": traits.disease,
                }
            group = f"person-{index // views:08d}"
            keys.append(SampleKey(sample_id=f"ph{index:08d}", group_id=group, origin=str(index), strata=strata))
        return keys

    def iter_radiographs(self, keys: Sequence[SampleKey]) -> Iterator[Radiograph]:
        """Render the given samples.

        Raises:
            DataError: the recipe's spreads leave no posture of a drawn class.
        """
        # One thread: a sum's order, and so its last bit, must not depend on how many cores there are.
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield from self._iter_radiographs(keys)
        finally:
            torch.set_num_threads(threads)

    def _iter_radiographs(self, keys: Sequence[SampleKey]) -> Iterator[Radiograph]:
        device = torch.device(self.device)
        views = len(self.recipe.view_angles_deg)
        batch_size = max(1, _BATCH_PIXELS // self.recipe.size**2)
        for start in range(0, len(keys), batch_size):
            chunk = keys[start : start + batch_size]
            subjects = [draw_subject(self.recipe, self.seed, int(key.origin)) for key in chunk]
            made: dict[int, Radiograph] = {}
            for view in range(views):
                same_view = [position for position in range(len(chunk)) if subjects[position].index % views == view]
                if not same_view:
                    continue
                renderings = render_subjects(
                    self.recipe, self.seed, [subjects[position] for position in same_view], device
                )
                for position, rendering in zip(same_view, renderings, strict=True):
                    subject = subjects[position]
                    lateral = bool(np.isfinite(rendering.landmarks_xy).all())
                    made[position] = Radiograph(
                        key=chunk[position],
                        image=rendering.image,
                        mask=rendering.mask,
                        landmarks_xy=rendering.landmarks_xy,
                        fields={
                            "pixel_spacing_mm": rendering.spacing_mm if lateral else None,
                            "pixel_spacing_plane": "patient" if lateral else None,
                            "facing": self.recipe.facing if lateral else None,
                            "label_source": "exact",
                            "mask_levels": ALL_LEVELS,
                            "curvature": self._judge(rendering) if lateral else None,
                            "disease": subject.traits.disease,
                            "sex": subject.traits.sex,
                            "age": subject.traits.age,
                            "artefact": rendering.artefact.name if rendering.artefact else None,
                            "artefact_strength": rendering.artefact.strength if rendering.artefact else None,
                            "source_kind": "phantom",
                            "generator": "cspine-bench phantom",
                            "generator_version": PHANTOM_VERSION,
                            "generator_parameters": self._parameters,
                            "recipe_sha256": self.recipe.compute_sha256(),
                            "seed": self.seed,
                            "sample_index": subject.index,
                            "dtype": "float32",
                            "device": device.type,
                        },
                    )
            for position in range(len(chunk)):
                yield made[position]

    def _judge(self, rendering: Rendering) -> Curvature | None:
        """The rule's verdict on the film's own landmarks; on films from the side it is the class that was drawn."""
        return curvature_class(rendering.landmarks_xy, pixel_spacing_mm=rendering.spacing_mm, facing=self.recipe.facing)

    @property
    def _parameters(self) -> str:
        return canonical_json(self.recipe.model_dump(mode="json"))
