"""Rules PRIV-01, PRIV-03 and PRIV-04: what the generator learned from, and whether the evidence is about this data."""

from collections.abc import Mapping
from typing import Any, Final

from cspine_bench.release.checks.reading import EVIDENCE_PREFIX, Papers
from cspine_bench.release.layout import RELEASE_NAME
from cspine_bench.release.rules import Tally
from cspine_bench.results import Result

_MEMORIZATION: Final = "memorization"
_STATUSES: Final = ("not applicable", "no patients", "named", "not stated")


def find_own_results(papers: Papers, digest: str | None) -> dict[str, Result]:
    """Evidence that was measured on this very dataset, by file.

    Args:
        papers: of the release.
        digest: of the dataset folder that it was built from; None: not known, and nothing is about it.
    """
    results = papers.results
    return {name: result for name, result in results.items() if digest in {item.digest for item in result.inputs}}


def check_evidence(papers: Papers, own: Mapping[str, Result], digest: str | None, tally: Tally) -> None:
    """PRIV-04: each result names this dataset among its inputs.

    Args:
        papers: of the release.
        own: the results that do.
        digest: of the dataset; None: not known.
        tally: takes the findings.
    """
    for name, result in papers.results.items():
        # Without dataset.json, which is a finding of its own, it is not known what the evidence should be about.
        if name not in own and digest is not None:
            measured = ", ".join(f"{item.role} {item.name} ({item.digest[:12]})" for item in result.inputs) or "nothing"
            text = f"it was measured on {measured[:200]}; this dataset is {digest[:12]}"
            tally.add("PRIV-04", name, text)
    for name in papers.tree.files:
        if name.startswith(EVIDENCE_PREFIX) and not name.endswith((".json", ".jsonl", ".parquet")):
            tally.add("PRIV-04", name, "it is no result file")


def check_training(papers: Papers, own: Mapping[str, Result], trained: bool | None, tally: Tally) -> None:
    """PRIV-03, and PRIV-01 where patients were trained on.

    Args:
        papers: of the release or mirror.
        own: evidence about this dataset, by file.
        trained: whether a trained model made the images; None: not known.
        tally: takes the findings.
    """
    if papers.release is None:
        return
    stated = papers.release.get("training_data")
    status = stated.get("status") if isinstance(stated, dict) else None
    if not isinstance(stated, dict) or status not in _STATUSES:
        tally.add("PRIV-03", RELEASE_NAME, f"training_data does not say what is known ({status!r:.60})")
        return
    listed = stated.get("datasets")
    datasets = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    if trained is not False and status in ("not stated", "not applicable"):
        tally.add("PRIV-03", RELEASE_NAME, "training data are not stated, and the images come from a trained model")
    if status == "named" and not datasets:
        tally.add("PRIV-03", RELEASE_NAME, "training data are said to be named, and none is")
    for item in datasets:
        if item.get("license") is None and item.get("terms") is None:
            text = f"neither licence nor terms of training data {item.get('name')!r:.60} are stated"
            tally.add("PRIV-03", RELEASE_NAME, text)
    patients = any(item.get("patients") is not False for item in datasets) or _saw_films(stated)
    looked = any(result.measure == _MEMORIZATION for result in own.values())
    if patients and not looked and papers.kind == "parquet":
        text = f"training data hold images of patients, and {EVIDENCE_PREFIX} has no result of {_MEMORIZATION}"
        tally.add("PRIV-01", EVIDENCE_PREFIX, text)


def _saw_films(stated: Mapping[str, Any]) -> bool:
    """Whether the generator itself recorded that it was trained on something else than phantoms."""
    recorded = stated.get("recorded")
    sources = recorded.get("sources") if isinstance(recorded, dict) else None
    return isinstance(sources, dict) and any(kind != "phantom" for kind in sources)
