"""What a training run tells while it runs: `log.jsonl`, a strip of samples for each validation, `progress.png`."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cspine_bench.ddpm.checkpoint import LOG_NAME

PROGRESS_NAME: Final = "progress.png"
_MOST_ROWS: Final = 8
_TILE_PX: Final = 96
_LEFT_PX, _TOP_PX, _PLOT_PX = 84, 44, 260
_PAGE, _MUTED, _LINE = "#0d0f13", "#878e9a", "#23272f"
_COLOURS: Final = ("#878e9a", "#ffffff", "#56b4e9", "#2fc49a", "#e69f00", "#e8703a")
"""Training, validation, and its bands of time from little to much noise."""

Row = dict[str, Any]


def read_log(run: Path) -> list[Row]:
    """Lines of a run's log; one that a killed run cut short is left out."""
    try:
        text = (run / LOG_NAME).read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def rewind_log(run: Path, step: int) -> None:
    """Drop what lies beyond a step, so that a run that goes on from there tells it once."""
    rows = [row for row in read_log(run) if row["step"] <= step]
    temporary = run / f".{LOG_NAME}.tmp"
    temporary.write_text("".join(map(_render, rows)), encoding="utf-8")
    temporary.replace(run / LOG_NAME)


def append_log(run: Path, rows: Iterable[Row]) -> None:
    """Add lines, on the disk when this returns."""
    with (run / LOG_NAME).open("a", encoding="utf-8") as file:
        file.write("".join(map(_render, rows)))
        file.flush()
        os.fsync(file.fileno())


def _render(row: Row) -> str:
    return json.dumps(row, allow_nan=False) + "\n"


def write_strip(run: Path, step: int, images: torch.Tensor) -> None:
    """Keep the samples of a validation, side by side, in RUN/samples/.

    Args:
        run: the run folder.
        step: updates behind them.
        images: float (B, 1, S, S), -1 black to 1 white; beyond is cut off.
    """
    (run / "samples").mkdir(exist_ok=True)
    _save_png(run / "samples" / f"step-{step:06d}.png", Image.fromarray(_join(images)))


def _join(images: torch.Tensor) -> NDArray[np.uint8]:
    gray = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu().numpy()[:, 0]
    return np.concatenate(list(gray), axis=1)


def _save_png(path: Path, image: Image.Image) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    image.save(temporary, format="PNG")
    temporary.replace(path)


def draw_progress(run: Path, real: torch.Tensor) -> None:
    """Draw RUN/progress.png: the losses, the samples of the same noise through time, and real radiographs below.

    Args:
        run: the run folder.
        real: float (B, 1, S, S), as many as a strip holds.
    """
    rows = read_log(run)
    strips = sorted((run / "samples").glob("step-*.png"))
    chosen = sorted({round(place) for place in np.linspace(0, len(strips) - 1, min(len(strips), _MOST_ROWS))})
    width = _LEFT_PX + len(real) * _TILE_PX + 20
    top = _TOP_PX + _PLOT_PX + 36
    page = Image.new("RGB", (width, top + (len(chosen) + 1) * (_TILE_PX + 6) + 30), _PAGE)
    draw = ImageDraw.Draw(page)
    _draw_losses(draw, rows, (_LEFT_PX, _TOP_PX, width - 20, _TOP_PX + _PLOT_PX))
    shown = [(f"step {int(strips[place].stem[5:])}", Image.open(strips[place])) for place in chosen]
    for row, (caption, strip) in enumerate([*shown, ("real", Image.fromarray(_join(real)))]):
        y = top + row * (_TILE_PX + 6)
        draw.text((_LEFT_PX - 8, y + _TILE_PX // 2), caption, font=_font(13), fill=_MUTED, anchor="rm")
        page.paste(strip.resize((len(real) * _TILE_PX, _TILE_PX), Image.Resampling.BICUBIC), (_LEFT_PX, y))
    footer = "the same noise in every row - synthetic, not for diagnosis"
    draw.text((_LEFT_PX, page.height - 10), footer, font=_font(12), fill=_MUTED, anchor="ls")
    _save_png(run / PROGRESS_NAME, page)


def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size_px)


def _draw_losses(draw: ImageDraw.ImageDraw, rows: list[Row], box: tuple[int, int, int, int]) -> None:
    """Loss over updates, on a logarithmic axis that holds all of it."""
    validations = [row for row in rows if row["kind"] == "validation"]
    curves = {"training": [(row["step"], row["loss"]) for row in rows if row["kind"] == "train"]}
    curves["validation"] = [(row["step"], row["loss"]) for row in validations]
    for band in validations[0]["bands"] if validations else {}:
        curves[f"t {band}"] = [(row["step"], row["bands"][band]) for row in validations]
    points = [point for curve in curves.values() for point in curve]
    if not points:
        return
    left, top, right, bottom = box
    last = max(step for step, _ in points)
    heights = np.log10([max(loss, 1e-6) for _, loss in points])
    low, high = float(heights.min()) - 0.05, float(heights.max()) + 0.05

    def place(step: float, loss: float) -> tuple[float, float]:
        share = (np.log10(max(loss, 1e-6)) - low) / (high - low)
        return left + (right - left) * step / last, float(bottom - (bottom - top) * share)

    draw.rectangle(box, outline=_LINE)
    ticks = [m * 10.0**e for e in range(-6, 7) for m in (1, 2, 5) if low <= np.log10(m * 10.0**e) <= high]
    for tick in ticks:
        y = place(0, tick)[1]
        draw.line((left, y, right, y), fill=_LINE)
        draw.text((left - 8, y), f"{tick:g}", font=_font(12), fill=_MUTED, anchor="rm")
    draw.text((right, bottom + 6), f"{last} updates", font=_font(12), fill=_MUTED, anchor="ra")
    x = float(left)
    for (name, curve), colour in zip(curves.items(), _COLOURS, strict=False):
        draw.text((x, top - 12), name, font=_font(13), fill=colour, anchor="ls")
        x += draw.textlength(name, font=_font(13)) + 16
        places = [place(step, loss) for step, loss in curve]
        if len(places) > 1:
            draw.line(places, fill=colour, width=3 if name == "validation" else 1)
        else:
            for px, py in places:
                draw.ellipse((px - 2, py - 2, px + 2, py + 2), fill=colour)
