"""What a paper says of the study's methods: one paragraph for each part, with nothing that was not done."""

from collections.abc import Mapping

from cspine_bench.results import Result
from cspine_bench.study.page.answers import list_readers, list_sources, of_kind
from cspine_bench.study.page.lookup import Lookup
from cspine_bench.study.page.records import StudyRecords
from cspine_bench.study.protocol import Protocol
from cspine_bench.study.recipe import CHANCE, NUM_PANES, Design
from cspine_bench.study.schedule import TrialKind
from cspine_bench.study.truth import REAL

_DESIGNS: dict[Design, str] = {
    "quartet": "Each display set showed four radiographs, one of them real; readers picked the one that they held for "
    "real",
    "pair": "Each display set showed two radiographs, one of them real; readers picked the one that they held for real",
    "single": "Each display showed one radiograph; readers said whether it was real or synthetic",
}


def write_methods(result: Result, records: StudyRecords) -> str:
    """The methods section, Markdown, past tense; saved as `reader-study.methods.md`.

    Args:
        result: of measure `reader-study`.
        records: beside it.

    Returns:
        Paragraphs under one heading. A sentence stands there only where the result or the protocol shows that the thing
        was done; what the authors alone know is left to the GRRAS checklist.
    """
    lookup = Lookup(result.figures)
    paragraphs = [
        _write_design(records),
        _write_blinding(records),
        _write_primary(lookup, records),
        _write_ratings(lookup, records),
        _write_agreement(lookup),
        _write_deviations(result, records),
    ]
    text = "\n\n".join(" ".join(sentences) for sentences in paragraphs if sentences)
    note = "**These readers were simulated: this text describes no study.**\n\n" if records.responses.simulated else ""
    if records.protocol is not None and records.protocol.rehearsal:
        note += f"**A rehearsal: {plain(records.protocol.rehearsal)}.**\n\n"
    return f"# Methods: reader study\n\n{note}{text}\n"


def list_words(words: list[str]) -> str:
    """Words as a list in a sentence: "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "none"


def plain(text: str) -> str:
    """Somebody's words inside Markdown: on one line, and no markup of their own."""
    for mark in "\\`*_[]<>|#":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())


def name_source(source: str, names: Mapping[str, str]) -> str:
    """A source by its own name and, in brackets, what it is in words."""
    words = names.get(source, "")
    return f"{source} ({words})" if words and words != source else source


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def _write_design(records: StudyRecords) -> list[str]:
    responses, protocol = records.responses, records.protocol
    readers, main = list_readers(responses), of_kind(responses, "main")
    cases = {trial.quartet for trial in main}
    told = [f"{_count(len(readers), 'reader')} answered {_count(len(main), 'display')} of "
            f"{_count(len(cases), 'case')}. {_DESIGNS[responses.design]}."]  # fmt: skip
    synthetic = [source for source in list_sources(responses) if source != REAL]
    if synthetic and responses.design != "single":
        named = [plain(name_source(source, records.source_names)) for source in synthetic]
        told.append(f"Synthetic images came from {_count(len(named), 'source')} ({list_words(named)}).")
    if responses.ratings:
        words = [f"{step}: {plain(text)}" for step, text in enumerate(protocol.recipe.anchors, 1)] if protocol else []
        anchors = f" ({'; '.join(words)})" if words else ""
        told.append(f"Each image was rated for realism on a scale of {responses.num_steps} steps{anchors}.")
    if protocol is not None:
        told += _write_plan(protocol)
    kinds: tuple[tuple[TrialKind, str], ...] = (
        ("training", "practised on {} before, which were in no analysis"),
        ("positive-control", "answered {} with a positive control, whose artefact a reader who looks must find"),
        ("negative-control", "answered {} without a real image, which show habits and were in no test"),
    )
    for kind, did in kinds:
        trials = of_kind(responses, kind)
        if trials:
            told.append(f"Readers {did.format(_count(len({trial.quartet for trial in trials}), 'display set'))}.")
    repeats = of_kind(responses, "repeat")
    if repeats:
        told.append(f"They answered {_count(len(repeats), 'display')} a second time, which served intra-reader "
                    "agreement alone.")  # fmt: skip
    return told


def _write_plan(protocol: Protocol) -> list[str]:
    """What the frozen protocol says was done before anybody read."""
    recipe, frames = protocol.recipe, protocol.frames
    told = [f"Images of a display set agreed in {list_words(list(recipe.strata))}."] if recipe.strata else []
    how = {True: ", all brought there by one resampling,", False: ", none of them resampled,", None: ""}
    told.append(f"Images of {frames.width} x {frames.height} px at {frames.bit_depth} bits{how[frames.resampled]} were "
                "shown at one initial window.")  # fmt: skip
    if recipe.num_panes > 1:
        told.append(f"No two images whose fine structure correlated above {recipe.copy_limit:g} were shown together.")
    audit = protocol.leak_audit
    told.append(
        "Before the study a cross-validated classifier on features that are no anatomy told real from synthetic images "
        f"with an AUC of {audit.auc:.2f} (interval {audit.low:.2f} to {audit.high:.2f}; limit {audit.limit:g}"
        + (f", overridden: {plain(audit.overridden)})." if audit.overridden else ").")
    )
    return told


def _write_blinding(records: StudyRecords) -> list[str]:
    found, protocol = records.provenance, records.protocol
    told = []
    if protocol is not None:
        balanced = ", and the pane of the real image was balanced over readers and over cases"
        told.append(f"Every reader saw the cases in an order of their own{balanced * (protocol.recipe.num_panes > 1)}.")
    if found.chain_head:
        told.append("Images were served as raw pixels of equal length under ids that differed between readers, trials "
                    "and panes; answers were stored in an append-only ledger, each record chained to the one before "
                    "by SHA-256. Readers were given no feedback on answers of the analysis, and no accuracy was "
                    "computed before unblinding.")  # fmt: skip
    if found.is_registered:
        told.append(f"Hypotheses, margins, error rates, units and exclusions were fixed in a protocol (SHA-256 "
                    f"{found.protocol_sha256}) that was frozen before the first answer.")  # fmt: skip
    if found.truth_sha256:
        told.append(f"Which images were real was sealed by a salted hash (SHA-256 {found.truth_sha256}) until then.")
    if found.unblinded:
        told.append(f"The study was unblinded on {plain(found.unblinded)}.")
    return told


def _write_primary(lookup: Lookup, records: StudyRecords) -> list[str]:
    analysis, chance = records.analysis, CHANCE[records.responses.design]
    where = "over images" if records.responses.design == "single" else "within display sets"
    told = []
    asked = lookup.value("control.habit.p") is not None
    habit = ", and to call them synthetic more often than real images (Fisher’s exact test, likewise)" if asked else ""
    if records.control != "missing":
        told.append(f"Assay sensitivity was asked first: readers had to be right in at least "
                    f"{100 * analysis.control_accuracy:g} % of positive controls, and more often than by chance "
                    f"(exact binomial test, one-sided at {analysis.alpha:g}){habit}.")  # fmt: skip
    if lookup.value("pick.label_test.p_greater") is not None:
        told.append(
            f"The primary test against chance was an exact randomisation of the label “real” {where}, "
            f"one-sided at {analysis.alpha:g}, which allows for any dependence between readers (chance "
            f"{100 * chance:g} %)."
        )
    if lookup.value("acc.twoway.lo") is not None:
        told.append(
            f"The accuracy is given with a {100 * (1 - analysis.alpha):g} % interval that takes readers and cases as "
            "random (Obuchowski-Rockette with degrees of freedom after Hillis), and beside it with one in which no "
            "variance component is taken as negative."
        )
    margin = f"±{100 * analysis.accuracy_margin:g} percentage points"
    tests = [lookup.tost("acc.twoway_tost", margin=analysis.accuracy_margin, rule=rule) for rule in ("", "nn_")]
    if tests[0] is not None:
        both = "" if tests[1] is None or tests[1].p is None else ", and had to be shown by both rules for the variance"
        told.append("Equivalence to chance was asked by two one-sided tests of that mean with a margin of "
                    f"{margin}{both}.")  # fmt: skip
    if lookup.value("acc.glmm.beta[0]", "acc.glmm.beta0") is not None:
        told.append("A logit model with crossed random readers and cases was fitted by maximum likelihood (Laplace).")
    if lookup.value("acc.dprime", "acc.dprime4", "acc.dprime2") is not None:
        panes = NUM_PANES[records.responses.design]
        told.append(f"d′ is that of {f'a {panes}-alternative forced choice' if panes > 1 else 'a yes-no task'}.")
    if lookup.value("acc.bf10_beta11") is not None:
        told.append("Bayes factors take answers as independent and are given for reference.")
    if any(lookup.value(f"pick.{key}.label_test.p_greater") is not None for key in _keys(lookup, records)):
        told.append("Each synthetic source was followed up by the same test of its image against the real one, with "
                    "Holm’s correction over sources.")  # fmt: skip
    return told


def _keys(lookup: Lookup, records: StudyRecords) -> list[str]:
    return [lookup.key("source", source) for source in list_sources(records.responses) if source != REAL]


def _write_ratings(lookup: Lookup, records: StudyRecords) -> list[str]:
    analysis, keys, told = records.analysis, _keys(lookup, records), []
    if any(lookup.value(f"diff.{key}.twoway.mean") is not None for key in keys):
        told.append("Mean ratings of real less synthetic images were compared for each source by the same two-way "
                    "analysis.")  # fmt: skip
    if any(lookup.tost(f"diff.{key}.tost", margin=analysis.rating_margin) is not None for key in keys):
        told.append(f"Their equivalence was asked by two one-sided tests with a margin of ±{analysis.rating_margin:g} "
                    "steps.")  # fmt: skip
    unit = analysis.rating_unit
    if any(lookup.value(f"wil.{unit}.wilcox.perm.{key}") is not None for key in keys):
        told.append(
            f"Wilcoxon’s signed-rank tests used the mean difference of each {'reader' if unit == 'reader' else 'case'} "
            "as the unit, zeros dropped, mid-ranks for ties, and the exact permutation distribution, with Holm’s "
            "correction over sources."
        )
    if lookup.value("clmm.loglik") is not None:
        told.append("A cumulative-link mixed model with random readers, cases and images was fitted (Laplace).")
    if lookup.value("auc.auc") is not None:
        told.append("Ratings were also taken as a detector: the area under the ROC curve was averaged over readers and "
                    "held against 0.5, readers and images random.")  # fmt: skip
    return told


def _write_agreement(lookup: Lookup) -> list[str]:
    told = []
    coefficients = [name for name, stem in (("Fleiss’ kappa", "pick.fleiss"), ("Gwet’s AC1", "pick.ac1"),
                    ("Krippendorff’s alpha", "pick.alpha")) if lookup.read(stem) is not None]  # fmt: skip
    if coefficients:
        told.append(f"Agreement between readers on which image was picked is given as {list_words(coefficients)}, with "
                    "intervals over display sets (Gwet’s variance).")  # fmt: skip
    if lookup.value("pick.fleiss_null.z") is not None:
        told.append("Whether there is any such agreement was tested with Fleiss’ standard error under none.")
    others = [words for words, stem in (("right and wrong answers", "correct"), ("panes", "pos"))
              if lookup.value(f"{stem}.fleiss_null.est", f"{stem}.fleiss.est") is not None]  # fmt: skip
    if others:
        told.append(f"The same kappa is given of {list_words(others)}, and is named by what it is of.")
    rated = [name for name, stem in (("AC2 with quadratic weights", "rate.ac2_quadratic"),
             ("ordinal alpha", "rate.kripp_ordinal"), ("ICC(2,1)", "rate.icc.icc21"))
             if lookup.read(stem) is not None]  # fmt: skip
    if rated:
        told.append(f"Agreement on ratings is given as {list_words(rated)}.")
    if lookup.value("intra.kappa_quadratic_pooled") is not None:
        told.append("Intra-reader agreement on repeats is given as a quadratically weighted kappa.")
    elif lookup.value("intra.same_pick") is not None:
        told.append("Intra-reader agreement on repeats is given as the share of the same picks.")
    return told


def _write_deviations(result: Result, records: StudyRecords) -> list[str]:
    found = records.provenance
    told = []
    if found.protocol_sha256 and not found.is_registered:
        told.append(f"A protocol (SHA-256 {found.protocol_sha256}) was given; no ledger shows that it came before the "
                    "answers.")  # fmt: skip
    if not found.protocol_sha256:
        told.append("The analysis was not pre-registered: no protocol was frozen before the answers.")
    if found.post_hoc:
        told.append(f"Deviations from the protocol: {'; '.join(plain(one) for one in found.post_hoc)}.")
    commit = f", commit {result.commit}" if result.commit else ""
    told.append(f"The analysis was made with cspine-bench {result.package_version}{commit}, measure {result.measure} "
                f"{result.measure_version}.")  # fmt: skip
    if found.chain_head:
        told.append(f"The last record of the ledger has the SHA-256 {found.chain_head}.")
    return told
