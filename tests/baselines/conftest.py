"""Shared by the tests of baselines: the modules beside them, and those of the dataset folder's, can be imported."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "dataset")]
