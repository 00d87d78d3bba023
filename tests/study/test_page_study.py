"""The page of a reader study and its papers: every figure, loud warnings, nothing hostile, nothing invented."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cspine_bench.page.wording import show_figure
from cspine_bench.results import Result
from cspine_bench.study.page.figure_names import is_p_value, show_p
from cspine_bench.study.page.grras import FILL, write_grras
from cspine_bench.study.page.methods import write_methods
from cspine_bench.study.page.records import Provenance, StudyRecords
from cspine_bench.study.page.sections import show_margin
from cspine_bench.study.page.study import build_study_page
from cspine_bench.study.recipe import AnalysisRecipe
from cspine_bench.study.responses import Rating, Responses, Trial
from tests.page_elements import Elements
from tests.study.result_example import (
    HOSTILE,
    build_figures,
    build_protocol,
    build_records,
    build_responses,
    build_result,
    figure,
    rename,
)

UNRATED = build_responses(ratings=False)
LEAKY = build_protocol().leak_audit.model_copy(update={"auc": 0.91, "overridden": "old films only"})
BANNERS = {
    "Simulated readers.": {"responses": replace(build_responses(), simulated=True)},
    "Rehearsal.": {"protocol": build_protocol().model_copy(update={"rehearsal": "9 of 9 are marked as synthetic"})},
    "Known leaks.": {"protocol": build_protocol().model_copy(update={"leak_audit": LEAKY})},
    "Not pre-registered.": {"provenance": Provenance(), "protocol": None},
    "Answers without a ledger.": {"provenance": Provenance(protocol_sha256="1" * 64)},
    "Post hoc.": {"provenance": Provenance("1" * 64, "2" * 64, "3" * 64, 9, post_hoc=("alpha was changed",))},
    "Positive control failed.": {"control": "failed"},
    "No positive control.": {"control": "missing"},
}


@pytest.fixture(scope="module")
def page() -> bytes:
    return build_study_page(build_result(), build_records())


def test_every_figure_is_on_the_page_with_its_name_and_all_digits(page: bytes) -> None:
    shown = Elements(page)
    titles = [one["title"] for one in shown.of("span") if one.get("class") == "pair-of"]
    assert sorted(titles) == sorted(f"{one.name} = {one.value!r}" for one in build_figures())
    for one in build_figures():
        text = show_p(one.value) if is_p_value(one.name) else show_figure(one).value
        assert text in shown.text or f"{one.value:,.0f}" in shown.text, one
        assert show_figure(one).interval in shown.text, one
    for words in ("A note of its own.", "Liver: every figure", "98.8", "3.22 × 10⁻⁷"):
        assert words in shown.text


def test_first_screen_says_verdict_gate_and_numbers(page: bytes) -> None:
    text = re.sub(r"\s+", " ", Elements(page).text)
    first = text[: text.index("Can readers tell real from synthetic?")]
    for words in ("Inconclusive", "Positive control✓ yes", "Test against chance✗ no", "Equivalence– open", "5 of 18",
                  "27.8 %", "95 %: two-way 6.3 to 49.2 %, non-negative 2.2 to 53.4 %",
                  "0.50", "±23.2 points", "Readers3", "Cases6"):  # fmt: skip
        assert words in first, words
    assert first.count("Equivalence: p = .2225.") == 1, "told in the step, and not again in the verdict"
    assert not any(words in first for words in BANNERS)
    assert "indistinguishable" not in first


@pytest.mark.parametrize("words", BANNERS)
def test_what_must_be_read_first_is_loud(words: str) -> None:
    changed: dict[str, Any] = BANNERS[words]
    shown = Elements(build_study_page(build_result(), build_records(**changed)))
    assert words in shown.text and shown.text.index(words) < shown.text.index("Inconclusive")
    assert sum(one.get("class") == "banner" for one in shown.of("aside")) == 1


def test_papers_of_a_rehearsal_begin_with_it() -> None:
    records = build_records(**BANNERS["Rehearsal."])
    for write in (write_methods, write_grras):
        assert "**A rehearsal: 9 of 9 are marked" in write(build_result(), records)
        assert "rehearsal" not in write(build_result(), build_records())
    for resampled, words in ((True, "brought there by one resampling"), (False, "none of them resampled")):
        protocol = build_protocol()
        frames = protocol.frames.model_copy(update={"resampled": resampled})
        known = build_records(protocol=protocol.model_copy(update={"frames": frames}))
        assert words in write_methods(build_result(), known) and words not in write_methods(build_result(), records)


def test_nothing_hostile_comes_alive_and_nothing_is_asked_for() -> None:
    names = {"R1": HOSTILE, "R2": "</svg><script>"}
    records = build_records(responses=rename(build_responses(), names), source_names={"s1": HOSTILE})
    shown = Elements(build_study_page(build_result(), records))
    assert not {"img", "script", "link", "iframe", "object"} & {tag for tag, _ in shown.found}
    for tag, attributes in shown.found:
        assert not any(name.startswith("on") or name in ("src", "action") for name in attributes), (tag, attributes)
        assert attributes.get("href", "#").startswith("#"), attributes
    assert "url(" not in shown.style and "@import" not in shown.style
    policy = next(one["content"] for one in shown.of("meta") if one.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'") and "script" not in policy
    assert shown.text.count("<img src=x onerror") >= 8, "it is shown as the text that it is"


def test_the_same_study_gives_the_same_bytes(page: bytes) -> None:
    assert build_study_page(build_result(), build_records()) == page
    turned = replace(build_responses(), trials=build_responses().trials[::-1], ratings=build_responses().ratings[::-1])
    assert build_study_page(build_result(), build_records(responses=turned)) == page, "whatever their order"


def single(answer: str, source: str, place: int) -> Trial:
    return Trial("R1", f"Q{place}", place, "main", None, answer, (answer == "real") == (source == "real"), None)


SINGLE = Responses(
    "single", 4, (single("real", "real", 1), single("synthetic", "s1", 2)),
    (Rating("R1", "Q1", "main", "a", "real", 1, 4), Rating("R1", "Q2", "main", "b", "s1", 1, 4)),
)  # fmt: skip


@pytest.mark.parametrize(
    ("responses", "present", "absent"),
    [
        (Responses("quartet", 4, (), ()), "nobody answered a display set", "Picks per pane"),
        (build_responses(("R1",), cases=1), "Picks per pane", "nobody answered"),
        (build_responses(ratings=False), "no image was rated", "How images of each source were rated"),
        (replace(build_responses(), trials=()), "nobody answered a display set", "Accuracy over the order"),
        (SINGLE, "Answers", "Picks per pane"),
        (replace(SINGLE, ratings=()), "no image was rated", "Picks per pane"),
        (build_responses(tuple(f"R{number}" for number in range(1, 61)), cases=2), "R60", "nobody answered"),
    ],
)  # fmt: skip
def test_little_to_show_is_said_and_not_invented(responses: Responses, present: str, absent: str) -> None:
    records = StudyRecords(responses=responses, analysis=AnalysisRecipe())
    for figures in ((), build_figures()):
        result = build_result(figures, verdict="", inputs=(), settings={}, seed=None)
        shown = Elements(build_study_page(result, records))
        assert present in shown.text and absent not in shown.text
        assert "The result states no verdict." in shown.text and "No positive control." in shown.text
        assert not re.search(r"\b(nan|None|inf)\b", shown.text)
        assert not re.search(r"\b(nan|None|inf)\b", " ".join(str(attributes) for _, attributes in shown.found))
    assert write_methods(result, records) and write_grras(result, records)


def test_a_source_that_no_name_can_spell_is_found_by_its_subgroup() -> None:
    of_it = {"subgroup": {"source": HOSTILE}}
    figures = [
        figure("rate.mean.source1", 2.4681, **of_it),
        figure("diff.source1.twoway.mean", -0.1357, (-0.5, 0.25), **of_it),
        figure("wil.reader.wilcox.perm.holm[0]", 0.7654, **of_it),
        figure("wil.reader.wilcox.perm.source1", 0.5432, **of_it),
    ]
    responses = build_responses()
    ratings = tuple(replace(one, source={"s1": HOSTILE}.get(one.source, one.source)) for one in responses.ratings)
    records = build_records(responses=replace(responses, ratings=ratings), source_names={})
    text = re.sub(r"\s+", " ", Elements(build_study_page(build_result(figures), records)).text)
    assert "2.47−0.136−0.50 to 0.25" in text and "0.54 (0.77)" in text


def test_p_values_and_margins_are_never_rounded_to_a_claim() -> None:
    assert [show_p(value) for value in (0.0, 0.00099, 0.0383, 0.05004, 0.0996, 0.5, 1.0)] == [
        "< 0.001", "< 0.001", "0.038", "0.050", "0.10", "0.50", "1.00",
    ]  # fmt: skip
    assert [show_margin(value) for value in (0.0745, 0.07411, 0.1, None)] == ["±7.5", "±7.5", "±10.0", "–"]
    assert is_p_value("wil.reader.wilcox.cc0.holm[2]") and is_p_value("acc.twoway.nn_p_two")
    assert not is_p_value("acc.binom.phat") and not is_p_value("pick.fleiss.pa")


SENTENCES: dict[str, tuple[Callable[[Result], Result], Callable[[StudyRecords], StudyRecords], str]] = {
    "primary": (lambda one: drop(one, "pick.label_test"), lambda one: one, "exact randomisation of the label"),
    "interval": (lambda one: drop(one, "acc.twoway.lo"), lambda one: one, "takes readers and cases as random"),
    "equivalence": (lambda one: drop(one, "acc.twoway_tost"), lambda one: one, "Equivalence to chance was asked"),
    "model": (lambda one: drop(one, "acc.glmm"), lambda one: one, "crossed random readers and cases"),
    "ordinal": (lambda one: drop(one, "clmm"), lambda one: one, "cumulative-link"),
    "wilcoxon": (lambda one: drop(one, "wil."), lambda one: one, "signed-rank"),
    "areas": (lambda one: drop(one, "auc"), lambda one: one, "area under the ROC curve"),
    "sources": (lambda one: drop(one, "pick.s1"), lambda one: one, "followed up"),
    "null": (lambda one: drop(one, "pick.fleiss_null"), lambda one: one, "tested with Fleiss"),
    "self": (lambda one: drop(one, "intra"), lambda one: one, "Intra-reader agreement"),
    "ledger": (lambda one: one, lambda one: replace(one, provenance=Provenance("1" * 64)), "append-only ledger"),
    "frozen": (lambda one: one, lambda one: replace(one, provenance=Provenance()), "frozen before the first answer"),
    "plan": (lambda one: one, lambda one: replace(one, protocol=None), "order of their own"),
    "control": (lambda one: one, lambda one: replace(one, control="missing"), "Assay sensitivity"),
    "ratings": (lambda one: one, lambda one: replace(one, responses=UNRATED), "scale of 4 steps"),
    "people": (lambda one: one, lambda one: replace(one, responses=replace(one.responses, simulated=True)), ""),
}  # fmt: skip


def drop(result: Result, prefix: str) -> Result:
    kept = tuple(one for one in result.figures if not one.name.startswith(prefix))
    assert kept != result.figures
    return result.model_copy(update={"figures": kept})


@pytest.mark.parametrize("name", SENTENCES)
def test_methods_tell_what_was_done_and_nothing_else(name: str) -> None:
    without_figures, without_records, words = SENTENCES[name]
    whole = write_methods(build_result(), build_records())
    less = write_methods(without_figures(build_result()), without_records(build_records()))
    if not words:
        assert "simulated" in less and "simulated" not in whole
        return
    assert words in whole and words not in less


def test_methods_are_exact_and_safe_to_paste() -> None:
    text = write_methods(build_result(), build_records(protocol=build_protocol(strata=["sex"])))
    for words in (
        "3 readers answered 18 displays of 6 cases.", "one-sided at 0.05", "±10 percentage points", "±0.2 steps",
        "Images of a display set agreed in sex.", "64 x 48 px at 16 bits", "AUC of 0.61", "SHA-256 " + "1" * 64,
        "kappa is given of right and wrong answers and panes", "They answered 3 displays a second time",
        "1: clearly not a radiograph", "cspine-bench 0.0.1, measure reader-study 1",
    ):  # fmt: skip
        assert words in text, words
    assert "<img" not in text.replace("\\<img", "") and "\n|" not in text
    assert "indistinguishable" not in text


def test_the_checklist_has_all_items_and_asks_for_what_only_authors_know() -> None:
    text = write_grras(build_result(), build_records())
    rows = [line for line in text.splitlines() if re.match(r"\| \d+ \|", line)]
    assert [int(row.split("|")[1]) for row in rows] == list(range(1, 16))
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 5 for row in rows), "a hostile name makes no cell of its own"
    left_to_authors = [int(row.split("|")[1]) for row in rows if FILL in row]
    assert left_to_authors == [1, 3, 4, 5, 6, 7, 8, 9, 12, 14, 15]
    assert "Kappa (Fleiss), image: 0.0832 (95 % −0.12 to 0.29)" in text and "accuracy 5 of 18, chance 25 %" in text
