"""The words of a fidelity result follow its figures, and never turn "not found" into "the same"."""

import pytest

from cspine_bench.evaluate.fidelity.verdict import state_verdict
from cspine_bench.measurement.figures import build_figure, compare_with_floor
from cspine_bench.metrics.intervals import Estimate
from cspine_bench.results import Direction, Figure, Floor

COUNTS = {"real": 100, "synthetic": 100}


def make(name: str, matched: float, direction: Direction = "lower") -> Figure:
    floor = Floor(value=2.0, low=1.0, high=3.0, method="m", n_used=(50, 50), matched=matched)
    return build_figure(
        name, Estimate(matched, matched - 1, matched + 1), direction=direction, used=COUNTS, available=COUNTS,
        method="m", floor=floor,
    )  # fmt: skip


def make_auroc(low: float, high: float) -> Figure:
    ends = Estimate((low + high) / 2, low, high)
    return build_figure("detectability_auroc", ends, direction="lower", used=COUNTS, available=COUNTS, method="m")


@pytest.mark.parametrize(
    ("matched", "direction", "standing"),
    [
        (4.0, "lower", "beyond"), (3.0, "lower", "within"), (0.5, "lower", "better"),
        (0.5, "higher", "beyond"), (1.0, "higher", "within"), (9.0, "higher", "better"), (9.0, "none", "none"),
    ],
)  # fmt: skip
def test_a_figure_is_read_against_its_floor(matched: float, direction: Direction, standing: str) -> None:
    assert compare_with_floor(make("recall", matched, direction)) == standing


def test_a_figure_that_is_not_known_well_is_not_beyond() -> None:
    floor = Floor(value=0.49, low=0.39, high=0.6, method="m", n_used=(50, 50))
    wide = build_figure(
        "nearer_train_share", Estimate(0.62, 0.31, 0.87), direction="lower", used=COUNTS, available=COUNTS, method="m",
        floor=floor,
    )  # fmt: skip
    assert compare_with_floor(wide) == "within"


def test_what_lies_beyond_is_named_with_its_floor_and_counts() -> None:
    text = state_verdict([make("frechet_distance", 9.0), make("kernel_distance", 2.0)], encoder="pixels")
    assert "differ from the real ones by more than real ones differ from each other" in text
    assert "By pixels, with 50 and 50 radiographs: Fréchet distance 9 (real against real 1 to 3)" in text
    assert "no difference beyond that of real radiographs was found in kernel distance" in text
    assert "does not show that there is none" in text


def test_too_good_is_said() -> None:
    text = state_verdict([make("frechet_distance", 0.2)], encoder="pixels")
    assert "In Fréchet distance they are nearer to the real ones than other real ones are, as copies" in text


def test_nothing_found_is_never_sold_as_the_same() -> None:
    figures = [make("frechet_distance", 2.0), make("recall", 2.0, "higher"), make_auroc(0.4, 0.58)]
    text = state_verdict(figures, encoder="pixels", anatomy={"SVA": 0.4}, quality={"noise": 0.2})
    assert "does not show that there is none" in text
    assert "one as good as 0.58 is not excluded" in text
    assert "no difference was shown (smallest corrected p 0.4)" in text
    for word in ("identical", "indistinguishable", "the same", "equivalent"):
        assert word not in text


def test_differences_in_properties_are_counted_after_correction() -> None:
    p_values = {"a": 0.2, "b": 0.001, "c": 0.049, "d": 0.002, "e": 0.003, "f": 0.004}
    text = state_verdict([make_auroc(0.6, 0.7)], encoder="pixels", quality=p_values)
    assert "A trained classifier tells them apart with an AUROC of 0.65 (0.60 to 0.70)." in text
    assert "Of 6 properties of image quality, 5 differ (b, d, e, f and others; p below 0.05, corrected)." in text


def test_nothing_measured_is_said() -> None:
    assert state_verdict([], encoder="pixels") == "Nothing was measured."


def test_what_is_wrong_with_the_images_is_said_with_the_finding() -> None:
    text = state_verdict([make("frechet_distance", 2.0)], encoder="pixels", cautions=["real images have 8 bits"])
    assert text.endswith("Real images have 8 bits.")


def test_missing_variety_and_the_group_that_fails_are_said() -> None:
    far = make("kernel_distance", 9.0)
    groups = [far.model_copy(update={"subgroup": {"sex": "female"}}), make("kernel_distance", 2.0)]
    groups.append(groups[1].model_copy(update={"subgroup": {"sex": "male"}}))
    text = state_verdict([make("recall", 0.1, "higher"), make("precision", 2.0, "higher"), *groups], encoder="pixels")
    assert "variety is missing (recall)" in text
    assert "where few or no real ones do" not in text
    assert "Of 2 subgroups, 1 differ from real ones of the group" in text
    assert "the farthest first: sex female." in text
    assert "sex male" not in text


def test_distances_without_floor_are_not_read() -> None:
    bare = make("frechet_distance", 9.0).model_copy(update={"floor": None})
    assert "none has a floor" in state_verdict([bare], encoder="pixels")


@pytest.mark.parametrize(("low", "said"), [(0.3, True), (0.05, False)])
def test_spines_that_cannot_be_are_said_where_they_are_more_than_among_real_ones(low: float, said: bool) -> None:
    shares = [
        build_figure(
            "implausible_share", Estimate(*ends), direction="lower", used=COUNTS, available=COUNTS, method="m",
            condition={"side": side},
        )
        for side, ends in (("real", (0.02, 0.0, 0.1)), ("synthetic", (0.4, low, 0.5)))
    ]  # fmt: skip
    text = state_verdict(shares, encoder="pixels")
    assert ("Of the synthetic spines 40 % can hardly be, of the real ones 2 %." in text) == said
