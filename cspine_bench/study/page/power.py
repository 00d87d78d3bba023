"""The page of `study power`: what a study of so many readers and cases can show.

It is drawn from the figures of a result of measure `study-power` alone:

power_detect        share of simulated studies that find readers above chance (primary test, one-sided)
power_equivalence   share that show equivalence within the margin
interval_width      mean width of the 95 % interval of the accuracy, unit "share"

each with an interval of the simulation's own error (Wilson for the two shares) and a condition whose values are text:
{"readers": "8", "cases": "50", "accuracy": "0.33", "reader_sd": "0.25", "case_sd": "0.45"}; `power_equivalence` has
"margin": "0.05" besides; sds are on the logit scale. Any further condition stands in the tables. `settings` of the
result tell `chance`, `alpha`, `design` and `num_studies` (simulated per cell) where they are there.
"""

from cspine_bench.results import Result


def build_power_page(result: Result, *, command: str = "") -> bytes:
    """One self-contained HTML file: power to detect and to show equivalence, and interval width, by readers and cases.

    Args:
        result: of measure `study-power`; every figure of it is on the page.
        command: that gives the result again.

    Returns:
        UTF-8; the same result gives the same bytes.
    """
    raise NotImplementedError
