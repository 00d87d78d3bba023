"""A baseline's result and pictures from real scores of made-up predictions: for tests of pages and tables alone."""

import functools

import numpy as np
from numpy.typing import NDArray

from cspine_bench.anatomy.landmarks import LEVELS
from cspine_bench.baselines.arm_facts import build_arm_facts
from cspine_bench.baselines.cases import Cases
from cspine_bench.baselines.cells import CellRecord
from cspine_bench.baselines.compare import CellScores, Compared, compare_arms
from cspine_bench.baselines.recipe import BaselineRecipe
from cspine_bench.baselines.tasks.landmarking.recipe import LandmarkingRecipe
from cspine_bench.baselines.tasks.landmarking.task import Landmarking
from cspine_bench.baselines.unet import NetworkShape
from cspine_bench.imaging.body_masks import draw_whole_bodies
from cspine_bench.results import Input, Result

SIZE = 32
FLOOR = "mean shape"
ERRORS_PX = {
    ("real", 0.1): 2.0, ("real", 1.0): 0.9, ("real-augmented", 0.1): 1.6, ("real-augmented", 1.0): 0.85,
    ("synthetic", None): 1.5, ("mixed-1", 0.1): 1.1, ("mixed-1", 1.0): 0.8, ("pretrained", 0.1): 1.9,
    ("pretrained", 1.0): 0.92, (FLOOR, None): 3.0,
}  # fmt: skip
SHOWN_PARTS = {"C3", "C5", "2 mm"}
LABELS = {0.1: 12, 1.0: 120, None: 0}


def draw_spines(count: int, seed: int, size: int = SIZE) -> NDArray[np.float32]:
    """Landmarks (count, 23, 2): a column of boxes, bent and moved a little in each."""
    generator = np.random.default_rng(seed)
    tops = np.linspace(0.28, 0.8, 5)
    boxes = [(0.5 + x, top + y) for top in tops for y in (0.0, 0.07) for x in (-0.1, 0.1)]
    points = np.array([(0.5, 0.16), (0.4, 0.22), (0.6, 0.22), *boxes])
    bend = generator.normal(0, 0.06, (count, 1)) * np.sin(4 * points[:, 1])
    moved = points + generator.normal(0, 0.02, (count, 1, 2)) + np.stack([bend, np.zeros_like(bend)], axis=2)
    return np.asarray(moved * size - 0.5, np.float32)


def draw_cases(count: int = 24, seed: int = 0, size: int = SIZE) -> Cases:
    """Radiographs of a sort with landmarks and masks, two of each patient."""
    landmarks_xy = draw_spines(count, seed, size)
    masks = draw_whole_bodies(landmarks_xy, size)
    noise = np.random.default_rng(seed).integers(0, 60, masks.shape)
    annotated = np.zeros((count, len(LEVELS)), np.bool_)
    annotated[:, 2:7] = True
    sexes = tuple("female" if number % 2 else "male" for number in range(count))
    return Cases(
        where="example: split test",
        sample_ids=tuple(f"ex{number:07d}" for number in range(count)),
        group_ids=tuple(f"patient-{number // 2}" for number in range(count)),
        facing=("left",) * count,
        label_values={"sex": sexes},
        pixels=np.asarray(60 + 120 * (masks > 0) + noise, np.uint8),
        masks=masks,
        annotated=annotated,
        landmarks_xy=landmarks_xy,
        pixel_spacing_mm=np.full(count, 2.0),
        phantoms=(None,) * count,
        artefacts=(None,) * count,
    )


def predict_landmarks(cases: Cases, error_px: float, seed: int = 1) -> dict[str, NDArray[np.float32]]:
    """What the task Landmarking predicts, with errors of a size."""
    generator = np.random.default_rng(seed)
    errors = generator.normal(0, error_px / 1.25, cases.landmarks_xy.shape)
    places = np.asarray(cases.landmarks_xy + errors, np.float32)
    return {"landmarks_xy": places, "confidence": np.ones(places.shape[:2], np.float32)}


def build_task() -> Landmarking:
    return Landmarking(LandmarkingRecipe(), NetworkShape(SIZE, 4, (8, 16)))


def compare(cases: Cases, *, num_seeds: int = 3) -> tuple[Compared, list[CellRecord]]:
    """Figures and verdicts of networks that err by `ERRORS_PX`, those of one seed alike."""
    task = build_task()
    cells, floors, records = [], [], []
    for (arm, fraction), error in ERRORS_PX.items():
        for seed in range(num_seeds):
            predictions = predict_landmarks(cases, error, seed=seed)
            scores = task.score(predictions, cases, seed=0)
            some = tuple(score for score in scores if set((score.condition or {}).values()) <= SHOWN_PARTS)
            found = CellScores(arm, fraction, seed, some)
            if arm == FLOOR:
                floors.append(found)
                break
            cells.append(found)
            counts = {"num_real": LABELS[fraction], "num_synthetic": 0 if arm.startswith("real") else 100}
            facts = {"key": "0" * 64, "arm": arm, "fraction": fraction, "seed": seed, "device": "cpu"}
            records.append(
                CellRecord.model_validate(facts | counts | {"package_version": "0", "commit": None, "seconds": 1})
            )
    found = compare_arms(cells, group_ids=cases.group_ids, margin=0.25, seed=0, num_bootstrap=100, floors=floors)
    return found, records


def build_result(cases: Cases, **changes: object) -> Result:
    compared, records = compare(cases)
    recipe = BaselineRecipe.model_validate(
        {"task": {"kind": "landmarking"}, "size": SIZE, "network": {"widths": (8, 16)}}
    )
    values: dict[str, object] = {
        "measure": "baseline-landmarking",
        "measure_version": "1",
        "inputs": tuple(
            Input(role=role, name=f"example-{role}", digest=f"{place:064x}", num_samples=200 * place)
            for place, role in enumerate(("real", "synthetic"), start=1)
        ),
        "settings": {"recipe": recipe.model_dump(mode="json"), "real_pixels": True},
        "figures": (*compared.figures, *build_arm_facts(records, compared.verdicts)),
        "verdict": compared.verdict,
        "seed": 7,
        "package_version": "0.1.0",
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "device": "cpu",
        "seconds": 312.4,
    }
    return Result.model_validate(values | changes)


@functools.cache
def example() -> tuple[Cases, Result]:
    """Made once: scoring it is what takes time."""
    cases = draw_cases()
    return cases, build_result(cases)
