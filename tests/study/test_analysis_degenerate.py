"""Answers that leave little or nothing to compute, through the whole command: a value, or a reason."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cspine_bench.cli import cli
from tests.study.small_answers import (
    CASES,
    READERS,
    Rows,
    analyse_rows,
    draw_answers,
    draw_singles,
    run_json,
    values_of,
)

SETS: dict[str, Callable[[], tuple[Rows, Rows]]] = {
    "ratings of one step": lambda: draw_answers(rate=lambda draw: 4),
    "all right": lambda: draw_answers(pick=lambda draw: 0),
    "all wrong": lambda: draw_answers(pick=lambda draw: draw.randint(1, 3)),
    "one image picked by all": lambda: draw_answers(pick=lambda draw: 2),
    "a third missing": lambda: draw_answers(missing=0.35, seed=30),
    "nearly all missing": lambda: draw_answers(missing=0.85, seed=3),
    "one reader": lambda: draw_answers(READERS[:1]),
    "one case": lambda: draw_answers(cases=CASES[:1]),
    "one answer": lambda: draw_answers(READERS[:1], CASES[:1]),
    "pairs": lambda: draw_answers(panes=2, sources=("s1",)),
    "three of one source": lambda: draw_answers(sources=("only",)),
    "single": draw_singles,
    "single, all called real": lambda: draw_singles(say="real"),
    "single, all right": lambda: draw_singles(say="right"),
    "names": lambda: draw_answers(["Dr. Ö, A", 'Z "q"', "R 3"], sources=("ck 10,000", "модель", "s/3")),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("degenerate")


@pytest.fixture(scope="module")
def documents(folder: Path) -> dict[str, dict[str, Any]]:
    return {name: analyse_rows(folder / name, *draw()) for name, draw in SETS.items()}


def test_a_value_or_a_reason(documents: dict[str, dict[str, Any]]) -> None:
    wanted = (
        "acc.twoway.se", "acc.glmm.beta[0]", "pick.label_test.p_greater", "rate.ac2_quadratic.est", "rate.icc.icc21",
        "auc.auc", "acc.binom.phat", "pick.fleiss.est", "correct.fleiss.est", "acc.twoway_tost10.p",
    )  # fmt: skip
    for name, document in documents.items():
        values, reasons = values_of(document), document["settings"]["not_defined"]
        assert all(math.isfinite(value) for value in values.values()) and all(reasons.values()), name
        for figure in wanted:
            known = figure in values or any(
                figure == one or (one.endswith("*") and figure.startswith(one[:-1])) for one in reasons
            )
            assert known, (name, figure)
        assert not set(values) & set(reasons)
        assert document["verdict"].split(".")[0].split(" within")[0] in (
            "Distinguishable", "Inconclusive", "Equivalent", "Detectable but small", "No verdict",
        )  # fmt: skip
        assert "indistinguishable" not in json.dumps(document)


def test_what_the_extremes_give(documents: dict[str, dict[str, Any]]) -> None:
    right, wrong = documents["all right"], documents["all wrong"]
    # 8 cases that all got right: (1/4) ** 8, whatever the readers share.
    assert values_of(right)["pick.label_test.p_greater"] == pytest.approx(0.25**8)
    assert values_of(right)["acc.binom.cp_hi"] == 1 and values_of(right)["reader.R1.accuracy"] == 1
    assert right["settings"]["not_defined"]["acc.dprime4"].startswith("no right answer, or no wrong one")
    assert right["verdict"].startswith("Distinguishable") and wrong["verdict"].startswith("Inconclusive")
    assert values_of(wrong)["pick.label_test.p_greater"] == 1
    # Readers who are surely wrong see a difference too: no sentence may say that none was shown.
    assert "less often than by chance (two-sided p" in wrong["verdict"]
    assert "No difference was shown" not in wrong["verdict"]
    alike = values_of(documents["ratings of one step"])
    assert alike["rate.ac2_quadratic.est"] == 1 and alike["diff.s1.twoway.mean"] == 0
    assert alike["wil.reader.wilcox.perm.s1"] == 1 and "rate.fleiss.est" not in alike
    assert "0 / 0" in documents["one image picked by all"]["settings"]["not_defined"]["pick.fleiss.est"]
    assert values_of(documents["one image picked by all"])["pick.ac1.est"] == 1
    lone = documents["one reader"]["settings"]
    assert any("one reader" in warning for warning in lone["warnings"])
    assert "pick.fleiss.est" in lone["not_defined"] and "acc.twoway.se" in lone["not_defined"]


def test_few_answers_are_not_equivalent_by_luck(documents: dict[str, dict[str, Any]]) -> None:
    # 13 answers of readers who happen to spread less than chance would have them: one interval is short by luck.
    found = values_of(documents["a third missing"])
    assert found["acc.twoway_tost10.p"] < 0.05 < found["acc.twoway_tost10.nn_p"]
    assert documents["a third missing"]["settings"]["verdict"] == "inconclusive"


def test_designs(documents: dict[str, dict[str, Any]]) -> None:
    pairs, single = documents["pairs"], documents["single"]
    assert pairs["settings"]["design"] == "pair" and pairs["settings"]["chance"] == 0.5
    assert "acc.dprime2" in values_of(pairs)
    assert values_of(pairs)["pick.s1.label_test.p_greater"] == values_of(pairs)["pick.label_test.p_greater"]
    assert single["settings"]["design"] == "single"
    found = values_of(single)
    assert {"acc.dprime", "acc.criterion", "auc.auc", "diff.s1.reader_tost20.p", "wil.reader.wilcox.perm.s1"} <= set(
        found
    )
    for name in ("pos.chisq.*", "diff.s1.twoway.*", "wil.quartet.*", "source.chisq.*"):
        assert name in single["settings"]["not_defined"]
    # Who says "real" to all is as often right whichever images are real.
    assert values_of(documents["single, all called real"])["pick.label_test.p_greater"] == 1
    # 6 of 12 labels in one way of comb(12, 6).
    assert values_of(documents["single, all right"])["pick.label_test.p_greater"] == pytest.approx(1 / 924)
    assert values_of(documents["single, all called real"])["acc.hit_rate"] == 1
    assert any('answers were "real"' in told for told in documents["single, all called real"]["settings"]["warnings"])
    one = values_of(documents["three of one source"])
    assert one["pick.only.label_test.p_greater"] == pytest.approx(one["pick.label_test.p_greater"])


def test_more_real_than_synthetic_images_and_one_control(tmp_path: Path) -> None:
    trials, ratings = draw_singles()
    held = [row for row in trials if row[1] not in ("I1", "I3", "I5")]
    held.append(("R1", "C1", 20, "", "synthetic", 1, "4.5", "positive-control"))
    document = analyse_rows(tmp_path / "uneven", held, [row for row in ratings if row[1] not in ("I1", "I3", "I5")])
    values, settings = values_of(document), document["settings"]
    # Guessing is not right in half of the answers: nothing may be held against one half.
    assert not {"acc.twoway_tost10.p", "acc.binom.p_greater", "acc.twoway.p_two", "acc.bf10_beta11"} & set(values)
    assert {"pick.label_test.p_greater", "acc.twoway.lo", "acc.dprime"} <= set(values)
    assert "6 of 9 images are real" in settings["not_defined"]["acc.twoway_tost10.p"]
    assert "by chance" in document["verdict"] and "chance 50.0 %" not in document["verdict"]
    # One right answer of one cannot be above chance: it is no failure, and no proof.
    assert settings["control"] == "too-few" and not document["verdict"].startswith("No assay sensitivity")
    assert "Too few positive controls" in document["verdict"]


def test_who_always_says_synthetic_passes_no_control_of_single_images(tmp_path: Path) -> None:
    trials, ratings = draw_singles(say="synthetic")
    trials += [(r, f"C{n}", 20 + n, "", "synthetic", 1, "4.5", "positive-control") for r in READERS for n in range(4)]
    settings = analyse_rows(tmp_path / "habit", trials, ratings)
    assert values_of(settings)["control.accuracy"] == 1 and values_of(settings)["control.habit.p"] == 1
    assert settings["settings"]["control"] == "failed" and settings["verdict"].startswith("No assay sensitivity")


def test_names_that_no_figure_can_spell(documents: dict[str, dict[str, Any]]) -> None:
    document = documents["names"]
    assert set(document["settings"]["sources"].values()) == {"ck 10,000", "модель", "s/3"}
    assert set(document["settings"]["readers"].values()) == {"Dr. Ö, A", 'Z "q"', "R 3"}
    figures = {figure["name"]: figure for figure in document["figures"]}
    keys = {name: key for key, name in document["settings"]["sources"].items()}
    assert figures[f"diff.{keys['модель']}.twoway.mean"]["subgroup"] == {"source": "модель"}
    assert "real images were rated" in document["settings"]["by_source"][0]["text"]


def test_answers_without_ratings_repeats_and_controls(tmp_path: Path) -> None:
    trials, ratings = draw_answers()
    for kind, seed, pick in (("positive-control", 1, 0), ("training", 2, 3), ("repeat", 3, None)):
        more = draw_answers(
            cases=CASES[:4], kind=kind, seed=seed, pick=None if pick is None else lambda draw, pick=pick: pick
        )  # type: ignore[misc]
        names = {"positive-control": "P", "training": "T"}.get(kind, "")
        trials += [(reader, names + case, *rest) for reader, case, *rest in more[0]]
        ratings += [(reader, names + case, *rest) for reader, case, *rest in more[1]]
    trials += [
        (reader, f"N{n}", 90 + n, n % 4 + 1, "s1", 0, "", "negative-control") for reader in READERS for n in range(3)
    ]
    document = analyse_rows(tmp_path / "all", trials, ratings)
    found = values_of(document)
    assert found["acc.n"] == 24 and found["control.n"] == 12 and found["control.accuracy"] == 1
    assert found["control.R2.accuracy"] == 1 and document["settings"]["control"] == "passed"
    assert "intra.same_pick" in found and "negative.pos.chisq.p" in found
    bare = analyse_rows(tmp_path / "bare", [row for row in trials if row[-1] == "main"], None)
    assert values_of(bare)["pick.label_test.p_greater"] == found["pick.label_test.p_greater"]
    assert {"rate.*", "diff.*", "wil.*", "auc.*"} <= set(bare["settings"]["not_defined"])
    # The same answers with controls that all readers fail show nothing about small differences.
    failed = [(*row[:3], row[3], "s1", 0, *row[6:]) if row[-1] == "positive-control" else row for row in trials]
    shut = analyse_rows(tmp_path / "shut", failed, None)
    assert shut["verdict"].startswith("No assay sensitivity") and shut["settings"]["verdict"] == "no-verdict"


def test_the_same_question_is_answered_once(documents: dict[str, dict[str, Any]], folder: Path) -> None:
    own = folder / "one answer"
    words = ["study", "analyze", "--trials", str(own / "trials.csv"), "--ratings", str(own / "ratings.csv")]
    words += ["--out", str(own / "out")]
    written = (own / "out" / "reader-study.json").stat().st_mtime_ns
    assert run_json(words) == documents["one answer"]
    assert (own / "out" / "reader-study.json").stat().st_mtime_ns == written
    other = CliRunner().invoke(cli, [*words, "--set", "accuracy_margin=0.08"])
    assert other.exit_code == 2 and "other data or settings" in other.output
