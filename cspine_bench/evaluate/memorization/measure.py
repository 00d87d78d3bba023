"""`evaluate memorization`: training, held-out and synthetic radiographs in, a result with its rows and its page out."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.errors import DataError
from cspine_bench.evaluate.memorization.duplicates import Films, measure_duplicates
from cspine_bench.evaluate.memorization.encoder_neighbours import Space, find_unseen, measure_encoder_neighbours
from cspine_bench.evaluate.memorization.leakage import measure_leakage
from cspine_bench.evaluate.memorization.maps import make_maps
from cspine_bench.evaluate.memorization.membership import LEAST_FILMS, Membership, measure_membership
from cspine_bench.evaluate.memorization.pairs import build_rows, collect_pairs
from cspine_bench.evaluate.memorization.paper import PairRanking, rank_pairs
from cspine_bench.evaluate.memorization.pictures import Parts, collect_pictures
from cspine_bench.evaluate.memorization.planted import find_planted_copies
from cspine_bench.evaluate.memorization.recipe import MemorizationRecipe
from cspine_bench.evaluate.memorization.search import search_copies
from cspine_bench.evaluate.memorization.verdict import reach_verdict
from cspine_bench.evaluate.page.memorization import build_memorization_page
from cspine_bench.features.encoder import Encoder
from cspine_bench.features.pixels import PIXELS
from cspine_bench.features.store import FeatureStore
from cspine_bench.measurement.encode import describe_encoder, encode_side, open_encoder
from cspine_bench.measurement.inputs import Images, OnProgress
from cspine_bench.measurement.outputs import Evidence, Question
from cspine_bench.measurement.task import (
    Setup,
    ShowStage,
    build_result,
    show_nothing,
    spell_command,
)
from cspine_bench.measurement.work import Work
from cspine_bench.results import Figure, Result

MEASURE: Final = "memorization"
MEASURE_VERSION: Final = "1"


@dataclass(frozen=True)
class Losses:
    """The generator's own errors on given radiographs: how it is told what it was trained on.

    Attributes:
        key: JSON that names the checkpoint.
        compute: from one side and a callback to float (n, k), k errors of each radiograph, in order.
    """

    key: Mapping[str, Any]
    compute: Callable[[Images, OnProgress | None], NDArray[np.float64]]


@dataclass(frozen=True)
class Memorization:
    """Whether `synthetic` holds copies of `train`. See `cspine_bench.measurement.task.Task`.

    Raises:
        RecipeError: there is no such encoder.
        CheckpointError: its weights, or those of the generator, are missing or damaged.
    """

    train: Images
    holdout: Images
    synthetic: Images
    recipe: MemorizationRecipe
    setup: Setup
    losses: Losses | None = None

    @cached_property
    def encoders(self) -> tuple[Encoder, ...]:
        """Of the spaces in which neighbours and membership are measured: the recipe's, and pixels."""
        names = [*([] if self.recipe.encoder in (None, PIXELS) else [str(self.recipe.encoder)]), PIXELS]
        return tuple(open_encoder(name, device=self.setup.device) for name in names)

    @cached_property
    def question(self) -> Question:
        """What is measured."""
        settings = {
            "recipe": self.recipe.model_dump(mode="json"),
            "encoders_sha256": [encoder.sha256 for encoder in self.encoders],
            "losses": None if self.losses is None else dict(self.losses.key),
            "real_pixels": self.setup.real_pixels,
        }
        inputs = (self.train.describe(), self.holdout.describe(), self.synthetic.describe())
        return Question(MEASURE, MEASURE_VERSION, inputs, settings, self.setup.seed)

    def answer(self, work: Work, show: ShowStage) -> Evidence:
        """Search, calibrate, plant, attack, and judge.

        Raises:
            DataError: too few films on a side, or an image cannot be encoded.
        """
        begun = time.monotonic()
        parts = self._measure(work, show)
        depth = max(side.bit_depth for side in (self.train, self.holdout, self.synthetic))
        result = build_result(
            self.question,
            encoder=describe_encoder(self.encoders[0], bit_depth=depth),
            figures=_list_figures(parts),
            verdict=parts.verdict.text,
            device=self.setup.device,
            seconds=time.monotonic() - begun,
        )
        with show("page"):
            pairs = collect_pairs(parts.search, self.train, self.holdout, self.synthetic, count=self.recipe.num_pairs)
            pictures = collect_pictures(
                parts, self.train, self.holdout, self.synthetic, recipe=self.recipe, seed=self.setup.seed,
                **spell_command(self.question, self.recipe),
            )  # fmt: skip
            shown = self.setup.real_pixels
            page = build_memorization_page(result, pairs, pictures, real_pixels=shown, real_ids=shown)
        return Evidence(result, build_rows(parts.search, parts.neighbours), page)

    def _measure(self, work: Work, show: ShowStage) -> Parts:
        recipe, seed = self.recipe, self.setup.seed
        sides = (self.train, self.holdout, self.synthetic)
        with show("search for copies") as tell:
            search = search_copies(*sides, recipe=recipe, seed=seed, work=work, on_progress=tell)
        planted = None
        if recipe.planted:
            with show("planted copies") as tell:
                planted = find_planted_copies(
                    search, self.train, self.synthetic, recipe=recipe, seed=seed, work=work, on_progress=tell
                )
        films = {side.role: _describe_films(side) for side in sides}
        with show("duplicates") as tell:
            duplicates = None
            if len(self.synthetic) > 1:
                duplicates = measure_duplicates(
                    synthetic=films["synthetic"], train=films["train"], holdout=films["holdout"], on_progress=tell
                )
        with show("leakage between training and held-out films") as tell:
            leakage = measure_leakage(train=films["train"], holdout=films["holdout"], seed=seed, on_progress=tell)
        train_groups, holdout_groups = self.train.group_ids, self.holdout.group_ids
        spaces = tuple(encode_space(encoder, sides, self.setup, show) for encoder in self.encoders)
        with show("nearest films and membership"):
            neighbours = tuple(
                measure_encoder_neighbours(
                    space=space, train_groups=train_groups, holdout_groups=holdout_groups,
                    num_neighbours=recipe.num_neighbours,
                    false_discovery_rate=recipe.false_discovery_rate, seed=seed,
                )
                for space in spaces
                if space.name != PIXELS
            )  # fmt: skip
            losses = None if self.losses is None else (self._lose(self.train, show), self._lose(self.holdout, show))
            membership = self._attack(spaces, losses)
            ranking = rank_pairs(
                space=spaces[0], synthetic_ids=self.synthetic.sample_ids, train_ids=self.train.sample_ids,
                train_groups=train_groups, holdout_groups=holdout_groups, num_pairs=recipe.num_pairs,
            )  # fmt: skip
        verdict = reach_verdict(search, planted, recipe=recipe, seed=seed)
        return Parts(search, planted, verdict, duplicates, leakage, neighbours, membership, ranking)

    def _attack(self, spaces: tuple[Space, ...], losses: tuple[NDArray[np.float64], ...] | None) -> Membership | None:
        train_groups, holdout_groups = self.train.group_ids, self.holdout.group_ids
        unseen = int(find_unseen(train_groups=train_groups, holdout_groups=holdout_groups).sum())
        if min(len(self.train), unseen) < LEAST_FILMS:
            return None
        return measure_membership(
            spaces=spaces,
            train_groups=train_groups,
            holdout_groups=holdout_groups,
            losses=None if losses is None else (losses[0], losses[1]),
            seed=self.setup.seed,
        )

    def _lose(self, side: Images, show: ShowStage) -> NDArray[np.float64]:
        if self.losses is None:
            raise ValueError("there are no losses to compute")
        with show(f"losses of the {side.role} films") as tell:
            return self.losses.compute(side, tell)


def encode_space(encoder: Encoder, sides: tuple[Images, Images, Images], setup: Setup, show: ShowStage) -> Space:
    """Features of the training films, those held out and the synthetic images, in this order."""
    store = FeatureStore(setup.store, encoder)
    return Space(encoder.name, *(encode_side(side, encoder, store, setup, show) for side in sides))


def rank_sides(
    encoder: Encoder,
    sides: tuple[Images, Images, Images],
    setup: Setup,
    *,
    count: int,
    show: ShowStage = show_nothing,
) -> PairRanking:
    """The published procedure alone: see `rank_pairs`.

    Args:
        encoder: of the space.
        sides: training films, films held out, synthetic images.
        setup: where features are computed and kept.
        count: most pairs.
        show: told each stage.

    Raises:
        DataError: no film held out is of a patient that was not trained on, or an image cannot be encoded.
    """
    train, holdout, synthetic = sides
    if not find_unseen(train_groups=train.group_ids, holdout_groups=holdout.group_ids).any():
        raise DataError(f"{holdout.name}: all its patients were trained on ({train.name}); give films of others")
    return rank_pairs(
        space=encode_space(encoder, sides, setup, show),
        synthetic_ids=synthetic.sample_ids,
        train_ids=train.sample_ids,
        train_groups=train.group_ids,
        holdout_groups=holdout.group_ids,
        num_pairs=count,
    )


def is_cleared(result: Result) -> bool:
    """Whether no copy was found, by a search with the power to find some."""
    return result.verdict.startswith("None found")


def _describe_films(side: Images) -> Films:
    return Films(make_maps(side), side.sample_ids, side.group_ids, side.pixel_sha256)


def _list_figures(parts: Parts) -> tuple[Figure, ...]:
    planted = () if parts.planted is None else parts.planted.figures
    return (
        *parts.verdict.figures,
        *planted,
        *(figure for found in parts.neighbours for figure in found.figures),
        *(() if parts.membership is None else parts.membership.figures),
        *(() if parts.duplicates is None else parts.duplicates.figures),
        *parts.leakage.figures,
    )
