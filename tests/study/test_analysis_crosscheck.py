"""Every quantity of the cross-check, from the result of the real command."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.study.small_answers import run_json, values_of

REFERENCE = Path(__file__).parents[3] / "shared" / "crosscheck" / "reader_study"
MESSY = {
    "accuracy.k": "acc.k",
    "accuracy.n": "acc.n",
    "pick.fleiss.est (Gwet, missing allowed)": "pick.fleiss.est",
    "glmm.beta0": "acc.glmm.beta[0]",
    "glmm.sd_reader": "acc.glmm.sd[0]",
    "glmm.sd_quartet": "acc.glmm.sd[1]",
    "glmm.loglik": "acc.glmm.loglik",
    "glmm.se": "acc.glmm.se_full",
}
"""Names of the messy set that are spelled otherwise."""
INTRA = {"intra.sklearn_quadratic_pooled": "intra.kappa_quadratic_pooled"}

pytestmark = pytest.mark.skipif(not REFERENCE.is_dir(), reason=f"the cross-check is not at {REFERENCE}")


@pytest.fixture(scope="module")
def expected() -> dict[str, dict[str, dict[str, Any]]]:
    sets: dict[str, dict[str, dict[str, Any]]] = json.loads((REFERENCE / "expected.json").read_text())
    return sets


@pytest.fixture(scope="module")
def paper_like(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("paper-like")
    return run_json(spell("paper_like", folder)), folder


def spell(name: str, out: Path) -> list[str]:
    words = ["study", "analyze", "--trials", str(REFERENCE / f"{name}_trials.csv")]
    words += ["--ratings", str(REFERENCE / f"{name}_ratings.csv"), "--out", str(out)]
    if name == "paper_like":
        words += ["--repeats", str(REFERENCE / f"{name}_repeats.csv"), "--set", "ordinal_model=true"]
    return words


def find_wrong(wanted: dict[str, dict[str, Any]], found: dict[str, float], names: dict[str, str]) -> dict[str, Any]:
    wrong = {}
    for name, quantity in wanted.items():
        value = found.get(names.get(name, name))
        if value is None or abs(value - quantity["value"]) > quantity["tol"]:
            wrong[name] = (quantity["value"], value)
    return wrong


def test_a_study_like_the_paper(paper_like: tuple[dict[str, Any], Path], expected: dict[str, Any]) -> None:
    document, _ = paper_like
    found = values_of(document)
    assert len(expected["paper_like"]) == 374 and len(expected["intra"]) == 13
    assert find_wrong(expected["paper_like"], found, {}) == {}
    assert find_wrong(expected["intra"], found, INTRA) == {}


def test_what_a_figure_carries(paper_like: tuple[dict[str, Any], Path]) -> None:
    document, out = paper_like
    figures = {figure["name"]: figure for figure in document["figures"]}
    mean = figures["acc.twoway.mean"]
    assert mean["n_used"] == mean["n_available"] == {"readers": 8, "cases": 50, "answers": 400}
    assert mean["interval"]["level"] == 0.95 and "Hillis" in mean["interval"]["method"]
    headlines = ("acc.binom.phat", "pick.fleiss.est", "pick.ac1.est", "diff.s1.twoway.mean", "auc.auc",
                 "acc.dprime4", "intra.same_pick", "rate.mean.s1", "acc.glmm.probability")  # fmt: skip
    assert not [name for name in headlines if figures[name]["interval"] is None]
    settings = document["settings"]
    assert settings["registration"] == "not pre-registered"
    assert {"negative.*", "control.*"} == set(settings["not_defined"])
    assert [one["ratings"] for one in settings["by_source"]] == ["inconclusive", "inconclusive", "equivalent"]
    assert "Not pre-registered" in document["verdict"] and "No positive control" in document["verdict"]
    assert "indistinguishable" not in json.dumps(document)
    names = sorted(path.name for path in out.iterdir())
    assert names == [f"reader-study.{end}" for end in
                     ("grras.md", "html", "json", "methods.md", "readers.csv", "samples.parquet")]  # fmt: skip
    readers = (out / "reader-study.readers.csv").read_text().splitlines()
    assert len(readers) == 9 and readers[1].startswith("R1,50,15,0.3,0.191")


def test_messy_answers(tmp_path: Path, expected: dict[str, Any]) -> None:
    document = run_json(spell("messy", tmp_path / "out"))
    assert len(expected["messy"]) == 11
    assert find_wrong(expected["messy"], values_of(document), MESSY) == {}
    settings = document["settings"]
    assert any("unequal numbers" in warning and "R6 20" in warning for warning in settings["warnings"])
    # R8 always picks the first pane; R5 rates nearly everything alike: told, and nothing is left out for it.
    assert [sign.split(":")[0] for sign in settings["conduct"][:-1]] == ["R5", "R8"]
    assert values_of(document)["acc.n"] == 348


def test_aggregates_of_a_published_study(expected: dict[str, Any]) -> None:
    words = ["study", "analyze", "--correct", "116", "--answers", "400", "--kappa", "0.061", "--readers", "8"]
    found = run_json(words)
    assert find_wrong(expected["paper_aggregates"], found["figures"], {}) == {}
    assert found["figures"]["deff"] == pytest.approx(1.427)
    assert found["figures"]["deff_p_greater"] == pytest.approx(0.061, abs=0.002)
    assert found["figures"]["min_margin"] == pytest.approx(0.080, abs=5e-4)
    assert found["figures"]["deff_min_margin"] == pytest.approx(0.085, abs=5e-4)
    assert [found["figures"][end] for end in ("deff_lo", "deff_hi")] == pytest.approx([0.237, 0.343], abs=5e-4)
    assert "a difference was not shown, and one beyond the margin was ruled out" in found["verdict"]
