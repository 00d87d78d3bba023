"""`evaluate fidelity`: real and synthetic radiographs in, a result with its rows and its page out."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa

from cspine_bench.evaluate.fidelity.anatomy import measure_anatomy
from cspine_bench.evaluate.fidelity.detectability import measure_detectability
from cspine_bench.evaluate.fidelity.distribution import measure_distribution
from cspine_bench.evaluate.fidelity.feature_scale import bring_to_one_scale, name_scaled
from cspine_bench.evaluate.fidelity.ladder import measure_ladder
from cspine_bench.evaluate.fidelity.pictures import Parts, collect_pictures
from cspine_bench.evaluate.fidelity.quality import measure_quality
from cspine_bench.evaluate.fidelity.recipe import FidelityRecipe
from cspine_bench.evaluate.fidelity.subgroups import measure_subgroups
from cspine_bench.evaluate.fidelity.verdict import state_verdict
from cspine_bench.evaluate.page.fidelity import build_fidelity_page
from cspine_bench.features.encoder import Encoder
from cspine_bench.features.store import FeatureStore
from cspine_bench.measurement.encode import describe_encoder, encode_side, open_encoder
from cspine_bench.measurement.inputs import Images, compare_sides
from cspine_bench.measurement.outputs import Evidence, Question
from cspine_bench.measurement.task import (
    Setup,
    ShowStage,
    build_result,
    spell_command,
)
from cspine_bench.measurement.work import Work
from cspine_bench.results import Figure

MEASURE: Final = "fidelity"
MEASURE_VERSION: Final = "1"


@dataclass(frozen=True)
class Fidelity:
    """How close `synthetic` is to `real`. See `cspine_bench.measurement.task.Task`.

    Raises:
        RecipeError: there is no such encoder.
        CheckpointError: its weights are missing or damaged.
    """

    real: Images
    synthetic: Images
    recipe: FidelityRecipe
    setup: Setup

    @cached_property
    def encoder(self) -> Encoder:
        """Of all distances between features."""
        return open_encoder(self.recipe.encoder, device=self.setup.device)

    @cached_property
    def question(self) -> Question:
        """What is measured."""
        settings = {
            "recipe": self.recipe.model_dump(mode="json"),
            "encoder_sha256": self.encoder.sha256,
            "real_pixels": self.setup.real_pixels,
        }
        inputs = (self.real.describe(), self.synthetic.describe())
        return Question(MEASURE, MEASURE_VERSION, inputs, settings, self.setup.seed)

    def answer(self, work: Work, show: ShowStage) -> Evidence:
        """Measure all parts of the recipe.

        Raises:
            DataError: an image cannot be encoded.
        """
        begun = time.monotonic()
        parts = self._measure(work, show)
        figures = _list_figures(parts)
        result = build_result(
            self.question,
            encoder=describe_encoder(
                replace(self.encoder, name=name_scaled(self.encoder)),
                bit_depth=max(self.real.bit_depth, self.synthetic.bit_depth),
            ),
            figures=figures,
            verdict=state_verdict(
                figures,
                encoder=name_scaled(self.encoder),
                anatomy=None if parts.anatomy is None else parts.anatomy.p_values,
                quality=None if parts.quality is None else parts.quality.p_values,
                cautions=(*_list_missing(self.recipe.parts, parts), *compare_sides(self.real, self.synthetic)),
            ),
            device=self.setup.device,
            seconds=time.monotonic() - begun,
        )
        pictures = collect_pictures(
            parts,
            self.real,
            self.synthetic,
            seed=self.setup.seed,
            real_pixels=self.setup.real_pixels,
            **spell_command(self.question, self.recipe),
        )
        with show("page"):
            page = build_fidelity_page(result, pictures, real_pixels=self.setup.real_pixels)
        return Evidence(result, _build_rows(parts, self.real, self.synthetic), page)

    def _measure(self, work: Work, show: ShowStage) -> Parts:
        recipe, seed, wanted = self.recipe, self.setup.seed, self.recipe.parts
        store = FeatureStore(self.setup.store, self.encoder)
        found: dict[str, Any] = {}
        if {"distribution", "ladder", "subgroups"} & set(wanted):
            both = (encode_side(side, self.encoder, store, self.setup, show) for side in (self.real, self.synthetic))
            space = bring_to_one_scale(self.encoder, **dict(zip(("real", "synthetic"), both, strict=True)))
            real, synthetic = space.real, space.synthetic
            groups = {"real_groups": self.real.group_ids, "synthetic_groups": self.synthetic.group_ids}
            counts = {"real": len(self.real), "synthetic": len(self.synthetic)}
            if "distribution" in wanted:
                with show("distances and floors") as tell:
                    found["distribution"] = measure_distribution(
                        real=real, synthetic=synthetic, **groups, recipe=recipe, seed=seed, available=counts,
                        on_progress=tell,
                    )  # fmt: skip
            if "ladder" in wanted:
                with show("known degradations") as tell:
                    found["ladder"] = measure_ladder(
                        self.real, self.synthetic, space.encoder, real_features=real, synthetic_features=synthetic,
                        recipe=recipe, seed=seed, work=work, on_progress=tell,
                    )  # fmt: skip
            if "subgroups" in wanted:
                with show("subgroups") as tell:
                    found["subgroups"] = measure_subgroups(
                        self.real, self.synthetic, real_features=real, synthetic_features=synthetic, recipe=recipe,
                        seed=seed, on_progress=tell,
                    )  # fmt: skip
        if "anatomy" in wanted:
            with show("anatomy"):
                found["anatomy"] = measure_anatomy(self.real, self.synthetic, seed=seed)
        if "quality" in wanted:
            with show("image quality") as tell:
                found["quality"] = measure_quality(self.real, self.synthetic, seed=seed, work=work, on_progress=tell)
        if "detectability" in wanted:
            with show("detectability") as tell:
                found["detectability"] = measure_detectability(
                    self.real, self.synthetic, self.encoder, recipe=recipe, seed=seed, work=work, store=store,
                    on_progress=tell,
                )  # fmt: skip
        return Parts(**found)


def _list_missing(wanted: Sequence[str], parts: Parts) -> list[str]:
    """A sentence on the parts that were asked for and have no figure."""
    measured = {name: getattr(parts, name) for name in wanted}
    empty = [name for name, part in measured.items() if part is None or not part.figures]
    return [f"not measured, for reasons that the page gives: {', '.join(empty)}"] if empty else []


def _list_figures(parts: Parts) -> tuple[Figure, ...]:
    measured = (parts.distribution, parts.ladder, parts.subgroups, parts.anatomy, parts.quality, parts.detectability)
    figures = [figure for part in measured if part is not None for figure in part.figures]
    return (*figures, *(() if parts.anatomy is None else parts.anatomy.table))


def _build_rows(parts: Parts, real: Images, synthetic: Images) -> pa.Table:
    """A row for each radiograph of both sides.

    Columns: `role`, `sample_id`; `detector_score` (logit of "synthetic" by a classifier that has not seen the image;
    null: not looked at) and `detector_fold`; `implausible` (why the spine cannot be; null: nothing found);
    `anatomy.NAME` and `quality.NAME`, NaN where not known.
    """
    sides = (real, synthetic)
    keys = [(side.role, name) for side in sides for name in side.sample_ids]
    columns: dict[str, Any] = {"role": [role for role, _ in keys], "sample_id": [name for _, name in keys]}
    scores = None if parts.detectability is None else parts.detectability.scores
    if scores is not None:
        places = {key: row for row, key in enumerate(zip(scores.sides, scores.sample_ids, strict=True))}
        rows = [places.get(key) for key in keys]
        columns["detector_score"] = [None if row is None else float(scores.score[row]) for row in rows]
        columns["detector_fold"] = [None if row is None else int(scores.fold[row]) for row in rows]
    if parts.anatomy is not None:
        reasons = {(spine.role, spine.sample_id): spine.reason for spine in parts.anatomy.implausible}
        columns["implausible"] = pa.array([reasons.get(key) for key in keys], pa.string())
    for kind, part in (("anatomy", parts.anatomy), ("quality", parts.quality)):
        values = {} if part is None else part.values
        if {"real", "synthetic"} <= set(values):
            for name in values["real"]:
                columns[f"{kind}.{name}"] = np.concatenate([values[side.role][name] for side in sides])
    return pa.table({name: pa.array(column) for name, column in columns.items()})
