"""How often is each verdict reached where the truth is known?

    python benchmarks/usefulness_verdict_rates.py [--draws 100]

Whole comparisons are drawn: radial errors of the networks of six arms on one test set, with what radiographs have of
hard and easy, seed effects, and effects of both together; then `compare_arms` judges. Worlds: no arm differs; useless
synthetic data; synthetic data that help; that help no more than the controls do; and a difference just as large as the
margin. Sizes of the effects relative to the margin are in the file. One process, one thread.
"""

import math
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rates import build_parser, write_rates
from benchmarks.report import RESULTS
from cspine_bench.baselines.compare import CellScores, compare_arms
from cspine_bench.baselines.task import Score
from cspine_bench.baselines.verdict import ArmVerdict
from cspine_bench.metrics.weighted import weighted_mean

MARGIN = 0.1
ERROR_PX = 1.0
RADIOGRAPH_SD, TOGETHER_SD, SEED_SD = 0.4, 0.25, 0.03
"""Of a radiograph in all networks; of a radiograph in one network; of a network: px."""
ARMS = ("real", "real-augmented", "real-restarted", "synthetic", "mixed-1", "pretrained")
FAMILY = ("synthetic", "mixed-1", "pretrained")
WORLDS: dict[str, dict[str, float]] = {
    "no arm differs": {},
    "no arm differs, one varies more": {},
    "useless": {"synthetic": 1.5, "mixed-1": 0.3, "pretrained": 0.0},
    "pretraining helps": {"pretrained": -0.3},
    "pretraining helps as the controls do": {"pretrained": -0.3, "real-augmented": -0.3, "real-restarted": -0.3},
    "all worse by the margin": dict.fromkeys(FAMILY, MARGIN),
}
UNSTEADY = {"useless": ("synthetic", 10.0), "no arm differs, one varies more": ("pretrained", 3.0)}
"""Arm whose networks vary more from seed to seed than those of the others, and how many times."""
NUM_BOOTSTRAP = 400


def draw_world(world: str, num_groups: int, num_seeds: int, draw: np.random.Generator) -> list[CellScores]:
    """Scores of all networks, px."""
    hardness = RADIOGRAPH_SD * (draw.gamma(2, 1, num_groups) - 2) / math.sqrt(2)
    shifts, cells = WORLDS[world], []
    unsteady, times = UNSTEADY.get(world, ("", 1.0))
    for arm in ARMS:
        for seed in range(num_seeds):
            own = SEED_SD * (times if arm == unsteady else 1.0) * draw.normal() + TOGETHER_SD * draw.normal(
                size=num_groups
            )
            errors = np.maximum(ERROR_PX + shifts.get(arm, 0.0) + hardness + own, 0)
            score = Score("mean_radial_error", weighted_mean(errors), "lower", num_groups, "px", per_case=errors)
            cells.append(CellScores(arm, None if arm == "synthetic" else 0.1, seed, (score,)))
    return cells


def judge(world: str, num_groups: int, num_seeds: int, number: int) -> tuple[ArmVerdict, ...]:
    """Verdicts on one draw of a world."""
    draw = np.random.default_rng((number, num_groups, num_seeds))
    return compare_arms(
        draw_world(world, num_groups, num_seeds, draw),
        group_ids=[f"{group:05d}" for group in range(num_groups)],
        margin=MARGIN,
        seed=number,
        num_bootstrap=NUM_BOOTSTRAP,
    ).verdicts


def measure(world: str, num_groups: int, num_seeds: int, draws: int) -> dict[str, Any]:
    """Rates of each label by arm, and of any false label among the arms."""
    shifts = WORLDS[world]
    labels: dict[str, Counter[str]] = {arm: Counter() for arm in FAMILY}
    any_false_difference = any_false_equivalence = beyond = 0
    for number in range(draws):
        verdicts = judge(world, num_groups, num_seeds, number)
        for verdict in verdicts:
            labels[verdict.arm][verdict.label] += 1
            beyond += verdict.beyond_controls is True
        any_false_difference += any(
            item.label == ("helps" if shifts.get(item.arm, 0.0) >= 0 else "hurts")
            or (item.label == "hurts" and shifts.get(item.arm, 0.0) == 0)
            for item in verdicts
        )
        any_false_equivalence += any(
            item.label.startswith("no difference") and abs(shifts.get(item.arm, 0.0)) >= MARGIN for item in verdicts
        )
    return {
        "world": world,
        "test_groups": num_groups,
        "seeds": num_seeds,
        "labels": {
            arm: {label: round(count / draws, 3) for label, count in found.items()} for arm, found in labels.items()
        },
        "false_difference_in_any_arm": round(any_false_difference / draws, 3),
        "false_no_difference_in_any_arm": round(any_false_equivalence / draws, 3),
        "helps_beyond_controls_in_any_arm": round(beyond / draws, 3),
    }


def main(words: Sequence[str] | None = None) -> None:
    """Run every world and write the result file."""
    parser = build_parser(__doc__)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--out", type=Path, default=RESULTS / "usefulness_verdict_rates.json")
    options = parser.parse_args(words)
    started, rows = time.process_time(), []
    for world in WORLDS:
        for num_groups in (12, 60, 200):
            for num_seeds in (2, 5):
                rows.append(measure(world, num_groups, num_seeds, options.draws))
                print(rows[-1], flush=True)
    write_rates(
        options.out,
        "usefulness_verdict_rates",
        words,
        rows,
        unit="share of draws",
        started=started,
        packages=("numpy", "scipy"),
        draws=options.draws,
        margin_px=MARGIN,
        sd_px={"radiograph": RADIOGRAPH_SD, "radiograph_in_one_network": TOGETHER_SD, "seed": SEED_SD},
        worlds_px=WORLDS,
        unsteady=UNSTEADY,
        resamples=NUM_BOOTSTRAP,
    )


if __name__ == "__main__":
    main()
