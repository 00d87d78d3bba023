"""Figures of quality screening: the error of the similarity, which artefact it was, and what a filter by it keeps."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cspine_bench.baselines.task import Score, Statistic
from cspine_bench.baselines.tasks.quality.simulate import Truth
from cspine_bench.imaging.artefacts import KINDS
from cspine_bench.metrics.classification import (
    auroc,
    balanced_accuracy,
    list_present,
    macro_auroc,
    require_probabilities,
    sensitivity,
)
from cspine_bench.metrics.weighted import weighted_mean, weighted_sd, weighted_share

Floats = NDArray[np.float64]


def score_quality(*, ssim: NDArray[Any], artefacts: NDArray[Any], truth: Truth, ssim_limit: float) -> tuple[Score, ...]:
    """Figures, the mean absolute error of the similarity first.

    Args:
        ssim: float (n,), predicted similarity.
        artefacts: float (n, kinds), probabilities.
        truth: of the same radiographs.
        ssim_limit: least similarity of a good image: true ones decide what is good, predicted ones what is kept.

    Raises:
        ValueError: shapes are not these, or a row of probabilities is none.
    """
    probabilities = require_probabilities(artefacts, num_classes=len(KINDS))
    if ssim.shape != truth.ssim.shape or len(probabilities) != len(truth.kinds):
        raise ValueError(
            f"predictions must be of {len(truth.kinds)} radiographs, got ssim {ssim.shape} and artefacts "
            f"{artefacts.shape}"
        )
    true_ssim = truth.ssim.astype(np.float64)
    offset = ssim.astype(np.float64) - true_ssim
    return (
        *_score_similarity(true_ssim, offset, truth.kinds),
        *_score_kinds(probabilities, truth.kinds),
        *score_filter(good=true_ssim >= ssim_limit, kept=ssim >= ssim_limit, what=f"SSIM of at least {ssim_limit:g}"),
    )


def score_filter(*, good: NDArray[np.bool_], kept: NDArray[np.bool_], what: str) -> tuple[Score, ...]:
    """What a filter keeps of the good, and lets pass of the bad.

    Args:
        good: bool (n,), the truth.
        kept: bool (n,), what the filter says.
        what: is good, in words.
    """
    condition = {"good": what}
    return (
        Score(
            "filter_precision", weighted_share(good, kept), "higher", int(kept.sum()), "share", condition,
            note="Share of the kept images that are good; it depends on how many bad ones there are.",
        ),
        Score(
            "filter_recall", weighted_share(kept, good), "higher", int(good.sum()), "share", condition,
            note="Share of the good images that are kept.",
        ),
        Score(
            "filter_specificity", weighted_share(~kept, ~good), "higher", int((~good).sum()), "share", condition,
            note="Share of the bad images that are flagged.",
        ),
    )  # fmt: skip


def _score_similarity(truth: Floats, offset: Floats, kinds: NDArray[np.int64]) -> tuple[Score, ...]:
    error = np.abs(offset)
    overall = (
        Score(
            "ssim_error", weighted_mean(error), "lower", len(error), per_case=error,
            note="Mean absolute difference of the predicted structural similarity from the true one.",
        ),
        Score(
            "ssim_residual_sd", weighted_sd(offset), "lower", len(error),
            note="Standard deviation of predicted less true similarity.",
        ),
        Score("ssim_bias", weighted_mean(offset), "none", len(error), note="Mean of predicted less true similarity."),
        Score("ssim_r2", _explained_share(truth, offset), "higher", len(error)),
        Score("ssim_correlation", _correlation(truth, truth + offset), "higher", len(error)),
    )  # fmt: skip
    by_kind = tuple(
        Score(
            "ssim_error", weighted_mean(np.where(kinds == kind, error, np.nan)), "lower", int((kinds == kind).sum()),
            condition={"artefact": KINDS[kind]},
        )
        for kind in list_present(kinds, num_classes=len(KINDS))
    )  # fmt: skip
    return overall + by_kind


def _score_kinds(probabilities: Floats, kinds: NDArray[np.int64]) -> tuple[Score, ...]:
    told = probabilities.argmax(axis=1)
    overall = (
        Score("macro_auroc", macro_auroc(probabilities=probabilities, labels=kinds), "higher", len(kinds)),
        Score(
            "balanced_accuracy", balanced_accuracy(predicted=told, labels=kinds, num_classes=len(KINDS)), "higher",
            len(kinds), "share",
        ),
    )  # fmt: skip
    by_kind = []
    for kind in list_present(kinds, num_classes=len(KINDS)):
        condition, count = {"artefact": KINDS[kind]}, int((kinds == kind).sum())
        one_against_rest = auroc(scores=probabilities[:, kind], positive=kinds == kind)
        by_kind += [
            Score("auroc", one_against_rest, "higher", len(kinds), condition=condition),
            Score(
                "sensitivity",
                sensitivity(predicted=told, labels=kinds, label=kind),
                "higher",
                count,
                "share",
                condition,
            ),
        ]
    return overall + tuple(by_kind)


def _explained_share(truth: Floats, offset: Floats) -> Statistic:
    """Share of the truth's variance that is explained, below 0 where its mean would do better."""
    columns = np.stack([np.ones_like(truth), truth - truth.mean(), (truth - truth.mean()) ** 2, offset**2], axis=1)

    def statistic(weights: Floats) -> Floats:
        count, first, second, squares = (weights @ columns).T
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = second - first**2 / count
            return np.where(spread > 1e-12 * count, 1 - squares / spread, np.nan)

    return statistic


def _correlation(first: Floats, second: Floats) -> Statistic:
    """Pearson's; NaN where one of the two does not vary."""
    x, y = first - first.mean(), second - second.mean()
    columns = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)

    def statistic(weights: Floats) -> Floats:
        count, sum_x, sum_y, square_x, square_y, product = (weights @ columns).T
        with np.errstate(invalid="ignore", divide="ignore"):
            spread_x, spread_y = square_x - sum_x**2 / count, square_y - sum_y**2 / count
            varies = np.minimum(spread_x, spread_y) > 1e-12 * count
            return np.where(varies, (product - sum_x * sum_y / count) / np.sqrt(spread_x * spread_y), np.nan)

    return statistic
