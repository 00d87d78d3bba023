"""How each arm is drawn: a colour and a shape of its own, so that neither alone has to tell them apart."""

from dataclasses import dataclass
from typing import Final, Literal

from markupsafe import Markup

from cspine_bench.baselines.recipe import CONTROLS
from cspine_bench.page.svg import Panel

Shape = Literal["circle", "square", "diamond", "triangle", "wedge", "cross"]


@dataclass(frozen=True)
class Marker:
    """Of one arm.

    Attributes:
        colour: class of the style sheet.
        shape: of its points.
        hollow: a control.
    """

    colour: str
    shape: Shape
    hollow: bool = False


_ARMS: Final = {
    "real": Marker("real", "circle"),
    "real-augmented": Marker("real", "square", hollow=True),
    "real-restarted": Marker("real", "triangle", hollow=True),
    "synthetic": Marker("holdout", "diamond"),
    "pretrained": Marker("calm", "triangle"),
    "self-supervised": Marker("violet", "wedge"),
    "submission": Marker("alarm", "cross"),
}
_MIXED: Final[tuple[Shape, ...]] = ("square", "diamond", "triangle", "wedge", "circle", "cross")


def mark_arms(arms: list[str]) -> dict[str, Marker]:
    """A marker for each arm by its label; arms that differ in their ratio alone share a colour."""
    mixed = [arm for arm in arms if arm.startswith("mixed")]
    found = {}
    for arm in arms:
        if arm in mixed:
            found[arm] = Marker("synthetic", _MIXED[mixed.index(arm) % len(_MIXED)])
        else:
            found[arm] = _ARMS.get(arm, Marker("alarm", "cross", hollow=arm in CONTROLS))
    return found


def draw_marker(panel: Panel, x: float, y: float, marker: Marker, *, size: float = 4) -> None:
    """A point of an arm."""
    style = f"{'hollow' if marker.hollow else 'mark'} {marker.colour}"
    reach = size + 0.8
    match marker.shape:
        case "circle" | "diamond":
            panel.dot(x, y, style, shape=marker.shape, size=size)
        case "square":
            side = size - 0.3
            corners = ((x - side, y - side), (x + side, y - side), (x + side, y + side), (x - side, y + side))
            panel.path(corners, style, closed=True)
        case "triangle":
            panel.path(((x, y - reach), (x + reach, y + size), (x - reach, y + size)), style, closed=True)
        case "wedge":
            panel.path(((x, y + reach), (x + reach, y - size), (x - reach, y - size)), style, closed=True)
        case "cross":
            for turn in (1, -1):
                panel.line(x - size, y - turn * size, x + size, y + turn * size, f"whisker {marker.colour}")


def draw_key(arm: str, marker: Marker) -> Markup:
    """A marker with its line, for a legend."""
    panel = Panel(f"marker of {arm}", width=34, height=16)
    panel.line(2, 8, 32, 8, f"whisker {marker.colour}")
    draw_marker(panel, 17, 8, marker)
    return panel.render()
