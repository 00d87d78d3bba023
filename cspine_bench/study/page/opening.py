"""The first screen of a study's page: what must be read before anything else, the verdict, and the key numbers."""

from dataclasses import dataclass
from typing import Final

from cspine_bench.page.wording import format_share
from cspine_bench.results import Result
from cspine_bench.study.page.answers import count_right, of_kind
from cspine_bench.study.page.figure_names import show_p
from cspine_bench.study.page.lookup import Lookup
from cspine_bench.study.page.records import StudyRecords
from cspine_bench.study.page.sections import POINTS, find_accuracy_tost, show_margin, show_span
from cspine_bench.study.protocol import spell_leaks, spell_rehearsal
from cspine_bench.study.recipe import CHANCE

_SIMULATED: Final = "Simulated readers: nobody read these images. "
"""What the verdict of made-up readers begins with."""
_SHORT: Final = 60
"""Characters of a first sentence that takes the second with it."""


def show_level(share: float) -> str:
    """What an interval covers, in percent, without the sign: "95"."""
    return f"{100 * share:.6g}"


@dataclass(frozen=True)
class Fact:
    """A number of the first screen: what it is, itself, and what stands below it in small."""

    name: str
    value: str
    below: str = ""


def split_verdict(result: Result, records: StudyRecords) -> tuple[str, str]:
    """The finding and the rest of the verdict, without the sentences that stand in the steps and in the banner."""
    text = result.verdict
    for step in records.steps:
        text = text.replace(step.text, "")
    if records.responses.simulated:
        text = text.replace(_SIMULATED, "")
    for told in (spell_rehearsal(records.protocol), spell_leaks(records.protocol)):
        text = text.replace(told, "")
    sentences = " ".join(text.split()).split(". ")
    # "Inconclusive." alone says too little to stand in large letters.
    count = 2 if len(sentences[0]) < _SHORT else 1
    finding, rest = ". ".join(sentences[:count]), ". ".join(sentences[count:])
    return (f"{finding}." if rest else finding) or "The result states no verdict.", rest


def find_tone(records: StudyRecords) -> str:
    """Calm only where equivalence is shown by readers who passed the positive control."""
    if records.verdict == "equivalent" and not records.below_chance:
        return "calm" if records.control == "passed" and not _is_rehearsed(records) else ""
    return "alarm" if records.verdict in ("distinguishable", "no-verdict") else ""


def _is_rehearsed(records: StudyRecords) -> bool:
    """Whether readers or real images are made up."""
    return records.responses.simulated or (records.protocol is not None and bool(records.protocol.rehearsal))


def list_banners(records: StudyRecords) -> list[tuple[str, str]]:
    """What must be read before anything else: (in capitals, sentence)."""
    found = []
    if records.responses.simulated:
        found.append(("Simulated readers.", "Nobody read these images: the answers were made up. This shows how an "
                      "analysis looks, and says nothing about any image."))  # fmt: skip
    if records.protocol is not None and records.protocol.rehearsal:
        found.append(("Rehearsal.", f"What passed for real is not: {records.protocol.rehearsal}. This says nothing of "
                      "how synthetic images compare with real ones."))  # fmt: skip
    if leaks := spell_leaks(records.protocol):
        found.append(("Known leaks.", leaks))
    if not records.provenance.protocol_sha256:
        found.append(("Not pre-registered.", "No frozen protocol stands behind these answers: margins, tests and "
                      "exclusions may have been chosen after they were seen."))  # fmt: skip
    elif not records.provenance.is_registered:
        found.append(("Answers without a ledger.", "A protocol was given, but no chain of records shows that these "
                      "answers came after it."))  # fmt: skip
    if records.provenance.post_hoc:
        found.append(("Post hoc.", "Not as the frozen protocol has it: " + "; ".join(records.provenance.post_hoc)
                      + "."))  # fmt: skip
    if records.control == "failed":
        found.append(("Positive control failed.", "Readers missed differences that are plain to see, so that they "
                      "found none here means nothing."))  # fmt: skip
    if records.control == "too-few":
        found.append(("Too few positive controls.", "Even right answers to all of those that were answered would be no "
                      "more than chance: nothing shows that these readers would have seen a difference."))  # fmt: skip
    if records.control == "missing":
        found.append(("No positive control.", "Nothing shows that these readers would have seen a difference: nothing "
                      "here can count as a sign that there is none."))  # fmt: skip
    return found


def list_facts(lookup: Lookup, records: StudyRecords, num_readers: int) -> list[Fact]:
    """The key numbers, those that there are."""
    main = of_kind(records.responses, "main")
    right = count_right(main)
    level = show_level(1 - records.analysis.alpha)
    facts = []
    if right.share is not None:
        intervals = [
            f"{name} {show_span(*found.ends, factor=POINTS)} %"
            for name, rule in (("two-way", ""), ("non-negative", "nn_"))
            if (found := lookup.read("acc.twoway", rule=rule)) is not None and found.ends is not None
        ]
        below = f"{level} %: {', '.join(intervals)}" if intervals else "no interval"
        facts.append(Fact("Accuracy", format_share(right.share.value), below))
        facts.append(Fact("Right answers", f"{right.count:,} of {right.total:,}",
                          f"chance {format_share(CHANCE[records.responses.design])}"))  # fmt: skip
    p = lookup.value("pick.label_test.p_greater")
    if p is not None:
        two = lookup.value("pick.label_test.p_two")
        facts.append(Fact("Primary test, one-sided p", show_p(p), "" if two is None else f"two-sided {show_p(two)}"))
    tosts = [find_accuracy_tost(lookup, records.analysis, rule) for rule in ("twoway", "nn")]
    smallest = [tost.smallest for tost in tosts if tost is not None and tost.smallest is not None]
    if smallest:
        asked = f"asked for ±{POINTS * records.analysis.accuracy_margin:g}; the larger of both rules"
        facts.append(Fact("Smallest margin shown", f"{show_margin(max(smallest))} points", asked))
    cases = {trial.quartet for trial in main}
    facts.append(Fact("Readers", f"{num_readers:,}", "simulated" if records.responses.simulated else ""))
    missing = len({trial.reader for trial in main}) * len(cases) - len(main)
    facts.append(Fact("Cases", f"{len(cases):,}", f"{missing:,} answers missing" if missing else "read by all readers"))
    return facts
