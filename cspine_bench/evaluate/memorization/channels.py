"""The ways in which a film is looked for: under which moves, and whole or in parts."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.evaluate.memorization.recipe import MemorizationRecipe
from cspine_bench.metrics.calibration import compute_distance_ratios
from cspine_bench.metrics.coarse_search import COARSENESS, UPENDED, WIDE, CoarseIndex, coarsen
from cspine_bench.metrics.copying import Maps
from cspine_bench.metrics.near_copies import SHIFTED, Region, Variant, list_variants, search_near_copies
from cspine_bench.metrics.registration import Moves, build_moves, register_pairs

WHOLE: Final = "whole"
REGIONS: Final[dict[str, Region]] = {
    WHOLE: Region(),
    "left half": Region(right=0.5),
    "right half": Region(left=0.5),
    "upper half": Region(bottom=0.5),
    "lower half": Region(top=0.5),
    "middle": Region(0.25, 0.75, 0.25, 0.75),
    "upper left quarter": Region(bottom=0.5, right=0.5),
    "upper right quarter": Region(bottom=0.5, left=0.5),
    "lower left quarter": Region(top=0.5, right=0.5),
    "lower right quarter": Region(top=0.5, left=0.5),
}
_NEARBY: Final = list_variants(max_shift_px=2)
COARSE_VARIANTS: Final[dict[str, tuple[Variant, ...]]] = {"shifted": _NEARBY, "turned": WIDE, "upended": UPENDED}

# Films of the nearest one's patient that may stand between it and the neighbours that it is held against.
_SPARE_NEIGHBOURS: Final = 10
# Two stages: so many films are registered at half the resolution, the likest of them at the whole. The more moves, the
# farther down the list a copy may be.
_NUM_REGISTERED: Final = {"shifted": (6, 3), "turned": (20, 4), "upended": (8, 4)}
_COARSE_STEPS: Final = 3
_FINE_STEPS: Final = 4
_COARSE_MARGIN_PX: Final = 2


@dataclass(frozen=True)
class Channel:
    """One way of looking.

    Attributes:
        moves: of `COARSE_VARIANTS`.
        region: of `REGIONS`.
        exact: every pair at full resolution under `SHIFTED`; otherwise by descriptors, and the likest registered.
    """

    moves: str
    region: str
    exact: bool

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.moves}, {self.region}"


@dataclass(frozen=True)
class Nearest:
    """What the search found for n images in c channels.

    Attributes:
        similarity: float32 (n, c), of the nearest reference: absolute correlation, 0..1.
        ratio: float32 (n, c), its distance 1 - similarity over the mean of those of the nearest references; small for a
            copy.
        rest: float32 (n, c), mean distance of the other references.
        counted: int64 (n, c), references in the mean, the nearest among them.
        index: int64 (n, c), the nearest reference.
        moves: float32 (n, c, 2, 3), where it lies, as `build_moves`.
        neighbours: int64 (n, k), the nearest references in the first channel; the nearest first.
        distances: float32 (n, k), to them, 1 - similarity.
    """

    similarity: NDArray[np.float32]
    ratio: NDArray[np.float32]
    rest: NDArray[np.float32]
    counted: NDArray[np.int64]
    index: NDArray[np.int64]
    moves: Moves
    neighbours: NDArray[np.int64]
    distances: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.similarity)


def list_channels(recipe: MemorizationRecipe) -> tuple[Channel, ...]:
    """The channels of a recipe: all its moves of the whole, and small moves of each part."""
    whole = [Channel(moves, WHOLE, moves == "shifted") for moves in recipe.variants]
    parts = [Channel("shifted", region, False) for region in REGIONS if region != WHOLE] if recipe.regions else []
    return tuple(whole + parts)


def group_channels(channels: Sequence[Channel]) -> tuple[tuple[int, ...], ...]:
    """Channels by the size of what they compare: whole, half, quarter. The smaller, the heavier the honest tail."""
    sizes: dict[float, list[int]] = {}
    for number, channel in enumerate(channels):
        region = REGIONS[channel.region]
        sizes.setdefault((region.bottom - region.top) * (region.right - region.left), []).append(number)
    return tuple(tuple(numbers) for numbers in sizes.values())


class Searcher:
    """References, ready to be searched in every channel."""

    def __init__(
        self, references: Maps, channels: Sequence[Channel], *, clusters: NDArray[np.int64], num_neighbours: int
    ) -> None:
        """Describe the references.

        Args:
            references: float32 (m, 64, 64), at least 2.
            channels: to be searched.
            clusters: int64 (m,), equal for films of one patient and for duplicates: none of them is held against
                another one.
            num_neighbours: that the nearest is held against, itself included; at most m are used.
        """
        self.references, self.channels, self.clusters = references, tuple(channels), clusters
        self.num_neighbours = num_neighbours
        self._coarse = coarsen(references)
        self._indices = {
            channel.region: CoarseIndex(references, region=REGIONS[channel.region])
            for channel in channels
            if not channel.exact
        }

    def search(self, images: Maps) -> Nearest:
        """The nearest references of a block of images, float32 (n, 64, 64)."""
        parts = [
            self._search_exactly(images) if channel.exact else self._search_coarsely(images, channel)
            for channel in self.channels
        ]
        kept = min(self.num_neighbours, *(part[0].shape[1] for part in parts[:1]))
        rated = [self._rate(index, similarity) for similarity, index, _ in parts]
        return Nearest(
            similarity=np.stack([similarity[:, 0] for similarity, _, _ in parts], axis=1),
            ratio=np.stack([ratio for ratio, _, _ in rated], axis=1),
            rest=np.stack([rest for _, rest, _ in rated], axis=1),
            counted=np.stack([counted for _, _, counted in rated], axis=1),
            index=np.stack([index[:, 0] for _, index, _ in parts], axis=1),
            moves=np.stack([moves for _, _, moves in parts], axis=1),
            neighbours=parts[0][1][:, :kept],
            distances=(1 - parts[0][0][:, :kept]).clip(0),
        )

    def _rate(
        self, index: NDArray[np.int64], similarity: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
        """Ratio, and mean distance and number of the neighbours that are not of the nearest one's patient."""
        distances = (1 - similarity.astype(np.float64)).clip(1e-6)
        other = self.clusters[index] != self.clusters[index[:, :1]]
        other &= np.cumsum(other, axis=1) < self.num_neighbours
        # Nothing but duplicates of the nearest: the farthest of them.
        other[:, -1] |= ~other.any(axis=1)
        rest = np.where(other, distances, 0).sum(axis=1) / other.sum(axis=1)
        ratio = compute_distance_ratios(distances=distances, counted=other | (np.arange(index.shape[1]) == 0))
        return ratio.astype(np.float32), rest.astype(np.float32), 1 + other.sum(axis=1)

    def _search_exactly(self, images: Maps) -> tuple[NDArray[np.float32], NDArray[np.int64], Moves]:
        count = min(self.num_neighbours + _SPARE_NEIGHBOURS, len(self.references))
        found = search_near_copies(images=images, references=self.references, variants=SHIFTED, count=count)
        return found.similarity, found.index, build_moves([SHIFTED[number] for number in found.variant[:, 0]])

    def _search_coarsely(self, images: Maps, channel: Channel) -> tuple[NDArray[np.float32], NDArray[np.int64], Moves]:
        variants, region = COARSE_VARIANTS[channel.moves], REGIONS[channel.region]
        many, few = _NUM_REGISTERED[channel.moves]
        many = min(many, len(self.references))
        found = self._indices[channel.region].search(images=images, variants=variants, count=many)
        moves = build_moves([variants[number] for number in found.variant.ravel()])
        rows = np.repeat(np.arange(len(images)), many)
        small = coarsen(images)
        rough = register_pairs(
            images=small[rows],
            references=self._coarse[found.index.ravel()],
            starts=moves,
            region=region,
            margin_px=_COARSE_MARGIN_PX,
            max_steps=_COARSE_STEPS,
        )
        order = self._choose(np.abs(rough.correlation).reshape(-1, many), found.index, min(few, many))
        index = np.take_along_axis(found.index, order, axis=1)
        moves = np.take_along_axis(rough.moves.reshape(-1, many, 2, 3), order[:, :, None, None], axis=1)
        moves[..., 2] *= COARSENESS
        fine = register_pairs(
            images=np.repeat(images, index.shape[1], axis=0),
            references=self.references[index.ravel()],
            starts=moves.reshape(-1, 2, 3),
            region=region,
            max_steps=_FINE_STEPS,
        )
        similarity = np.abs(fine.correlation).reshape(index.shape)
        order = np.argsort(-similarity, axis=1, kind="stable")
        best = fine.moves.reshape(*index.shape, 2, 3)[np.arange(len(images)), order[:, 0]]
        return np.take_along_axis(similarity, order, axis=1), np.take_along_axis(index, order, axis=1), best

    def _choose(self, correlation: NDArray[np.float32], index: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        """Places of the likest, (n, count): half of them not of the likest one's patient, where there are such."""
        order = np.argsort(-correlation, axis=1, kind="stable")
        cluster = self.clusters[np.take_along_axis(index, order, axis=1)]
        same = cluster == cluster[:, :1]
        late = same & (np.cumsum(same, axis=1) > max(1, count // 2))
        return np.asarray(np.take_along_axis(order, np.argsort(late, axis=1, kind="stable"), axis=1)[:, :count])


def find_clusters(references: Maps, group_ids: Sequence[str], *, least_similarity: float = 0.9) -> NDArray[np.int64]:
    """Numbers of patients, int64 (m,), with those joined whose films are near duplicates.

    Args:
        references: float32 (m, 64, 64).
        group_ids: (m,), patient or anatomy.
        least_similarity: of duplicates.
    """
    _, cluster = np.unique(np.asarray(group_ids), return_inverse=True)
    cluster = cluster.astype(np.int64)
    if len(references) < 2:
        return cluster
    count = min(4, len(references) - 1)
    found = search_near_copies(
        images=references,
        references=references,
        variants=list_variants(max_shift_px=1),
        count=count,
        skip_same_row=True,
    )
    for row, column in itertools.product(range(len(references)), range(count)):
        if found.similarity[row, column] >= least_similarity:
            first, second = cluster[row], cluster[found.index[row, column]]
            cluster[cluster == max(first, second)] = min(first, second)
    return cluster
