"""p values of several sources, corrected for their number."""

from collections.abc import Mapping

import numpy as np

from cspine_bench.metrics.multiplicity import adjust_holm
from cspine_bench.study.analysis.figure_list import FigureList
from cspine_bench.study.analysis.table import StudyTable


def add_adjusted(
    figures: FigureList, tests: Mapping[str, float | None], table: StudyTable, *, ends_in: str
) -> dict[str, float | None]:
    """Add `NAME.ENDS_IN` for each test by Holm; one that is not defined is not counted among them.

    Args:
        figures: to add to.
        tests: p value by name of its figures, one for each source, in their order; {}: there are none.
        table: of the sources.
        ends_in: of the names.

    Returns:
        Corrected p values by name.
    """
    if not tests:
        return {}
    values = np.array([np.nan if p is None else p for p in tests.values()], np.float64)
    adjusted = adjust_holm(values) if len(values) else values
    told: dict[str, float | None] = {}
    for (name, p), after, source in zip(tests.items(), adjusted.tolist(), table.sources, strict=True):
        told[name] = None if p is None else after
        figures.add(
            f"{name}.{ends_in}", told[name], used={"readers": len(table.readers), "cases": len(table.cases)},
            reason="its p value is not defined", subgroup={"source": source},
            note=f"Holm, over {int((~np.isnan(values)).sum())} sources",
        )  # fmt: skip
    return told
