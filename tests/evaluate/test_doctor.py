"""The self-tests pass on a sound machine, and each sees the fault that it is there for."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent.parent / "features"))

from toy_encoder import make_encoder

from cspine_bench.cli import cli
from cspine_bench.evaluate import doctor
from cspine_bench.evaluate.memorization.transforms import TRANSFORMS, Transform
from cspine_bench.metrics.manifold import Manifold


def test_all_is_well_here() -> None:
    result = CliRunner().invoke(cli, ["evaluate", "doctor", "--encoder", "pixels", "--json"])
    document = json.loads(result.stdout)
    assert result.exit_code == 0, result.stdout
    assert document["healthy"] is True
    assert len({check["name"] for check in document["checks"]}) == len(document["checks"]) >= 8


def _find(checks: list[doctor.Check]) -> list[str]:
    return [check.name for check in checks if not check.passed]


def test_an_encoder_that_cuts_16_bits_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, _ = make_encoder()
    whole = type(encoder).encode

    def cut(self: object, images: np.ndarray, **options: object) -> np.ndarray:
        # What `Image.convert("RGB")` does to a file of 16 bits.
        return whole(encoder, images.clip(0, 255).astype(np.uint8), allow_blank=True)

    monkeypatch.setattr(type(encoder), "encode", cut)
    monkeypatch.setattr(doctor, "open_encoder", lambda name, *, device: encoder)
    assert _find(doctor.examine()) == ["16 bits"]


def test_an_encoder_that_depends_on_the_batch_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, network = make_encoder()
    uneven = replace(encoder, network=lambda images: network(images) * (1 + 0.01 * len(images)))
    monkeypatch.setattr(doctor, "open_encoder", lambda name, *, device: uneven)
    assert _find(doctor.examine()) == ["batch size"]


def test_swapped_sides_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    measure: Callable[..., list[Manifold]] = doctor.measure_manifold
    monkeypatch.setattr(doctor, "measure_manifold", lambda real, synthetic: measure(real=synthetic, synthetic=real))
    encoder, _ = make_encoder()
    monkeypatch.setattr(doctor, "open_encoder", lambda name, *, device: encoder)
    assert _find(doctor.examine()) == ["which side is which"]


def test_a_copy_that_the_search_misses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = Transform("another film", True, lambda film, canvas, generator: canvas)
    monkeypatch.setattr(doctor, "TRANSFORMS", (*TRANSFORMS[:2], lost))
    encoder, _ = make_encoder()
    monkeypatch.setattr(doctor, "open_encoder", lambda name, *, device: encoder)
    [check] = [check for check in doctor.examine() if not check.passed]
    assert check.name == "planted copies"
    assert check.sentence.startswith("2 of 3 copies named")
    assert check.sentence.endswith("missed: another film")


def test_a_failed_test_is_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_BATCH_TOLERANCE", -1.0)
    result = CliRunner().invoke(cli, ["evaluate", "doctor", "--encoder", "pixels"])
    assert result.exit_code == 1
    assert "FAILED  batch size" in result.stdout


def test_an_unknown_encoder_is_named() -> None:
    result = CliRunner().invoke(cli, ["evaluate", "doctor", "--encoder", "pixel"])
    assert result.exit_code == 2
    assert "did you mean 'pixels'" in result.stderr
    assert "fault of cspine-bench" not in result.stderr
