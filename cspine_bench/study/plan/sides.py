"""What a study is planned from: real images, synthetic sources, and what else was named; each checked before use."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cspine_bench.dataset.read import open_dataset
from cspine_bench.errors import DataError
from cspine_bench.measurement.inputs import Images, open_images
from cspine_bench.schema import Split
from cspine_bench.study.truth import REAL

CONTROL: Final = "control"
"""Source name of the images that a reader who looks must know for synthetic."""


@dataclass(frozen=True)
class Sides:
    """All images that a plan may draw from.

    Attributes:
        real: held out from the generator.
        synthetic: by name of its source, `s1`, `s2` ... unless named otherwise.
        control: for positive controls, such as samples of an early checkpoint; None: the plan spoils synthetic ones.
        train: what the generator was trained on; None: not checked.
        notes: what the study lead should know of the choice.
        rehearsal: why a study of them is none of real images; "": the real ones pass for films.
    """

    real: Images
    synthetic: dict[str, Images]
    control: Images | None = None
    train: Images | None = None
    notes: tuple[str, ...] = ()
    rehearsal: str = ""

    def list_all(self) -> dict[str, Images]:
        """Sides that images are drawn from, by name of the source."""
        return {REAL: self.real, **self.synthetic, **({} if self.control is None else {CONTROL: self.control})}


def open_sides(
    real: str | Path,
    synthetic: Sequence[str],
    *,
    real_splits: Sequence[Split] = (),
    control: str | Path | None = None,
    train: str | Path | None = None,
) -> Sides:
    """Open the datasets of a plan, and look at each image once.

    Args:
        real: a dataset folder, or its name on the Hub.
        synthetic: such, or NAME=FOLDER; unnamed ones are called s1, s2 ... by their place.
        real_splits: that real images come from; none named: test, or all where there is no such split.
        control: see `Sides`.
        train: see `Sides`.

    Raises:
        DataError: as `open_images`; a source's name is impossible or given twice; the same pixels are there twice.
    """
    notes = []
    if not real_splits:
        there = open_dataset(real).splits
        real_splits = ("test",) if "test" in there else ()
        chosen = "its split test" if real_splits else f"all of it ({', '.join(there)}), as it has no split test"
        notes.append(f"real: {chosen} is used; the generator must not have been trained on it")
    images = open_images(REAL, real, splits=real_splits)
    rehearsal = _explain_rehearsal(images)
    if rehearsal:
        notes.append(f"real: {rehearsal}: no films, so this is a rehearsal, and protocol and results say so")
    sources = _name_sources(synthetic)
    sides = Sides(
        real=images,
        synthetic={name: open_images(name, folder) for name, folder in sources.items()},
        control=None if control is None else open_images(CONTROL, control),
        train=None if train is None else open_images("train", train),
        notes=tuple(notes),
        rehearsal=rehearsal,
    )
    _refuse_doubles(sides)
    return replace(sides, notes=(*sides.notes, *_note_shared_noise(sides)))


def _explain_rehearsal(real: Images) -> str:
    """By what each radiograph says of itself, so that a release or a selection of a synthetic dataset is known too."""
    marked = sum(sum(real.folder.read_table(("synthetic",), split)["synthetic"].to_pylist()) for split in real.splits)
    return f"{marked:,} of {len(real):,} images of {real.name} are marked as synthetic" if marked else ""


def _name_sources(texts: Sequence[str]) -> dict[str, str]:
    sources: dict[str, str] = {}
    if not texts:
        raise DataError("no synthetic source was named; give at least one dataset of synthetic images")
    for place, text in enumerate(texts, start=1):
        name, equals, folder = text.partition("=")
        if not equals or Path(text).exists():
            name, folder = f"s{place}", text
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}", name) or name in (REAL, CONTROL, *sources):
            raise DataError(
                f"{text}: a source cannot be called {name!r}; use up to 32 letters, digits, '_', '.' or '-', each name "
                f"once, and neither {REAL} nor {CONTROL}"
            )
        sources[name] = folder
    return sources


def _note_shared_noise(sides: Sides) -> list[str]:
    seen: set[str] = set()
    shared = 0
    for images in sides.synthetic.values():
        shared += len(seen & set(images.group_ids))
        seen |= set(images.group_ids)
    if not shared:
        return []
    return [
        f"{shared:,} images of different sources come of equal numbers, perhaps of equal noise, and may look alike: no "
        "two share a display set, but readers meet them in different ones; sample each checkpoint with its own --seed"
    ]


def _refuse_doubles(sides: Sides) -> None:
    """No image may be there twice: its second look would tell what the first one was."""
    seen: dict[str, str] = {}
    doubles = []
    for name, images in sides.list_all().items():
        for sample, pixels in zip(images.sample_ids, images.pixel_sha256, strict=True):
            here = f"{name} {sample}"
            if pixels in seen:
                doubles.append(f"{here} has the pixels of {seen[pixels]}")
            seen.setdefault(pixels, here)
    if doubles:
        more = f" (and {len(doubles) - 1:,} more)" if len(doubles) > 1 else ""
        raise DataError(
            f"{doubles[0]}{more}; in a study every image has one condition and is drawn once: give datasets without "
            "common images, and none with an image twice"
        )
