"""What changed from one release to the next: rows, pixels, labels, splits, papers, evidence; and which version it asks.

Rows are joined by `sample_id` and compared column by column, so that memory holds the ids and one column of the older
release: about 200 bytes a row.

The version that a change asks for (Semantic Versioning 2.0.0, read for data):

| bump | what changed |
| --- | --- |
| major | rows removed; pixels, masks, labels, splits or groups of rows that stay; the schema |
| minor | rows added; files of the same pixels written anew, or other columns of rows that stay |
| patch | papers and evidence alone |
| none | nothing |

Below version 1.0.0 a minor bump is enough for everything.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cspine_bench.anatomy.landmarks import NUM_LANDMARKS
from cspine_bench.errors import ReleaseError
from cspine_bench.release.diff_papers import FieldChange, FigureChange, compare_figures, compare_recipes
from cspine_bench.release.diff_sides import Side, open_side
from cspine_bench.schema import COLUMNS, SPLITS

Bump = Literal["none", "patch", "minor", "major"]
_BUMPS: Final[tuple[Bump, ...]] = ("none", "patch", "minor", "major")
MOST_IDS: Final = 10

LABELS: Final = (
    "landmarks_xy", "label_source", "mask_levels", "curvature", "cobb_c2_c7_deg", "sva_mm", "cci_percent", "disease",
    "sex", "age", "facing", "pixel_spacing_mm", "pixel_spacing_plane", "artefact", "artefact_strength",
)  # fmt: skip
"""Columns whose change is a new label."""
_NAMED: Final = ("sample_id", "split", "group_id", "image_sha256", "pixel_sha256", "mask_sha256")
_PIXELS: Final = tuple(name for name, column in COLUMNS.items() if column.dtype == "image")

OnColumn = Callable[[int, int], None]
_Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Change:
    """Radiographs that something happened to: how many, and the first ten in the order of the files."""

    count: int
    first_ids: tuple[str, ...]

    def __bool__(self) -> bool:
        return self.count > 0


@dataclass(frozen=True)
class LandmarkShift:
    """How far the landmarks of radiographs that stay were moved.

    Attributes:
        num_moved: points that were labelled before and are now, elsewhere.
        median_px: distance of those, px.
        max_px: the greatest, px.
        num_gained: points that were not labelled and are now.
        num_lost: points that were labelled and are not any more.
    """

    num_moved: int
    median_px: float
    max_px: float
    num_gained: int
    num_lost: int


@dataclass(frozen=True)
class Compared:
    """One of the two releases: its folder's name, version (None: a dataset folder), digest, radiographs by split."""

    name: str
    version: str | None
    digest: str
    schema_version: str
    num_samples: dict[str, int]


@dataclass(frozen=True)
class Difference:
    """What changed. Empty changes and tables mean: the same.

    Attributes:
        old: the release before.
        new: the release after.
        added: radiographs that only the new one has.
        removed: radiographs that only the old one has.
        moved: radiographs in another split, and `moves` how many by "old -> new".
        regrouped: radiographs of another group.
        repixelled: radiographs whose decoded pixels differ.
        reencoded: radiographs of the same pixels in other PNG bytes.
        remasked: radiographs whose mask differs, came or went.
        relabelled: by label column.
        landmarks: how far they moved; None where none changed.
        described: by column that is neither pixels, label, group nor split.
        columns_added: columns that only the new one has, or of another type.
        columns_removed: columns that only the old one has, or of another type.
        papers: fields of the release recipe.
        files: papers by what happened to them: "added", "removed" or "changed".
        figures: of the evaluations.
        bump: the version step that all this asks for, and `reasons` why.
        obeyed: whether the versions make that step; None where one of the two has no version.
    """

    old: Compared
    new: Compared
    added: Change
    removed: Change
    moved: Change
    moves: dict[str, int]
    regrouped: Change
    repixelled: Change
    reencoded: Change
    remasked: Change
    relabelled: dict[str, Change]
    landmarks: LandmarkShift | None
    described: dict[str, Change]
    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    papers: tuple[FieldChange, ...]
    files: dict[str, str]
    figures: tuple[FigureChange, ...]
    bump: Bump
    reasons: tuple[str, ...]
    obeyed: bool | None


def diff_releases(old: Path, new: Path, on_progress: OnColumn | None = None) -> Difference:
    """Compare two releases, or two dataset folders.

    Args:
        old: folder of the earlier one.
        new: folder of the later one.
        on_progress: called with (columns compared, columns in all).

    Raises:
        DataError: one is no finished dataset or release, or a file of it cannot be read.
        ReleaseError: an id stands twice in one of them.
    """
    before, after = open_side(old), open_side(new)
    rows = _Rows(before, after)
    types_before, types_after = before.column_types(), after.column_types()
    shared = [name for name, kind in types_after.items() if types_before.get(name) == kind and name not in _PIXELS]
    masks: dict[str, _Mask] = {}
    relabelled: dict[str, Change] = {}
    described: dict[str, Change] = {}
    shift: LandmarkShift | None = None
    for number, name in enumerate(shared, start=1):
        if name == "landmarks_xy":
            mask, shift = rows.compare_landmarks()
        else:
            mask = rows.compare(name)
        if name in _NAMED:
            masks[name] = mask
        elif mask.any():
            (relabelled if name in LABELS else described)[name] = rows.name(mask)
        if on_progress is not None:
            on_progress(number, len(shared))
    nothing = np.zeros(len(rows.match), bool)
    repixelled = masks.get("pixel_sha256", nothing)
    found: dict[str, Any] = {
        "added": rows.name(rows.match < 0),
        "removed": rows.name_removed(),
        "moved": rows.name(masks.get("split", nothing)),
        "regrouped": rows.name(masks.get("group_id", nothing)),
        "repixelled": rows.name(repixelled),
        "reencoded": rows.name(masks.get("image_sha256", nothing) & ~repixelled),
        "remasked": rows.name(masks.get("mask_sha256", nothing)),
        "relabelled": relabelled,
        "described": described,
        "columns_added": tuple(name for name, kind in types_after.items() if types_before.get(name) != kind),
        "columns_removed": tuple(name for name, kind in types_before.items() if types_after.get(name) != kind),
        "papers": compare_recipes(before.recipe, after.recipe),
        "files": _compare_files(before.files, after.files),
        "figures": compare_figures(before.results, after.results),
    }
    bump, reasons = _judge(found)
    return Difference(
        old=_describe(before),
        new=_describe(after),
        moves=rows.count_moves(masks.get("split", nothing)),
        landmarks=shift,
        bump=bump,
        reasons=reasons,
        obeyed=_is_obeyed(before.version, after.version, bump),
        **found,
    )


class _Rows:
    """The rows of both, joined.

    Attributes:
        match: int32 (rows of the new one,): row of the old one with the same id, -1: there is none.
    """

    def __init__(self, before: Side, after: Side) -> None:
        self._before, self._after = before, after
        self._old_ids, self._new_ids = _read_ids(before), _read_ids(after)
        order = _sort(before, self._old_ids)
        _sort(after, self._new_ids)
        self.match: NDArray[np.int32] = np.full(len(self._new_ids), -1, np.int32)
        if len(order):
            places = np.searchsorted(self._old_ids, self._new_ids, sorter=order)
            found = order[np.minimum(places, len(order) - 1)]
            same = self._old_ids[found] == self._new_ids
            self.match[same] = found[same]

    def name(self, mask: _Mask) -> Change:
        """The rows of the new one that a mask picks."""
        return _count(self._new_ids, mask)

    def name_removed(self) -> Change:
        gone = np.ones(len(self._old_ids), bool)
        gone[self.match[self.match >= 0]] = False
        return _count(self._old_ids, gone)

    def compare(self, name: str) -> _Mask:
        """Which rows of the new one have another value than in the old one."""
        mask = np.zeros(len(self.match), bool)
        values = self._before.read_column(name)
        for place, kept, rows, new in self._iter_kept(name):
            old = values.take(pa.array(rows))
            if pa.types.is_dictionary(new.type):
                old, new = old.dictionary_decode(), new.dictionary_decode()
            if pa.types.is_list(old.type):
                differ = np.array([a != b for a, b in zip(old.to_pylist(), new.to_pylist(), strict=True)], bool)
            else:
                same = pc.or_(pc.fill_null(pc.equal(old, new), False), pc.and_(old.is_null(), new.is_null()))
                differ = ~same.to_numpy(zero_copy_only=False)
            mask[place + kept] = differ
        return mask

    def compare_landmarks(self) -> tuple[_Mask, LandmarkShift | None]:
        """As `compare`, and how far the points moved."""
        mask = np.zeros(len(self.match), bool)
        distances: list[NDArray[np.float32]] = []
        gained = lost = 0
        points = np.empty((len(self._old_ids), NUM_LANDMARKS, 2), np.float32)
        filled = 0
        for column in self._before.iter_column("landmarks_xy"):
            points[filled : filled + len(column)] = _read_points(column)
            filled += len(column)
        for place, kept, rows, column in self._iter_kept("landmarks_xy"):
            before, after = points[rows], _read_points(column)
            was, now = ~np.isnan(before[..., 0]), ~np.isnan(after[..., 0])
            moved = was & now & (before != after).any(axis=-1)
            gained += int((now & ~was).sum())
            lost += int((was & ~now).sum())
            distances.append(np.hypot(*(after - before)[moved].T))
            mask[place + kept] = (moved | (was != now)).any(axis=1)
        if not mask.any():
            return mask, None
        moved_px = np.concatenate(distances)
        median, greatest = (float(np.median(moved_px)), float(moved_px.max())) if moved_px.size else (0.0, 0.0)
        return mask, LandmarkShift(moved_px.size, median, greatest, gained, lost)

    def count_moves(self, mask: _Mask) -> dict[str, int]:
        """Radiographs by "old split -> new split"."""
        if not mask.any():
            return {}
        old = self._before.read_column("split").take(pa.array(self.match[mask])).to_pylist()
        new = self._after.read_column("split").filter(pa.array(mask)).to_pylist()
        pairs = [f"{a} -> {b}" for a, b in zip(old, new, strict=True)]
        return {pair: pairs.count(pair) for pair in sorted(set(pairs))}

    def _iter_kept(self, name: str) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int32], pa.Array]]:
        """File by file: its first row; of the rows that stay: places in it, places in the old one, values."""
        place = 0
        for column in self._after.iter_column(name):
            match = self.match[place : place + len(column)]
            kept = np.flatnonzero(match >= 0)
            yield place, kept, match[kept], column.take(pa.array(kept))
            place += len(column)


def _read_ids(side: Side) -> NDArray[np.bytes_]:
    """As bytes of one length: a third of what Python's own text would take."""
    parts = [np.array([text.encode() for text in ids.to_pylist()], "S") for ids in side.iter_column("sample_id")]
    return np.concatenate(parts) if parts else np.array([], "S1")


def _sort(side: Side, ids: NDArray[np.bytes_]) -> NDArray[np.int64]:
    """The order of ids, each of which stands once."""
    order = np.argsort(ids, kind="stable")
    ordered = ids[order]
    if twice := int((ordered[1:] == ordered[:-1]).sum()):
        raise ReleaseError(
            f"{side.path}: {twice} of {len(ids)} ids stand twice, so rows cannot be told apart; see which: "
            f"cspine-bench dataset verify {side.path}"
        )
    return order


def _count(ids: NDArray[np.bytes_], mask: _Mask) -> Change:
    first = np.flatnonzero(mask)[:MOST_IDS]
    return Change(int(mask.sum()), tuple(name.decode() for name in ids[first].tolist()))


def _read_points(column: pa.Array) -> NDArray[np.float32]:
    points: NDArray[np.float32] = column.flatten().flatten().to_numpy(zero_copy_only=False)
    return points.reshape(-1, NUM_LANDMARKS, 2)


def _compare_files(before: dict[str, str], after: dict[str, str]) -> dict[str, str]:
    kinds = dict.fromkeys(before.keys() - after.keys(), "removed")
    kinds |= dict.fromkeys(after.keys() - before.keys(), "added")
    kinds |= {name: "changed" for name in before.keys() & after.keys() if before[name] != after[name]}
    return dict(sorted(kinds.items()))


def _describe(side: Side) -> Compared:
    counts: dict[str, int] = {split: side.num_samples[split] for split in SPLITS if side.num_samples.get(split)}
    return Compared(side.path.resolve().name, side.version, side.digest, side.schema_version, counts)


def _judge(found: dict[str, Any]) -> tuple[Bump, tuple[str, ...]]:
    """The step that the changes ask for, and what asks for it."""
    major = {
        "rows were removed": found["removed"],
        "pixels changed": found["repixelled"],
        "masks changed": found["remasked"],
        "labels changed": found["relabelled"],
        "rows moved between splits": found["moved"],
        "rows moved between groups": found["regrouped"],
        "the schema changed": found["columns_added"] or found["columns_removed"],
    }
    minor = {
        "rows were added": found["added"],
        "files were written anew": found["reencoded"],
        "descriptive columns changed": found["described"],
    }
    patch = {"papers changed": found["papers"] or found["files"], "evidence changed": found["figures"]}
    steps: tuple[tuple[Bump, dict[str, Any]], ...] = (("major", major), ("minor", minor), ("patch", patch))
    for bump, causes in steps:
        if reasons := tuple(text for text, cause in causes.items() if cause):
            return bump, reasons
    return "none", ()


def _is_obeyed(old: str | None, new: str | None, bump: Bump) -> bool | None:
    if old is None or new is None:
        return None
    before, after = (tuple(int(part) for part in text.partition("-")[0].split(".")) for text in (old, new))
    if after < before:
        return False
    made: Bump = "none" if old == new else "patch"
    for name, a, b in zip(("major", "minor"), before, after, strict=False):
        if a != b:
            made = "major" if name == "major" else "minor"
            break
    needed: Bump = "minor" if bump == "major" and before[0] == 0 else bump
    return _BUMPS.index(made) >= _BUMPS.index(needed)
