"""The page of `study analyze`, for a radiologist and for the statistician beside them."""

from cspine_bench.results import Result
from cspine_bench.study.page.records import StudyRecords


def build_study_page(result: Result, records: StudyRecords) -> bytes:
    """One self-contained HTML file: verdict with its gate, plots, every figure, limits, and how to do it again.

    Args:
        result: of measure `reader-study`; every figure of it is on the page.
        records: what is shown beside the figures.

    Returns:
        UTF-8; the same result and records give the same bytes.
    """
    raise NotImplementedError
