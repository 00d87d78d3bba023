"""The page of the readers in a real browser: whole studies, the viewer, lost connections, second machines."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cspine_bench.study.app.static_files import load_static_files
from cspine_bench.study.folder import StudyFolder, load_schedule, map_frames
from cspine_bench.study.ledger.links import issue_link
from cspine_bench.study.ledger.record import Record
from cspine_bench.study.ledger.store import open_ledger
from tests.study.bare_study import DATASETS, SOURCES, make_bare_study
from tests.study.reader_browser import Reader, open_link
from tests.study.served import serve

# One reader goes through a whole study in the quick tests; each of the others takes two to four seconds of processor
# time more, and what the server does when it is killed or answered twice is tested without a browser as well.
FURTHER = pytest.mark.slow
FEW = {"cases": 2, "training": 1, "repeats": 0, "positive_controls": 0}


class Served:
    """A study that a process serves; it can be killed, and comes back at the same address."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.study: StudyFolder = make_bare_study(folder, **(FEW | settings))
        self.schedule = load_schedule(self.study)
        with open_ledger(self.study) as ledger, ledger.transaction():
            self.tokens = {reader: issue_link(ledger, reader) for reader in self.study.protocol.readers}
        self.address, self._port, self._stack = "", "0", ExitStack()

    def start(self) -> None:
        _, self.address = self._stack.enter_context(serve(self.study.paths.folder, "--port", self._port, "--quiet"))
        self._port = self.address.rstrip("/").rpartition(":")[2]

    def kill(self) -> None:
        self._stack.close()

    def link(self, reader: str) -> str:
        return f"{self.address}#{self.tokens[reader]}"

    def list_records(self, kind: str, reader: str) -> list[Record]:
        with open_ledger(self.study, read_only=True) as ledger:
            return [record for record in ledger.iter_records(kind) if record.reader == reader]


@pytest.fixture(scope="module")
def quartet(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Four rated images, of 16 bits."""
    served = Served(tmp_path_factory.mktemp("reader-page") / "study", size=96, bit_depth=16, readers=6)
    served.start()
    yield served
    served.kill()


def check_clean(reader: Reader, served: Served) -> None:
    """Nothing went elsewhere, nothing broke, nothing names a condition."""
    assert all(url.startswith(served.address) for url in reader.asked), reader.asked
    assert reader.said == []
    stored = "[JSON.stringify(localStorage), JSON.stringify(sessionStorage), document.cookie].join()"
    assert reader.page.evaluate(stored) == "{},{},"
    named = {*SOURCES[1:], *DATASETS.values(), "ckpt", "control", "correct"}
    text = " ".join([reader.page.content(), *reader.asked])
    assert [name for name in named if name in text] == []


def build_table(centre: float, width: float, depth: int, inverted: bool = False) -> NDArray[np.uint8]:
    """Gray of each stored level. Source: DICOM PS3.3 C.11.2.1.2.1, the linear function; rounded half up."""
    level = np.arange(2**depth, dtype=float)
    low, high = centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        sloped = ((level - (centre - 0.5)) / (width - 1) + 0.5) * 255
    gray = np.select([level <= low, level > high], [0, 255], np.floor(sloped + 0.5)).astype(np.uint8)
    return 255 - gray if inverted else gray


def check_tables(reader: Reader) -> None:
    """The page's window and level are those of DICOM."""
    assert build_table(128, 256, 8).tolist() == [*range(256)], "the window of all levels changes none"
    assert build_table(100, 1, 8).tolist() == [0] * 100 + [255] * 156
    # By hand: centre 2, width 3 slope over 0.5 < x <= 2.5, and 1 and 2 lie at 0.25 and 0.75 of it.
    assert build_table(2, 3, 8)[:4].tolist() == [0, 64, 191, 255]
    draw = np.random.default_rng(3)
    cases = [(128, 256, 8, False), (100, 1, 8, True), (32768, 65536, 16, False), (0.5, 2, 8, False)]
    for _ in range(8):
        depth = int(draw.choice([8, 16]))
        centre, width = draw.uniform(0, 2**depth), draw.uniform(1, 2 ** (depth + 1))
        cases.append((float(centre), float(width), depth, bool(draw.integers(2))))
    found = reader.page.evaluate(
        """async (cases) => {
          const { buildTable } = await import("/window_level.js");
          const spell = (table) => Array.from(table, (one) => String.fromCharCode(one)).join("");
          return cases.map(([centre, width, bitDepth, inverted]) =>
            spell(buildTable({ centre, width, bitDepth, inverted })));
        }""",
        cases,
    )
    for case, text in zip(cases, found, strict=True):
        assert np.array_equal(np.frombuffer(text.encode("latin-1"), np.uint8), build_table(*case)), case


def test_a_quartet_study_by_keys_alone_in_windows_of_dicom(browser: Any, quartet: Served) -> None:
    with open_link(browser, quartet.link("R1")) as reader:
        page = reader.page
        reader.prepare(by_keys=True)
        reader.wait_for("1 of 3")
        assert page.is_visible(".practice") and "not for diagnosis" in reader.get_text("header")
        assert page.evaluate("[innerWidth, innerHeight]") == page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
        )
        films = reader.list_films()
        assert len(films) == 4 and len({(film["width"], film["height"]) for film in films}) == 1
        assert len(set(reader.list_pane_markup())) == 1, "nothing but its number tells a pane from another"
        assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Set 1 of 3, practice"
        reader.press("Enter")
        assert reader.get_text(".message") == "Still to do: your pick and all ratings."
        reader.press("2 3 Enter")  # Enter goes to the first rating that is missing; digits rate from there on.
        assert reader.get_text(".message") == "Still to do: all ratings."
        reader.press("4 3 Enter")
        assert reader.get_text(".message") == "Still to do: the ratings of images 3 and 4."
        assert page.evaluate("document.activeElement.name") == "rating-3"
        reader.press("2 1 c")
        page.keyboard.type("1 r 4 ?")
        assert page.input_value("#comment") == "1 r 4 ?" and not page.evaluate("document.querySelector('dialog').open")
        reader.press("Enter Shift+?")
        assert "clearly not a radiograph" in reader.get_text("dialog")
        reader.press("1 Escape Enter")  # While the help is open no key picks.
        page.wait_for_selector("text=End of practice")
        reader.press("Enter")
        reader.wait_for("2 of 3")
        assert not page.is_visible(".practice") and reader.get_text(".state") == "Saved"
        assert page.input_value("#comment") == "" and not page.query_selector("input:checked")
        reader.press("1")
        page.reload()  # In the middle of a set.
        page.wait_for_selector("text=1 of 3 sets are answered")
        reader.press("Enter")
        reader.wait_for("2 of 3")
        assert page.query_selector("[aria-pressed=true].pick") is None
        reader.press("1 Enter 1 2 3 4 Enter")
        reader.wait_for("3 of 3")
        reader.press("4 Enter 4 4 4 4 Enter")
        page.wait_for_selector("text=Thank you")
        assert "All 3 sets" in reader.get_text("main")
        check_clean(reader, quartet)
        check_tables(reader)
    saved = [json.loads(record.body) for record in quartet.list_records("answer", "R1")]
    names = ("pick", "said", "ratings", "comment")
    assert [[one[name] for name in names] for one in saved] == [[one[name] for name in names] for one in reader.sent]
    given = [(one["pick"], one["said"], one["ratings"], one["comment"]) for one in reader.sent]
    assert given == [
        (3, None, [4, 3, 2, 1], "1 r 4 ?"), (1, None, [1, 2, 3, 4], ""), (4, None, [4, 4, 4, 4], ""),
    ]  # fmt: skip
    assert [one["actions"]["changed_pick"] for one in reader.sent] == [1, 0, 0]
    assert all(0 < one["elapsed_ms"] < 60_000 and one["hidden_ms"] == 0 for one in reader.sent)
    [display] = quartet.list_records("display", "R1")
    found = json.loads(display.body)
    assert found["dark_patch"] and found["light_patch"] and found["viewport"] == [1280, 800]


@FURTHER
def test_a_study_of_single_images_by_mouse(browser: Any, tmp_path: Path) -> None:
    served = Served(tmp_path / "study", size=64, design="single", ratings=False, readers=1)
    served.start()
    try:
        with open_link(browser, served.link("R1"), viewport={"width": 700, "height": 500}) as reader:
            page = reader.page
            page.wait_for_selector("text=I have read this")
            assert "Say whether you take it for a real radiograph" in reader.get_text("main")
            page.click("text=I have read this")
            page.click("text=Continue")
            assert reader.get_text(".missing").startswith("Still to do")
            assert "small" in reader.get_text(".warning"), "it warns, and blocks nobody"
            page.click("text=I see none >> nth=0")
            page.click(".light .corner:has(.patch)")
            page.click("text=Continue")
            reader.wait_for("1 of 3")
            assert not page.query_selector("fieldset") and len(reader.list_films()) == 1
            for number, said in enumerate(("Synthetic", "Real", "Synthetic"), start=1):
                if number == 2:
                    page.click("text=Start")
                reader.wait_for(f"{number} of 3")
                page.click(f".pick:has-text('{said}')")
                page.keyboard.press("2")  # A click leaves the focus where it was, so keys go on picking.
                page.click(f".pick:has-text('{said}')")
                page.click("text=Next")
            page.wait_for_selector("text=Thank you")
            check_clean(reader, served)
        saved = [json.loads(record.body) for record in served.list_records("answer", "R1")]
        assert [(one["pick"], one["said"], one["ratings"]) for one in saved] == [
            (None, "synthetic", []), (None, "real", []), (None, "synthetic", []),
        ]  # fmt: skip
        assert json.loads(served.list_records("display", "R1")[0].body)["dark_patch"] is False
    finally:
        served.kill()


@FURTHER
def test_a_lost_reply_and_a_killed_server_save_an_answer_once(browser: Any, quartet: Served) -> None:
    with open_link(browser, quartet.link("R2")) as reader:
        page = reader.page
        reader.prepare()
        reader.wait_for("1 of 3")

        def lose_reply(route: Any) -> None:
            route.fetch()
            route.abort()

        page.route("**/api/answer", lose_reply, times=1)
        reader.press("1 Enter 1 2 3 4 Enter")
        page.wait_for_selector("text=End of practice")
        assert len(reader.sent) == 2 and reader.sent[0] == reader.sent[1], "the same answer, with its UUID"
        reader.press("Enter")
        reader.wait_for("2 of 3")
        quartet.kill()
        leaving = "() => !dispatchEvent(new Event('beforeunload', { cancelable: true }))"
        assert not page.evaluate(leaving)
        reader.press("3 Enter 4 3 2 1 Enter")
        page.wait_for_selector("text=your answer is kept on this page and is sent again")
        assert reader.get_text(".state") == "Retrying"
        assert page.evaluate(leaving), "the browser asks before an unsent answer is left"
        reader.press("1 Enter")  # Nothing can be changed meanwhile.
        quartet.start()
        page.evaluate("document.querySelector('#connection button')?.click()")  # Unless it was quicker by itself.
        reader.wait_for("3 of 3")
        assert not page.is_visible("#connection") and not page.evaluate(leaving)
        assert len({one["answer"] for one in reader.sent}) == 2
        failed = [text for text in reader.said if "Failed to load resource" not in text]
        assert failed == []
    saved = quartet.list_records("answer", "R2")
    assert [json.loads(record.body)["pick"] for record in saved] == [1, 3]
    assert not quartet.list_records("refused", "R2")


def send_instead(reply: dict[str, Any], route: Any) -> None:
    route.fulfill(**reply)


@FURTHER
def test_a_second_machine_and_links_that_are_none(browser: Any, quartet: Served) -> None:
    with open_link(browser, quartet.link("R3")) as first, open_link(browser, quartet.link("R3")) as second:
        first.prepare()
        first.wait_for("1 of 3")
        second.page.reload()
        second.page.wait_for_selector("text=Welcome back")
        second.page.click("button:has-text('Go on')")
        second.wait_for("1 of 3")
        first.press("1 Enter 1 1 1 1 Enter")
        first.page.wait_for_selector("text=End of practice")
        second.press("2 Enter 2 2 2 2 Enter")
        second.page.wait_for_selector("text=End of practice")
        second.press("Enter")
        second.wait_for("2 of 3")
        assert "answered on another page or computer already" in second.get_text(".message")
        for link, said in ((f"{quartet.address}#{'x' * 43}", "not valid"), (quartet.address, "not complete")):
            first.page.goto("about:blank")
            first.page.goto(link)
            first.page.wait_for_selector(f"text={said}")
        over = {"error": "this study is over; what you have answered is saved"}
        for reply, said in (
            ({"status": 503, "json": {}}, "The server has a fault"),
            ({"status": 403, "json": over}, "This study is over"),
        ):
            second.page.route("**/api/open", partial(send_instead, reply), times=1)
            second.page.reload()
            second.page.wait_for_selector(f"text={said}")
    assert [json.loads(record.body)["pick"] for record in quartet.list_records("answer", "R3")] == [1]
    assert len(quartet.list_records("refused", "R3")) == 1


def find_edge(pane: NDArray[np.uint8]) -> int:
    """Column at which the disc of the made-up images ends, right of its middle, along the middle rows."""
    rows = pane[len(pane) // 2 - 4 : len(pane) // 2 + 4].mean(axis=0)
    smooth = np.convolve(rows, np.ones(9) / 9, mode="same")
    middle = pane.shape[1] // 2
    return middle + int(np.argmax(smooth[middle:] < 0.45 * 255))


def try_windows(reader: Reader, frames: list[NDArray[np.uint16]]) -> None:
    """Drag and press until window and level have been everywhere, and put them back."""

    def check(centre: float, width: float, panes: list[int], inverted: bool = False) -> None:
        table = build_table(centre, width, 16, inverted)
        for pane in panes:
            shown = reader.read_pane(pane)
            assert np.array_equal(shown, reader.enlarge(table[frames[pane]], *shown.shape[::-1])), pane

    check(32768, 65536, [0, 1, 2, 3])
    reader.drag(40, -25)  # 128 levels for a pixel: to the right widens, upwards lowers.
    check(32768 - 25 * 128, 65536 + 40 * 128, [0, 1, 2, 3])
    reader.press("i")
    check(32768 - 25 * 128, 65536 + 40 * 128, [1], inverted=True)
    reader.press("l r ArrowRight ArrowDown")
    check(32768 + 8 * 128, 65536 + 8 * 128, [0])
    check(32768 - 25 * 128, 65536 + 40 * 128, [1, 2, 3], inverted=True)
    assert reader.get_text(".link") == "Unlinked"
    reader.drag(0, 10, pane=2)
    check(32768 - 15 * 128, 65536 + 40 * 128, [2], inverted=True)
    check(32768 + 8 * 128, 65536 + 8 * 128, [0])
    reader.press("r l")


def try_zoom_and_pan(reader: Reader) -> None:
    """Zoom at the pointer and pan in every way, and put the views back."""
    mouse, keyboard = reader.page.mouse, reader.page.keyboard
    first, film = reader.read_pane(3), reader.list_films()[0]
    edge = find_edge(reader.read_pane())
    mouse.move(film["x"] + edge, film["y"] + film["height"] // 2)
    for _ in range(3):
        mouse.wheel(0, -150)
    reader.wait_for_view("W 65536  L 32768  2.1×")
    assert not np.array_equal(reader.read_pane(3), first), "views are linked"
    assert abs(find_edge(reader.read_pane()) - edge) <= 3, "what was under the pointer still is"
    for button in ("middle", "right", "left"):
        before = find_edge(reader.read_pane())
        if button == "left":
            keyboard.down("Shift")
        reader.drag(-12, 0, button=button)
        keyboard.up("Shift")
        assert abs(find_edge(reader.read_pane()) - before + 12) <= 2, button
    before = find_edge(reader.read_pane())
    reader.press("Shift+ArrowRight")
    assert abs(find_edge(reader.read_pane()) - before - 24) <= 2
    reader.press("r +")
    reader.wait_for_view("W 65536  L 32768  1.2×")
    reader.press("- r")


def try_enlarging(reader: Reader) -> None:
    """One image large, the next, and all again."""
    film = reader.list_films()[0]
    reader.page.mouse.dblclick(film["x"] + 50, film["y"] + 50)
    [large] = reader.list_films()
    assert large["height"] > 1.8 * film["height"]
    reader.press("PageDown")
    assert reader.page.is_visible("[aria-label='Image 2'] canvas") and len(reader.list_films()) == 1
    reader.press("2 Escape")
    assert [box["width"] for box in reader.list_films()] == [film["width"]] * 4


def list_tab_stops(reader: Reader, count: int) -> list[str]:
    """Names of what Tab reaches, one after another."""
    stops = []
    for _ in range(count):
        reader.press("Tab")
        name = "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"
        stops.append(reader.page.evaluate(name))
    return stops


@FURTHER
def test_the_viewer(browser: Any, quartet: Served) -> None:
    frames = [map_frames(quartet.study)[number] for number in quartet.schedule.find("R4").trials[0].frames]
    with open_link(browser, quartet.link("R4")) as reader:
        reader.prepare()
        reader.wait_for("1 of 3")
        first = [reader.read_pane(pane) for pane in range(4)]
        for attempt in (lambda: try_windows(reader, frames), lambda: try_zoom_and_pan(reader)):
            attempt()
            assert all(np.array_equal(reader.read_pane(pane), first[pane]) for pane in range(4)), "as it opened"
        try_enlarging(reader)
        stops = list_tab_stops(reader, 26)
        wanted = {"Image to judge", "Pick image 1", "Pick image 4", "1, clearly not a radiograph", "Linked", "Next"}
        assert wanted | {"Invert", "Reset", "Full screen", "Help"} <= set(stops)
        assert stops.count("Image to judge") >= 4
        check_clean(reader, quartet)
        reader.press("4 Enter 1 2 3 4 Enter")
        reader.page.wait_for_selector("text=End of practice")
    actions = reader.sent[0]["actions"]
    assert (actions["invert"], actions["reset"], actions["link"], actions["enlarge"]) == (1, 4, 2, 2)
    assert actions["linked"] and actions["views"] == [[32768, 65536, 0, 1]] * 4
    assert actions["changed_pick"] == 1 and actions["window"] >= 3 and actions["pan"] >= 3


@pytest.mark.slow  # builds a wheel
def test_the_page_travels_with_the_package() -> None:
    static = resources.files("cspine_bench.study.app") / "static"
    names = {file.name for file in static.iterdir()}
    assert {"index.html", "app.js", "style.css", "favicon.svg"} <= names
    files = load_static_files()
    assert len(files) == len(names), "every file is served"
    for path, (data, _) in files.items():
        text = data.decode()
        assert len(text.splitlines()) <= 400, path
        assert not re.search(r"(?<!xmlns=\")https?://|\binnerHTML|\beval\(|\bstyle=|\bon\w+=\"", text), path
        for wanted in re.findall(r'(?:from|src=|href=) ?"(/[^"]+)"', text):
            assert wanted in files, (path, wanted)
