"""The page on speed is what its script makes from the result, and the run sums up, orders and resumes as it says."""

import copy
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.speed import speed_page
from benchmarks.speed.compare_all import Journal, describe_comparison, measure_all, measure_comparison, summarize
from benchmarks.speed.comparison import OURS, Comparison, Reading, Term, compute_floor, order_candidates
from benchmarks.speed.machine_limits import RATES


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return speed_page.load_result()


def test_page_and_figure_are_what_the_script_makes(document: dict[str, Any]) -> None:
    page = speed_page.PAGE.read_text(encoding="utf-8")
    advice = "run `python benchmarks/speed/speed_page.py`"
    assert speed_page.fill_page(page, document) == page, advice
    assert speed_page.PICTURE.read_text(encoding="utf-8") == speed_page.draw_picture(document), advice
    other = copy.deepcopy(document)
    name = next(name for name, found in other["comparisons"].items() if found["ceiling_s"] is None)
    other["comparisons"][name]["candidates"][OURS]["cpu_s"]["median"] *= 2
    assert speed_page.fill_page(page, other) != page
    assert speed_page.draw_picture(other) != speed_page.draw_picture(document)
    with pytest.raises(ValueError, match="0 blocks named table"):
        speed_page.fill_page(page.replace("<!-- table:", "<!--"), document)
    ElementTree.fromstring(speed_page.draw_picture(document))
    left = page.partition("## What is left")[2]
    assert [found for found in document["comparisons"] if f"| {found} |" not in left] == []


def test_every_figure_of_a_row_follows_from_its_samples(document: dict[str, Any]) -> None:
    for found in document["comparisons"].values():
        ours = found["candidates"][OURS]["samples"]
        assert len(ours) == document["repeats"]
        for peer, ratio in found["over_ours"].items():
            ratios = [
                its["cpu_s"] / our["cpu_s"] for its, our in zip(found["candidates"][peer]["samples"], ours, strict=True)
            ]
            assert (min(ratios), max(ratios)) == (ratio["cpu_s"]["min"], ratio["cpu_s"]["max"])
        for term in found["floor"]["terms"]:
            assert term["seconds"] == pytest.approx(term["amount"] / document["rates"][term["rate"]]["median"])
        assert found["floor"]["seconds"] <= sum(term["seconds"] for term in found["floor"]["terms"]) * (1 + 1e-9)


def test_the_slowest_resource_is_the_floor() -> None:
    terms = (Term(6, "", "a"), Term(4, "", "a"), Term(9, "", "b", "disk"))
    assert compute_floor(terms, {"a": 2.0, "b": 1.0}) == 9
    assert compute_floor(terms, {"a": 1.0, "b": 1.0}) == 10


def build_toy(calls: list[str]) -> Comparison:
    def run(name: str, seconds: float) -> Reading:
        calls.append(name)
        return Reading(seconds, 2 * seconds, name)

    return Comparison(
        unit="thing",
        count=1,
        work="nothing",
        candidates={OURS: lambda: run(OURS, 1.0), "other": lambda: run("other", 3.0)},
        packages={"other": ("numpy",)},
        check=lambda outputs: "and ".join(outputs),
        floor=(Term(1, "a hash", "sha256"),),
    )


def test_candidates_take_turns_in_being_first() -> None:
    calls: list[str] = []
    toy = build_toy(calls)
    for repeat in (1, 2):
        samples, agreement = measure_comparison(toy, repeat)
    assert calls == ["other", OURS, OURS, "other"] == [*order_candidates([OURS, "other"], 1), OURS, "other"]
    assert samples == {OURS: {"cpu_s": 1, "wall_s": 2}, "other": {"cpu_s": 3, "wall_s": 6}}
    assert agreement == f"{OURS}and other"


def test_a_killed_run_keeps_what_it_measured(tmp_path: Path) -> None:
    def rates() -> dict[str, float]:
        return dict.fromkeys(RATES, 2.0)

    calls: list[str] = []
    toys = {"toy": build_toy(calls)}
    path = tmp_path / "journal"
    measure_all(toys, 2, Journal(path), rates)
    whole = path.read_text()
    assert len(calls) == 6  # the warm-up, and two repeats
    lines = whole.splitlines(keepends=True)
    path.write_text("".join(lines)[: whole.rindex('"samples"')])  # torn inside the last comparison
    journal = Journal(path)
    measure_all(toys, 2, journal, rates)
    assert len(calls) == 10  # a warm-up again, and the repeat that was torn
    result = summarize(toys, 2, Journal(path))
    found = result["comparisons"]["toy"]
    assert found["over_ours"]["other"]["cpu_s"] == {"median": 3, "min": 3, "max": 3}
    assert found["floor"]["seconds"] == 0.5 and len(found["candidates"][OURS]["samples"]) == 2
    assert json.loads(json.dumps(result)) == result
    journal.close()
    assert not path.exists()
    assert describe_comparison(toys["toy"], [journal.rows["toy", 1]], dict.fromkeys(RATES, 1.0))["unit"] == "thing"


def test_numbers_are_said_in_the_unit_that_fits() -> None:
    assert [speed_page.say_seconds(value) for value in (12.3456, 0.0012, 3.2e-8)] == ["12.3 s", "1.20 ms", "0.0320 µs"]
    assert re.search(r"^1\.50$", speed_page.say_ratio({"median": 1.5, "min": 1, "max": 2}, 1))
