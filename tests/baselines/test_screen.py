"""`baseline screen`: flags, exit codes, rows and page; and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner, Result

from cspine_bench.baselines.model import save_model
from cspine_bench.baselines.recipe import BaselineRecipe
from cspine_bench.baselines.registry import build_task
from cspine_bench.baselines.screen import Assessed, build_screening_figures, iter_batches
from cspine_bench.cli import cli
from cspine_bench.dataset.write import write_dataset
from cspine_bench.imaging.artefacts import KINDS
from cspine_bench.measurement.inputs import open_images
from cspine_bench.results import Figure, Floor, load_result
from cspine_bench.sources.phantom.recipe import PhantomRecipe
from cspine_bench.sources.phantom.source import PhantomSource

COUNT = 6


def write_phantoms(folder: Path, count: int = COUNT, **settings: Any) -> None:
    recipe = PhantomRecipe.model_validate({"size": 64} | settings)
    write_dataset(PhantomSource(recipe, count, 3), folder, fractions=(0.5, 0.0, 0.5))


OWN_ERROR = Figure(
    name="ssim_error", value=0.1, interval=None, direction="lower", n_used={"test": 3}, n_available={"test": 3},
    floor=Floor(value=0.2, low=0.1, high=0.3, level=0.95, method="training median; bootstrap", n_used=(3, 3)),
)  # fmt: skip


def write_model(folder: Path, kind: str = "quality") -> None:
    """A network that has learnt nothing: what is tested here is what becomes of its words."""
    recipe = BaselineRecipe.model_validate(
        {"task": {"kind": kind}, "size": 32, "network": {"unshuffle": 2, "widths": (8,)}}
    )
    torch.manual_seed(0)
    save_model(
        folder, build_task(recipe).build_network(), recipe=recipe, seed=0, updates=1, learning_rate=1e-3, device="cpu",
        trained_on={"dataset": "films", "digest": "0" * 64, "split": "train", "n_used": 1, "n_available": 1},
        package_version="0", commit=None, versions={}, tested_on="test", figures=(OWN_ERROR,),
    )  # fmt: skip


@pytest.fixture(scope="module")
def spoilt(make_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    names = ("blur", "over_exposure")
    return make_once("screened", lambda folder: write_phantoms(folder, artefacts=names, artefact_share=0.5))


@pytest.fixture(scope="module")
def model(make_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    return make_once("screener", write_model)


def screen(dataset: Path, model: Path, out: Path, *more: str) -> Result:
    arguments = ["baseline", "screen", str(dataset), "--model", str(model), "--out", str(out), *more]
    return CliRunner().invoke(cli, arguments)


def test_flags_rows_page_and_exit_codes(spoilt: Path, model: Path, tmp_path: Path) -> None:
    found = screen(spoilt, model, tmp_path, "--json", "--min-ssim", "0.999", "--max-flagged", "0.5")
    # A network that has learnt nothing is sure of nothing, so all images are under the limit.
    assert found.exit_code == 1, found.stderr
    assert "images of 64 px are averaged down to the model's 32 px" in found.stderr
    result = load_result(tmp_path / "screening.json")
    assert json.loads(found.stdout) == result.model_dump(mode="json")
    figures = {(figure.name, figure.condition.get("artefact", "")): figure for figure in result.figures}
    assert figures["flagged_share", ""].value == 1.0
    assert sum(figures["told_share", name].value for name in KINDS) == pytest.approx(1)
    rows = pq.read_table(tmp_path / "screening.samples.parquet").to_pydict()
    assert len(rows["sample_id"]) == COUNT and all(rows["flagged"])
    assert set(rows["split"]) == {"train", "test"}
    assert set(rows["recorded_artefact"]) <= {None, "blur", "over_exposure"}
    assert {name is None for name in rows["recorded_artefact"]} == {True, False}
    sums = np.sum([rows[f"probability_{name}"] for name in KINDS], axis=0)
    np.testing.assert_allclose(sums, 1, atol=1e-5)
    assert figures["predicted_ssim", ""].value == pytest.approx(np.mean(rows["predicted_ssim"]))
    page = (tmp_path / "screening.html").read_text()
    assert "Floor: training median." in page and "real against real" not in page
    assert page.count("<img ") == COUNT and rows["sample_id"][0] in page
    # Asked again it answers from the folder; the share that is allowed is no part of the question.
    before = (tmp_path / "screening.json").stat().st_mtime_ns
    assert screen(spoilt, model, tmp_path, "--min-ssim", "0.999", "--max-flagged", "1").exit_code == 0
    assert (tmp_path / "screening.json").stat().st_mtime_ns == before
    other = screen(spoilt, model, tmp_path)
    assert other.exit_code == 2 and "other data or settings" in other.stderr
    hidden = screen(spoilt, model, tmp_path, "--no-real-pixels", "--overwrite", "--split", "test")
    assert hidden.exit_code == 0
    assert "<img " not in (tmp_path / "screening.html").read_text()
    assert load_result(tmp_path / "screening.json").inputs[0].num_samples == COUNT // 2


def test_known_artefacts_by_hand() -> None:
    """Two clean and two spoilt images; one of each is flagged."""
    probabilities = np.full((4, len(KINDS)), 0.05, np.float32)
    for row, name in enumerate(("none", "blur", "blur", "noise")):
        probabilities[row, KINDS.index(name)] = 0.6
    assessed = Assessed(
        ssim=np.array([0.95, 0.7, 0.8, 0.97], np.float32),
        probabilities=probabilities,
        flagged=np.array([False, True, True, False]),
        recorded=(None, None, "blur", "blur"),
        splits=("test",) * 4,
    )
    figures = build_screening_figures(assessed, tuple("abcd"), ssim_limit=0.9)
    found = {(figure.name, figure.condition.get("artefact", "")): figure.value for figure in figures}
    assert found["flagged_share", ""] == 0.5 and found["told_share", "blur"] == 0.5
    for name in ("filter_precision", "filter_recall", "filter_specificity"):
        assert found[name, ""] == 0.5
    assert found["sensitivity", "blur"] == 0.5
    # Of the four pairs the probability of `none` tells two, and of the other two nothing.
    assert found["artefact_auroc", ""] == 0.75
    unknown = Assessed(assessed.ssim, probabilities, assessed.flagged, (None,) * 4, assessed.splits)
    names = {figure.name for figure in build_screening_figures(unknown, tuple("abcd"), ssim_limit=0.9)}
    assert names == {"flagged_share", "told_share", "predicted_ssim"}


def test_what_is_refused(spoilt: Path, model: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "landmarker", "landmarking")
    refused = {
        "is of the task landmarking, and screening needs one of quality": screen(
            spoilt, tmp_path / "landmarker", tmp_path / "out"
        ),
        "has no radiograph in its split validation": screen(spoilt, model, tmp_path / "out", "--split", "validation"),
        "has no model.json": screen(spoilt, spoilt, tmp_path / "out"),
    }
    write_phantoms(tmp_path / "odd", 2, size=80)
    refused["no whole multiple of the recipe's size 32"] = screen(tmp_path / "odd", model, tmp_path / "out")
    for message, found in refused.items():
        assert found.exit_code == 2, message
        assert message in found.stderr
    assert not (tmp_path / "out" / "screening.json").exists()


def test_16_bits_are_seen_as_8(tmp_path: Path) -> None:
    seen = []
    for bits in (8, 16):
        write_phantoms(tmp_path / f"{bits}", 2, bit_depth=bits)
        seen += list(iter_batches(open_images("screened", tmp_path / f"{bits}"), 32))
    assert seen[0].shape == (2, 1, 32, 32)
    # One gray level of 8 bits: each of the four pixels of a block was rounded, and their mean once more.
    assert float((seen[0] - seen[1]).abs().max()) <= 2 / 255 + 1e-6
