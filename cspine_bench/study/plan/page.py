"""The page of a plan: what was decided, how it was matched and balanced, and what the leak audit found.

It is for whoever reviews a study before it begins, so it tells of no image whether it is real.
"""

from types import SimpleNamespace
from typing import Any

from markupsafe import Markup

from cspine_bench.metrics.intervals import Estimate
from cspine_bench.page.render import render_page
from cspine_bench.page.svg import draw_rows
from cspine_bench.page.wording import describe_settings
from cspine_bench.study.plan.balance import count_balance
from cspine_bench.study.plan.leak_audit import ADVICE, FEW, Audit, is_leak
from cspine_bench.study.plan.make import Plan

_DESIGNS = {"quartet": "one real image among four", "pair": "one real image of two", "single": "single images"}


def render_plan(plan: Plan, protocol_sha256: str) -> bytes:
    """The page, self-contained HTML.

    Args:
        plan: of `build_plan`.
        protocol_sha256: of the bytes of `protocol.yaml`.
    """
    protocol = plan.protocol
    recipe = protocol.recipe
    values: dict[str, Any] = {
        "title": f"Plan of a reader study: {recipe.title}",
        "result": SimpleNamespace(package_version=protocol.package_version, measure="study plan", measure_version=""),
        "protocol": protocol,
        "protocol_sha256": protocol_sha256,
        "recipe": recipe,
        "design": _DESIGNS[recipe.design],
        "balance": count_balance(plan.schedule, plan.truth),
        "audit": plan.audit,
        "audit_plot": _draw_audit(plan.audit),
        "audit_rows": _list_rows(plan.audit),
        "advice": ADVICE,
        "few": FEW,
        "notes": plan.notes,
        "settings": describe_settings(recipe.model_dump(mode="json")),
    }
    return render_page("plan.html.j2", values)


def _list_rows(audit: Audit) -> list[tuple[str, Estimate, bool, str]]:
    """(what, AUC, whether it leaks, what it was measured on) of all figures of the audit."""
    told = {"all features": audit.overall, **audit.by_family}
    told |= {f"all features, {name}": found for name, found in audit.by_source.items()}
    rows = [(name, found, is_leak(found, audit.limit), "frames as shown") for name, found in told.items()]
    files = [(name, found, False, "files, not sent") for name, found in audit.neutralised.items()]
    return rows + files


def _draw_audit(audit: Audit) -> Markup:
    rows = [
        (name, found.value, found.low, found.high, "alarm" if leaks else "holdout" if "not sent" in where else "real")
        for name, found, leaks, where in _list_rows(audit)
    ]
    return draw_rows(
        "AUC of each family of features with its interval; the line is the limit, the band chance and below",
        rows,
        limits=(0.0, 1.0),
        reference=audit.limit,
        band=(0.0, 0.5),
        title="AUC, real against synthetic",
        left=150,
    )
