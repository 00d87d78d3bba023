"""`baseline train`: the model, its figures with the floor beside them, and what stops it."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cspine_bench.baselines.cases import load_cases
from cspine_bench.baselines.model import MODEL_NAME, load_model
from cspine_bench.baselines.task import Score
from cspine_bench.baselines.tested import build_tested_figures
from cspine_bench.baselines.train_model import train_model
from cspine_bench.cli import cli
from cspine_bench.dataset.write import write_dataset
from cspine_bench.errors import DataError
from cspine_bench.measurement.inputs import open_images
from cspine_bench.metrics.weighted import weighted_mean

sys.path.append(str(Path(__file__).parent))

from phantom_folders import WORKED_AT_PX, Stripped, build_recipe, write_phantoms


@pytest.fixture(scope="module")
def phantoms(make_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    return make_once("baseline-phantoms", write_phantoms)


def test_a_model_is_trained_tested_and_kept(phantoms: Path, tmp_path: Path) -> None:
    recipe = build_recipe(updates=15)
    facts, kept = train_model(recipe, phantoms, tmp_path / "model")
    assert not kept
    assert (facts.trained_on.n_used, facts.trained_on.n_available, facts.tested_on) == (25, 25, "test")
    first = facts.figures[0]
    assert first.name == "mean_radial_error" and first.unit == "mm" and first.n_used == {"test": 7}
    assert first.interval is not None and first.interval.low < first.value < first.interval.high
    assert first.floor is not None and first.floor.method.startswith("mean shape, from the train split; ")
    assert "curvature_agreement" in {figure.name for figure in facts.figures}
    # The figure is that of the model as it is read back.
    model = load_model(tmp_path / "model")
    assert model.facts == facts
    cases = load_cases(open_images("test", phantoms, splits=("test",)), WORKED_AT_PX)
    said = model.task.predict(model.network, cases, device="cpu", seed=0)
    score = model.task.score(said, cases, seed=0)[0]
    assert score.statistic(np.ones((1, 7)))[0] == pytest.approx(first.value, rel=1e-6)
    least = [row.min() for row in said["confidence"]]
    assert facts.least_confidence is not None and 0 < facts.least_confidence < max(least)
    # Again: kept, to the byte. Other arguments: refused, or replaced where that is asked for.
    before = (tmp_path / "model" / MODEL_NAME).stat().st_mtime_ns
    assert train_model(recipe, phantoms, tmp_path / "model") == (facts, True)
    assert (tmp_path / "model" / MODEL_NAME).stat().st_mtime_ns == before
    with pytest.raises(DataError, match="other data, recipe, seed or device"):
        train_model(recipe, phantoms, tmp_path / "model", seed=1)
    other, kept = train_model(build_recipe(updates=1), phantoms, tmp_path / "model", overwrite=True)
    assert not kept and other.updates == 1 and load_model(tmp_path / "model").facts == other
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "model.json", "shapes.safetensors", "weights.safetensors",
    ]  # fmt: skip


def test_the_same_arguments_give_the_same_weights(phantoms: Path, tmp_path: Path) -> None:
    found = [train_model(build_recipe(updates=1), phantoms, tmp_path / name)[0] for name in ("one", "two")]
    assert found[0].weights_sha256 == found[1].weights_sha256


def test_data_that_cannot_be_used_is_refused(phantoms: Path, tmp_path: Path) -> None:
    write_dataset(Stripped(8, 1), tmp_path / "unlabelled", fractions=(0.5, 0.0, 0.5))
    with pytest.raises(DataError, match="no radiograph of its train split has landmarks"):
        train_model(build_recipe(), tmp_path / "unlabelled", tmp_path / "model")
    write_phantoms_in_one_split(tmp_path / "train-only")
    with pytest.raises(DataError, match=r"has no split validation \(train 4\), so there is nothing to be tested on"):
        train_model(build_recipe(), tmp_path / "train-only", tmp_path / "model")
    odd = build_recipe().model_copy(update={"size": 48})
    with pytest.raises(DataError, match="64 px wide, no whole multiple of the recipe's size 48"):
        train_model(odd, phantoms, tmp_path / "model")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(DataError, match=r"not of a model .thesis\.tex."):
        train_model(build_recipe(), phantoms, tmp_path / "mine")


def write_phantoms_in_one_split(folder: Path) -> None:
    write_dataset(Stripped(4, 2, every=1), folder, fractions=(1.0, 0.0, 0.0))


def test_intervals_are_of_patients_and_floors_of_the_same_score() -> None:
    values = np.array([1.0, 1.0, 3.0, 3.0, 5.0, 5.0])
    score = Score("mean_radial_error", weighted_mean(values), "lower", 6, "mm")
    undefined = Score("dice", lambda weights: np.full(len(weights), np.nan), "higher", 0)
    pairs = ["a", "a", "b", "b", "c", "c"]
    [figure] = build_tested_figures([score, undefined], pairs, role="test", seed=0, floor=[score], floor_name="same")
    assert figure.value == 3.0 and figure.interval is not None
    # With three patients, one resample in 27 is of the first alone.
    assert (figure.interval.low, figure.interval.high) == (1.0, 5.0)
    assert figure.floor is not None and (figure.floor.low, figure.floor.high) == (1.0, 5.0)
    [alone] = build_tested_figures([score], ["a"] * 6, role="test", seed=0)
    assert alone.interval is None and alone.floor is None


def test_the_command_trains_and_says_how_well(phantoms: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(build_recipe(updates=1).model_dump_json())
    words = ["baseline", "train", "landmarking", "--data", str(phantoms), "--out", str(tmp_path / "model")]
    result = CliRunner().invoke(cli, [*words, "--recipe", str(tmp_path / "recipe.yaml")])
    assert result.exit_code == 0, result.output
    assert "25 of 25 radiographs" in result.stdout and "mean_radial_error" in result.stdout
    assert "Floor: mean shape, from the train split." in result.stdout
    again = CliRunner().invoke(cli, [*words, "--recipe", str(tmp_path / "recipe.yaml")])
    assert again.exit_code == 0 and "was trained before with these arguments, and is kept" in again.stdout
    other = CliRunner().invoke(cli, [*words[:2], "segmentation", *words[3:], "--recipe", str(tmp_path / "recipe.yaml")])
    assert other.exit_code == 2 and "is a recipe of landmarking, and segmentation was asked for" in other.stderr
