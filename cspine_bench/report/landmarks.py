"""Where landmarks lie, real and synthetic: a map of the 23 points, and the alignment that is read off them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from cspine_bench.anatomy.alignment import PARAMETER_UNITS, PARAMETERS
from cspine_bench.anatomy.landmarks import LANDMARK_NAMES, NUM_LANDMARKS
from cspine_bench.anatomy.procrustes import align_shapes
from cspine_bench.dataset.parameters import compute_parameter_table
from cspine_bench.evaluate.page.fidelity_plots import draw_histogram
from cspine_bench.evaluate.page.records import ParameterValues
from cspine_bench.page.svg import Panel, Scale
from cspine_bench.report.given import FILMS, GivenDataset

Floats = NDArray[np.float64]
_SHOWN: Final = ("C2-7Cobb", "SVA", "CCI")
_ELLIPSE_STEPS: Final = 24
_SPREAD: Final = 2.0
"""Standard deviations that an ellipse reaches."""
_LEAST: Final = 3


@dataclass(frozen=True)
class LandmarkView:
    """Two datasets side by side.

    Attributes:
        real: name of the dataset on the real side.
        synthetic: of the other.
        counts: radiographs with all landmarks, real and synthetic, each with its dataset's digest.
        cloud: map of the points.
        histograms: (title, sentence, plot).
    """

    real: str
    synthetic: str
    counts: tuple[tuple[str, str], tuple[str, str]]
    cloud: Markup
    histograms: tuple[tuple[str, str, Markup], ...]


def compare_landmarks(datasets: Sequence[GivenDataset], pairs: Sequence[tuple[str, str]]) -> list[LandmarkView]:
    """A view of each pair of datasets that was given and has landmarks.

    Args:
        datasets: that were given.
        pairs: digests of what a result compared: (real side, synthetic).
    """
    views = []
    for real_digest, synthetic_digest in dict.fromkeys(pairs):
        real = next((one for one in datasets if one.digest == real_digest and one.role in FILMS), None)
        synthetic = next((one for one in datasets if one.digest == synthetic_digest and one.role == "synthetic"), None)
        if real is not None and synthetic is not None:
            view = _compare(real, synthetic)
            views += [] if view is None else [view]
    return views


def _compare(real: GivenDataset, synthetic: GivenDataset) -> LandmarkView | None:
    shapes = [_read_shapes(one) for one in (real, synthetic)]
    if min(map(len, shapes)) < _LEAST:
        return None
    aligned, _ = align_shapes(np.concatenate(shapes))
    sides = (aligned[: len(shapes[0])], aligned[len(shapes[0]) :])
    values = [_read_parameters(one) for one in (real, synthetic)]
    histograms = []
    for name in _SHOWN:
        unit = PARAMETER_UNITS[name]
        found = ParameterValues(name, unit, values[0][name], values[1][name])
        if all(np.isfinite(side).sum() >= _LEAST for side in (found.real, found.synthetic)):
            histograms.append((f"{name}, {unit}", PARAMETERS[name].definition, draw_histogram(found, name)))
    return LandmarkView(
        real=real.name,
        synthetic=synthetic.name,
        counts=((f"{len(shapes[0]):,}", real.digest), (f"{len(shapes[1]):,}", synthetic.digest)),
        cloud=_draw_cloud(*sides),
        histograms=tuple(histograms),
    )


def _read_shapes(dataset: GivenDataset) -> Floats:
    """Whole spines (n, 23, 2), each facing left; those that lack a point are left out."""
    found = []
    for split in dataset.splits:
        table = dataset.folder.read_table(["landmarks_xy", "facing", "width"], split)
        points = np.asarray(table["landmarks_xy"].to_pylist(), np.float64).reshape(-1, NUM_LANDMARKS, 2)
        right = np.asarray([value == 1 for value in table["facing"].to_pylist()], bool)
        points[right, :, 0] *= -1
        found.append(points[np.isfinite(points).all(axis=(1, 2))])
    whole = np.concatenate(found) if found else np.zeros((0, NUM_LANDMARKS, 2))
    spread: Floats = whole.std(axis=1).sum(axis=1) if len(whole) else np.zeros(0)
    return whole[spread > 0]


def _read_parameters(dataset: GivenDataset) -> Mapping[str, Floats]:
    table = compute_parameter_table(dataset.folder)
    used = np.isin(np.asarray(table["split"].to_pylist(), str), dataset.splits)
    found = {}
    for name in _SHOWN:
        column = table[f"{name} ({PARAMETER_UNITS[name]})"].to_numpy(zero_copy_only=False)
        found[name] = np.asarray(column, np.float64)[used]
    return found


def _draw_cloud(real: Floats, synthetic: Floats) -> Markup:
    """Mean and spread of every point after place, size and turn were taken off."""
    every = np.concatenate([real, synthetic])
    low, high = every.reshape(-1, 2).min(axis=0), every.reshape(-1, 2).max(axis=0)
    height = 430.0
    width = max(150.0, min(340.0, height * float((high[0] - low[0]) / max(high[1] - low[1], 1e-9)) + 90))
    panel = Panel("The 23 landmarks, real and synthetic: means and spread", height=height, width=width)
    panel.left, panel.right, panel.top, panel.bottom = 40, 14, 8, 8
    share = max((high[0] - low[0]) / (width - 54), (high[1] - low[1]) / (height - 16))
    middle = (low + high) / 2
    x = Scale(float(middle[0] - share * (width - 54) / 2), float(middle[0] + share * (width - 54) / 2), *panel.x_range)
    y = Scale(float(middle[1] - share * (height - 16) / 2), float(middle[1] + share * (height - 16) / 2), 8, height - 8)
    for points, style, closed in ((real, "area real", True), (synthetic, "curve synthetic", True)):
        for landmark in range(NUM_LANDMARKS):
            corners = [(x(a), y(b)) for a, b in _trace_ellipse(points[:, landmark])]
            panel.path(corners, style, closed=closed)
    for landmark, name in enumerate(LANDMARK_NAMES):
        place = synthetic[:, landmark].mean(axis=0)
        panel.dot(x(float(place[0])), y(float(place[1])), "mark synthetic", size=1.6)
        place = real[:, landmark].mean(axis=0)
        panel.dot(x(float(place[0])), y(float(place[1])), "mark real", size=1.6)
        if name.endswith(("centroid", "superior_anterior")):
            panel.text(4, y(float(place[1])) + 4, name.partition("_")[0], style="name")
    return panel.render()


def _trace_ellipse(points: Floats) -> list[tuple[float, float]]:
    centre = points.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(points.T))
    radii = _SPREAD * np.sqrt(values.clip(0))
    angles = np.linspace(0, 2 * np.pi, _ELLIPSE_STEPS, endpoint=False)
    around = (np.column_stack([np.cos(angles), np.sin(angles)]) * radii) @ vectors.T + centre
    return [(float(a), float(b)) for a, b in around]
