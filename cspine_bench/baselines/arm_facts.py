"""What a result says of its arms besides their scores: how many radiographs each learnt from, its margin, its p values.

They are figures too, so that page, tables and leaderboard need nothing but the result file.
"""

from collections.abc import Sequence
from typing import Final

from cspine_bench.baselines.cells import CellRecord
from cspine_bench.baselines.compare import REAL
from cspine_bench.baselines.verdict import ArmVerdict
from cspine_bench.measurement.figures import build_figure
from cspine_bench.results import Figure

NUM_REAL: Final = "num_real_labels"
NUM_SYNTHETIC: Final = "num_synthetic"
P_VALUE: Final = "adjusted_p_value"
MARGIN: Final = "margin"
FACTS: Final = (NUM_REAL, NUM_SYNTHETIC, P_VALUE, MARGIN)
"""Names of the figures that this module builds; none has an interval."""


def build_arm_facts(records: Sequence[CellRecord], verdicts: Sequence[ArmVerdict]) -> tuple[Figure, ...]:
    """Figures without intervals.

    Args:
        records: of every network; those that were not run are passed over.
        verdicts: of all arms and fractions.

    Returns:
        `num_real_labels` and `num_synthetic` of each arm and fraction: the most that a network of it learnt from;
        `adjusted_p_value` of each verdict that was tested, its sentence as the note; and `margin`.
    """
    figures = []
    ran: dict[tuple[str, float | None], list[CellRecord]] = {}
    for record in records:
        if record.not_run is None:
            ran.setdefault((record.arm, record.fraction), []).append(record)
    for (arm, fraction), found in ran.items():
        for name, counts in (
            (NUM_REAL, [record.num_real for record in found]),
            (NUM_SYNTHETIC, [record.num_synthetic for record in found]),
        ):
            note = f"{min(counts):,} to {max(counts):,} over the seeds" if min(counts) < max(counts) else ""
            figures.append(_fact(name, max(counts), _condition(arm, fraction), {"seeds": len(found)}, note))
    for verdict in verdicts:
        used = {"test": verdict.difference.used, "seeds": verdict.difference.mean.num_seeds}
        condition = _condition(verdict.arm, verdict.fraction) | {"against": REAL}
        if verdict.p_adjusted is not None:
            figures.append(_fact(P_VALUE, verdict.p_adjusted, condition, used, verdict.sentence))
    for verdict in verdicts[:1]:
        note = "largest difference of the primary score that does not matter"
        figures.append(_fact(MARGIN, verdict.margin, {}, {}, note, verdict.difference.unit))
    return tuple(figures)


def _condition(arm: str, fraction: float | None) -> dict[str, str]:
    return {"arm": arm} | ({} if fraction is None else {"fraction": f"{fraction:g}"})


def _fact(
    name: str, value: float, condition: dict[str, str], used: dict[str, int], note: str, unit: str = ""
) -> Figure:
    return build_figure(
        name, value, direction="none", used=used, available=used, unit=unit, condition=condition, note=note
    )
