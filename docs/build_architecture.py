"""Draw docs/images/architecture.svg and fill the table of docs/architecture.md from the code: `make docs`.

What is drawn are the imports that the code has, between the layers that tests/test_architecture.py enforces; a test
there fails where picture or table are not what this script makes.
"""

import ast
import importlib.util
import itertools
import sys
from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "images" / "architecture.svg"
PAGE = ROOT / "docs" / "architecture.md"
BEGIN = "<!-- Made by docs/build_architecture.py (`make docs`): change the code, not this table. -->"
END = "<!-- End of the table. -->"

BOX_HEIGHT, ROW_HEIGHT, WIDTH, MARGIN, LEFT = 34, 84, 980, 24, 64
SWEEPS = 12
"""Of the ordering inside rows; it stands still long before."""

Imports = Mapping[str, set[str]]
Layers = Mapping[str, int]


def find_direct(imports: Imports) -> dict[str, set[str]]:
    """Imports without those that others imply: what a module reaches through a module in between is not drawn."""

    def reach(name: str) -> set[str]:
        return {far for near in imports[name] for far in {near, *reach(near)}}

    reached = {name: reach(name) for name in imports}
    return {
        name: {near for near in imports[name] if not any(near in reached[other] for other in imports[name] - {near})}
        for name in imports
    }


def list_chains(layers: Layers, direct: Imports) -> list[list[str]]:
    """Each arrow as the nodes it passes, from the upper end down; in a layer between it passes a node of its own."""
    return [
        [upper, *(f"{upper}>{lower}@{layer}" for layer in range(layers[upper] - 1, layers[lower], -1)), lower]
        for upper in sorted(direct)
        for lower in sorted(direct[upper])
    ]


def order_rows(layers: Layers, chains: list[list[str]]) -> list[list[str]]:
    """Nodes of each layer from left to right, so that few arrows cross: each near the middle of its neighbours."""
    level = dict(layers)
    near: dict[str, list[str]] = {name: [] for name in layers}
    for chain in chains:
        for number, node in enumerate(chain):
            level.setdefault(node, level[chain[0]] - number)
            near.setdefault(node, [])
        for upper, lower in itertools.pairwise(chain):
            near[upper].append(lower)
            near[lower].append(upper)
    rows = [sorted(node for node in level if level[node] == layer) for layer in range(max(layers.values()) + 1)]
    for sweep in range(SWEEPS):
        for layer in range(len(rows))[:: 1 if sweep % 2 else -1]:
            places = place_rows(rows)
            wanted = {
                node: sum(places[other] for other in near[node]) / len(near[node]) if near[node] else places[node]
                for node in rows[layer]
            }
            rows[layer] = sorted(rows[layer], key=lambda node: (wanted[node], node))
    return rows


def measure(node: str) -> int:
    """Width of a node with the gap beside it, px."""
    return 30 if "@" in node else 44 + 9 * len(node)


def place_rows(rows: list[list[str]]) -> dict[str, float]:
    """Middle of each node, px from the left; every row is centred."""
    places: dict[str, float] = {}
    for row in rows:
        left = LEFT + (WIDTH - LEFT - sum(map(measure, row))) / 2
        for node in row:
            places[node] = left + measure(node) / 2
            left += measure(node)
    return places


def draw(layers: Layers, imports: Imports) -> str:
    """The picture: a row for each layer, an arrow for each import that no other arrow implies."""
    chains = list_chains(layers, find_direct(imports))
    rows = order_rows(layers, chains)
    places = place_rows(rows)
    level = {node: layer for layer, row in enumerate(rows) for node in row}
    height = 2 * MARGIN + ROW_HEIGHT * (len(rows) - 1) + BOX_HEIGHT

    def middle(node: str) -> float:
        return height - MARGIN - BOX_HEIGHT / 2 - ROW_HEIGHT * level[node]

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img" font-family="system-ui, sans-serif" font-size="15">',
        "<title>Layers of cspine_bench: an arrow is an import, and all of them go down</title>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#5b6b7b"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{height}" rx="10" fill="#f7f9fb"/>',
    ]
    for layer in range(len(rows)):
        y = height - MARGIN - BOX_HEIGHT / 2 - ROW_HEIGHT * layer
        parts.append(f'<text x="24" y="{y + 5:g}" fill="#5b6b7b">{layer}</text>')
        parts.append(f'<path d="M44 {y:g}H{WIDTH - 24}" stroke="#e3e9ef"/>')
    for chain in chains:
        x, y = places[chain[0]], middle(chain[0]) + BOX_HEIGHT / 2
        path = f"M{x:.0f} {y:g}"
        for node in chain[1:]:
            to_x, to_y = places[node], middle(node) - (0 if "@" in node else BOX_HEIGHT / 2)
            bend = (to_y - y) / 2
            path += f"C{x:.0f} {y + bend:g} {to_x:.0f} {to_y - bend:g} {to_x:.0f} {to_y:g}"
            x, y = to_x, to_y
        parts.append(
            f'<path class="import" data-from="{chain[0]}" data-to="{chain[-1]}" d="{path}" fill="none" '
            'stroke="#5b6b7b" stroke-width="1.3" marker-end="url(#head)"/>'
        )
    for node in sorted(layers):
        width = measure(node) - 20
        x, y = places[node] - width / 2, middle(node) - BOX_HEIGHT / 2
        parts.append(
            f'<rect x="{x:.1f}" y="{y:g}" width="{width}" height="{BOX_HEIGHT}" rx="6" fill="#fff" stroke="#20537a"/>'
            f'<text x="{places[node]:.1f}" y="{y + 22:g}" text-anchor="middle" fill="#12324a">{escape(node)}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def build_table(layers: Layers, imports: Imports) -> str:
    """Every module with its layer, its one job and all that it imports."""
    lines = ["| layer | module | its one job | imports |", "| --- | --- | --- | --- |"]
    for name in sorted(layers, key=lambda name: (-layers[name], name)):
        folder = ROOT / "cspine_bench" / name
        path = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
        job = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0]
        shown = f"`{name}/`" if folder.is_dir() else f"`{name}`"
        lines.append(f"| {layers[name]} | {shown} | {' '.join(job.split())} | {', '.join(sorted(imports[name]))} |")
    return "\n".join(lines)


def build_page(layers: Layers, imports: Imports) -> str:
    """The page with its table filled in again."""
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{build_table(layers, imports)}\n\n{END}{tail}"


def main() -> None:
    """Write both, from the layers and imports that the architecture test sees."""
    spec = importlib.util.spec_from_file_location("test_architecture", ROOT / "tests" / "test_architecture.py")
    assert spec is not None and spec.loader is not None
    seen = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(seen)
    layers, imports = seen.LAYERS, seen.collect_imports()
    page = build_page(layers, imports)
    PICTURE.write_text(draw(layers, imports), encoding="utf-8")
    PAGE.write_text(page, encoding="utf-8")
    print(f"{PICTURE}\n{PAGE}", file=sys.stderr)


if __name__ == "__main__":
    main()
