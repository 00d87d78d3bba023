"""What the page of a reader study shows beside the figures of its result.

The page and the papers read the result's figures by these names; each is looked up, none is needed, and whatever other
figure there is stands in the tables too (grouped by what comes before its first dot), so that nothing is left out.

num.readers, num.cases, num.answers                       how much was read, in the primary analysis
acc.k, acc.n, acc.binom.*                                 the count, and what ignores that answers hang together
acc.twoway.mean .se .df .lo .hi .p_two .p_greater         two-way random readers x cases; .nn_* non-negative rule
acc.twoway_tost.p_lower .p_upper .lo90 .hi90 .min_margin  equivalence at the protocol's margin (or twoway_tost10, ...)
acc.dprime, acc.glmm.*, acc.bf10_*                        further scales and models
pick.label_test.k .p_greater .p_two .mean .sd .deff       the primary test
pick.s1.label_test.p_greater .holm                        the same for each synthetic source alone
pick.fleiss_null.*, pick.fleiss.*, pick.ac1.*             agreement of picks by image; correct.*, pos.* by others
rate.*, intra.*                                           agreement on ratings, and with oneself
source.chisq.stat .p, pos.chisq.stat .p                   picks per source and per pane
diff.s1.twoway.mean .lo .hi .nn_*, diff.s1.tost.*         ratings, real less synthetic (or tost20, ...)
wil.UNIT.ZEROS.*                                          signed ranks, by unit and by what is done with zeros
auc.auc .lo .hi .p_two .per_reader[0]                     ratings as a detector

A figure's ends are those of its `interval`, or the figures beside it that end in `lo` and `hi`. A figure that belongs
to a reader or a source that no name can spell has it in its `subgroup`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cspine_bench.page.tables import NotMeasured
from cspine_bench.study.protocol import Protocol
from cspine_bench.study.recipe import AnalysisRecipe
from cspine_bench.study.responses import Responses

VerdictKind = Literal["distinguishable", "equivalent", "detectable-but-small", "inconclusive", "no-verdict"]
"""`detectable-but-small`: above chance and within the margin; `no-verdict`: the gate is shut, or nothing is defined."""

Control = Literal["passed", "failed", "too-few", "missing"]
"""Of the positive controls; `too-few`: right answers to all would be no more than chance; `missing`: none answered."""


@dataclass(frozen=True)
class Step:
    """One step on the way to the verdict.

    Attributes:
        name: what is asked: "Positive control", "Test against chance", "Equivalence".
        state: `yes` or `no`: the answer; `open`: not asked, or not defined.
        text: one sentence with the numbers that it rests on.
    """

    name: str
    state: Literal["yes", "no", "open"]
    text: str


@dataclass(frozen=True)
class Provenance:
    """Where the answers come from, and what was decided before them.

    Attributes:
        protocol_sha256: of the frozen protocol; "": there is none, so all that was chosen may have been chosen later.
        truth_sha256: the seal of what is real; "": none.
        chain_head: hash of the ledger's last record; "": answers from a table, which prove nothing by themselves.
        chain_records: how many records the chain has.
        unblinded: UTC time of unblinding; "": not known.
        first_answer: UTC time; "": not known.
        last_answer: likewise.
        post_hoc: in words, each thing about the analysis that is not as the frozen protocol has it.
    """

    protocol_sha256: str = ""
    truth_sha256: str = ""
    chain_head: str = ""
    chain_records: int = 0
    unblinded: str = ""
    first_answer: str = ""
    last_answer: str = ""
    post_hoc: tuple[str, ...] = ()

    @property
    def is_registered(self) -> bool:
        """Whether a protocol was frozen before the first answer, and the answers lie in its ledger."""
        return bool(self.protocol_sha256 and self.chain_head)


@dataclass(frozen=True)
class StudyRecords:
    """All that the page shows beside the figures; a missing part becomes a sentence.

    Attributes:
        responses: every answer, in whatever order; positive controls and repeats too.
        analysis: margins, error rates and units that the figures were computed with.
        verdict: one of four, or none.
        control: whether the readers could have seen a difference.
        steps: on the way to the verdict, in order.
        provenance: of answers and decisions.
        protocol: as frozen; None: the study was read from tables.
        source_names: in words, by source: {"s1": "checkpoint 100k"}.
        not_defined: what has no value, and why; also what was not computed.
        notes: sentences by the section that they belong to.
        warnings: what a reader of every figure should know.
        command: that gives the result again.
        citation: how to cite it.
        below_chance: whether fewer answers were right than by chance, two-sided: readers who are misled see something.
    """

    responses: Responses
    analysis: AnalysisRecipe
    verdict: VerdictKind = "no-verdict"
    control: Control = "missing"
    steps: tuple[Step, ...] = ()
    provenance: Provenance = Provenance()
    protocol: Protocol | None = None
    source_names: Mapping[str, str] = field(default_factory=dict)
    not_defined: tuple[NotMeasured, ...] = ()
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    command: str = ""
    citation: str = ""
    below_chance: bool = False
