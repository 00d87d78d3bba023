"""Verdicts from given differences: the family of Holm, the margin, the controls, and the words."""

import math

import pytest

from cspine_bench.baselines.verdict import ArmVerdict, Difference, judge_arms, summarise_verdicts
from cspine_bench.metrics.paired import SeedMean


def differ(arm: str, value: float, error: float = 0.02, *, against: str = "real", seeds: int = 5) -> Difference:
    """By the seeds alone: what the radiographs add is next to nothing."""
    variance = math.nan if seeds == 1 else error**2
    mean = SeedMean(value, seeds, 60, variance, 0.0, 1e-12, (value, value), 0.0)
    return Difference(arm, against, 0.1, "mean_radial_error", "px", "lower", {}, 60, mean)


def judge(*differences: Difference, controls: dict[str, list[Difference]] | None = None) -> tuple[ArmVerdict, ...]:
    return judge_arms(differences, controls=controls or {}, floors={}, margin=0.1)


def test_the_more_arms_the_more_it_takes() -> None:
    # t = 3.5 with four degrees of freedom: p = 0.025.
    gain = differ("mixed-1", -0.07)
    assert judge(gain)[0].p_adjusted == pytest.approx(0.0249, abs=5e-4)
    alone, among = judge(gain)[0], judge(gain, differ("pretrained", 0.0), differ("synthetic", 0.01))[0]
    assert among.p_value == alone.p_value
    assert among.p_adjusted == pytest.approx(3 * alone.p_adjusted)


def test_a_difference_may_be_seen_and_not_matter() -> None:
    verdict = judge(differ("mixed-1", -0.03, 0.005))[0]
    assert verdict.label == "no difference within the margin"
    assert verdict.p_adjusted is not None and verdict.p_adjusted < 0.05
    assert "A difference was seen, but one too small to matter." in verdict.sentence


def test_whether_it_is_more_than_the_margin_is_another_question() -> None:
    small, large = judge(differ("a", -0.12))[0], judge(differ("b", -0.5))[0]
    assert (small.label, large.label) == ("helps", "helps")
    assert "That is not shown to be more than the margin of 0.100 px." in small.sentence
    assert "That is more than the margin of 0.100 px." in large.sentence


def test_a_run_that_was_strong_enough_is_not_told_that_it_was_not() -> None:
    verdict = judge(differ("mixed-1", 0.08, 0.03))[0]
    assert verdict.label == "underpowered"
    assert verdict.smallest_margin is not None and verdict.smallest_margin < 0.1
    assert "a margin of 0.0640 px; what it saw is too near to that of 0.100 px." in verdict.sentence


def test_the_sentence_of_a_loss() -> None:
    (verdict,) = judge(differ("synthetic", 1.5, 0.1))
    assert verdict.sentence == (
        "With 10 % of the real labels, synthetic: hurts. mean_radial_error worse by 1.50 px (95 % interval 1.22 to "
        "1.78) than with real radiographs alone, p < 0.001 after Holm over 1 arm; 5 seeds, 60 test groups. That "
        "is more than the margin of 0.100 px."
    )


def test_a_control_that_was_not_tested_is_not_beaten() -> None:
    control = differ("mixed-1", -0.4, against="real-augmented", seeds=1)
    (verdict,) = judge(differ("mixed-1", -0.4), controls={"mixed-1": [control]})
    assert (verdict.label, verdict.beyond_controls) == ("helps", False)
    assert "No more than classical augmentation (better by 0.4" in verdict.sentence


def test_all_controls_must_be_beaten() -> None:
    better = differ("pretrained", -0.4, against="real-augmented")
    same = differ("pretrained", 0.0, against="real-restarted")
    gain = differ("pretrained", -0.4)
    assert judge(gain, controls={"pretrained": [better]})[0].beyond_controls
    assert judge(gain, controls={"pretrained": [better, same]})[0].beyond_controls is False


def test_arms_that_cannot_be_tested_do_not_count_in_the_family() -> None:
    verdicts = judge(differ("mixed-1", -0.07), differ("pretrained", -3.0, seeds=1))
    assert [verdict.label for verdict in verdicts] == ["helps", "underpowered"]
    assert "after Holm over 1 arm" in verdicts[0].sentence
    assert "one seed, so that the chance of training is not known" in verdicts[1].sentence


def test_a_run_in_a_few_sentences() -> None:
    verdicts = judge(differ("synthetic", 1.5), differ("mixed-1", 0.0), differ("pretrained", 0.05, 0.1))
    text = summarise_verdicts(verdicts, cautions=["Read this first."])
    assert text.startswith("Read this first. With 10 % of the real labels: hurts: synthetic; no difference within")
    assert "underpowered: pretrained (could support a margin of 0." in text
    assert text.endswith("margin 0.100 px; Holm over the arms of a fraction.")
