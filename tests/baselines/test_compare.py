"""Comparisons of arms in worlds where the truth is known, and what is said where something is missing."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from cspine_bench.baselines.compare import CellScores, Compared, compare_arms, measure_cells
from cspine_bench.baselines.task import Score
from cspine_bench.metrics.weighted import weighted_auroc, weighted_mean
from cspine_bench.results import Direction

NUM_CASES = 80
GROUPS = [f"patient-{number // 2}" for number in range(NUM_CASES)]
EQUAL = {"real": 0.0, "real-augmented": 0.0, "real-restarted": 0.0, "mixed-1": 0.0, "pretrained": 0.0}


def build_cells(shifts: Mapping[str, float], *, seeds: int = 5, cases: int = NUM_CASES) -> list[CellScores]:
    """Radial errors about 1 px, shifted by arm; the first seeds of a larger run are those of a smaller one."""
    hardness = 0.4 * np.random.default_rng(0).normal(size=cases)
    cells = []
    for number, (arm, shift) in enumerate(shifts.items()):
        for seed in range(seeds):
            draw = np.random.default_rng((number, seed))
            errors = 1 + shift + hardness + 0.02 * draw.normal() + 0.1 * draw.normal(size=cases)
            score = Score("mean_radial_error", weighted_mean(errors), "lower", cases, "px", per_case=errors)
            cells.append(CellScores(arm, None if arm == "synthetic" else 0.25, seed, (score,)))
    return cells


def compare(cells: list[CellScores], **options: object) -> Compared:
    groups = GROUPS[: len(cells[0].scores[0].per_case)]  # type: ignore[arg-type]
    settings = {"group_ids": groups, "margin": 0.1, "seed": 0, "num_bootstrap": 200, **options}
    return compare_arms(cells, **settings)  # type: ignore[arg-type]


def rename(cell: CellScores, name: str, direction: Direction) -> CellScores:
    return replace(cell, scores=(replace(cell.scores[0], name=name, direction=direction, unit="dB"),))


def labels(compared: Compared) -> dict[str, str]:
    return {verdict.arm: verdict.label for verdict in compared.verdicts}


@pytest.mark.parametrize("seeds", [2, 5])
def test_useless_and_equal_data_are_told_apart(seeds: int) -> None:
    compared = compare(build_cells(EQUAL | {"synthetic": 1.5, "mixed-1": 0.4}, seeds=seeds))
    found = labels(compared)
    assert (found["synthetic"], found["mixed-1"]) == ("hurts", "hurts")
    assert found["pretrained"] == "no difference within the margin"
    assert "hurts: mixed-1, synthetic; no difference within the margin: pretrained" in compared.verdict


def test_data_that_help_are_held_against_the_controls() -> None:
    helped = compare(build_cells(EQUAL | {"pretrained": -0.3})).verdicts[1]
    assert (helped.label, helped.beyond_controls) == ("helps", True)
    assert "It is better than classical augmentation" in helped.sentence
    alike = compare(build_cells(EQUAL | {"pretrained": -0.3, "real-augmented": -0.3}))
    assert (alike.verdicts[1].label, alike.verdicts[1].beyond_controls) == ("helps", False)
    assert "No more than classical augmentation (" in alike.verdicts[1].sentence
    assert "the same schedule" not in alike.verdicts[1].sentence
    assert "pretrained (no more than a control was seen to)" in alike.verdict


def test_a_gain_without_a_control_says_so() -> None:
    compared = compare(build_cells({"real": 0.0, "mixed-1": -0.4}), cautions=["Half of them are copies."])
    assert compared.verdict.startswith("Half of them are copies. With ")
    assert compared.verdicts[0].beyond_controls is None
    assert "No control ran" in compared.verdicts[0].sentence


def test_a_score_that_rises_is_read_the_other_way_round() -> None:
    cells = build_cells(EQUAL | {"mixed-1": 0.5})
    assert labels(compare([rename(cell, "psnr", "higher") for cell in cells]))["mixed-1"] == "helps"
    with pytest.raises(ValueError, match="bias has no better end"):
        compare([rename(cell, "bias", "none") for cell in cells])


@pytest.mark.parametrize(("seeds", "cases", "reason"), [(1, 80, "one seed"), (5, 12, "6 test groups, fewer than 10")])
def test_too_little_is_never_a_finding(seeds: int, cases: int, reason: str) -> None:
    compared = compare(build_cells(EQUAL | {"mixed-1": -0.9}, seeds=seeds, cases=cases))
    assert set(labels(compared).values()) == {"underpowered"}
    assert all(f"Not tested: {reason}" in verdict.sentence for verdict in compared.verdicts)
    assert all(verdict.p_value is None for verdict in compared.verdicts)


def test_underpowered_names_the_margin_that_could_have_been_supported() -> None:
    verdict = compare(build_cells(EQUAL), margin=0.001).verdicts[0]
    assert verdict.label == "underpowered"
    assert verdict.smallest_margin is not None and verdict.smallest_margin > 0.001
    assert "this run could have supported a margin of" in verdict.sentence


def test_identical_networks_prove_nothing() -> None:
    cells = build_cells({"real": 0.0})
    copies = [CellScores("mixed-1", cell.fraction, cell.seed, cell.scores) for cell in cells]
    assert labels(compare(cells + copies)) == {"mixed-1": "underpowered"}


def test_a_network_that_learnt_nothing_is_named() -> None:
    floor = CellScores("mean-shape", None, 0, build_cells({"floor": 0.0}, seeds=1)[0].scores)
    compared = compare(build_cells(EQUAL | {"mixed-1": 1.0}), floors=[floor])
    assert "may have learnt nothing" in compared.verdict
    better = compare(build_cells(dict.fromkeys(EQUAL, -0.5) | {"mixed-1": 1.0}), floors=[floor])
    assert "may have learnt nothing" not in better.verdict
    assert better.verdicts[0].better_than_floor is False
    assert any(figure.condition == {"arm": "mean-shape"} for figure in better.figures)


def test_figures_carry_counts_method_and_both_intervals() -> None:
    compared = compare(build_cells(EQUAL | {"synthetic": 0.5}))
    (figure,) = (item for item in compared.figures if item.condition == {"arm": "real", "fraction": "0.25"})
    assert figure.n_used == figure.n_available == {"test": 80, "seeds": 5}
    assert figure.interval is not None and "200 bootstrap resamples of 40 test groups" in figure.interval.method
    of_synthetic = {"arm": "synthetic", "against": "real", "fraction": "0.25"}
    (difference,) = (item for item in compared.figures if item.condition == of_synthetic)
    assert difference.name == "mean_radial_error_difference"
    assert difference.value == pytest.approx(0.5, abs=0.1)
    assert "percentile bootstrap over the test groups alone" in difference.note and "after Holm" in difference.note
    assert difference.note.startswith("hurts;")


def test_seeds_are_paired_and_gaps_are_told() -> None:
    cells = [cell for cell in build_cells(EQUAL) if not (cell.arm == "mixed-1" and cell.seed == 0)]
    compared = compare(cells)
    assert compared.verdicts[0].difference.mean.num_seeds == 4
    assert any("mixed-1 and real have 4 seeds in common, of 4 and 5" in note for note in compared.notes)


def test_an_undefined_score_is_left_out_and_named() -> None:
    cells = build_cells(EQUAL)
    nothing = Score("auroc", weighted_auroc(np.zeros(NUM_CASES), np.zeros(NUM_CASES, bool)), "higher", NUM_CASES)
    cells[0] = CellScores(cells[0].arm, cells[0].fraction, 0, (*cells[0].scores, nothing))
    compared = compare(cells)
    assert "real at 0.25: auroc is not defined with seed 0" in compared.notes
    assert "auroc" not in {figure.name for figure in compared.figures}


def test_a_fraction_without_real_radiographs_alone_is_told() -> None:
    cells = build_cells(EQUAL)
    cells += [CellScores("mixed-1", 0.01, cell.seed, cell.scores) for cell in cells if cell.arm == "mixed-1"]
    compared = compare(cells)
    assert {verdict.fraction for verdict in compared.verdicts} == {0.25}
    assert "With 1 % of the real labels, the arm `real` has no mean_radial_error" in compared.verdict
    with pytest.raises(ValueError, match="no network of the arm `real`"):
        compare([cell for cell in cells if cell.arm != "real"])


def test_figures_on_synthetic_radiographs_say_so() -> None:
    figures, notes = measure_cells(
        build_cells({"real": 0.0}, seeds=2), group_ids=GROUPS, tested_on="synthetic", seed=0, num_bootstrap=200
    )
    assert notes == ()
    assert figures[0].condition == {"arm": "real", "fraction": "0.25", "tested_on": "synthetic"}
    assert figures[0].n_used == {"synthetic": 80, "seeds": 2}
