"""The GRRAS checklist of a study: each item with its answer, or with what the authors have to fill in."""

from collections.abc import Callable
from typing import Final

from cspine_bench.results import Result
from cspine_bench.study.page.answers import list_readers, list_sources, of_kind
from cspine_bench.study.page.lookup import Lookup
from cspine_bench.study.page.methods import list_words, plain
from cspine_bench.study.page.records import StudyRecords
from cspine_bench.study.page.sections import PICKS, RATINGS, SELF, read_agreement, show, show_span
from cspine_bench.study.recipe import CHANCE
from cspine_bench.study.schedule import TrialKind

FILL: Final = "to be filled in by the authors"

Answer = Callable[[Result, StudyRecords], str]


def write_grras(result: Result, records: StudyRecords) -> str:
    """The 15 items of GRRAS, Markdown; saved as `reader-study.grras.md`.

    Args:
        result: of measure `reader-study`.
        records: beside it.

    Returns:
        A table: item, what it asks for, the answer. What only the authors know is marked as theirs to fill in.

    Source: Kottner, Audigé, Brorson, Donner, Gajewski, Hróbjartsson, Roberts, Shoukri, Streiner 2011, Guidelines for
    Reporting Reliability and Agreement Studies (GRRAS) were proposed, Journal of Clinical Epidemiology 64, 96-106,
    table 1; items in short.
    """
    rows = [f"| {number} | {part} | {asked} | {answer(result, records)} |"
            for number, (part, asked, answer) in enumerate(_ITEMS, 1)]  # fmt: skip
    note = (
        "**These readers were simulated: this checklist describes no study.**\n\n"
        if records.responses.simulated
        else ""
    )
    if records.protocol is not None and records.protocol.rehearsal:
        note += f"**A rehearsal: {plain(records.protocol.rehearsal)}.**\n\n"
    return (
        "# GRRAS checklist\n\n"
        "Guidelines for Reporting Reliability and Agreement Studies (Kottner et al. 2011, J Clin Epidemiol 64:96-106)."
        "\n\n"
        f"{note}| item | part | asked for | answer |\n| --- | --- | --- | --- |\n" + "\n".join(rows) + "\n"
    )  # fmt: skip


def _title(result: Result, records: StudyRecords) -> str:
    again = " and intra-reader" if of_kind(records.responses, "repeat") else ""
    return f"{FILL}: title or abstract that says that inter-reader{again} agreement was investigated"


def _instrument(result: Result, records: StudyRecords) -> str:
    responses = records.responses
    task = {"quartet": "pick of the real image of four", "pair": "pick of the real image of two",
            "single": "real-or-synthetic answer to single images"}[responses.design]  # fmt: skip
    rating = f"; rating of realism in {responses.num_steps} steps" if responses.ratings else ""
    return f"{task}{rating}, on screen"


def _subjects(result: Result, records: StudyRecords) -> str:
    if records.protocol is None:
        return f"cervical-spine radiographs; {FILL}: where they come from, and of whom"
    sources = [f"{plain(one.name)} ({plain(one.role)}, {one.drawn:,} images)" for one in records.protocol.sources]
    return f"cervical-spine radiographs from {list_words(sources)}; {FILL}: patients behind the real ones"


def _raters(result: Result, records: StudyRecords) -> str:
    count = len(list_readers(records.responses))
    return f"{count:,} reader{'' if count == 1 else 's'}; {FILL}: specialty, years of experience, where they work"


def _rationale(result: Result, records: StudyRecords) -> str:
    return f"{FILL}: what is known of agreement and of detecting synthetic radiographs, and why this study was done"


def _size(result: Result, records: StudyRecords) -> str:
    main = of_kind(records.responses, "main")
    cases = len({trial.quartet for trial in main})
    readers = len({trial.reader for trial in main})
    said = f"{readers:,} reader{'' if readers == 1 else 's'}, {cases:,} cases"
    return (f"{said}, {len(main):,} answers in the primary analysis; {FILL}: how the "
            "size was chosen (name the power calculation)")  # fmt: skip


def _sampling(result: Result, records: StudyRecords) -> str:
    if records.protocol is None:
        return f"{FILL}: how images and readers were chosen"
    strata = records.protocol.recipe.strata
    matched = f"images of a display set matched on {list_words(list(strata))}" if strata else "images not matched"
    return (f"images drawn at random by a frozen seed ({records.protocol.seed}), {matched}; {FILL}: how readers were "
            "chosen")  # fmt: skip


def _process(result: Result, records: StudyRecords) -> str:
    told = []
    if records.protocol is not None:
        told.append("order per reader, real image balanced over panes")
        recipe = records.protocol.recipe
        if recipe.training:
            told.append(f"{recipe.training} training display sets")
        if of_kind(records.responses, "repeat"):
            told.append(f"repeats after at least {recipe.repeat_lag} other trials")
    times = sum(trial.response_time_s is not None for trial in records.responses.trials)
    if times:
        told.append("response times recorded, no time limit set by the software")
    told.append(f"{FILL}: place, screens, light, instructions by word of mouth, sessions")
    return "; ".join(told)


def _independence(result: Result, records: StudyRecords) -> str:
    told = []
    if records.provenance.chain_head:
        told.append("each reader had a link of their own, saw no other reader’s answers, and got no feedback on "
                    "answers of the analysis; truth sealed by a salted hash until unblinding")  # fmt: skip
    told.append(f"{FILL}: whether readers talked about cases, and what they knew of the images")
    return "; ".join(told)


def _statistics(result: Result, records: StudyRecords) -> str:
    return "see the methods text; agreement is named by what it is of (image, right or wrong, pane, rating)"


def _actual(result: Result, records: StudyRecords) -> str:
    kinds: tuple[TrialKind, ...] = ("main", "repeat", "positive-control", "negative-control", "training")
    counts = [(kind, len(of_kind(records.responses, kind))) for kind in kinds]
    told = [f"{count:,} {kind}" for kind, count in counts if count]
    count = len(list_readers(records.responses))
    return f"{count:,} reader{'' if count == 1 else 's'}; answers: {', '.join(told) or 'none'}" + (
        f"; {len(records.responses.ratings):,} ratings" if records.responses.ratings else ""
    )


def _sample(result: Result, records: StudyRecords) -> str:
    synthetic = [source for source in list_sources(records.responses) if source != "real"]
    told = f"{list_words([plain(one) for one in synthetic])} beside real images; " if synthetic else ""
    return f"{told}{FILL}: readers’ training and experience, patients’ characteristics"


def _estimates(result: Result, records: StudyRecords) -> str:
    lookup, level = Lookup(result.figures), round(100 * (1 - records.analysis.alpha), 6)
    told = []
    for label, name, stem, null in (*PICKS, *RATINGS, *SELF):
        found = read_agreement(lookup, stem, null)
        if found is not None:
            ends = f" ({level:g} % {show_span(*found.ends)})" if found.ends is not None else " (no interval)"
            told.append(f"{name}, {label}: {show(found.value)}{ends}")
    right, total = lookup.value("acc.k"), lookup.value("acc.n")
    if right is not None and total:
        told.append(f"accuracy {right:,.0f} of {total:,.0f}, chance {100 * CHANCE[records.responses.design]:g} %")
    return "; ".join(told) or f"none is defined; {FILL}: why"


def _relevance(result: Result, records: StudyRecords) -> str:
    return f"{FILL}: what the findings mean for use of the images; a difference that was not found is not equivalence"


def _detail(result: Result, records: StudyRecords) -> str:
    found = records.provenance
    told = ["result file, page, tables of answers"]
    if found.protocol_sha256:
        told.append(f"protocol, SHA-256 {found.protocol_sha256}")
    if found.chain_head:
        told.append(f"last record of the ledger, SHA-256 {found.chain_head}")
    return f"{'; '.join(told)}; {FILL}: where they can be had"


_ITEMS: Final[tuple[tuple[str, str, Answer], ...]] = (
    ("title and abstract", "reliability or agreement named in title or abstract", _title),
    ("introduction", "the diagnostic or measurement device", _instrument),
    ("introduction", "the subject population", _subjects),
    ("introduction", "the rater population", _raters),
    ("introduction", "what is known, and the rationale", _rationale),
    ("methods", "how sample size was chosen: raters, subjects, replicates", _size),
    ("methods", "the sampling method", _sampling),
    ("methods", "the measurement process: time between, conditions, clinical information", _process),
    ("methods", "whether ratings were independent", _independence),
    ("methods", "the statistical analysis", _statistics),
    ("results", "actual numbers of raters, subjects and replicates", _actual),
    ("results", "sample characteristics of raters and subjects", _sample),
    ("results", "estimates with measures of uncertainty", _estimates),
    ("discussion", "practical relevance", _relevance),
    ("auxiliary material", "detailed results, where possible", _detail),
)
