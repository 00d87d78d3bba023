"""Fill the tables of docs/speed.md and draw its figure from `results/speed.json`.

    python benchmarks/speed/speed_page.py

A test fails where the page or the figure is not what this makes. What is left is written by hand, below the tables.
"""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.report import RESULTS
from benchmarks.speed.comparison import OURS
from cspine_bench.page.svg import Scale

RESULT: Final = RESULTS / "speed.json"
DOCS: Final = Path(__file__).parents[2] / "docs"
PAGE: Final = DOCS / "speed.md"
PICTURE: Final = DOCS / "images" / "speed.svg"
PAGE_BLOCK: Final = r"(<!-- {name}: benchmarks/speed/speed_page.py -->\n).*?(<!-- end -->)"

# Okabe and Ito's colours, which the colour-blind tell apart; shapes differ too, for print.
BLUE, ORANGE, BLACK, GRAY = "#0072B2", "#D55E00", "#000000", "#767676"
WIDTH, LEFT, RIGHT, TOP, ROW = 940, 330, 24, 58, 40
PEER_SHAPES = ("diamond", "square", "triangle")
UNITS = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))

Document = dict[str, Any]


def choose_unit(found: Document) -> str:
    """Processor time; the clock where a promise is made to somebody who waits."""
    return "cpu_s" if found["ceiling_s"] is None else "wall_s"


def is_peer(name: str) -> bool:
    """Somebody else's, and no other form of ours."""
    return not name.startswith(("ours", OURS))


def say_seconds(seconds: float) -> str:
    """To three digits, in the unit that fits."""
    unit, size = next(((unit, size) for unit, size in UNITS if seconds >= size), UNITS[-1])
    return f"{seconds / size:#.3g}".rstrip(".") + f" {unit}"


def say_ratio(ratio: Document, repeats: int) -> str:
    """The median, and the range where there is one."""
    middle = f"{ratio['median']:.2f}"
    return middle if repeats == 1 else f"{middle} ({ratio['min']:.2f} to {ratio['max']:.2f})"


def say_candidate(name: str, found: Document) -> str:
    """Name and version."""
    versions = found["versions"]
    version = versions.get(name)
    return f"{name} {version}" if version else name


def _iter_table(document: Document) -> Iterator[str]:
    repeats = document["repeats"]
    yield "| what | a unit | ours | beside | theirs | theirs / ours, processor | by the clock | limit | ours / limit |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for name, found in document["comparisons"].items():
        unit = choose_unit(found)
        ours = found["candidates"][OURS][unit]["median"]
        floor = found["floor"]["seconds"]
        limit = [say_seconds(floor), f"{ours / floor:.1f}"]
        head = [name, found["unit"], say_seconds(ours)]
        if found["ceiling_s"] is not None:
            head[2] += " by the clock"
            promise = f"promised: below {say_seconds(found['ceiling_s'])}"
            yield _row([*head, promise, "", "", "", *limit])
        for peer, ratio in found["over_ours"].items():
            theirs = found["candidates"][peer]
            spreads = [say_ratio(ratio[which], repeats) for which in ("cpu_s", "wall_s")]
            yield _row([*head, say_candidate(peer, theirs), say_seconds(theirs[unit]["median"]), *spreads, *limit])
            head, limit = ["", "", ""], ["", ""]


def _iter_limits(document: Document) -> Iterator[str]:
    yield "| what | limit of a unit | arithmetic: amount / rate of this machine |"
    yield "| --- | --- | --- |"
    for name, found in document["comparisons"].items():
        terms = [
            f"{term['what']}: {term['amount']:.4g} / {document['rates'][term['rate']]['median']:.3g} "
            f"{document['rates'][term['rate']]['unit']} ({term['rate']}) = {say_seconds(term['seconds'])}"
            for term in found["floor"]["terms"]
        ]
        yield _row([name, say_seconds(found["floor"]["seconds"]), "; ".join(terms)])


def _iter_rates(document: Document) -> Iterator[str]:
    yield "| rate | median | least to most | how |"
    yield "| --- | --- | --- | --- |"
    for name, rate in document["rates"].items():
        spread = f"{rate['min']:.3g} to {rate['max']:.3g}"
        yield _row([name, f"{rate['median']:.3g} {rate['unit']}", spread, rate["how"]])


def _iter_work(document: Document) -> Iterator[str]:
    yield "| what | work | checked in every repeat |"
    yield "| --- | --- | --- |"
    for name, found in document["comparisons"].items():
        yield _row([name, found["work"], found["agreement"]])


def _iter_machine(document: Document) -> Iterator[str]:
    machine = document["machine"]
    versions = {name: version for name, version in document["versions"].items() if version}
    for found in document["comparisons"].values():
        for candidate in found["candidates"].values():
            versions |= {name: version for name, version in candidate["versions"].items() if version}
    others = f"{document['others_used_cores']:.2f} of {machine['cores']} cores were used by others meanwhile"
    calm = "calm" if document["calm"] else "**not calm: to be measured again**"
    loads = " to ".join(f"{document[key][0]:.1f}" for key in ("load_before", "load_after"))
    minutes = f"{document['seconds'] / 60:.0f} minutes, {document['cpu_seconds']:,.0f} CPU-seconds"
    yield "| | |"
    yield "| --- | --- |"
    model = machine["model"] or machine["processor"]
    yield _row(["machine", f"{model}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}"])
    yield _row(["disk", str(machine["disk"])])
    yield _row(["threads", "one"])
    yield _row(["calm?", f"{calm}; {others}; load before and after {loads}"])
    yield _row(["repeats", f"{document['repeats']}, after one to warm up; {minutes} with set-up"])
    yield _row(["commit", f"{str(document['commit'])[:10]}{' with changes' if document['commit_dirty'] else ''}"])
    yield _row(["versions", ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


TABLES: Final = {
    "machine": _iter_machine,
    "table": _iter_table,
    "limits": _iter_limits,
    "rates": _iter_rates,
    "work": _iter_work,
}


def fill_page(text: str, document: Document) -> str:
    """The page with its tables made anew.

    Raises:
        ValueError: the page lacks a block.
    """
    for name, build in TABLES.items():
        table = "\n".join(build(document))
        block = re.compile(PAGE_BLOCK.format(name=name), flags=re.S)
        text, found = block.subn(lambda match, table=table: f"{match[1]}{table}\n{match[2]}", text)  # type: ignore[misc]
        if found != 1:
            raise ValueError(f"the page has {found} blocks named {name}; one is needed")
    return text


def draw_mark(x: float, y: float, shape: str, colour: str, *, filled: bool) -> str:
    """A mark of about 10 px."""
    fill = colour if filled else "white"
    style = f'fill="{fill}" stroke="{colour}" stroke-width="1.8"'
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" {style}/>'
    reach = {"diamond": ((0, -6.5), (6.5, 0), (0, 6.5), (-6.5, 0)), "triangle": ((0, -6), (6, 5), (-6, 5))}
    corners = reach.get(shape, ((-4.8, -4.8), (4.8, -4.8), (4.8, 4.8), (-4.8, 4.8)))
    return f'<path d="M{"L".join(f"{x + dx:.1f} {y + dy:.1f}" for dx, dy in corners)}Z" {style}/>'


def draw_text(x: float, y: float, words: str, *, anchor: str = "start", size: int = 13, colour: str = BLACK) -> str:
    style = f'font-size="{size}" text-anchor="{anchor}" fill="{colour}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(words)}</text>'


def _draw_spread(scale: Scale, spread: Document, y: float, colour: str) -> str:
    left, right = scale(spread["min"]), scale(spread["max"])
    return f'<path d="M{left:.1f} {y:.1f}H{right:.1f}" stroke="{colour}" stroke-width="1.8"/>'


def _list_marks(found: Document) -> list[tuple[str, str, str, bool]]:
    """Name, shape, colour and whether it is filled, of each candidate; ours last, so that it lies on top."""
    marks, peers = [], 0
    for name in found["candidates"]:
        if name == OURS:
            continue
        if is_peer(name):
            marks.append((name, PEER_SHAPES[peers], ORANGE, False))
            peers += 1
        else:
            marks.append((name, "circle", BLUE, False))
    return [*marks, (OURS, "circle", BLUE, True)]


def _iter_row(found: Document, name: str, scale: Scale, y: float) -> Iterator[str]:
    unit, floor = choose_unit(found), found["floor"]["seconds"]
    yield draw_text(12, y - 3, name)
    about = found["unit"] if found["ceiling_s"] is None else f"{found['unit']}, by the clock, 95 % sooner"
    yield draw_text(12, y + 11, about, size=11, colour=GRAY)
    x, legend = 176.0, _list_marks(found)[:-1]
    # Above each other, where there are several.
    for number, (peer, shape, colour, filled) in enumerate(legend):
        line = y + 13 * (number - (len(legend) - 1) / 2)
        mark = draw_mark(0, 0, shape, colour, filled=filled)
        yield f'<g transform="translate({x:.1f} {line:.1f}) scale(0.75)">{mark}</g>'
        yield draw_text(x + 9, line + 4, peer, size=11, colour=GRAY)
    yield f'<path d="M{scale(floor):.1f} {y - 10:.1f}V{y + 10:.1f}" stroke="{BLACK}" stroke-width="3"/>'
    if found["ceiling_s"] is not None:
        end = scale(found["ceiling_s"])
        style = f'stroke="{BLACK}" stroke-width="2" stroke-dasharray="3 3"'
        yield f'<path d="M{end:.1f} {y - 12:.1f}V{y + 12:.1f}" {style}/>'
        yield draw_text(end + 6, y + 4, "promise", size=11)
    for candidate, shape, colour, filled in _list_marks(found):
        spread = found["candidates"][candidate][unit]
        yield _draw_spread(scale, spread, y, colour)
        yield draw_mark(scale(spread["median"]), y, shape, colour, filled=filled)


def draw_picture(document: Document) -> str:
    """Ours, peers and limit of every comparison on one logarithmic axis of time."""
    rows = document["comparisons"]
    times = [
        value
        for found in rows.values()
        for value in (
            found["floor"]["seconds"],
            found["ceiling_s"] or found["floor"]["seconds"],
            *(
                candidate[choose_unit(found)][end]
                for candidate in found["candidates"].values()
                for end in ("min", "max")
            ),
        )
    ]
    height = TOP + ROW * len(rows) + 46
    bottom = TOP + ROW * len(rows)
    scale = Scale(min(times) / 1.5, max(times) * 1.5, LEFT, WIDTH - RIGHT, log=True)
    marks = [f'<rect width="{WIDTH}" height="{height}" fill="white"/>']
    for tick in scale.list_ticks(10):
        marks.append(f'<path d="M{scale(tick):.1f} {TOP - 8}V{bottom}" stroke="#d8d8d8"/>')
        marks.append(
            draw_text(scale(tick), bottom + 16, re.sub(r"\.0+ ", " ", say_seconds(tick)), anchor="middle", size=12)
        )
    for number, (name, found) in enumerate(rows.items()):
        y = TOP + ROW * (number + 0.5)
        if number % 2:
            marks.append(f'<rect y="{y - ROW / 2:.1f}" width="{LEFT - 8}" height="{ROW}" fill="#f4f4f4"/>')
        marks += _iter_row(found, name, scale, y)
    words = "processor time of one unit (logarithmic); lines: least to most of the repeats"
    marks.append(draw_text((LEFT + WIDTH - RIGHT) / 2, bottom + 36, words, anchor="middle", size=12))
    marks += [
        draw_mark(LEFT + 10, 24, "circle", BLUE, filled=True), draw_text(LEFT + 22, 28, "ours"),
        draw_mark(LEFT + 80, 24, "circle", BLUE, filled=False), draw_text(LEFT + 92, 28, "ours, another way"),
        draw_mark(LEFT + 230, 24, "diamond", ORANGE, filled=False), draw_text(LEFT + 242, 28, "peers"),
        f'<path d="M{LEFT + 310} 14V34" stroke="{BLACK}" stroke-width="3"/>',
        draw_text(LEFT + 320, 28, "limit of this machine"),
    ]  # fmt: skip
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
            'font-family="system-ui, sans-serif" role="img" '
            'aria-label="Time of one unit of each comparison: ours, its peers, and the limit of the machine">',
            *marks,
            "</svg>\n",
        ]
    )


def load_result() -> Document:
    found: Document = json.loads(RESULT.read_text(encoding="utf-8"))
    return found


def main() -> None:
    document = load_result()
    PAGE.write_text(fill_page(PAGE.read_text(encoding="utf-8"), document), encoding="utf-8")
    PICTURE.write_text(draw_picture(document), encoding="utf-8")
    print(f"{PAGE}\n{PICTURE}", file=sys.stderr)


if __name__ == "__main__":
    main()
