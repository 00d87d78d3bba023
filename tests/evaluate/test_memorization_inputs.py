"""A whole run on few films: it says that it is too weak, rather than fail."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "dataset"))

from drawn_films import MakeOnce, draw_films, open_films

from cspine_bench.evaluate.memorization.measure import Memorization, is_cleared
from cspine_bench.evaluate.memorization.recipe import MemorizationRecipe
from cspine_bench.measurement.task import Setup, run_task


def test_two_films_held_out_and_one_synthetic_image_are_too_few(make_once: MakeOnce, tmp_path: Path) -> None:
    sides = [
        open_films(make_once, role, f"few{role[:5]}", draw_films(count, seed))
        for seed, (role, count) in enumerate((("train", 12), ("holdout", 2), ("synthetic", 1)))
    ]
    recipe = MemorizationRecipe(encoder=None, variants=("shifted",), regions=False, planted=0)
    result, outputs = run_task(Memorization(*sides, recipe, Setup(store=tmp_path / "store")), tmp_path / "out")
    assert result.verdict.startswith("Underpowered")
    assert not is_cleared(result)
    assert not [figure for figure in result.figures if figure.name.startswith("membership")]
    assert "Fewer than 10 films" in outputs.page.read_text()
