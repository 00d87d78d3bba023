"""What a training run tells while it runs: `log.jsonl`, a strip of samples for each validation, `progress.png`."""

import io
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cspine_bench.dataset.files import explain_full_disk, write_file
from cspine_bench.ddpm.chart import (
    BEST,
    INK,
    MUTED,
    PAGE,
    Band,
    Curve,
    Panel,
    Scale,
    draw_panels,
    linear_scale,
    load_font,
    log_scale,
    shorten,
    signed_log_scale,
)
from cspine_bench.ddpm.run_folder import (
    LOG_NAME,
)

PROGRESS_NAME: Final = "progress.png"
_WIDTH_PX, _MARGIN_PX, _HEADER_PX, _FOOTER_PX = 1360, 28, 76, 40
_PANELS_PX, _GAP_PX, _CAPTION_PX, _TILE_GAP_PX = 600, 40, 64, 3
_PANEL_PX, _SINGLE_PANEL_PX = 222, 420
_GRID_TOP_PX: Final = 30
_LARGEST_TILE_PX: Final = 128
_TRAINING, _VALIDATION, _MEASURED, _FLOOR = "#5d6675", "#ffffff", "#56b4e9", "#2fc49a"
_BANDS: Final = ("#56b4e9", "#2fc49a", "#e69f00", "#e8703a")
"""From little noise to much; Okabe and Ito's set for colour-blind readers."""

Row = dict[str, Any]


def read_log(run: Path) -> list[Row]:
    """Lines of a run's log; one that a killed run cut short is left out."""
    try:
        text = (run / LOG_NAME).read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def rewind_log(run: Path, step: int) -> None:
    """Drop what lies beyond a step, so that a run that goes on from there tells it once.

    Raises:
        DataError: the disk is full; the log is as it was.
    """
    rows = [row for row in read_log(run) if row["step"] <= step]
    write_file(run / LOG_NAME, "".join(map(_render, rows)).encode(), scratch=run)


def append_log(run: Path, rows: Iterable[Row]) -> None:
    """Add lines, on the disk when this returns.

    Raises:
        DataError: the disk is full; a line that was cut short is left out when the log is read.
    """
    text = "".join(map(_render, rows))
    with explain_full_disk(run / LOG_NAME, lambda: len(text)), (run / LOG_NAME).open("a", encoding="utf-8") as file:
        file.write(text)
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

    Raises:
        DataError: the disk is full.
    """
    path = run / "samples" / f"step-{step:06d}.png"
    with explain_full_disk(path, lambda: 0):
        path.parent.mkdir(exist_ok=True)
    _save_png(path, Image.fromarray(_join(images)), run)


def _join(images: torch.Tensor) -> NDArray[np.uint8]:
    gray = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu().numpy()[:, 0]
    return np.concatenate(list(gray), axis=1)


def _save_png(path: Path, image: Image.Image, run: Path) -> None:
    data = io.BytesIO()
    image.save(data, format="PNG")
    write_file(path, data.getvalue(), scratch=run)


def draw_progress(run: Path, real: torch.Tensor) -> None:
    """Draw RUN/progress.png: the run at a glance.

    At the left the losses and, where the run is monitored, the Fréchet and kernel distance of its samples with
    intervals and the real-against-real floor, and the share of samples nearer to training radiographs; at the right
    samples of the same noise through time, and real radiographs below. The best checkpoint is marked.

    Args:
        run: the run folder.
        real: float (B, 1, S, S), as many as a strip holds.

    Raises:
        DataError: the disk is full; the picture is as it was.
    """
    rows = read_log(run)
    measured = [row for row in rows if row["kind"] == "monitor"]
    best = min(measured, key=lambda row: row["frechet_distance"])["step"] if measured else None
    panels = _build_panels(rows, measured)
    height = _PANEL_PX * len(panels) if len(panels) > 1 else _SINGLE_PANEL_PX
    page = Image.new("RGB", (_WIDTH_PX, _HEADER_PX + height + _FOOTER_PX), PAGE)
    _write_header(page, run, rows, measured, best)
    if any(curve.steps for panel in panels for curve in panel.curves):
        box = (_MARGIN_PX, _HEADER_PX, _MARGIN_PX + _PANELS_PX, _HEADER_PX + height)
        draw_panels(page, panels, box, best=best)
    _draw_samples(page, run, real, height, best)
    _write_footer(page, measured)
    _save_png(run / PROGRESS_NAME, page, run)


def _build_panels(rows: list[Row], measured: list[Row]) -> list[Panel]:
    """The loss, and with measurements three more."""
    train = [row for row in rows if row["kind"] == "train"]
    validations = [row for row in rows if row["kind"] == "validation"]
    curves = [Curve("training", [row["step"] for row in train], [row["loss"] for row in train], _TRAINING, 1.2)]
    steps = [row["step"] for row in validations]
    for band, colour in zip(validations[0]["bands"] if validations else {}, _BANDS, strict=False):
        curves.append(Curve(f"t {band}", steps, [row["bands"][band] for row in validations], colour, 1.2))
    curves.insert(1, Curve("validation", steps, [row["loss"] for row in validations], _VALIDATION, 2.4))
    panels = [Panel("Loss", "validation at even times, clean 0 to noise 1", tuple(curves), log_scale())]
    if not measured:
        return panels
    last = measured[-1]
    unit = max(1e-6, (last["kernel_distance_floor_high"] - last["kernel_distance_floor_low"]) / 2)
    expected = last["nearer_train_expected"]
    beyond = f"{last['num_beyond_holdout']} of {last['num_synthetic']} beyond any held out"
    share = Band("nothing copied", expected, expected, expected, _FLOOR)
    return [
        *panels,
        _build_distance(
            "Frechet distance",  # the font has no accents
            "frechet_distance",
            measured,
            log_scale(),
        ),
        _build_distance("Kernel distance", "kernel_distance", measured, signed_log_scale(unit)),
        Panel(
            "Nearest to a training radiograph",
            f"{beyond}, {last['num_beyond_expected']:.1f} expected",
            (_take_curve("samples", "nearer_train_share", measured),),
            linear_scale(lambda value: f"{100 * value:.0f} %"),
            share,
        ),
    ]


def _build_distance(title: str, name: str, measured: list[Row], scale: Scale) -> Panel:
    last = measured[-1]
    value, low, high = (last[f"{name}_floor{end}"] for end in ("", "_low", "_high"))
    floor = Band("real against real", value, low, high, _FLOOR)
    lowest = min(measured, key=lambda row: row[name])
    ends = f"{lowest[f'{name}_low']:.3g} to {lowest[f'{name}_high']:.3g}"
    note = f"lower is better; lowest {lowest[name]:.3g} ({ends}), floor {value:.3g}"
    return Panel(title, note, (_take_curve("samples", name, measured),), scale, floor)


def _take_curve(label: str, name: str, measured: list[Row]) -> Curve:
    values, low, high = ([row[f"{name}{end}"] for row in measured] for end in ("", "_low", "_high"))
    return Curve(label, [row["step"] for row in measured], values, _MEASURED, 2, low, high)


def _write_header(page: Image.Image, run: Path, rows: list[Row], measured: list[Row], best: int | None) -> None:
    draw = ImageDraw.Draw(page)
    step = max((row["step"] for row in rows), default=0)
    right, font = page.width - _MARGIN_PX, load_font(24)
    if best is not None:
        text = f"best checkpoint: update {best:,}, the lowest Frechet distance"
        draw.text((right, 42), text, font=load_font(14), fill=BEST, anchor="rs")
        right -= round(draw.textlength(text, font=load_font(14)))
    update = f", update {step:,}"
    room_px = right - 2 * _MARGIN_PX - draw.textlength(update, font=font)
    title = shorten(draw, run.resolve().name, font, room_px) + update
    draw.text((_MARGIN_PX, 42), title, font=font, fill=INK, anchor="ls")


def _write_footer(page: Image.Image, measured: list[Row]) -> None:
    draw, font, y = ImageDraw.Draw(page), load_font(12), page.height - 16
    draw.text((page.width - _MARGIN_PX, y), "synthetic, not for diagnosis", font=font, fill=INK, anchor="rs")
    if measured:
        last = measured[-1]
        text = (
            f"{last['num_synthetic']:,} samples against {last['num_real']:,} validation and {last['num_train']:,} "
            f"training radiographs; features of {last['encoder']} (weights {last['encoder_sha256'][:8]}); "
            f"intervals of {100 * last['confidence']:.0f} %"
        )
        draw.text((_MARGIN_PX, y), text, font=font, fill=MUTED, anchor="ls")


def _draw_samples(page: Image.Image, run: Path, real: torch.Tensor, height: int, best: int | None) -> None:
    """As many strips as there is room for, the best, the first and the last among them; real radiographs below."""
    left = _MARGIN_PX + _PANELS_PX + _GAP_PX + _CAPTION_PX
    room_px = page.width - _MARGIN_PX - left
    strips = {int(path.stem[5:]): path for path in sorted((run / "samples").glob("step-*.png"))}
    tile = min(_LARGEST_TILE_PX, (room_px + _TILE_GAP_PX) // len(real) - _TILE_GAP_PX)
    num_rows = max(3, (height - _GRID_TOP_PX) // (tile + _TILE_GAP_PX))
    draw = ImageDraw.Draw(page)
    draw.text(
        (left, _HEADER_PX + 22), "Samples of the same noise", font=load_font(16), fill=INK, anchor="ls"
    )  # on the line of the first chart's title
    y = _HEADER_PX + _GRID_TOP_PX
    chosen = _choose_steps(list(strips), best, num_rows - 1)
    for step in [*chosen, None]:
        picture = Image.fromarray(_join(real)) if step is None else Image.open(strips[step])
        colour = INK if step is None else BEST if step == best else MUTED
        caption = "real" if step is None else f"{step:,}"
        draw.text((left - 10, y + tile // 2), caption, font=load_font(13), fill=colour, anchor="rm")
        with picture:
            side = picture.height
            for column in range(picture.width // side):
                image = picture.crop((column * side, 0, (column + 1) * side, side))
                resized = image.resize((tile, tile), Image.Resampling.LANCZOS)
                page.paste(resized, (left + column * (tile + _TILE_GAP_PX), y))
        y += tile + _TILE_GAP_PX


def _choose_steps(steps: list[int], best: int | None, count: int) -> list[int]:
    """At most `count` of rising steps, spread evenly; the best one takes the place of its nearest."""
    if len(steps) <= count:
        return steps
    chosen = [steps[round(place)] for place in np.linspace(0, len(steps) - 1, count)]
    if best in steps and best not in chosen:
        # The first and the last stay.
        inner = range(1, count - 1) if count > 2 else range(count)
        chosen[min(inner, key=lambda place: abs(chosen[place] - best))] = best
    return sorted(chosen)
