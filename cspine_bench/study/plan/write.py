"""The study folder: written under another name, renamed when it is whole, and never written over once it has begun."""

import os
import shutil
from pathlib import Path

import numpy as np

from cspine_bench.errors import DataError
from cspine_bench.study.folder import StudyFolder, StudyPaths, load_truth, open_study
from cspine_bench.study.ledger.store import create_ledger, open_ledger
from cspine_bench.study.plan.make import Plan, list_sources, name_readers, render_schedule
from cspine_bench.study.plan.page import render_plan
from cspine_bench.study.plan.sides import Sides
from cspine_bench.study.protocol import compute_protocol_sha256, render_protocol
from cspine_bench.study.recipe import StudyRecipe

_OWNER_FILE = 0o600
_OWNER_FOLDER = 0o700


def find_plan(
    folder: Path,
    sides: Sides,
    recipe: StudyRecipe,
    *,
    seed: int,
    readers: tuple[str, ...],
    overwrite: bool,
    truth: Path | None = None,
) -> StudyFolder | None:
    """The study that lies in a folder, if it is the one that is asked for; None if nothing does, or it may go.

    Args:
        folder: of the study.
        sides: what `build_plan` would draw from.
        recipe: its recipe.
        seed: its seed.
        readers: its readers' names; none: numbered ones.
        overwrite: whether another study that has not begun may be replaced.
        truth: where the sealed file is to go; None: into the folder.

    Raises:
        DataError: something else lies there, or a study that has begun, or one whose truth is not in that file; folder
            or file lies in a dataset, and would be given on with it.
    """
    _refuse_inside_datasets([folder, *([] if truth is None else [truth])], sides)
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: is a file; name a folder for the study")
    if not folder.exists() or not any(folder.iterdir()):
        return None
    if not StudyPaths(folder).protocol.exists():
        raise DataError(f"{folder}: is not empty, and holds no study; give a new folder as --out")
    study = open_study(folder)
    recipe, names = name_readers(recipe, readers)
    protocol = study.protocol
    same_sources = {one.name: one.dataset for one in protocol.sources if one.dataset is not None} == {
        one.name: one.dataset for one in list_sources(sides, {}) if one.dataset is not None
    }
    same = (protocol.recipe, protocol.readers, protocol.seed) == (recipe, names, seed) and same_sources
    if same and not overwrite:
        if truth is not None:
            load_truth(study, truth)  # the place is told again, so it must be the right one
        return study
    if not overwrite:
        raise DataError(f"{folder}: holds another study; give another --out, or --overwrite to replace it")
    _refuse_begun(study)
    return None


def _refuse_inside_datasets(places: list[Path], sides: Sides) -> None:
    named = [*sides.list_all().values(), *([] if sides.train is None else [sides.train])]
    for place in places:
        whole = place.resolve()
        for images in named:
            dataset = images.folder.path.resolve()
            if dataset in whole.parents:
                raise DataError(
                    f"{place}: lies in the dataset {dataset}, and would be published or moved with it; name a place "
                    "outside"
                )


def _refuse_begun(study: StudyFolder) -> None:
    """A study with anything but its plan on record stays."""
    if not study.paths.ledger.exists():
        return
    with open_ledger(study, read_only=True) as ledger:
        begun = any(record.kind != "plan" for record in ledger.iter_records())
    if begun:
        raise DataError(
            f"{study.paths.folder}: holds a study that has begun, and is never replaced; give another --out"
        )


def write_plan(plan: Plan, folder: Path, *, truth: Path | None = None, overwrite: bool = False) -> StudyFolder:
    """Write a study.

    Args:
        plan: of `build_plan`.
        folder: of the study; new, empty, or of a study that `find_plan` lets go.
        truth: where the sealed file goes; None: into the folder.
        overwrite: whether a study that has not begun, or a sealed file, may be replaced.

    Returns:
        The study, open.

    Raises:
        DataError: the place of study or truth is taken.
        OSError: the disk is full, or the folder cannot be written.
    """
    if truth is not None and folder.resolve() in truth.resolve().parents:
        raise DataError(f"{truth}: lies in the study's own folder; name a file elsewhere, or leave --truth out")
    if truth is not None and truth.is_dir():
        raise DataError(f"{truth}: is a folder; name a file in it, such as {truth / 'truth.json'}")
    if truth is not None and truth.exists() and not overwrite:
        raise DataError(f"{truth}: is there already, and may be the truth of another study; name another file")
    if folder.exists() and any(folder.iterdir()):
        if not overwrite:
            raise DataError(f"{folder}: is there already; give another --out, or --overwrite to replace it")
        _refuse_begun(open_study(folder))
    draft = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=_OWNER_FOLDER, parents=True)  # films are in it
    paths = StudyPaths(draft)
    data = render_protocol(plan.protocol)
    digest = compute_protocol_sha256(data)
    paths.protocol.write_bytes(data)
    paths.protocol_sha256.write_text(f"{digest}  {paths.protocol.name}\n")
    paths.frames.write_bytes(np.ascontiguousarray(plan.pixels, plan.pixels.dtype.newbyteorder("<")).tobytes())
    _write_for_owner(paths.schedule, render_schedule(plan.schedule))
    paths.page.write_bytes(render_plan(plan, digest))
    paths.truth.parent.mkdir(mode=_OWNER_FOLDER)
    sealed = paths.truth if truth is None else truth.with_name(f".{truth.name}.unfinished")
    sealed.parent.mkdir(parents=True, exist_ok=True)
    _write_for_owner(sealed, plan.truth.render())
    study = open_study(draft)
    load_truth(study, sealed)
    create_ledger(paths.ledger, study)
    if truth is not None:
        sealed.replace(truth)
    _replace(draft, folder)
    return open_study(folder)


def _write_for_owner(path: Path, data: bytes) -> None:
    """A file that nobody else can read at any moment."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_FILE), "wb") as file:
        file.write(data)


def _replace(draft: Path, folder: Path) -> None:
    old = folder.with_name(f".{folder.name}.replaced")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    draft.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
