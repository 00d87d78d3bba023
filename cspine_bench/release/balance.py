"""How a release's radiographs are spread over their classes, as a result that a policy can ask for."""

from cspine_bench.dataset.manifest import Manifest
from cspine_bench.metrics.intervals import CONFIDENCE, wilson_interval
from cspine_bench.provenance import package_version
from cspine_bench.release.facts import ReleaseFacts
from cspine_bench.results import Figure, Input, Interval, Result

MEASURE = "balance"
_COLUMNS = ("curvature", "sex", "disease")
_METHOD = "Wilson score interval of a share"


def measure_balance(name: str, manifest: Manifest, facts: ReleaseFacts) -> Result:
    """Share of each class among the radiographs whose class is known, and of each split.

    Args:
        name: of the release.
        manifest: of its dataset.
        facts: counted from it.

    Returns:
        Figures `share_COLUMN_CLASS` and `share_labelled_COLUMN`, with intervals for the generator that the radiographs
        were drawn from; the counts themselves are exact.
    """
    figures: list[Figure] = []
    for column in _COLUMNS:
        counts = facts.count(column)
        known = facts.total - counts.pop(None, 0)
        figures.append(_share(f"share_labelled_{column}", known, facts.total, facts.total))
        figures += [
            _share(f"share_{column}_{value}", number, known, facts.total) for value, number in sorted(counts.items())
        ]
    data = Input(role="synthetic", name=name, digest=manifest.digest, num_samples=facts.total)
    return Result(
        measure=MEASURE,
        measure_version="1",
        inputs=(data,),
        figures=tuple(figures),
        package_version=package_version(),
    )


def _share(name: str, number: int, total: int, available: int) -> Figure:
    found = wilson_interval(successes=number, total=total)
    return Figure(
        name=name,
        value=found.value,
        unit="share",
        direction="none",
        interval=Interval(low=found.low, high=found.high, level=CONFIDENCE, method=_METHOD),
        n_used={"synthetic": total},
        n_available={"synthetic": available},
    )
