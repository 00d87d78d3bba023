"""Screening: a model of the task `quality` looks at every image of a dataset, and flags what it takes for spoilt.

Nothing is dropped. Where the dataset's records say which artefacts were simulated, as phantoms do, the flags are held
against that.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from cspine_bench.baselines.model import TrainedModel
from cspine_bench.baselines.task import Arrays, Score
from cspine_bench.baselines.tasks.quality.scores import score_filter
from cspine_bench.baselines.tasks.quality.simulate import PREDICT_BATCH
from cspine_bench.baselines.tasks.quality.task import Quality
from cspine_bench.baselines.tested import build_tested_figures
from cspine_bench.errors import CheckpointError, RecipeError
from cspine_bench.imaging.artefacts import CLEAN, KINDS
from cspine_bench.imaging.shrink import find_factor, shrink_image
from cspine_bench.measurement.figures import WILSON, build_figure
from cspine_bench.measurement.inputs import Images
from cspine_bench.measurement.outputs import Evidence, Question
from cspine_bench.measurement.task import ShowStage, build_result
from cspine_bench.measurement.work import Work
from cspine_bench.metrics.classification import auroc, sensitivity
from cspine_bench.metrics.intervals import wilson_interval
from cspine_bench.metrics.weighted import weighted_mean
from cspine_bench.page.images import GRAY_RULE, Picture, show
from cspine_bench.page.render import render_page
from cspine_bench.results import Direction, Figure, Result

MEASURE: Final = "screening"
MEASURE_VERSION: Final = "1"
NUM_SHOWN: Final = 24
"""Images on the page, the worst ones."""
_ROLE: Final = "screened"


@dataclass(frozen=True)
class Assessed:
    """What the model says of each image of a dataset.

    Attributes:
        ssim: float32 (n,), predicted structural similarity to the image without artefact.
        probabilities: float32 (n, kinds), of `cspine_bench.imaging.artefacts.KINDS`.
        flagged: bool (n,).
        recorded: (n,), the artefact that its record says was simulated; None: none.
        splits: (n,).
    """

    ssim: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    flagged: NDArray[np.bool_]
    recorded: tuple[str | None, ...]
    splits: tuple[str, ...]

    @property
    def told(self) -> tuple[str, ...]:
        """(n,), the most probable kind of each."""
        return tuple(KINDS[place] for place in self.probabilities.argmax(axis=1))


class Screening:
    """A measure of `cspine_bench.measurement.task.Task`.

    Args:
        images: to look at.
        model: of the task `quality`.
        ssim_limit: least predicted similarity that is not flagged; None: that of the model's recipe.
        pixels: whether the page may show images.

    Raises:
        CheckpointError: the model is of another task.
        RecipeError: the limit is not between 0 and 1.
    """

    def __init__(
        self,
        images: Images,
        model: TrainedModel,
        *,
        ssim_limit: float | None = None,
        device: str = "cpu",
        pixels: bool = True,
    ) -> None:
        if not isinstance(model.task, Quality):
            raise CheckpointError(
                f"the model is of the task {model.recipe.task.kind}, and screening needs one of quality; train one "
                "with `cspine-bench baseline train quality`"
            )
        self.task: Quality = model.task
        self.images = images
        self.model = model
        self.ssim_limit = model.task.recipe.ssim_limit if ssim_limit is None else ssim_limit
        if not 0 < self.ssim_limit < 1:
            raise RecipeError(f"--min-ssim {self.ssim_limit:g} must lie between 0 and 1")
        self.device = device
        self.pixels = pixels

    @property
    def question(self) -> Question:
        """What is measured."""
        settings = {
            "model": self.model.weights_sha256,
            "trained_on": self.model.facts.trained_on.dataset,
            "size": self.model.recipe.size,
            "ssim_limit": self.ssim_limit,
            "pixels": self.pixels,
        }
        return Question(MEASURE, MEASURE_VERSION, (self.images.describe(),), settings, 0)

    @property
    def cautions(self) -> tuple[str, ...]:
        """What a reader of every figure should know."""
        size, said = self.model.recipe.size, list(self.images.warnings)
        largest = max(max(shape) for preflight in self.images.preflights for shape in preflight.sizes)
        if largest > size:
            said.append(
                f"images of {largest} px are averaged down to the model's {size} px: noise and blur finer than "
                f"{largest / size:g} px cannot be seen"
            )
        if self.model.facts.trained_on.digest == self.images.folder.manifest.digest:
            said.append("the model learnt from this very dataset, whose images it took for clean: too few are flagged")
        return tuple(said)

    def answer(self, work: Work, show_stage: ShowStage) -> Evidence:
        """Look at every image."""
        started = time.monotonic()
        with show_stage("screening") as tell:
            batches = iter_batches(self.images, self.model.recipe.size)
            parts: list[Arrays] = []
            for batch in batches:
                parts.append(self.task.assess(self.model.network, batch, device=self.device))
                if tell is not None:
                    tell(sum(len(part["ssim"]) for part in parts), len(self.images))
        ssim = np.concatenate([part["ssim"] for part in parts])
        assessed = Assessed(
            ssim=ssim,
            probabilities=np.concatenate([part["artefacts"] for part in parts]),
            flagged=ssim < self.ssim_limit,
            recorded=_read_column(self.images, "artefact"),
            splits=tuple(split for split in self.images.splits for _ in range(self.images.folder.splits[split])),
        )
        result = build_result(
            self.question,
            encoder=None,
            figures=build_screening_figures(assessed, self.images.group_ids, ssim_limit=self.ssim_limit),
            verdict=_say(assessed, self.ssim_limit, self.model.facts.figures),
            device=self.device,
            seconds=time.monotonic() - started,
        )
        return Evidence(result, _build_rows(assessed, self.images), self._draw_page(result, assessed))

    def _draw_page(self, result: Result, assessed: Assessed) -> bytes:
        worst = [int(place) for place in np.argsort(assessed.ssim, kind="stable")[:NUM_SHOWN]]
        shown: list[tuple[Picture, str]] = []
        if self.pixels:
            names = [self.images.sample_ids[place] for place in worst]
            pictures = self.images.take_images(names)
            for place, name in zip(worst, names, strict=True):
                text = f"{name}: {assessed.told[place]}, SSIM {assessed.ssim[place]:.2f}"
                picture = show(pictures[name], f"radiograph {name}")
                if picture is not None:
                    shown.append((picture, text))
        own = [figure for figure in self.model.facts.figures if not figure.condition][:8]
        floors = (figure.floor.method.partition(";")[0] for figure in own if figure.floor is not None)
        values = {
            "title": "Screening: images that look spoilt",
            "result": result,
            "worst": shown,
            "pixels": self.pixels,
            "gray_rule": GRAY_RULE,
            "warnings": self.cautions,
            "model_figures": own,
            "floor_name": next(floors, ""),
        }
        return render_page("screening.html.j2", values)


def build_screening_figures(assessed: Assessed, group_ids: Sequence[str], *, ssim_limit: float) -> tuple[Figure, ...]:
    """Shares that are flagged and that are told to have each artefact; and, where records tell, how right that is.

    Args:
        assessed: what the model says.
        group_ids: (n,), patient or anatomy; intervals count each once.
        ssim_limit: below which an image was flagged.
    """
    count, groups = len(assessed.ssim), len(set(group_ids))
    told = np.array([KINDS.index(name) for name in assessed.told])

    def share(name: str, holds: NDArray[np.bool_], direction: Direction, condition: dict[str, str]) -> Figure:
        return build_figure(
            name,
            wilson_interval(successes=groups * float(holds.mean()), total=groups),
            direction=direction,
            used={_ROLE: count},
            available={_ROLE: count},
            method=f"{WILSON}, one trial for each patient or anatomy",
            unit="share",
            condition=condition,
        )

    shares = [share("flagged_share", assessed.flagged, "lower", {"flagged": f"predicted SSIM under {ssim_limit:g}"})]
    shares += [share("told_share", told == kind, "none", {"artefact": name}) for kind, name in enumerate(KINDS)]
    scores = [Score("predicted_ssim", weighted_mean(assessed.ssim), "higher", count)]
    if any(name is not None for name in assessed.recorded):
        scores += _score_against_records(assessed, told)
    return (*shares, *build_tested_figures(scores, group_ids, role=_ROLE, seed=0))


def _score_against_records(assessed: Assessed, told: NDArray[np.int64]) -> Iterator[Score]:
    """An artefact that was recorded counts as one, even where it is too weak to harm anything."""
    recorded = np.array([CLEAN if name is None else name for name in assessed.recorded])
    clean = recorded == CLEAN
    if clean.any() and not clean.all():
        yield Score(
            "artefact_auroc", auroc(scores=1 - assessed.probabilities[:, 0], positive=~clean), "higher", len(clean),
            note="How well the probability of any artefact tells images with a recorded one from those without.",
        )  # fmt: skip
    yield from score_filter(good=clean, kept=~assessed.flagged, what="no artefact recorded, however weak")
    for kind, name in enumerate(KINDS):
        labels = np.where(recorded == name, kind, -1)
        if (labels == kind).any():
            yield Score(
                "sensitivity", sensitivity(predicted=told, labels=labels, label=kind), "higher",
                int((labels == kind).sum()), "share", {"artefact": name},
            )  # fmt: skip


def iter_batches(images: Images, size: int) -> Iterator[torch.Tensor]:
    """All radiographs in order, float32 (B, 1, S, S) in -1..1, at the model's size; one batch in memory.

    Raises:
        DataError: an image is not square, or no whole multiple of the size.
    """
    batch: list[NDArray[np.float64]] = []
    for sample_id, image in images.iter_images():
        factor = find_factor(image.shape, size, where=f"{images.folder.path}: sample {sample_id}")
        highest = np.iinfo(image.dtype).max
        batch.append(np.rint(shrink_image(image, factor) * highest) / highest)
        if len(batch) == PREDICT_BATCH:
            yield _stack(batch)
            batch = []
    if batch:
        yield _stack(batch)


def _stack(batch: list[NDArray[np.float64]]) -> torch.Tensor:
    return torch.from_numpy(2 * np.stack(batch).astype(np.float32) - 1)[:, None]


def _read_column(images: Images, name: str) -> tuple[Any, ...]:
    return tuple(
        value for split in images.splits for value in images.folder.read_table((name,), split).column(name).to_pylist()
    )


def _build_rows(assessed: Assessed, images: Images) -> pa.Table:
    columns: dict[str, Any] = {
        "sample_id": images.sample_ids,
        "group_id": images.group_ids,
        "split": assessed.splits,
        "flagged": assessed.flagged,
        "predicted_ssim": assessed.ssim,
        "artefact": assessed.told,
        "recorded_artefact": pa.array(assessed.recorded, pa.string()),
    }
    columns |= {f"probability_{name}": assessed.probabilities[:, place] for place, name in enumerate(KINDS)}
    return pa.table(columns)


def _say(assessed: Assessed, ssim_limit: float, figures: Sequence[Figure]) -> str:
    count, flagged = len(assessed.flagged), int(assessed.flagged.sum())
    told = Counter(name for name, marked in zip(assessed.told, assessed.flagged, strict=True) if marked)
    what = ", ".join(f"{name} ({number:,})" for name, number in told.most_common(3))
    said = f"{flagged:,} of {count:,} images ({flagged / count:.1%}) are flagged: predicted SSIM under {ssim_limit:g}"
    said += f"; told most often: {what}." if flagged else "."
    own: Mapping[str, Figure] = {figure.name: figure for figure in figures if "artefact" not in figure.condition}
    if "ssim_error" in own and "filter_recall" in own and own["filter_recall"].condition:
        good = next(iter(own["filter_recall"].condition.values()))
        said += (
            " On simulated artefacts that it had not seen, the model's SSIM was off by "
            f"{own['ssim_error'].value:.3f} on average, and it flagged {1 - own['filter_recall'].value:.1%} of the "
            f"images with {good}."
        )
    return said
