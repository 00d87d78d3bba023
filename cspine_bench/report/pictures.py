"""Radiographs on the report: sample sheets and nearest pairs; and what a page without real pixels may show of them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cspine_bench.dataset.read import explain_unreadable
from cspine_bench.evaluate.page.records import SUSPICIOUS_P_VALUE
from cspine_bench.imaging.png import decode_png
from cspine_bench.page.images import Picture, show
from cspine_bench.report.files import ResultFile
from cspine_bench.report.given import FILMS, GivenDataset
from cspine_bench.seeding import numpy_generator

_SHEET: Final = 12
_OPENING: Final = 6
_PAIRS: Final = 6
_SIDE_PX: Final = 160
_ROW_COLUMNS: Final = (
    "sample_id", "nearest_train_id", "similarity", "nearest_holdout_id", "holdout_similarity", "p_value",
    "tail_p_value", "listed", "confirmed",
)  # fmt: skip

Row = dict[str, Any]


@dataclass(frozen=True)
class Sheet:
    """Some radiographs of one dataset.

    Attributes:
        title: whose they are.
        dataset: name of the folder.
        digest: of its manifest.
        images: (picture, sample id).
        total: radiographs that they were drawn from.
        note: why there are none or fewer, or "".
    """

    title: str
    dataset: str
    digest: str
    images: tuple[tuple[Picture, str], ...]
    total: int
    note: str


@dataclass(frozen=True)
class NearPair:
    """A synthetic image and the film nearest to it.

    Attributes:
        row: of the memorization rows.
        place: of that row, from 1.
        synthetic: None: withheld, or not given.
        train: likewise.
        holdout: likewise.
    """

    row: Row
    place: int
    synthetic: Picture | None
    train: Picture | None
    holdout: Picture | None


class Withheld:
    """Which synthetic images a page without real pixels may show: those that a search for copies has cleared."""

    def __init__(self, files: Sequence[ResultFile], *, real_pixels: bool) -> None:
        """Read the rows of memorization results, where pixels are to be withheld."""
        self._real_pixels = real_pixels
        self._searched: dict[str, set[str]] = {}
        self._suspicious: dict[str, set[str]] = {}
        for file in files if not real_pixels else ():
            if file.result.measure == "memorization" and file.rows and _could_tell(file):
                rows = read_rows(file)
                for digest in file.digests("synthetic"):
                    self._searched.setdefault(digest, set()).update(str(row["sample_id"]) for row in rows)
                    bad = {str(row["sample_id"]) for row in rows if is_suspicious(row)}
                    self._suspicious.setdefault(digest, set()).update(bad)

    def may_show(self, dataset: GivenDataset, sample_id: str) -> bool:
        """Whether an image of a dataset may be shown."""
        if self._real_pixels:
            return True
        searched = sample_id in self._searched.get(dataset.digest, ())
        return dataset.role not in FILMS and searched and sample_id not in self._suspicious[dataset.digest]

    def explain(self, dataset: GivenDataset) -> str:
        """Why some or all images of a dataset are missing; "" where none is."""
        if self._real_pixels:
            return ""
        if dataset.role in FILMS:
            return "This report shows no pixel of a real film, nor of what stands for one."
        if dataset.digest not in self._searched:
            return (
                "Withheld: a copy shows its film, and no memorization result of these images that could tell, with its "
                "rows beside it, clears them."
            )
        count = len(self._suspicious[dataset.digest])
        unsearched = sum(dataset.folder.manifest.num_samples.values()) - len(self._searched[dataset.digest])
        withheld = [f"{count:,} that may show a film"] if count else []
        withheld += [f"{unsearched:,} that were not searched"] if unsearched > 0 else []
        return f"Cleared by the search for copies; withheld: {' and '.join(withheld)}." if withheld else ""


def _could_tell(file: ResultFile) -> bool:
    return not file.result.verdict.startswith("Underpowered")


def is_suspicious(row: Row) -> bool:
    """Whether an image may show a training film, as the page of memorization has it."""
    p = row.get("p_value")
    return bool(row.get("listed")) or bool(row.get("confirmed")) or p is None or p <= SUSPICIOUS_P_VALUE


def read_rows(file: ResultFile) -> list[Row]:
    """Rows of a memorization result, the most suspicious first; none where the file lacks its columns.

    Raises:
        DataError: the file cannot be read.
    """
    import pyarrow as pa

    if file.rows is None:
        return []
    try:
        with pq.ParquetFile(file.rows) as opened:
            names = set(opened.schema_arrow.names)
            if not {"sample_id", "p_value"} <= names:
                return []
            rows: list[Row] = opened.read(columns=[name for name in _ROW_COLUMNS if name in names]).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise explain_unreadable(file.rows, error) from error
    return sorted(rows, key=_rate)


def _rate(row: Row) -> tuple[bool, float, float, float, str]:
    p, tail = (1.0 if row.get(name) is None else row[name] for name in ("p_value", "tail_p_value"))
    return (not row.get("confirmed"), p, tail, -(row.get("similarity") or 0.0), row["sample_id"])


def draw_sheets(datasets: Sequence[GivenDataset], withheld: Withheld) -> list[Sheet]:
    """A sheet of each dataset, synthetic ones first, drawn at random by a fixed seed and not chosen."""
    sheets: dict[str, Sheet] = {}
    for dataset in sorted(datasets, key=lambda one: one.role != "synthetic"):
        if dataset.digest in sheets:
            continue  # training and held-out films of one folder
        ids = [name for name in _list_ids(dataset) if withheld.may_show(dataset, name)]
        chosen = _draw(ids, _SHEET)
        found = load_pictures(dataset, chosen)
        sheets[dataset.digest] = Sheet(
            title="Synthetic, not for diagnosis" if dataset.role == "synthetic" else name_films(dataset),
            dataset=dataset.name,
            digest=dataset.digest,
            images=tuple((found[name], name) for name in chosen),
            total=len(ids),
            note=withheld.explain(dataset),
        )
    return list(sheets.values())


def name_films(dataset: GivenDataset) -> str:
    """What stands on the real side: films, or phantoms in their place."""
    kind = dataset.folder.manifest.source.get("kind")
    return "In place of real films: phantoms" if kind == "phantom" else "Real films"


def _list_ids(dataset: GivenDataset) -> list[str]:
    return [
        name
        for split in dataset.splits
        for name in dataset.folder.read_table(["sample_id"], split).column("sample_id").to_pylist()
    ]


def _draw(ids: Sequence[str], count: int) -> list[str]:
    if len(ids) <= count:
        return list(ids)
    places = numpy_generator(0, "report.sheet").choice(len(ids), count, replace=False)
    return [ids[place] for place in sorted(places)]


def load_pictures(dataset: GivenDataset, ids: Iterable[str]) -> dict[str, Picture]:
    """Pictures of some radiographs, by sample id; those that are not there are left out."""
    wanted, found = set(ids), {}
    for record in dataset.folder.iter_records(columns=("sample_id", "image")) if wanted else ():
        if record.sample_id in wanted:
            image: NDArray[np.generic] = decode_png(record.image, where=f"sample {record.sample_id}: image")
            picture = show(image, f"radiograph {record.sample_id}", side_px=_SIDE_PX)
            if picture is not None:
                found[record.sample_id] = picture
            if len(found) == len(wanted):
                break
    return found


def take_opening(sheets: Sequence[Sheet]) -> list[tuple[Picture, str]]:
    """A few synthetic images for the first screen."""
    first = next((sheet for sheet in sheets if sheet.title.startswith("Synthetic") and sheet.images), None)
    return [] if first is None else list(first.images[:_OPENING])


def draw_pairs(file: ResultFile, datasets: Sequence[GivenDataset], withheld: Withheld) -> list[NearPair]:
    """The most suspicious pairs of a memorization result, with pictures of what was given and may be shown."""
    rows = read_rows(file)[:_PAIRS]

    def load(role: str, column: str, allowed: Callable[[GivenDataset, str], bool]) -> dict[str, Picture]:
        for dataset in _of_role(datasets, role, file.digests(role)):
            ids = [row[column] for row in rows if row.get(column)]
            return load_pictures(dataset, [name for name in ids if allowed(dataset, name)])
        return {}

    synthetic = load("synthetic", "sample_id", withheld.may_show)
    train = load("train", "nearest_train_id", withheld.may_show)
    holdout = load("holdout", "nearest_holdout_id", withheld.may_show)
    return [
        NearPair(
            row, place, synthetic.get(row["sample_id"]), train.get(row.get("nearest_train_id", "")),
            holdout.get(row.get("nearest_holdout_id", "")),
        )
        for place, row in enumerate(rows, start=1)
    ]  # fmt: skip


def _of_role(datasets: Sequence[GivenDataset], role: str, digests: Sequence[str]) -> Iterator[GivenDataset]:
    """Datasets that hold the images of a role: training and held-out films often lie in one folder."""
    films = role in FILMS
    for dataset in datasets:
        if dataset.digest in digests and (dataset.role in FILMS) == films:
            yield dataset
