"""Power by simulation: a published planning table, what must rise with what, and the result that is written."""

import csv
import io
import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner

from cspine_bench.cli import cli
from cspine_bench.measurement.task import run_task
from cspine_bench.study.simulate.batch import World
from cspine_bench.study.simulate.power import (
    LABEL_TEST,
    NONNEGATIVE,
    find_detectable_accuracy,
    find_readers,
    run_ratings,
    run_world,
)
from cspine_bench.study.simulate.power_recipe import PowerRecipe
from cspine_bench.study.simulate.power_result import Power
from cspine_bench.study.simulate.recipe import RatingRecipe

# Power of the non-negative analysis to detect 30, 33 and 35 %, to show equivalence within 5 and 10 points where the
# truth is chance, and width of the 95 % interval there: computed apart from this package with 4,000 simulations.
TABLE = {
    (4, 50): (0.20, 0.41, 0.55, 0.00, 0.41, 0.21),
    (8, 50): (0.42, 0.73, 0.89, 0.08, 0.88, 0.13),
    (8, 100): (0.57, 0.90, 0.97, 0.30, 0.98, 0.10),
    (12, 100): (0.71, 0.97, 1.0, 0.57, 1.0, 0.08),
    (16, 100): (0.82, 0.99, 1.0, 0.74, 1.0, 0.07),
}
THEIR_STUDIES = 4000


def check_planning(readers: int, cases: int, studies: int) -> None:
    *powers, width = TABLE[readers, cases]
    margins, found = (0.05, 0.10), []
    for accuracy in (0.30, 0.33, 0.35):
        world = World("quartet", readers, cases, accuracy, 0.25, 0.45)
        found.append(
            run_world(world, studies=studies, seed=1, alpha=0.05, detect=False).detected[NONNEGATIVE] / studies
        )
    at_chance = run_world(
        World("quartet", readers, cases, 0.25, 0.25, 0.45), studies=studies, seed=1, alpha=0.05, margins=margins
    )
    found += [at_chance.equivalent[NONNEGATIVE, margin] / studies for margin in margins]
    for ours, theirs in zip(found, powers, strict=True):
        # Both are simulations, theirs is rounded, and their cases differ by a normal value where ours differ by images.
        share = min(max(theirs, 0.005), 0.995)
        error = math.sqrt(share * (1 - share) * (1 / studies + 1 / THEIR_STUDIES))
        assert ours == pytest.approx(theirs, abs=0.005 + 0.01 + 4 * error), (readers, cases)
    mean, error = at_chance.mean_width(NONNEGATIVE)
    assert mean == pytest.approx(width, abs=0.005 + 0.002 + 4 * error)


def test_power_of_the_published_design_is_that_of_the_planning_table() -> None:
    check_planning(8, 50, 1000)


@pytest.mark.slow  # Twenty worlds of 4,000 studies: half a minute.
@pytest.mark.parametrize("size", TABLE)
def test_power_is_that_of_the_planning_table(size: tuple[int, int]) -> None:
    check_planning(*size, 4000)


def test_power_rises_with_accuracy_readers_and_margin() -> None:
    def detect(readers: int, accuracy: float) -> int:
        world = World("pair", readers, 30, accuracy)
        return run_world(world, studies=300, seed=2, alpha=0.05).detected[LABEL_TEST]

    assert detect(4, 0.55) < detect(4, 0.65) < detect(12, 0.65)
    world = World("pair", 6, 30, 0.5, 0.0, 0.0)
    wanted = {"power": 0.8, "studies": 300, "seed": 2, "alpha": 0.05}
    smallest = find_detectable_accuracy(world, method=LABEL_TEST, **wanted)
    # 180 independent answers: the normal approximation says 0.5 + (1.645 + 0.842) / (2 sqrt(180)) = 0.593.
    assert smallest == pytest.approx(0.593, abs=0.02)
    assert find_detectable_accuracy(World("pair", 2, 2, 0.5), method=LABEL_TEST, **wanted) is None
    assert [find_readers(lambda count: count >= 7, most=32), find_readers(lambda count: False, most=32)] == [7, None]
    ratings = run_ratings(
        RatingRecipe(), readers=8, cases=50, num_steps=4, margins=(0.1, 0.2, 3.0), studies=200, seed=2, alpha=0.05
    )
    shares = [ratings.equivalent[NONNEGATIVE, margin] / 200 for margin in (0.1, 0.2, 3.0)]
    # 0.67 is what a formula gives for such readers with 8 x 50 at 0.2.
    assert shares[0] < 0.3 and shares[1] == pytest.approx(0.67, abs=0.15) and shares[2] == 1


def run_power(folder: Path, *words: str) -> dict:
    quick = ("--set", "studies=100", "--set", "search_studies=100", "--set", "most_readers=3", "--quiet", "--json")
    ran = CliRunner().invoke(cli, ["study", "power", "--out", str(folder), *quick, *words])
    assert ran.exit_code == 0, ran.stderr
    return json.loads(ran.stdout)


def test_the_command_writes_result_table_and_page(tmp_path: Path) -> None:
    result = run_power(tmp_path / "power", "--readers", "5", "--cases", "20", "--accuracy", "0.4", "--margin", "0.4")
    assert result["measure"] == "study-power" and result["settings"]["num_studies"] == 100
    designs = {(f["condition"].get("readers"), f["condition"]["cases"]) for f in result["figures"]}
    assert designs == {("5", "20"), ("8", "50"), (None, "20")}, "what was asked, and the published design beside it"
    names = {figure["name"] for figure in result["figures"]}
    assert {"power_detect", "power_equivalence", "interval_width", "power_rating_equivalence"} <= names
    for figure in result["figures"]:
        if figure["name"].startswith("power_"):
            assert figure["interval"]["low"] <= figure["value"] <= figure["interval"]["high"]
            assert figure["n_used"] == {"simulated studies": 100}
    assert "8 readers with 50 quartets, as in arXiv 2510.22166" in result["verdict"]
    assert "5 readers with 20 quartets find an accuracy of 40 %" in result["verdict"]
    table = list(csv.DictReader(io.StringIO((tmp_path / "power" / "study-power.csv").read_text())))
    assert len(table) == len(result["figures"])
    assert [float(row["value"]) for row in table] == [figure["value"] for figure in result["figures"]]
    page = (tmp_path / "power" / "study-power.html").read_text()
    assert "5 readers with 20 quartets" in page
    before = (tmp_path / "power" / "study-power.json").read_bytes()
    run_power(tmp_path / "power", "--readers", "5", "--cases", "20", "--accuracy", "0.4", "--margin", "0.4")
    assert (tmp_path / "power" / "study-power.json").read_bytes() == before


def test_single_images_have_no_rating_differences(tmp_path: Path) -> None:
    recipe = PowerRecipe(design="single", readers=(3,), cases=(10,), studies=100, search_studies=0)
    result, _ = run_task(Power(recipe, 0), tmp_path / "power")
    assert {figure.name for figure in result.figures} == {
        "found_at_chance", "power_detect", "power_equivalence", "interval_width",
    }  # fmt: skip
    assert "arXiv" not in result.verdict, "that was a study of quartets"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--readers", "1"), "readers.0 = 1 is not possible"),
        (("--accuracy", "0.25"), "must lie above chance, which is 0.25"),
        (("--readers", "200", "--cases", "2000"), "the most that is simulated is 40,000"),
        (("--set", "casess=3"), "did you mean 'cases'"),
        (("--margin", "0"), "margins.0 = 0.0 is not possible"),
    ],
)
def test_what_cannot_be_simulated_is_named(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    ran = CliRunner().invoke(cli, ["study", "power", "--out", str(tmp_path / "power"), *words])
    assert ran.exit_code == 2 and said in ran.stderr, ran.output
    assert not (tmp_path / "power").exists()


def test_dry_run_simulates_nothing(tmp_path: Path) -> None:
    ran = CliRunner().invoke(
        cli, ["study", "power", "--out", str(tmp_path / "p"), "--readers", "8", "--dry-run", "--json"]
    )
    assert json.loads(ran.stdout)["designs"] == ["8 readers with 50 cases", "8 readers with 100 cases"]
    assert not (tmp_path / "p").exists()
