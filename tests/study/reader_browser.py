"""A reader at a browser: opens a link, goes through the pages before the sets, and looks at pixels."""

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

VIEWPORT = {"width": 1280, "height": 800}

READ_PANE = """(pane) => {
  const canvas = document.querySelectorAll("canvas")[pane];
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let gray = "";
  for (let index = 0; index < data.length; index += 4) gray += String.fromCharCode(data[index]);
  return [canvas.width, canvas.height, btoa(gray)];
}"""

# The gray levels that Python computed, enlarged by the browser's own means.
ENLARGE = """([text, side, width, height]) => {
  const grays = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  const small = Object.assign(document.createElement("canvas"), { width: side, height: side });
  const pixels = new ImageData(side, side);
  grays.forEach((gray, index) => pixels.data.set([gray, gray, gray, 255], 4 * index));
  small.getContext("2d").putImageData(pixels, 0, 0);
  const large = Object.assign(document.createElement("canvas"), { width, height });
  const context = large.getContext("2d", { alpha: false });
  context.imageSmoothingQuality = "high";
  const fitted = Math.min(width, height);
  context.drawImage(small, Math.round((width - fitted) / 2), Math.round((height - fitted) / 2), fitted, fitted);
  const { data } = context.getImageData(0, 0, width, height);
  let gray = "";
  for (let index = 0; index < data.length; index += 4) gray += String.fromCharCode(data[index]);
  return gray.length ? btoa(gray) : "";
}"""


@dataclass
class Reader:
    """A page in the browser.

    Attributes:
        page: of playwright.
        asked: address of every request.
        sent: bodies of the answers.
        said: what came to the console, and errors.
    """

    page: Any
    asked: list[str] = field(default_factory=list)
    sent: list[dict[str, Any]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def press(self, keys: str) -> None:
        """Press keys, divided by spaces."""
        for key in keys.split():
            self.page.keyboard.press(key)

    def wait_for(self, count: str) -> None:
        """Until a set is shown whose number is so, for example "2 of 3", and can be answered."""
        self.page.wait_for_function(
            "(count) => document.querySelector('.count')?.textContent === count"
            " && !document.querySelector('.trial').inert && document.querySelector('canvas').width > 1",
            arg=count,
            polling=30,
        )
        self.page.wait_for_timeout(40)  # A frame, after which keys count.

    def prepare(self, *, by_keys: bool = False) -> None:
        """Agree, and find both patches."""
        self.page.wait_for_selector("text=I have read this")
        if by_keys:
            self.press("Tab Enter")
        else:
            self.page.click("text=I have read this")
        self.page.wait_for_selector(".patches")
        if by_keys:
            for tone in ("dark", "light"):
                corners = f"[...document.querySelectorAll('.{tone} .corner')]"
                place = self.page.evaluate(f"{corners}.findIndex((one) => one.firstChild)")
                self.press("Tab Space" + " ArrowDown" * place)
            self.press("Enter")
        else:
            for tone in ("dark", "light"):
                self.page.click(f".{tone} .corner:has(.patch)")
            self.page.click("text=Continue")

    def read_pane(self, pane: int = 0) -> NDArray[np.uint8]:
        """Gray values of a pane as they are on the screen."""
        self.draw()
        width, height, text = self.page.evaluate(READ_PANE, pane)
        return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width)

    def enlarge(self, grays: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
        """What the browser makes of an image of these gray values in a pane of that size."""
        given = [base64.b64encode(grays.tobytes()).decode(), len(grays), width, height]
        return np.frombuffer(base64.b64decode(self.page.evaluate(ENLARGE, given)), np.uint8).reshape(height, width)

    def list_films(self) -> list[dict[str, float]]:
        """Boxes of the canvases that are shown."""
        return [one.bounding_box() for one in self.page.query_selector_all("canvas") if one.is_visible()]

    def list_pane_markup(self) -> list[str]:
        """Markup of the panes without their number."""
        panes = self.page.query_selector_all(".pane")
        texts = [pane.evaluate("(one) => one.outerHTML") for pane in panes]
        return [
            re.sub(rf"([Ii]mage |rating-|<kbd>){number}\b", r"\1N", text) for number, text in enumerate(texts, start=1)
        ]

    def drag(self, right: int, down: int, *, pane: int = 0, button: str = "left") -> None:
        """Drag from the middle of a pane."""
        box, mouse = self.list_films()[pane], self.page.mouse
        x, y = box["x"] + box["width"] // 2, box["y"] + box["height"] // 2
        mouse.move(x, y)
        mouse.down(button=button)
        mouse.move(x + right, y + down, steps=3)
        mouse.up(button=button)

    def wait_for_view(self, words: str) -> None:
        """Until window, level and zoom are told to be so."""
        self.page.wait_for_function(
            "(words) => document.querySelector('.view').textContent === words", arg=words, polling=30
        )

    def draw(self) -> None:
        """Until what was asked for is on the screen."""
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def get_text(self, selector: str) -> str:
        """What stands in an element."""
        return str(self.page.text_content(selector)).strip()


@contextmanager
def open_link(browser: Any, link: str, **settings: Any) -> Iterator[Reader]:
    """A reader who opens a link in a browser of their own."""
    context = browser.new_context(**({"viewport": VIEWPORT} | settings))
    reader = Reader(context.new_page())
    reader.page.set_default_timeout(60_000)
    reader.page.on("request", lambda request: _note(reader, request))
    reader.page.on("console", lambda message: _hear(reader, message.text))
    reader.page.on("pageerror", lambda error: reader.said.append(str(error)))
    reader.page.goto(link)
    yield reader
    context.close()


def _note(reader: Reader, request: Any) -> None:
    reader.asked.append(request.url)
    if request.url.endswith("/api/answer"):
        reader.sent.append(request.post_data_json)


def _hear(reader: Reader, text: str) -> None:
    # The browser's advice on how often these tests look at pixels is none about the page.
    if not text.startswith("Canvas2D: Multiple readback"):
        reader.said.append(text)
