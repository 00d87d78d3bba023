"""`study analyze`: from answers to result, rows, page and papers; the same answers and settings give the same figures.

study = ReaderStudy(responses, recipe, inputs)
run_task(study, Path("results"))
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import pyarrow as pa

from cspine_bench.measurement.csv_table import render_csv_table
from cspine_bench.measurement.outputs import Evidence, Question
from cspine_bench.measurement.task import ShowStage, build_result
from cspine_bench.measurement.work import Work
from cspine_bench.page.tables import NotMeasured
from cspine_bench.provenance import package_version
from cspine_bench.results import Input, Result
from cspine_bench.study.analysis.accuracy import add_accuracy
from cspine_bench.study.analysis.conduct import PositiveControl, add_conduct, add_controls
from cspine_bench.study.analysis.field import list_field_results
from cspine_bench.study.analysis.figure_list import FigureList, build_keys
from cspine_bench.study.analysis.means import name_margin
from cspine_bench.study.analysis.paper_block import build_paper_block
from cspine_bench.study.analysis.picks import add_picks
from cspine_bench.study.analysis.ratings import add_ratings
from cspine_bench.study.analysis.repeats import add_repeats
from cspine_bench.study.analysis.signed_ranks import add_signed_ranks, add_trend
from cspine_bench.study.analysis.table import StudyTable, build_table
from cspine_bench.study.analysis.verdict import Verdict, reach_verdict
from cspine_bench.study.page.grras import write_grras
from cspine_bench.study.page.methods import write_methods
from cspine_bench.study.page.records import Provenance, StudyRecords
from cspine_bench.study.page.study import build_study_page
from cspine_bench.study.protocol import Protocol, spell_leaks, spell_rehearsal
from cspine_bench.study.recipe import AnalysisRecipe
from cspine_bench.study.responses import Responses
from cspine_bench.study.truth import REAL

MEASURE: Final = "reader-study"
MEASURE_VERSION: Final = "1"
BIAS: Final = 0.1
"""Share of answers "real", or "synthetic", to single images below which the other is nearly all that was said."""
CITATION: Final = (
    f"cspine-bench {package_version()}, CITATION.cff; design: arXiv 2510.22166; statistics: see each figure's method"
)


@dataclass(frozen=True)
class Analysis:
    """Everything that was computed.

    Attributes:
        table: answers as arrays.
        figures: with what is not defined.
        keys: of readers and sources in names of figures.
        verdict: the finding.
        control: of the positive controls.
        conduct: what stands out in how readers worked.
        seconds: it took.
    """

    table: StudyTable
    figures: FigureList
    keys: Mapping[str, str]
    verdict: Verdict
    control: PositiveControl
    conduct: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class ReaderStudy:
    """A study to be analysed: a task for `cspine_bench.measurement.task.run_task`.

    Args:
        responses: all answers.
        recipe: margins, error rates, units.
        inputs: what the answers come from.
        provenance: what was decided before them.
        protocol: as frozen; None: tables.
        sources: synthetic ones in their order, such as that of checkpoints; (): by name.
        source_names: in words.
        notes: what was met when the answers were read.
        command: that gives the result again.
    """

    responses: Responses
    recipe: AnalysisRecipe
    inputs: tuple[Input, ...]
    provenance: Provenance = field(default_factory=Provenance)
    protocol: Protocol | None = None
    sources: tuple[str, ...] = ()
    source_names: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    command: str = ""

    @cached_property
    def analysis(self) -> Analysis:
        """All figures; computed once.

        Raises:
            DataError: there is nothing to analyse.
        """
        return _analyse(self.responses, self.recipe, self.provenance, self.sources)

    @property
    def question(self) -> Question:
        """What is measured; what has no value is part of it."""
        return Question(
            measure=MEASURE,
            measure_version=MEASURE_VERSION,
            inputs=self.inputs,
            settings=self._describe(),
            seed=0,
        )

    def answer(self, work: Work, show: ShowStage) -> Evidence:
        """The result with its page and papers."""
        with show("analyse"):
            found = self.analysis
        result = build_result(
            self.question,
            encoder=None,
            figures=tuple(found.figures.figures.values()),
            verdict=self._spell_verdict(),
            device="cpu",
            seconds=found.seconds,
        )
        records = self.collect_records()
        page = build_study_page(result, records)
        papers = {
            ".readers.csv": render_readers(result, found).encode(),
            ".methods.md": write_methods(result, records).encode(),
            ".grras.md": write_grras(result, records).encode(),
        }
        return Evidence(result, build_rows(self.responses), page, papers)

    def collect_records(self) -> StudyRecords:
        """What the page shows beside the figures."""
        found = self.analysis
        return StudyRecords(
            responses=self.responses,
            analysis=self.recipe,
            verdict=found.verdict.kind,
            control=found.control.control,
            steps=found.verdict.steps,
            provenance=self.provenance,
            protocol=self.protocol,
            source_names=self.source_names,
            not_defined=_group(found.figures.not_defined),
            notes=self._list_notes(),
            warnings=self.list_warnings(),
            command=self.command,
            citation=CITATION,
            below_chance=found.verdict.below_chance,
        )

    def list_warnings(self) -> tuple[str, ...]:
        """What a reader of every figure should know."""
        found = self.analysis
        told = list(self.notes) + list(found.table.notes)
        counts = Counter(trial.reader for trial in self.responses.trials if trial.kind == "main")
        if len(set(counts.values())) > 1:
            each = ", ".join(f"{reader} {counts[reader]:,}" for reader in found.table.readers)
            told.append(f"readers answered unequal numbers of the {len(found.table.cases):,} display sets: {each}")
        table = found.table
        if table.is_uneven:
            told.append(
                f"{table.num_real:,} of {len(table.cases):,} single images are real: 50 % is what guessing gives only "
                "where half of them are; the label-randomisation test and d' allow for it, comparisons with 50 % and "
                "equivalence are not defined"
            )
        told += _list_bias(found)
        if len(table.readers) == 1:
            told.append("one reader: nothing here speaks for other readers")
        return tuple(told)

    def _list_notes(self) -> dict[str, tuple[str, ...]]:
        found = self.analysis
        paper = build_paper_block(found.figures, [found.keys[source] for source in found.table.sources])
        notes = {
            "sources": tuple(standing.text for standing in found.verdict.sources),
            "habits": found.conduct,
            "paper": (paper["why"],),
        }
        return {section: told for section, told in notes.items() if told}

    def _spell_verdict(self) -> str:
        made_up = "Simulated readers: nobody read these images. " if self.responses.simulated else ""
        words = made_up + spell_rehearsal(self.protocol) + self.analysis.verdict.text
        return f"{words} {spell_leaks(self.protocol)}".rstrip()

    def _describe(self) -> dict[str, Any]:
        """JSON of all that the figures depend on, and of what they mean."""
        found, given = self.analysis, self.provenance
        sources = [found.keys[source] for source in found.table.sources]
        tost = f"acc.twoway_tost{name_margin(self.recipe.accuracy_margin)}"
        standing = "pre-registered" if given.is_registered else "not pre-registered"
        return {
            "analysis": self.recipe.model_dump(mode="json"),
            "registration": "post hoc" if given.post_hoc else standing,
            "post_hoc": list(given.post_hoc),
            "protocol_sha256": given.protocol_sha256,
            "chain_head": given.chain_head,
            "design": self.responses.design,
            "num_steps": self.responses.num_steps,
            "chance": found.table.chance,
            "simulated": self.responses.simulated,
            "readers": {found.keys[reader]: reader for reader in found.table.readers},
            "sources": {found.keys[source]: source for source in found.table.sources},
            "primary": {
                "test": "pick.label_test.p_greater",
                "interval": "acc.twoway.mean",
                "equivalence": f"{tost}.p",
                "equivalence_too": f"{tost}.nn_p",
                "ratings": f"wil.{self.recipe.rating_unit}.wilcox.perm",
            },
            "verdict": found.verdict.kind,
            "control": found.control.control,
            "by_source": [
                {"source": one.source, "ratings": one.ratings, "picked_over": one.picked, "text": one.text}
                for one in found.verdict.sources
            ],
            "paper": build_paper_block(found.figures, sources),
            "field": list_field_results(),
            "conduct": list(found.conduct),
            "warnings": list(self.list_warnings()),
            "not_defined": dict(found.figures.not_defined),
        }


def _list_bias(found: Analysis) -> list[str]:
    """Single images that were nearly all given one name: what such answers can show is little."""
    share = found.figures.value("source.real.share") if found.table.design == "single" else None
    if share is None or BIAS <= share <= 1 - BIAS:
        return []
    return [
        f'{100 * share:.1f} % of {found.table.num_answers:,} answers were "real": readers who nearly always say '
        "the same can hardly be right more often than by chance, whatever they see; read hit and false-alarm rates"
    ]


def _analyse(responses: Responses, recipe: AnalysisRecipe, provenance: Provenance, sources: Sequence[str]) -> Analysis:
    started = time.monotonic()
    table = build_table(responses, sources=sources)
    others = sorted({trial.reader for trial in responses.trials} - set(table.readers))
    keys = build_keys([*table.readers, *others], prefix="reader")
    keys |= build_keys((REAL, *table.sources), prefix="source")
    available = {
        "readers": len(table.readers),
        "cases": len(table.cases),
        "answers": table.num_answers,
        "images": len(table.image_ids),
        "ratings": int((table.ratings == table.ratings).sum()),
        "pairs": len(table.readers) * len(table.cases),
    }
    figures = FigureList(available, 1 - recipe.alpha)
    control = add_controls(figures, responses, table, recipe, keys)
    add_accuracy(figures, table, recipe)
    add_picks(figures, table, keys)
    add_ratings(figures, table, recipe, keys)
    add_signed_ranks(figures, table, keys)
    add_trend(figures, table)
    add_repeats(figures, responses, keys)
    conduct = add_conduct(figures, table, recipe, keys, control)
    verdict = reach_verdict(figures, table, recipe, control, provenance, keys)
    return Analysis(table, figures, keys, verdict, control, conduct, time.monotonic() - started)


def _group(not_defined: Mapping[str, str]) -> tuple[NotMeasured, ...]:
    """Figures of one kind that have no value for one reason, together: `diff.s1.twoway: se, df, t`."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for name, why in not_defined.items():
        kind, _, last = name.rpartition(".")
        grouped.setdefault((kind, why), []).append(last)
    return tuple(
        NotMeasured(f"{kind}.{lasts[0]}" if len(lasts) == 1 else f"{kind}: {', '.join(lasts)}", why)
        for (kind, why), lasts in grouped.items()
    )


def build_rows(responses: Responses) -> pa.Table:
    """One row for each answer, then one for each rating."""
    names = (
        "record", "reader", "quartet", "kind", "trial_index", "picked_position", "picked_source", "correct",
        "response_time_s", "image_id", "source", "position", "rating",
    )  # fmt: skip
    types = (
        pa.string(), pa.string(), pa.string(), pa.string(), pa.int64(), pa.int64(), pa.string(), pa.bool_(),
        pa.float64(), pa.string(), pa.string(), pa.int64(), pa.int64(),
    )  # fmt: skip
    rows: list[tuple[Any, ...]] = [
        ("answer", t.reader, t.quartet, t.kind, t.trial_index, t.picked_position, t.picked_source, bool(t.correct),
         t.response_time_s, t.picked_image, None, None, None)
        for t in responses.trials
    ]  # fmt: skip
    rows += [
        ("rating", r.reader, r.quartet, r.kind, None, None, None, None, None, r.image_id, r.source,
         r.position or None, r.rating)
        for r in responses.ratings
    ]  # fmt: skip
    columns = list(zip(*rows, strict=True))
    arrays = [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)]
    return pa.Table.from_arrays(arrays, names=list(names))


_READER_TABLE: Final = (
    "reader", "answers", "correct", "accuracy", "low", "high", "pane_p", "median_s", "one_rating", "control_accuracy",
)  # fmt: skip
_READER_COLUMNS: Final = ("accuracy", "pos.chisq.p", "median_s", "one_rating")


def render_readers(result: Result, found: Analysis) -> str:
    """The table of readers as CSV: accuracy with Wilson's interval, and how each one worked."""
    rows = []
    figures = {figure.name: figure for figure in result.figures}
    for place, reader in enumerate(found.table.readers):
        key = found.keys[reader]
        share, *others = (figures.get(f"reader.{key}.{column}") for column in _READER_COLUMNS)
        row = found.table.correct[place]
        ends = (None, None) if share is None or share.interval is None else (share.interval.low, share.interval.high)
        control = figures.get(f"control.{key}.accuracy")
        values = [None if share is None else share.value, *ends]
        values += [None if one is None else one.value for one in (*others, control)]
        written = ["" if value is None else f"{value:.6g}" for value in values]
        rows.append([reader, int((row == row).sum()), int((row == 1).sum()), *written])
    return render_csv_table(_READER_TABLE, rows)
