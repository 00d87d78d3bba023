"""The leak audit: planted traces are found and named, equal sides pass, and an override goes on the record."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cspine_bench.errors import DataError
from cspine_bench.imaging.degrade import compress
from cspine_bench.metrics.intervals import Estimate
from cspine_bench.recipe import apply_overrides
from cspine_bench.sources.phantom.recipe import PhantomRecipe
from cspine_bench.sources.phantom.source import PhantomSource
from cspine_bench.study.plan.leak_audit import Audit, Shown, audit_leaks, is_leak, measure_files, measure_frames
from cspine_bench.study.plan.leak_features import (
    measure_blocks,
    measure_border,
    measure_compressibility,
    measure_histogram,
    measure_metadata,
    measure_noise,
)
from cspine_bench.study.plan.make import build_plan, explain_leaks
from cspine_bench.study.plan.sides import open_sides
from cspine_bench.study.recipe import StudyRecipe
from tests.study.small_images import Change, SmallImages, write_images
from tests.study.small_study import SMALL, build_small_plan, make_small_sources, open_small_sides

REAL, FIRST, SECOND = range(24), range(1000, 1024), range(2000, 2024)


def to_jpeg(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return 255 * compress(60)((image.clip(0, 255) / 255).astype(np.float32), random)


def frame_in_black(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return np.pad(image[2:-2, 2:-2], 2)


def stretch(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return np.rint(image / 2) * 2


def audit(change: Change | None, *, sources: int = 1, limit: float = 0.7) -> Audit:
    """Films against one or two sources; the last source is changed."""
    names = ["real"] * 24 + ["s1"] * 24 + ["s2"] * 24 * (sources - 1)
    made = [SmallImages(REAL).draw(number) for number in REAL]
    last = SmallImages(FIRST, change=change)
    made += [(SmallImages(SECOND) if sources == 2 else last).draw(number) for number in SECOND]
    made += [last.draw(number) for number in FIRST] if sources == 2 else []
    groups = tuple(str(number) for number in range(len(names)))
    return audit_leaks(Shown(tuple(names), groups, measure_frames(np.stack(made)), {}), limit=limit, seed=0)


def test_planted_traces_are_found_and_named() -> None:
    for change, family in (
        (to_jpeg, "8 x 8 blocks"), (frame_in_black, "border"), (stretch, "histogram"),
    ):  # fmt: skip
        found = audit(change)
        assert found.leaks == ("overall",) and family in found.families, family
        assert found.overall.value > 0.9 and found.overall.low > 0.5
        told = explain_leaks(found)
        assert f"{family} " in told and "--allow-leaks" in told and "limit of 0.7" in told


def test_equal_sides_pass() -> None:
    found = audit(None)
    assert found.leaks == () and found.overall.low <= 0.5 <= found.overall.high
    source = PhantomSource(PhantomRecipe.model_validate({"size": 64}), 40, 3)
    frames = np.stack([one.image for one in source.iter_radiographs(source.list_samples())])
    names = ("real",) * 20 + ("s1",) * 20
    halves = audit_leaks(
        Shown(names, tuple(map(str, range(40))), measure_frames(frames), {}), limit=0.7, seed=0
    )  # fmt: skip
    assert halves.leaks == () and halves.overall.low <= 0.5 <= halves.overall.high


def test_each_source_is_audited_apart() -> None:
    found = audit(frame_in_black, sources=2)
    assert set(found.by_source) == {"s1", "s2"} and found.num_synthetic == {"s1": 24, "s2": 24}
    assert found.by_source["s1"].low < 0.5 < 0.9 < found.by_source["s2"].value
    assert "s2" in found.leaks and "s1" not in found.leaks
    assert "s2 1.00" in explain_leaks(found)


def test_a_leak_is_above_the_limit_and_above_chance() -> None:
    assert is_leak(Estimate(0.8, 0.6, 0.9), 0.7)
    assert not is_leak(Estimate(0.8, 0.45, 1.0), 0.7), "few images: the interval holds chance"
    assert not is_leak(Estimate(0.65, 0.6, 0.7), 0.7)
    few = np.stack([SmallImages(REAL).draw(number) for number in range(4)])
    with pytest.raises(DataError, match="at least 3 real and 3 synthetic images, got 2 and 2"):
        audit_leaks(Shown(("real", "real", "s1", "s1"), tuple("abcd"), measure_frames(few), {}), limit=0.7, seed=0)
    flat = Shown(("real",) * 3 + ("s1",) * 3, tuple("abcdef"), {"none": np.ones((6, 2))}, {})
    assert audit_leaks(flat, limit=0.7, seed=0).overall == Estimate(0.5, 0.0, 1.0)
    # Siblings are never parted by a fold: with every image there four times, nearest neighbours would find the others.
    twice = np.random.default_rng(1).standard_normal((20, 3)).repeat(4, 0)
    names = tuple(("real", "s1")[number % 8 // 4] for number in range(80))
    groups = tuple(f"{name} {number // 4}" for number, name in enumerate(names))
    assert audit_leaks(Shown(names, groups, {"noise": twice}, {}), limit=0.7, seed=0).overall.low < 0.5
    parted = audit_leaks(Shown(names, tuple(map(str, range(80))), {"noise": twice}, {}), limit=0.7, seed=0)
    assert parted.overall.value > 0.8


def test_features_worked_by_hand() -> None:
    ramp = np.arange(64, dtype=np.uint8).reshape(8, 8).repeat(4, 0)
    comb = measure_histogram(ramp * 2)
    assert comb[:2] == [1 / 64, 0] and comb[6] == pytest.approx(64 / 127) and comb[8] == 0
    assert measure_histogram(ramp)[6:] == [1.0, pytest.approx(0.5 / 64, abs=0.01), 0.5]
    deep = measure_histogram(ramp.astype(np.uint16) * 257)
    assert deep[5] == pytest.approx(63 * 257 / 65535)
    framed = np.pad(np.random.default_rng(0).integers(0, 255, (34, 34)), 3).astype(np.uint8)
    assert measure_border(framed)[::2] == [3 / 40] * 4
    assert measure_border(np.full((40, 40), 9, np.uint8))[::2] == [1.0] * 4
    blocks = np.kron(np.random.default_rng(0).integers(0, 255, (5, 5)), np.ones((8, 8))).astype(np.uint8)
    moved = np.roll(blocks, 3, axis=1)
    assert min(measure_blocks(blocks)) > 5, "all steps lie between blocks"
    assert measure_blocks(moved)[0] <= 0 < 5 < measure_blocks(moved)[1], "found at another offset too"
    noise = 0.1 * np.random.default_rng(0).standard_normal((64, 64)) + 0.5
    found = measure_noise(np.rint(noise.clip(0, 1) * 65535).astype(np.uint16))
    # A mask of squares 36 makes of a deviation s one of 6 s, and of its absolute value sqrt(2 / pi) of that.
    assert np.exp(found[0]) == pytest.approx(6 * 0.1 * np.sqrt(2 / np.pi), rel=0.05)
    assert all(np.isfinite(measure_noise(np.zeros((40, 40), np.uint8))))
    assert measure_compressibility(np.zeros((40, 40), np.uint8))[0] < 0.02


def test_files_are_told_apart_from_frames(make_once: Callable[..., Path]) -> None:
    plan = build_small_plan(make_once)
    assert set(plan.audit.neutralised) == {"file size", "file metadata"}
    record = next(open_small_sides(make_once).real.folder.iter_records("test", ("sample_id", "image")))
    assert measure_metadata(record.image)[:3] == [40.0, 40.0, 8.0]
    assert measure_files([record.image])["file size"][0, 0] == pytest.approx(np.log(len(record.image)))


def test_a_plan_that_leaks_is_refused_or_says_why_not(make_once: Callable[..., Path]) -> None:
    films = make_small_sources(make_once) / "films"
    framed = make_once(
        "study-framed", lambda path: write_images(path, range(900, 948), "framed", change=frame_in_black)
    )
    sides = open_sides(films, [str(framed)])
    recipe = apply_overrides(StudyRecipe(), [*SMALL, "cases=10", "training=2"])
    with pytest.raises(DataError, match=r"above the limit of 0\.7: AUC .* families that leak: .*border"):
        build_plan(sides, recipe, seed=0)
    plan = build_plan(sides, recipe, seed=0, allow_leaks="to see what readers make of it")
    assert plan.protocol.leak_audit.overridden == "to see what readers make of it"
    assert plan.protocol.leak_audit.by_features["border"] > 0.9
    # A reason that nothing needs is not on the record.
    assert build_small_plan(make_once, allow_leaks="just so").protocol.leak_audit.overridden == ""
