"""The like of `page_example` for `evaluate memorization`."""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cspine_bench.evaluate.page.records import (
    AttackScores,
    DuplicatePair,
    Gate,
    MemorizationPictures,
    Pair,
    PlantedExample,
    RankedPair,
    Scores,
)
from cspine_bench.measurement.figures import CLOPPER_PEARSON, WILSON, build_figure
from cspine_bench.metrics.intervals import Estimate, clopper_pearson_interval, wilson_interval
from cspine_bench.metrics.near_copies import Variant
from cspine_bench.metrics.registration import build_moves
from cspine_bench.results import Figure, Result

sys.path.insert(0, str(Path(__file__).parent))

from page_example import build_result, near


def build_memorization_figures(*, num_copies: int = 0) -> tuple[Figure, ...]:
    synthetic = {"synthetic": 96}
    planted = {"planted": 20}
    rate = clopper_pearson_interval(successes=num_copies, total=96)
    figures = [
        build_figure(
            "copy_rate",
            Estimate(rate.value / 0.9, rate.low, min(1.0, rate.high / 0.9)),
            direction="lower",
            used=synthetic,
            available=synthetic,
            method=f"{CLOPPER_PEARSON} over recall",
            unit="share",
        ),
        build_figure(
            "num_copies",
            float(num_copies),
            direction="lower",
            used=synthetic,
            available=synthetic,
            note="a count; its uncertainty is that of the share of copies",
        ),
        build_figure(
            "detectable_rate",
            0.0312,
            direction="lower",
            used=synthetic,
            available=synthetic,
            unit="share",
            note="computed from the recall, at 80 % power",
        ),
        build_figure(
            "listed_share",
            wilson_interval(successes=num_copies, total=96),
            direction="lower",
            used=synthetic,
            available=synthetic,
            method=WILSON,
            unit="share",
        ),
        build_figure(
            "nearer_train_share",
            near(0.52, 0.2),
            direction="none",
            used=synthetic,
            available=synthetic,
            method=CLOPPER_PEARSON,
            condition={"space": "pixels"},
        ),
    ]
    for transform, hits in (
        ("", 188),
        ("exact", 20),
        ("jpeg quality 40", 20),
        ("rotation 3 deg", 19),
        ("crop 5 %", 12),
    ):
        total = 20 if transform else 220
        figures.append(
            build_figure(
                "planted_recall",
                clopper_pearson_interval(successes=hits, total=total),
                direction="higher",
                used={"planted": total} if not transform else planted,
                available={"planted": total},
                unit="share",
                method=CLOPPER_PEARSON,
                condition={"transform": transform} if transform else None,
            )
        )
    films = {"train": 400, "holdout": 200}
    for attack, area in (("distance", 0.52), ("loss", 0.61)):
        condition = {"attack": attack} | ({"space": "pixels"} if attack == "distance" else {})
        figures.append(
            build_figure(
                "membership_auroc",
                near(area, 0.1),
                direction="lower",
                used=films,
                available=films,
                method="bootstrap of patients",
                condition=condition,
            )
        )
        for fpr in ("0.01", "0.001"):
            found = clopper_pearson_interval(successes=400 * float(fpr) * area * 2, total=400)
            figures.append(
                build_figure(
                    "membership_tpr",
                    found,
                    direction="lower",
                    used=films,
                    available=films,
                    unit="share",
                    method=CLOPPER_PEARSON,
                    condition=condition | {"fpr": fpr},
                )
            )
    for name, hits in (("duplicate_share", 2), ("leaked_share", 0)):
        figures.append(
            build_figure(
                name,
                wilson_interval(successes=hits, total=96),
                direction="lower",
                used=synthetic,
                available=synthetic,
                method=WILSON,
                unit="share",
            )
        )
    return tuple(figures)


def build_memorization_result(**changes: object) -> Result:
    values: dict[str, object] = {
        "figures": build_memorization_figures(),
        "verdict": "No copy was found; at most 4.2 % of the synthetic images are copies.",
        "settings": {"least_recall": 0.8, "false_discovery_rate": 0.05},
    }
    return build_result("memorization", **(values | changes))


def build_pairs(
    train: list[NDArray[np.generic]],
    holdout: list[NDArray[np.generic]],
    synthetic: list[NDArray[np.generic]],
    *,
    num_copies: int = 0,
) -> list[Pair]:
    """As many pairs as synthetic images; the first ones mirrored and shifted copies of training films."""
    pairs = []
    for place, image in enumerate(synthetic):
        film = train[place % len(train)]
        copied = place < num_copies
        if copied:
            image = np.roll(film[:, ::-1], (len(film) // 32, 0), axis=(0, 1))
        pairs.append(
            Pair(
                sample_id=f"synthetic-{place:05d}",
                train_id=f"train-{place % len(train):04d}",
                holdout_id=f"holdout-{place % len(holdout):04d}",
                synthetic=image,
                train=film,
                holdout=holdout[place % len(holdout)],
                similarity=0.99 if copied else 0.5 - 0.004 * place,
                holdout_similarity=0.45,
                p_value=0.005 if copied else 0.08 + 0.9 * place / len(synthetic),
                q_value=0.03 if copied else 0.9,
                tail_p_value=2e-9 if copied else 0.1,
                move=build_moves([Variant(flip=copied, shift_px=(2, 0) if copied else (0, 1))])[0],
                confirmed=copied,
                listed=copied,
            )
        )
    return pairs


def build_memorization_pictures(
    train: list[NDArray[np.generic]], synthetic: list[NDArray[np.generic]], **changes: object
) -> MemorizationPictures:
    generator = np.random.default_rng(6)
    honest = generator.normal
    enlarge = np.ones((2, 2), train[0].dtype)
    values: dict[str, object] = {
        "outcome": "none",
        "gates": (
            Gate("planted copies found: lower end of the interval at least 0.8", "0.80 to 0.90", True),
            Gate("films held out: at least 100", "200", True),
        ),
        "p_values": generator.random(96) ** 0.8,
        "scores": (
            Scores("similarity, pixels", honest(0.4, 0.04, 96), honest(0.42, 0.05, 200), "high", 0.53),
            Scores("distance ratio, efficientnet-lite0", honest(0.9, 0.03, 96), honest(0.9, 0.03, 200), "low"),
        ),
        "planted": tuple(
            PlantedExample(name, train[0], copy, found)
            for name, copy, found in (
                ("mirror", train[0][:, ::-1], True),
                ("inversion", np.invert(train[0]), True),
                ("crop", np.kron(train[0][: len(train[0]) // 2, : len(train[0]) // 2], enlarge), False),
            )
        ),
        "attacks": (
            AttackScores("distance", "pixels", honest(0.1, 1, 400), honest(0, 1, 200)),
            AttackScores("loss", "", honest(0.4, 1, 400), honest(0, 1, 200)),
        ),
        "duplicates": (
            DuplicatePair("release", "synthetic-00003", "synthetic-00017", 0.971, synthetic[3], synthetic[7]),
            DuplicatePair("leak", "holdout-0002", "train-0007", 0.62, train[0], train[1]),
        ),
        "ranking": tuple(
            RankedPair(f"synthetic-{place:05d}", f"train-{place:04d}", 0.99 - 0.004 * place) for place in range(5)
        ),
        "ranking_encoder": "efficientnet-lite0, as the paper’s ViT was not at hand",
        "command": "cspine-bench evaluate memorization --train films --holdout others --synthetic samples --seed 7",
    }
    return MemorizationPictures(**(values | changes))  # type: ignore[arg-type]
