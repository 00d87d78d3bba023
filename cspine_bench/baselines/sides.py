"""The two datasets of a baseline, opened, checked against each other, and dealt into roles."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cspine_bench.anatomy.classes import FACINGS
from cspine_bench.baselines.cases import Cases, load_cases
from cspine_bench.baselines.task import Task
from cspine_bench.errors import DataError
from cspine_bench.measurement.inputs import Images, OnProgress, open_images
from cspine_bench.results import Input
from cspine_bench.schema import Split

_SHOWN = 3


@dataclass(frozen=True)
class Sides:
    """Radiographs by what the protocol does with them.

    Attributes:
        real_folder: where the real ones are.
        train: real ones with labels, of the split `train`.
        validation: real ones with labels, of the split `validation`; may be empty.
        test: real ones with labels, of the split `test`; touched once.
        synthetic: synthetic ones to learn from; all splits but `test`, or all where only that exists.
        synthetic_test: synthetic ones to be tested on by networks that learnt from real ones.
        within: by fraction, synthetic ones whose generator learnt from no more than that fraction of the real ones.
        inputs: as a result names them.
        notes: what a reader of every figure should know.
        cautions: what a reader of the verdict must know first; these are notes too.
        origin: what the generator of `synthetic` learnt from, where that is known: it matters below all labels.
    """

    real_folder: Path
    train: Cases
    validation: Cases
    test: Cases
    synthetic: Cases
    synthetic_test: Cases
    within: Mapping[float, Cases]
    inputs: tuple[Input, ...]
    notes: tuple[str, ...] = field(default=())
    cautions: tuple[str, ...] = field(default=())
    origin: str = ""

    def synthetic_for(self, fraction: float | None) -> Cases:
        """What the arms with synthetic radiographs use at a fraction."""
        return self.synthetic if fraction is None else self.within.get(fraction, self.synthetic)


def open_sides(
    task: Task,
    size: int,
    *,
    real: Path | str,
    synthetic: Path | str,
    within: Mapping[float, Path | str] | None = None,
    on_progress: OnProgress | None = None,
) -> Sides:
    """Open, check and decode both sides.

    Args:
        task: decides which radiographs can be used.
        size: side that is worked at, px.
        real: dataset with the splits train and test, best with validation too.
        synthetic: dataset to be judged.
        within: by fraction, a synthetic dataset whose generator was trained inside that label subset.
        on_progress: called with (radiographs decoded, of all on that side).

    Raises:
        DataError: a dataset cannot be used; a split is missing; nothing is labelled; a test radiograph, or its patient,
            is among those that are learnt from.
    """
    films = _open_films(real)
    roles = {split: open_images("real", real, splits=(split,)) for split in films.splits}
    made = {None: open_images("synthetic", synthetic)} | {
        fraction: open_images(_name_role(fraction), folder) for fraction, folder in (within or {}).items()
    }
    for images in made.values():
        refuse_leaks(roles, images)
    cautions = [
        caution
        for images in made.values()
        for caution in (*describe_copies(roles, images), *describe_facing(roles["test"], images))
    ]
    notes: list[str] = list(cautions)

    def load(images: Images) -> Cases:
        cases = load_cases(images, size, on_progress=on_progress)
        notes.extend(cases.warnings)
        return cases

    dealt = {split: _keep_usable(task, load(images), f"real {split} split", notes) for split, images in roles.items()}
    _require_labels(task, films, dealt)
    pools = {fraction: _deal_synthetic(load(images), images) for fraction, images in made.items()}
    pool, held = pools.pop(None)
    unlabelled = int((~task.list_usable(pool)).sum())
    if unlabelled:
        notes.append(
            f"synthetic: {unlabelled:,} of {len(pool):,} radiographs to learn from are without {task.describe_need()}: "
            f"{'no arm but' if unlabelled == len(pool) else 'only'} self-supervised learns from them"
        )
    empty = dealt["train"].take(np.array([], np.int64))
    return Sides(
        real_folder=films.folder.path,
        train=dealt["train"],
        validation=dealt.get("validation", empty),
        test=dealt["test"],
        synthetic=pool,
        synthetic_test=_keep_usable(task, held, "synthetic radiographs to be tested on", notes),
        within={fraction: cases for fraction, (cases, _) in pools.items() if fraction is not None},
        inputs=(films.describe(), *(images.describe() for images in made.values())),
        notes=tuple(dict.fromkeys(notes)),
        cautions=tuple(dict.fromkeys(cautions)),
        origin=_describe_origin(made[None]),
    )


def _open_films(real: Path | str) -> Images:
    films = open_images("real", real)
    for split in ("train", "test"):
        if split not in films.splits:
            there = ", ".join(f"{name} {count:,}" for name, count in films.folder.splits.items())
            raise DataError(
                f"{films.folder.path}: has no split {split} ({there}); make one, as `dataset import ... --fractions "
                "0.8,0.1,0.1` does"
            )
    return films


def _keep_usable(task: Task, cases: Cases, role: str, notes: list[str]) -> Cases:
    """Those that the task can use; how many it cannot is added to the notes."""
    usable = task.list_usable(cases)
    if not usable.all():
        left_out = f"{int((~usable).sum()):,} of {len(cases):,} radiographs"
        notes.append(f"{role}: {left_out} without {task.describe_need()} are left out")
    return cases.take(usable)


def _require_labels(task: Task, films: Images, dealt: Mapping[Split, Cases]) -> None:
    needed: tuple[Split, ...] = ("train", "test")
    for split in needed:
        if not len(dealt[split]):
            hidden = "".join(f" ({warning})" for warning in dealt[split].warnings)
            raise DataError(
                f"{films.folder.path}: no radiograph of its {split} split has {task.describe_need()}{hidden}; label "
                "some, or name a dataset with labels"
            )
        task.check_labels(dealt[split], f"real {split}")


def _name_role(fraction: float) -> str:
    return f"synthetic-{fraction:g}"


def _deal_synthetic(cases: Cases, images: Images) -> tuple[Cases, Cases]:
    """(to learn from, to be tested on)."""
    is_test = np.array([split == "test" for split in _list_splits(images)], np.bool_)
    if is_test.all() or not is_test.any():
        return cases, cases
    return cases.take(~is_test), cases.take(is_test)


def _list_splits(images: Images) -> Iterator[Split]:
    for split in images.splits:
        for _ in range(images.folder.splits[split]):
            yield split


def refuse_leaks(real: Mapping[Split, Images], synthetic: Images) -> None:
    """Stop where a test radiograph is among those that are learnt from.

    Equal pixels are found, and equal patients or anatomies where their ids can be compared.

    Raises:
        DataError: names the first of them.
    """
    test = real["test"]
    for images in (*(side for split, side in real.items() if split != "test"), synthetic):
        for what, found in _find_shared(images, test):
            if found:
                shown = ", ".join(f"{name} = {other}" for name, other in found[:_SHOWN])
                raise DataError(
                    f"{images.folder.path} ({', '.join(images.splits)}): {len(found):,} radiographs have {what} one in "
                    f"the test split of {test.folder.path} ({shown}); take them out: a test on what was learnt from "
                    "measures nothing"
                )


def describe_copies(real: Mapping[Split, Images], synthetic: Images) -> list[str]:
    """A sentence where real radiographs of the other splits are among the synthetic ones, which is allowed.

    Equal pixels are found, and equal patients or anatomies where their ids can be compared.
    """
    pairs = [_find_shared(synthetic, images) for split, images in real.items() if split != "test"]
    copies = {name for found in pairs for _, shared in found for name, _ in shared}
    if not copies:
        return []
    return [
        f"{len(copies):,} of {len(synthetic):,} {synthetic.role} radiographs have the very pixels, or the patient, of "
        "a real one that is not in the test split: an arm with them has more real radiographs than its label fraction "
        "says, and may help by that alone."
    ]


def describe_facing(test: Images, synthetic: Images) -> list[str]:
    """A sentence where no synthetic radiograph faces a side that a test radiograph faces, as far as both are known."""
    asked, made = (sorted(set(images.facing) & set(FACINGS)) for images in (test, synthetic))
    if not asked or not made or set(asked) & set(made):
        return []
    return [
        f"The {synthetic.role} radiographs face {made[0]}, those of the test split {asked[0]}: what an arm loses by "
        "them may be that alone; mirror one side."
    ]


def _find_shared(images: Images, other: Images) -> list[tuple[str, list[tuple[str, str]]]]:
    """What is the same, in words, with the sample ids of both sides that have it in common."""
    shared = []
    for what, there, here in (
        ("the very pixels of", other.pixel_sha256, images.pixel_sha256),
        ("the patient or anatomy of", _comparable(other, images), _comparable(images, other)),
    ):
        owner = {key: name for name, key in zip(other.sample_ids, there, strict=True) if key}
        found = [(name, owner[key]) for name, key in zip(images.sample_ids, here, strict=True) if key in owner]
        shared.append((what, found))
    return shared


def _comparable(images: Images, other: Images) -> Sequence[str]:
    """Group ids, or empty ones where those of two sides are not numbers of one source."""
    same = images.folder.manifest.digest == other.folder.manifest.digest
    return [group if same or "@" in group else "" for group in images.group_ids]


def _describe_origin(images: Images) -> str:
    """Whether the generator saw more of the real films than a label subset has; "" where nothing tells."""
    data = find_training_data(images.folder.manifest.source)
    if data is None or "num_films" not in data:
        return ""
    return (
        f"The generator of {images.name} learnt from {data['num_films']:,} films: where there are fewer labels than "
        "that, arms with its images rest on more real films than they have labels for."
    )


def find_training_data(source: Any) -> dict[str, Any] | None:
    """What a dataset's generator was trained on, as its manifest tells; None where it tells nothing."""
    if isinstance(source, dict):
        if isinstance(source.get("training_data"), dict):
            return dict(source["training_data"])
        for value in source.values():
            if (found := find_training_data(value)) is not None:
                return found
    return None
