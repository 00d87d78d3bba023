"""Can a classifier tell synthetic radiographs from real ones: with what certainty, after what, and by what?

Two detectors look: one at an encoder's features, one at spectrum, gray levels and noise (see `detector_statistics`).
Both are trained and tested on different patients (see `detector`). An area under the curve of 0.5 says that these two
saw nothing; another may see more. So the figure is about what can be told apart at least, never a proof of sameness.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cspine_bench.evaluate.fidelity.chosen_images import Rows, describe_images
from cspine_bench.evaluate.fidelity.detector import FOLD_METHOD, CrossFit, fold_interval, join_units
from cspine_bench.evaluate.fidelity.detector_clues import (
    Clue,
    FormatFact,
    compare_facts,
    compare_statistics,
    spell_facts,
)
from cspine_bench.evaluate.fidelity.detector_floor import BOTH, Side, fit_sides, measure_floors
from cspine_bench.evaluate.fidelity.detector_map import (
    LEAST_MAP_IMAGES,
    DetectorMap,
    average_changes,
    choose_map_images,
    measure_changes,
)
from cspine_bench.evaluate.fidelity.detector_statistics import describe_facts, describe_statistics
from cspine_bench.evaluate.fidelity.recipe import FidelityRecipe
from cspine_bench.evaluate.fidelity.transmission import Rung, choose_rung_images, degrade_images, measure_transmission
from cspine_bench.features.encoder import Encoder
from cspine_bench.features.store import FeatureStore
from cspine_bench.imaging.degrade import TRANSMISSION
from cspine_bench.measurement.encode import encode_images
from cspine_bench.measurement.figures import build_figure
from cspine_bench.measurement.inputs import Images, OnProgress
from cspine_bench.measurement.work import Arrays, Work
from cspine_bench.metrics.intervals import Estimate
from cspine_bench.provenance import sha256_json
from cspine_bench.results import Figure, Floor
from cspine_bench.seeding import numpy_generator

DETECTABILITY: Final = "detectability_auroc"
FEATURES: Final = "features"
SPECTRUM: Final = "spectrum"
LEAST_IMAGES: Final = 20
"""Of each side, and patients or anatomies among them; fewer are not measured."""
MEAN_SIDE_PX: Final = 128
_REVISION: Final = 1

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DetectorScores:
    """What the detectors make of each image, by classifiers that have not seen it.

    Attributes:
        sample_ids: (n,), real ones first.
        sides: (n,), `real` or `synthetic`.
        fold: int64 (n,). Scores of different folds come from different classifiers.
        score: float64 (n,), logit of "synthetic" by the detector that the fold chose.
        by_detector: by `FEATURES` and `SPECTRUM`, likewise.
    """

    sample_ids: tuple[str, ...]
    sides: tuple[str, ...]
    fold: NDArray[np.int64] = field(repr=False)
    score: Floats = field(repr=False)
    by_detector: dict[str, Floats] = field(repr=False)


@dataclass(frozen=True)
class Detectability:
    """Whether synthetic images can be told from real ones.

    Attributes:
        figures: `detectability_auroc`, 0.5 for chance: condition {} is the stronger of both detectors; {"detector":
            "features" | "spectrum"} each; {"transmission", "strength"} the stronger after a degradation of both sides,
            trained on images as they are, and with {"trained": "after the same"} trained on such images too.
        notes: what a reader must know of them.
        not_measured: why there are no figures; "" where there are.
        scores: of each image; None where nothing was measured, likewise the others.
        chosen: the detector that each fold chose.
        facts: of the making of the images, on both sides.
        clues: what the spectrum's detector sees, statistic by statistic, bands of frequencies first.
        rungs: areas after each degradation, untouched first; none where there are too few images.
        map: where the features' detector looks; None where there are too few images.
        mean_real: float32 (128, 128), 0..1, mean of the real images that were looked at, stretched to a square.
        mean_synthetic: likewise.
    """

    figures: tuple[Figure, ...]
    notes: tuple[str, ...]
    not_measured: str = ""
    scores: DetectorScores | None = None
    chosen: tuple[str, ...] = ()
    facts: tuple[FormatFact, ...] = ()
    clues: tuple[Clue, ...] = ()
    rungs: tuple[Rung, ...] = ()
    map: DetectorMap | None = None
    mean_real: NDArray[np.float32] | None = field(default=None, repr=False)
    mean_synthetic: NDArray[np.float32] | None = field(default=None, repr=False)


def measure_detectability(
    real: Images,
    synthetic: Images,
    encoder: Encoder,
    *,
    recipe: FidelityRecipe,
    seed: int,
    work: Work,
    store: FeatureStore | None = None,
    on_progress: OnProgress | None = None,
) -> Detectability:
    """Train detectors of synthetic images, and say how well they do on images that they have not seen.

    Args:
        real: one side.
        synthetic: the other.
        encoder: of the features that one detector sees.
        recipe: `detectability_count`, `transmission_count`, `map_count` and `num_floors` matter here.
        seed: of images drawn, folds, and what is random in a degradation.
        work: where finished parts are kept.
        store: of the encoder; None: in the user's cache folder.
        on_progress: told how many readings of an image are done, of how many.

    Raises:
        DataError: as `Images.encode`.
    """
    return _Measurement(real, synthetic, encoder, recipe, seed, work, store, on_progress).measure()


@dataclass
class _Measurement:
    """One call of `measure_detectability`."""

    real: Images
    synthetic: Images
    encoder: Encoder
    recipe: FidelityRecipe
    seed: int
    work: Work
    store: FeatureStore | None
    on_progress: OnProgress | None
    done: int = 0
    total: int = 0

    def measure(self) -> Detectability:
        count = min(len(self.real), len(self.synthetic), self.recipe.detectability_count)
        pool_rows = self._draw("real")[: 2 * count]
        rows = {"real": pool_rows[:count], "synthetic": self._draw("synthetic")[:count]}
        units = self._join_units()
        if refusal := self._refuse(count, units, rows):
            return Detectability((), (), refusal)
        self.total = len(pool_rows) + count
        looked = {"real": self._look("real", pool_rows), "synthetic": self._look("synthetic", rows["synthetic"])}
        pool = self._build_side("real", pool_rows, looked["real"], units["real"])
        made_side = self._build_side("synthetic", rows["synthetic"], looked["synthetic"], units["synthetic"])
        sides = pool.take(np.arange(count)), made_side
        try:
            fit = fit_sides(*sides, numpy_generator(self.seed, "evaluate.detectability.folds"))
        except ValueError as error:
            return Detectability((), (), f"not measured: {error}")
        made, unit = np.arange(2 * count) >= count, np.concatenate([side.units for side in sides])
        floors = measure_floors(
            pool=pool, real=sides[0], synthetic=sides[1], num_deals=self.recipe.num_floors, least=LEAST_IMAGES,
            seed=self.seed,
        )  # fmt: skip
        all_facts = np.concatenate([looked["real"]["facts"][:count], looked["synthetic"]["facts"]])
        facts = compare_facts(facts=all_facts, synthetic=made, units=unit)
        rungs = self._transmit(fit, made, unit, rows)
        notes = (*spell_facts(facts), *self._spell_copies(rows))
        return Detectability(
            figures=(*self._build_figures(fit, made, unit, floors, count), *self._build_rung_figures(rungs)),
            notes=notes,
            scores=self._build_scores(fit, rows),
            chosen=fit.chosen,
            facts=facts,
            clues=compare_statistics(
                statistics=np.concatenate([side.views[SPECTRUM] for side in sides]),
                synthetic=made,
                units=unit,
                fit=fit,
                view=SPECTRUM,
            ),
            rungs=rungs,
            map=self._map(fit, made, unit, rows),
            mean_real=looked["real"]["mean"].mean(axis=0, dtype=np.float64).astype(np.float32),
            mean_synthetic=looked["synthetic"]["mean"].mean(axis=0, dtype=np.float64).astype(np.float32),
        )  # fmt: skip

    @property
    def sides(self) -> dict[str, Images]:
        return {"real": self.real, "synthetic": self.synthetic}

    def _draw(self, side: str) -> Rows:
        return numpy_generator(self.seed, f"evaluate.detectability.draw.{side}").permutation(len(self.sides[side]))

    def _join_units(self) -> dict[str, Rows]:
        """What must not be cut, for every image of both sides."""
        both = self.real, self.synthetic
        joined = join_units(
            np.array([group for side in both for group in side.group_ids]),
            np.array([pixels for side in both for pixels in side.pixel_sha256]),
        )
        return {"real": joined[: len(self.real)], "synthetic": joined[len(self.real) :]}

    def _refuse(self, count: int, units: dict[str, Rows], rows: dict[str, Rows]) -> str:
        """Why a figure would mean nothing, or ""."""
        if count < LEAST_IMAGES:
            return (
                f"not measured: a detector needs at least {LEAST_IMAGES} images of each side to be trained and tested, "
                f"there are {len(self.real)} real and {len(self.synthetic)} synthetic ones"
            )
        groups = {side: len(np.unique(units[side][rows[side]])) for side in rows}
        if min(groups.values()) < LEAST_IMAGES:
            return (
                f"not measured: a detector needs at least {LEAST_IMAGES} patients or anatomies of each side, to be "
                f"tested on others than it was trained on; there are {groups['real']} real and {groups['synthetic']} "
                "synthetic ones"
            )
        return ""

    def _tell(self) -> None:
        self.done += 1
        if self.on_progress is not None:
            self.on_progress(self.done, self.total)

    def _key(self, **more: Any) -> dict[str, Any]:
        return {"revision": _REVISION, "seed": self.seed, "encoder": self.encoder.sha256, **more}

    def _look(self, side: str, rows: Rows) -> Arrays:
        """Statistics, facts and a small picture of each image."""
        return describe_images(
            self.sides[side], rows, _look_at, work=self.work, name=f"detector-statistics-{side}",
            key={"revision": _REVISION}, on_image=self._tell,
        )  # fmt: skip

    def _build_side(self, side: str, rows: Rows, looked: Arrays, units: Rows) -> Side:
        features = encode_images(self.sides[side], self.encoder, self.store)[rows].astype(np.float64)
        return Side({FEATURES: features, SPECTRUM: looked["statistics"]}, units[rows])

    def _transmit(self, fit: CrossFit, made: NDArray[np.bool_], units: Rows, rows: dict[str, Rows]) -> tuple[Rung, ...]:
        each = min(self.recipe.transmission_count, len(rows["real"]))
        if each < LEAST_IMAGES:
            return ()
        chosen = choose_rung_images(fit, synthetic=made, count=each, seed=self.seed)
        self.total += len(chosen)
        seen = [
            degrade_images(
                images, side, _find_rows(side, chosen, rows), self.encoder, views=(FEATURES, SPECTRUM),
                rungs=TRANSMISSION, seed=self.seed, work=self.work, key=self._key(), on_image=self._tell,
            )
            for side, images in self.sides.items()
        ]  # fmt: skip
        both = {view: np.concatenate([side[view] for side in seen]) for view in (FEATURES, SPECTRUM)}
        return measure_transmission(
            fit=fit, rows=chosen, seen=both, synthetic=made, units=units, seed=self.seed, rungs=TRANSMISSION
        )

    def _map(self, fit: CrossFit, made: NDArray[np.bool_], units: Rows, rows: dict[str, Rows]) -> DetectorMap | None:
        draw = numpy_generator(self.seed, "evaluate.detectability.map")
        each = self.recipe.map_count
        fold, chosen = choose_map_images(fit=fit, units=units, synthetic=made, count=each, generator=draw)
        if len(chosen) < 2 * LEAST_MAP_IMAGES:
            return None
        classifier = fit.classifiers[FEATURES][fold]
        key = self._key(classifier=sha256_json([*classifier.weights.tolist(), classifier.offset]))
        self.total += len(chosen)
        changes = [
            describe_images(
                images, _find_rows(side, chosen, rows),
                lambda row, pixels: measure_changes(pixels, self.encoder, classifier),
                work=self.work, name=f"detector-map-{side}", key=key, on_image=self._tell,
            )
            for side, images in self.sides.items()
        ]  # fmt: skip
        both = {name: np.concatenate([side[name] for side in changes]) for name in changes[0]}
        return average_changes(changes=both["changes"], logits=both["logit"], generator=draw)

    def _spell_copies(self, rows: dict[str, Rows]) -> tuple[str, ...]:
        films = {self.real.pixel_sha256[row] for row in rows["real"]}
        count = sum(self.synthetic.pixel_sha256[row] in films for row in rows["synthetic"])
        if not count:
            return ()
        return (
            f"{count} of {len(rows['synthetic'])} synthetic images have the very pixels of a real one: no detector can "
            "tell these apart, which is no merit; see the search for copies",
        )

    def _build_scores(self, fit: CrossFit, rows: dict[str, Rows]) -> DetectorScores:
        return DetectorScores(
            sample_ids=tuple(self.sides[side].sample_ids[row] for side in rows for row in rows[side]),
            sides=tuple(side for side in rows for _ in rows[side]),
            fold=fit.fold,
            score=fit.chosen_scores,
            by_detector=fit.scores,
        )

    def _build_figures(
        self, fit: CrossFit, made: NDArray[np.bool_], units: Rows, floors: dict[str, Floor], count: int
    ) -> list[Figure]:
        scores = {BOTH: fit.chosen_scores, **fit.scores}
        return [
            self._build_figure(
                fold_interval(scores=values, synthetic=made, fold=fit.fold, units=units),
                count,
                condition={} if name == BOTH else {"detector": name},
                floor=floors.get(name),
                note=_spell_choice(fit) if name == BOTH else _WHAT_EACH_SEES[name],
            )
            for name, values in scores.items()
        ]

    def _build_rung_figures(self, rungs: tuple[Rung, ...]) -> list[Figure]:
        figures = []
        for rung in rungs:
            condition = {"transmission": rung.name, "strength": rung.strength}
            figures.append(self._build_figure(rung.stronger, rung.num_images, condition=condition, note=_CLEAN))
            if rung.retrained is not None:
                condition = {**condition, "trained": "after the same"}
                figures.append(self._build_figure(rung.retrained, rung.num_images, condition=condition, note=_AGAIN))
        return figures

    def _build_figure(
        self, area: Estimate, count: int, *, condition: dict[str, str], floor: Floor | None = None, note: str
    ) -> Figure:
        return build_figure(
            DETECTABILITY,
            area,
            direction="lower",
            used={"real": count, "synthetic": count},
            available={"real": len(self.real), "synthetic": len(self.synthetic)},
            method=FOLD_METHOD,
            condition=condition,
            floor=floor,
            note=note,
        )


_WHAT_EACH_SEES: Final = {
    FEATURES: "logistic regression on the encoder's features",
    SPECTRUM: "logistic regression on spectrum, gray levels and noise, without an encoder",
}
_CLEAN: Final = (
    "trained on images as they are, tested on others after the degradation of both sides: what is lost is what this "
    "detector used, and one trained on such images may still find another clue"
)
_AGAIN: Final = "trained and tested on images of both sides after the degradation"


def _spell_choice(fit: CrossFit) -> str:
    chosen = ", ".join(f"{name} in {count} of {len(fit.chosen)}" for name, count in Counter(fit.chosen).most_common())
    return (
        f"the stronger of two detectors, chosen in each fold on its training images alone ({chosen}); 0.5 would say "
        "that these two see no difference, not that there is none"
    )


def _find_rows(side: str, places: Rows, rows: dict[str, Rows]) -> Rows:
    """Rows of a side's dataset, from places among the images of the fit: real ones first, then as many others."""
    count = len(rows["real"])
    return rows[side][places[places < count] if side == "real" else places[places >= count] - count]


def _look_at(row: int, pixels: NDArray[Any]) -> Arrays:
    gray = Image.fromarray(pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max))
    small = gray.resize((MEAN_SIDE_PX, MEAN_SIDE_PX), Image.Resampling.BOX)
    return {
        "statistics": describe_statistics(pixels),
        "facts": describe_facts(pixels),
        "mean": np.asarray(small, np.float16),
    }
