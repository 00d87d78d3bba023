"""Training curves of a run, from its log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup

from cspine_bench.page.svg import Panel, Scale, fit_scale
from cspine_bench.report.given import GivenRun

Row = Mapping[str, Any]
_BAND_STYLES: Final = ("synthetic", "calm", "holdout", "alarm")
_MOST_POINTS: Final = 240
_SKIPPED_SHARE: Final = 0.02
"""Of the updates, at the start: the first losses would press all others into one line."""


@dataclass(frozen=True)
class Training:
    """What the report shows of a run.

    Attributes:
        plots: (title, sentence, plot).
        bands: (style, name) of the dashed lines of the loss: noise levels of the validation.
        updates: the last that the log tells of.
        facts: (name, value) of the run.
    """

    plots: tuple[tuple[str, str, Markup], ...]
    bands: tuple[tuple[str, str], ...]
    updates: int
    facts: tuple[tuple[str, str], ...]


def show_training(run: GivenRun) -> Training:
    """Loss, and where the run was monitored distances of its samples with their floors."""
    train = _rows_of(run, "train")
    validation = _rows_of(run, "validation")
    monitor = _rows_of(run, "monitor")
    plots = []
    if train or validation:
        text = "Training in gray, validation in blue; dashed: validation by level of noise; logarithmic."
        plots.append(("Loss", text, _draw_loss(train, validation)))
    for name, title in (("frechet_distance", "Fréchet distance"), ("kernel_distance", "Kernel distance")):
        points = [row for row in monitor if name in row]
        if points:
            last = points[-1]
            text = (
                f"Of {last.get('num_synthetic', 0):,} samples from {last.get('num_real', 0):,} validation films, with "
                f"intervals; shaded: real against real. Encoder {last.get('encoder', 'not stated')}."
            )
            plots.append((f"{title} while it trained", text, _draw_distance(name, title, points)))
    updates = max((int(row.get("step", 0)) for row in run.log), default=0)
    bands = tuple((style, name) for name, style in zip(_list_bands(validation), _BAND_STYLES, strict=False))
    return Training(tuple(plots), bands, updates, _list_facts(run))


def _rows_of(run: GivenRun, kind: str) -> list[Row]:
    return [row for row in run.log if row.get("kind") == kind]


def _list_facts(run: GivenRun) -> tuple[tuple[str, str], ...]:
    facts = run.facts
    commit = "not known" if facts.commit is None else facts.commit[:12]
    found = [
        ("Run", run.facts.run_id),
        ("Recipe, SHA-256", facts.recipe_sha256),
        ("Seed", str(facts.seed)),
        ("Device", facts.device),
        ("Commit", f"{commit}{', and the tree was dirty' if facts.commit_dirty else ''}"),
    ]
    if facts.training_set is not None:
        films = facts.training_set
        sources = ", ".join(f"{count:,} {kind}" for kind, count in sorted(films.sources.items()))
        found.append(("Training films", f"{films.num_films:,}" + (f" ({sources})" if sources else "")))
    return tuple(found)


def _thin(rows: Sequence[Row]) -> list[Row]:
    """Means over stretches, so that a long log draws as quickly as a short one."""
    size = max(1, -(-len(rows) // _MOST_POINTS))
    return [
        {
            "step": stretch[len(stretch) // 2]["step"],
            "loss": sum(float(row["loss"]) for row in stretch) / len(stretch),
        }
        for stretch in (rows[start : start + size] for start in range(0, len(rows), size))
    ]


def _list_bands(validation: Sequence[Row]) -> list[str]:
    """Levels of noise that the validation tells apart."""
    return list(validation[-1].get("bands") or {}) if validation else []


def _draw_loss(train: Sequence[Row], validation: Sequence[Row]) -> Markup:
    panel = Panel("Training and validation loss over the updates", height=230, left=48, top=26)
    last = max(float(row["step"]) for row in (*train, *validation))
    late = [row for row in train if row["step"] >= _SKIPPED_SHARE * last] or list(train)
    bands = _list_bands(validation)
    values = [float(row["loss"]) for row in (*_thin(late), *validation)]
    values += [float(row["bands"][band]) for row in validation for band in bands if band in (row.get("bands") or {})]
    x = Scale(0, last, *panel.x_range)
    y = fit_scale([value for value in values if value > 0], *panel.y_range, log=True)
    panel.draw_y(y, "loss", count=4)
    panel.draw_x(x, "updates", grid=False)
    panel.path([(x(row["step"]), y(row["loss"])) for row in _thin(late)], "curve real")
    for band, style in zip(bands, _BAND_STYLES, strict=False):
        points = [
            (x(row["step"]), y(float(row["bands"][band]))) for row in validation if band in (row.get("bands") or {})
        ]
        panel.path(points, f"curve dashed {style}")
    panel.path([(x(row["step"]), y(float(row["loss"]))) for row in validation], "curve synthetic")
    for row in validation:
        panel.dot(x(row["step"]), y(float(row["loss"])), "mark synthetic", size=3)
    return panel.render()


def _draw_distance(name: str, title: str, rows: Sequence[Row]) -> Markup:
    panel = Panel(f"{title} of samples over the updates, with its floor", height=230, left=48, top=26)
    ends = [float(row[key]) for row in rows for key in (name, f"{name}_low", f"{name}_high") if key in row]
    last = rows[-1]
    floor = [float(last[key]) for key in (f"{name}_floor_low", f"{name}_floor_high") if key in last]
    values = [*ends, *floor]
    log = min(values) > 0 and max(values) > 10 * min(values)
    x = Scale(0, 1.02 * max(float(row["step"]) for row in rows), *panel.x_range)
    y = fit_scale(values, *panel.y_range, log=log, zero=not log)
    if len(floor) == 2:
        panel.band(panel.x_range[0], y(floor[0]), panel.x_range[1], y(floor[1]), "floor")
    panel.draw_y(y, f"{title.lower()}; lower is better", count=4)
    panel.draw_x(x, "updates", grid=False)
    panel.path([(x(row["step"]), y(float(row[name]))) for row in rows], "curve synthetic")
    for row in rows:
        if f"{name}_low" in row and f"{name}_high" in row:
            place = x(row["step"])
            panel.line(place, y(float(row[f"{name}_low"])), place, y(float(row[f"{name}_high"])), "whisker synthetic")
        panel.dot(x(row["step"]), y(float(row[name])), "mark synthetic", size=3)
    return panel.render()
