"""Many studies at once: the same p values as one by one, and the accuracy that was asked for."""

import numpy as np
import pytest

from cspine_bench.metrics.equivalence import ALPHA
from cspine_bench.metrics.intervals import clopper_pearson_interval
from cspine_bench.metrics.label_test import label_test, single_image_test, swap_test
from cspine_bench.metrics.mean_test import mean_equivalence
from cspine_bench.metrics.two_way import reader_mean, two_way_mean
from cspine_bench.study.recipe import CHANCE, NUM_PANES, Design
from cspine_bench.study.simulate.batch import Cues, World, draw_studies
from cspine_bench.study.simulate.batch_tests import (
    label_p_values,
    reader_batch,
    single_image_p_values,
    two_way_batch,
)
from cspine_bench.study.simulate.cues import find_appeal_sd, find_skill, mean_accuracy

DESIGNS: tuple[Design, ...] = ("quartet", "pair", "single")


def count_picks(picks: np.ndarray, images: int) -> np.ndarray:
    """(studies, readers, cases), -1: none, to (studies, cases, images)."""
    return np.stack([(picks == image).sum(axis=1) for image in range(images)], axis=-1)


def test_label_tests_are_those_of_one_study_at_a_time() -> None:
    draw = np.random.default_rng(1)
    for images, readers, cases in ((4, 8, 30), (2, 5, 12), (3, 1, 7), (4, 23, 3)):
        # Picks that hang together, some missing: counts of all kinds.
        picks = np.minimum(draw.integers(0, images + 1, (12, readers, cases)), draw.integers(0, images, (12, 1, cases)))
        picks[draw.random(picks.shape) < 0.1] = -1
        counts = count_picks(picks, images)
        zeros = np.zeros(cases, np.int64)
        expected = [label_test(study, labels=zeros, num_images=images).p_greater for study in picks]
        np.testing.assert_allclose(label_p_values(counts), expected, atol=1e-12)
        expected = [swap_test(study, labels=zeros, others=zeros + 1).p_greater for study in picks]
        np.testing.assert_allclose(label_p_values(counts[:, :, :2]), expected, atol=1e-12)


def test_single_image_tests_are_those_of_one_study_at_a_time() -> None:
    draw = np.random.default_rng(2)
    for readers, images, real in ((8, 30, 15), (3, 11, 4), (1, 6, 1)):
        answers = (draw.random((10, readers, images)) < draw.random((10, 1, images))).astype(np.int64)
        labels = draw.permuted(np.tile(np.arange(images) < real, (10, 1)), axis=1)
        expected = [
            single_image_test(study, labels=label.astype(np.int64)).p_greater
            for study, label in zip(answers, labels, strict=True)
        ]
        np.testing.assert_allclose(single_image_p_values(answers.sum(axis=1), labels=labels), expected, atol=1e-11)


def test_two_way_means_are_those_of_one_study_at_a_time() -> None:
    drawn = draw_studies(World("quartet", 6, 20, 0.3, 0.4, 0.6), studies=30, generator=np.random.default_rng(3))
    ratings = np.random.default_rng(4).integers(-2, 3, (10, 4, 9)) + np.arange(4)[None, :, None]
    for values in (drawn.correct, ratings.astype(np.float32)):
        ours = two_way_batch(values)
        for number, study in enumerate(values.astype(np.float64)):
            theirs = two_way_mean(study, null=0.25)
            for batch, test in zip(ours, (theirs.test, theirs.nonnegative), strict=True):
                assert batch.mean[number] == pytest.approx(test.value)
                assert batch.se[number] == pytest.approx(test.se, rel=1e-5)
                assert batch.p_greater(0.25)[number] == pytest.approx(test.p_greater, abs=1e-6)
                assert batch.half_widths()[number] == pytest.approx((test.high - test.low) / 2, rel=1e-5)
                equivalence = mean_equivalence(test, margin=0.1)
                assert batch.p_equivalent(0.25, 0.1)[number] == pytest.approx(equivalence.p, abs=1e-6)
            reader = reader_mean(study, null=0.25)
            assert reader_batch(values).p_greater(0.25)[number] == pytest.approx(reader.p_greater, abs=1e-6)


def test_a_study_without_variance_shows_nothing() -> None:
    for means in two_way_batch(np.ones((1, 3, 4), bool)):
        assert np.isnan(means.se).all() and not (means.p_greater(0.25) <= ALPHA).any()
        assert not (means.p_equivalent(1.0, 0.1) <= ALPHA).any()


def test_accuracy_and_spread_are_those_asked_for() -> None:
    draw = np.random.default_rng(5)
    for design in DESIGNS:
        for sd in (0.2, 0.45, 1.5):
            looks = find_appeal_sd(design, sd) * draw.standard_normal((200_000, NUM_PANES[design]))
            logits = looks[:, 0] - (np.log(np.exp(looks[:, 1:]).sum(axis=1)) if design != "single" else 0)
            assert logits.std() == pytest.approx(sd, rel=0.02)
        for accuracy in (CHANCE[design], 0.8):
            for cues in ("image", "case"):
                found = draw_mean(World(design, 10, 20, accuracy, 0.5, 0.8, cues))
                assert found[0] == pytest.approx(accuracy, abs=4 * found[1]), (design, accuracy, cues)
    assert find_skill("quartet", accuracy=0.25, reader_sd=0.0, looks_sd=0.7) == 0.0
    # One image of three that is told by everybody leaves a choice of three.
    assert mean_accuracy("quartet", skill=0, reader_sd=0, looks_sd=0, shifts=((50.0, 0.0, 0.0),)) == pytest.approx(
        1 / 3
    )
    for accuracy, said in ((0.0, "between 0 and 1"), (1 - 1e-15, "no skill")):
        with pytest.raises(ValueError, match=said):
            find_skill("pair", accuracy=accuracy, reader_sd=0.1, looks_sd=0.1)


def draw_mean(world: World) -> tuple[float, float]:
    """Mean accuracy of a world's studies and its standard error."""
    means = draw_studies(world, studies=500, generator=np.random.default_rng(6)).correct.mean(axis=(1, 2))
    return float(means.mean()), float(means.std() / np.sqrt(len(means)))


@pytest.mark.parametrize("design", DESIGNS)
def test_the_primary_test_keeps_its_error_rate_however_much_readers_share(design: Design) -> None:
    # 2,000 studies of readers at chance. The test is exact, and counts are whole: its size is a little below nominal.
    for case_sd in (0.0, 1.2):
        drawn = draw_studies(World(design, 8, 30, CHANCE[design], 0.0, case_sd), studies=2000, generator=generator(7))
        tests = {"primary": read_p_values(design, drawn.picks, drawn.labels)}
        if design == "quartet":
            tests |= {f"swap with {image}": label_p_values(drawn.picks[:, :, [0, image]]) for image in (1, 2, 3)}
        for name, p_values in tests.items():
            size = clopper_pearson_interval(successes=int((p_values <= ALPHA).sum()), total=2000, confidence=0.999)
            assert size.low <= ALPHA, (design, case_sd, name, "above nominal")
            assert size.high >= 0.03, (design, case_sd, name, "absurdly below nominal")


def read_p_values(design: Design, picks: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return single_image_p_values(picks[:, :, 0], labels=labels) if design == "single" else label_p_values(picks)


def generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_shared_cues_agree_beyond_chance_while_accuracy_stays_at_chance() -> None:
    def agree(cues: Cues, case_sd: float) -> float:
        """Chance-corrected agreement on the image, over all studies."""
        picks = draw_studies(
            World("quartet", 8, 50, 0.25, 0.0, case_sd, cues), studies=300, generator=generator(8)
        ).picks
        pairs = (picks * (picks - 1)).sum() / (8 * 7 * picks.shape[0] * picks.shape[1])
        return float((pairs - 0.25) / 0.75)

    assert agree("image", 0.0) == pytest.approx(0, abs=0.01)
    assert agree("image", 0.6) > 0.05
    # Small appeals: a quarter of their variance, the first term of the softmax's series.
    assert agree("image", 0.3) == pytest.approx(find_appeal_sd("quartet", 0.3) ** 2 / 4, abs=0.01)
