"""How often does the leak audit of a reader study refuse a plan, where nothing leaks and where something does?

    python benchmarks/leak_audit_rates.py [--draws 200]

Phantoms of one kind are dealt at random into a real and a synthetic side; for each trace, the synthetic side is then
changed. For each: mean and spread of the AUC, share of audits whose interval holds one half, share that refuses the
plan at the default limit. One process, one thread.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rates import build_parser, write_rates
from benchmarks.report import RESULTS
from cspine_bench.imaging.degrade import Degradation, add_noise, blur, compress
from cspine_bench.sources.phantom.recipe import PhantomRecipe
from cspine_bench.sources.phantom.source import PhantomSource
from cspine_bench.study.plan.leak_audit import Floats, Shown, audit_leaks, measure_frames
from cspine_bench.study.recipe import StudyRecipe

COUNT = 600
SIZES = ((8, 24), (20, 20), (20, 60), (54, 162))
TRACES: dict[str, Degradation | None] = {
    "none": None,
    "JPEG quality 90": Degradation("jpeg", "quality 90", 1, compress(90)),
    "JPEG quality 75": Degradation("jpeg", "quality 75", 1, compress(75)),
    "noise 0.5 % of full scale": Degradation("noise", "0.5 % of full scale", 1, add_noise(0.005)),
    "blur, sigma 0.8 % of the side": Degradation("blur", "sigma 0.8 % of the side", 1, blur(0.008)),
}


def draw_phantoms() -> NDArray[Any]:
    """uint8 (600, 64, 64)."""
    source = PhantomSource(PhantomRecipe.model_validate({"size": 64}), COUNT, 11)
    return np.stack([one.image for one in source.iter_radiographs(source.list_samples())])


def measure(
    clean: dict[str, Floats], changed: dict[str, Floats], num_real: int, num_synthetic: int, draws: int
) -> dict[str, Any]:
    """Audits of one trace at one size; the same draws for all traces."""
    generator = np.random.default_rng(num_real * 1000 + num_synthetic)
    limit = StudyRecipe().leak_limit
    areas, covered, refused = [], [], []
    for draw in range(draws):
        rows = generator.permutation(COUNT)[: num_real + num_synthetic]
        real, synthetic = rows[:num_real], rows[num_real:]
        tables = {name: np.concatenate([table[real], changed[name][synthetic]]) for name, table in clean.items()}
        sources = ("real",) * num_real + ("s1",) * num_synthetic
        found = audit_leaks(Shown(sources, tuple(map(str, rows)), tables, {}), limit=limit, seed=draw)
        areas.append(found.overall.value)
        covered.append(found.overall.low <= 0.5 <= found.overall.high)
        refused.append(bool(found.leaks))
    return {
        "num_real": num_real,
        "num_synthetic": num_synthetic,
        "draws": draws,
        "auc_mean": round(float(np.mean(areas)), 3),
        "auc_sd": round(float(np.std(areas, ddof=1)), 3),
        "interval_holds_half": round(float(np.mean(covered)), 3),
        "refused": round(float(np.mean(refused)), 3),
    }


def main(words: Sequence[str] | None = None) -> None:
    """Measure, and write the result."""
    parser = build_parser(__doc__)
    parser.add_argument("--draws", type=int, default=200)
    draws = parser.parse_args(words).draws
    start = time.process_time()
    phantoms = draw_phantoms()
    clean = measure_frames(phantoms)
    rows = []
    for trace, change in TRACES.items():
        changed = clean
        if change is not None:
            altered = [change.apply(one, np.random.default_rng(number)) for number, one in enumerate(phantoms)]
            changed = measure_frames(np.stack(altered))
        for num_real, num_synthetic in SIZES:
            rows.append({"trace": trace, **measure(clean, changed, num_real, num_synthetic, draws)})
    write_rates(
        RESULTS / "leak_audit_rates.json",
        "leak_audit_rates",
        words,
        rows,
        unit="share of audits; phantoms of 64 px, AUC limit as in the default recipe",
        started=start,
    )


if __name__ == "__main__":
    main()
