"""The folder of a planned study: whole, sealed, and refused once it was touched."""

from collections.abc import Callable
from pathlib import Path

from tests.study.small_study import make_small_study


def test_a_planned_study_opens(make_once: Callable[..., Path]) -> None:
    for design in ("quartet", "pair", "single"):
        study = make_small_study(make_once, design)
        assert study.protocol.recipe.design == design
