"""DATASHEET.md: the questions of Datasheets for Datasets, answered under the clusters of the METRIC-framework.

Source: Gebru et al. 2021, Communications of the ACM 64(12), 86-92; Schwabe et al. 2024, npj Digital Medicine,
s41746-024-01196-4.
"""

import json
from collections.abc import Mapping
from typing import Final

from cspine_bench.release.edition import Edition
from cspine_bench.release.facts import ReleaseFacts
from cspine_bench.release.papers.card import build_context
from cspine_bench.release.papers.templates import render_template
from cspine_bench.release.rules import RULES

_DATASHEET: Final = "DATASHEET.md.j2"
_LONGEST_SOURCE: Final = 6_000


def render_datasheet(edition: Edition) -> str:
    """DATASHEET.md of a release; the same edition gives the same text."""
    source = json.dumps(edition.manifest.source, indent=1, sort_keys=True, ensure_ascii=False)
    context = build_context(edition)
    values = {
        "source": source if len(source) <= _LONGEST_SOURCE else "",
        "completeness": _list_completeness(edition.facts, context["known"]),
        "num_rules": len(RULES),
        "num_rejected": len(edition.manifest.rejected),
        **context,
    }
    return render_template(_DATASHEET, values)


def _list_completeness(facts: ReleaseFacts, known: Mapping[str, int]) -> list[tuple[str, str, str]]:
    """Rows: what, known of, share."""
    rows = [("mask", sum(facts.num_masks.values())), ("landmarks_xy, all 23", sum(facts.num_landmarked.values()))]
    spacing = facts.pixel_spacing_mm
    rows.append(("pixel_spacing_mm", 0 if spacing is None else spacing.num))
    rows += list(known.items())
    return [(name, f"{number:,} of {facts.total:,}", f"{number / facts.total * 100:.1f} %") for name, number in rows]
