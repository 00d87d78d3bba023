"""The log and the picture of a run: whole or as before, and readable whatever the run is like."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from cspine_bench.ddpm.chart import BEST, Curve, Panel, draw_panels, linear_scale, log_scale, signed_log_scale
from cspine_bench.ddpm.progress import Row, append_log, draw_progress, read_log, rewind_log, write_strip
from cspine_bench.errors import DataError


def make_log(num_steps: int, *, monitored: bool, every: int = 10, count: int = 128) -> list[Row]:
    """What a run that goes well tells; its best checkpoint is the last but one."""
    rows: list[Row] = [{"kind": "start", "step": 0, "threads": 1}]
    for number, step in enumerate(range(every, num_steps + 1, every), start=1):
        loss = 1.2 / number
        rows.append({"kind": "train", "step": step, "loss": loss})
        bands = {"0-0.25": 2 * loss, "0.25-0.5": loss, "0.5-0.75": 0.5 * loss, "0.75-1": 0.4 * loss}
        rows.append({"kind": "validation", "step": step, "loss": loss, "bands": bands})
        if monitored:
            frechet = 40 + 300 / number + (60 if step == num_steps else 0)
            row = {"kind": "monitor", "step": step, "encoder": "efficientnet-lite0", "encoder_sha256": "57" * 32,
                   "num_synthetic": count, "num_real": 2048, "num_train": 20063, "num_blank": 0, "confidence": 0.95,
                   "num_beyond_holdout": count, "num_beyond_expected": count / 2049,
                   "train_similarity": 0.99, "holdout_similarity": 0.8, "nearer_train_expected": 0.907}  # fmt: skip
            kernel = 0.7 / number**2 - 1e-4
            values = {"frechet_distance": frechet, "frechet_distance_floor": 39.0, "kernel_distance": kernel,
                      "kernel_distance_floor": -0.00021, "nearer_train_share": 0.9 + 0.1 * (number % 2)}  # fmt: skip
            for name, value in values.items():
                row |= {name: value, f"{name}_low": value - 0.003, f"{name}_high": min(value + 0.003, 1e9)}
            rows.append(row)
    return rows


def write_run(run: Path, rows: list[Row], *, size: int = 16, shown: int = 8) -> torch.Tensor:
    """A run folder with its log and strips; the radiographs to stand below them."""
    run.mkdir()
    append_log(run, rows)
    images = torch.rand(shown, 1, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for row in rows:
        if row["kind"] == "validation":
            write_strip(run, row["step"], images)
    return images


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Every text that is drawn: its box on the page, words and colour."""
    drawn: list[dict[str, Any]] = []
    write = ImageDraw.ImageDraw.text

    def record(draw: ImageDraw.ImageDraw, xy: Any, text: str, **options: Any) -> None:
        box = draw.textbbox(xy, text, font=options["font"], anchor=options["anchor"])
        drawn.append({"box": box, "text": text, "fill": options["fill"], "page": draw.im.size})
        write(draw, xy, text, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", record)
    return drawn


RUNS = {
    "just begun": (make_log(10, monitored=False), {}),
    "first measurement": (make_log(10, monitored=True), {}),
    "not monitored": (make_log(300, monitored=False), {}),
    "long and large": (make_log(400_000, monitored=True, every=20_000, count=10_000), {"size": 64}),
    "few shown": (make_log(60, monitored=True), {"shown": 3}),
    "nothing yet": ([{"kind": "start", "step": 0}], {}),
}


@pytest.mark.parametrize("name", RUNS)
def test_no_text_covers_another_or_leaves_the_page(tmp_path: Path, texts: list[dict[str, Any]], name: str) -> None:
    rows, options = RUNS[name]
    run = tmp_path / ("a-run-with-a-name-that-is-as-long-as-people-make-them-" * 2)
    draw_progress(run, write_run(run, rows, **options))
    assert len(texts) >= 4
    for place, text in enumerate(texts):
        left, top, right, bottom = text["box"]
        assert left >= 0 and top >= 0 and right <= text["page"][0] and bottom <= text["page"][1], text
        for other in texts[:place]:
            a, b = text["box"], other["box"]
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], (text, other)
    with Image.open(run / "progress.png") as page:
        assert 1200 <= page.width <= 1400 and page.size == texts[0]["page"]


def test_the_picture_says_what_a_reader_must_know(tmp_path: Path, texts: list[dict[str, Any]]) -> None:
    rows = make_log(300, monitored=True)
    run = tmp_path / "run"
    draw_progress(run, write_run(run, rows))
    words = " | ".join(text["text"] for text in texts)
    for part in ("run, update 300", "best checkpoint: update 290", "synthetic, not for diagnosis", "efficientnet-lite0",
                 "weights 57575757", "128 samples against 2,048 validation and 20,063 training", "95 %", "real",
                 "Frechet distance", "Kernel distance", "real against real", "128 of 128 beyond any held out",
                 "updates", "t 0.75-1"):  # fmt: skip
        assert part in words
    # Its strip is among those shown, and stands out.
    assert [text["fill"] for text in texts if text["text"] == "290"] == [BEST]
    captions = [int(text["text"]) for text in texts if text["text"].isdigit() and text["box"][0] > 640]
    assert captions == sorted(captions) and captions[0] == 10 and captions[-1] == 300
    missing = ImageFont.load_default(14).getmask("￿")
    assert bytes(ImageFont.load_default(14).getmask("é")) == bytes(missing)  # so the next line can fail
    for character in set(words) - {" "}:
        assert bytes(ImageFont.load_default(14).getmask(character)) != bytes(missing), f"no glyph for {character!r}"


def test_a_lower_value_is_drawn_lower_and_the_floor_below() -> None:
    page = Image.new("RGB", (400, 300))
    curve = Curve("", [0, 10], [100.0, 10.0], "#ff0000", 2)
    panel = Panel("", "", (curve,), log_scale(), limits=(1.0, 1000.0))
    draw_panels(page, [panel], (0, 0, 400, 300), best=None)
    red = np.asarray(page)[..., 0] > 200
    rows = [int(np.flatnonzero(red[:, column]).mean()) for column in (80, 370)]
    assert rows[0] < rows[1]
    # A third of the height is a power of ten; 52 px above the chart and 26 px below it are for text.
    inner = 300 - 52 - 26
    assert rows[1] - rows[0] == pytest.approx(inner / 1.12 / 3 * (370 - 80) / (386 - 62), abs=2)


def test_ticks_are_round_and_few() -> None:
    assert log_scale().ticks(0.19, 1.4) == [0.2, 0.3, 0.5, 1]
    assert log_scale().ticks(39, 400) == [50, 100, 200, 300]
    assert log_scale().ticks(1.08, 1.28) == pytest.approx([1.1, 1.15, 1.2, 1.25])
    assert linear_scale(str).ticks(0, 1150) == [0, 500, 1000]
    assert linear_scale(str).ticks(0.78, 0.96) == [0.8, 0.85, 0.9, 0.95]
    assert signed_log_scale(0.004).ticks(-0.01, 0.7) == [-0.01, 0.0, 0.01, 0.1]


def test_a_line_cut_short_is_left_out_and_a_rewind_drops_what_came_later(tmp_path: Path) -> None:
    assert read_log(tmp_path) == []
    rows = [{"kind": "train", "step": step, "loss": 1.0} for step in (10, 20, 30)]
    append_log(tmp_path, rows)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"kind": "tra')
    assert read_log(tmp_path) == rows
    rewind_log(tmp_path, 20)
    assert read_log(tmp_path) == rows[:2]
    append_log(tmp_path, rows[2:])
    assert read_log(tmp_path) == rows
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]


@contextmanager
def fill_disk(left_bytes: int) -> Iterator[None]:
    """Let no file grow beyond a size: the system refuses as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (left_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_one_clear_error_and_leaves_what_was_there(tmp_path: Path) -> None:
    run = tmp_path / "run"
    rows = make_log(30, monitored=True)
    images = write_run(run, rows)
    draw_progress(run, images)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    message = "cannot be written, .*Free some space and run the same command again"
    with fill_disk(1000):
        for name, write in {
            "progress.png": lambda: draw_progress(run, images),
            "step-000030.png": lambda: write_strip(run, 30, images),
            "log.jsonl": lambda: rewind_log(run, 30),
        }.items():
            with pytest.raises(DataError, match=f"{name}: {message}"):
                write()
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    with fill_disk(len(before[run / "log.jsonl"]) + 10), pytest.raises(DataError, match=rf"log\.jsonl: {message}"):
        append_log(run, rows[1:2])
    assert read_log(run) == rows
