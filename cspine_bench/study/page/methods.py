"""What a paper says of the study: a methods paragraph and the GRRAS checklist, with nothing that was not done."""

from cspine_bench.results import Result
from cspine_bench.study.page.records import StudyRecords


def write_methods(result: Result, records: StudyRecords) -> str:
    """The methods paragraph, Markdown, past tense; saved as `reader-study.methods.md`.

    Args:
        result: of measure `reader-study`.
        records: beside it.
    """
    raise NotImplementedError


def write_grras(result: Result, records: StudyRecords) -> str:
    """The 15 items of GRRAS, each with its answer or with what the authors have to fill in; `reader-study.grras.md`.

    Args:
        result: of measure `reader-study`.
        records: beside it.

    Source: Kottner et al. 2011, Journal of Clinical Epidemiology 64, 96-106.
    """
    raise NotImplementedError
