"""The folder of an export, in place whole or not at all.

OUT/trials.csv, ratings.csv, repeats.csv, images.csv          tables; data_dictionary.md tells their columns
OUT/responses.json, events.jsonl                              answers whole, and the ledger with its chain
OUT/*.imrmc, mrmcaov_*.csv                                    for other programs
OUT/protocol.yaml                                             as frozen
OUT/data_dictionary.json, data_dictionary.md
OUT/manifest.json                                             protocol's hash, head of the chain, hash of each file
"""

import functools
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from cspine_bench.dataset.files import sync_folder, write_file
from cspine_bench.errors import DataError
from cspine_bench.provenance import package_version, sha256_bytes
from cspine_bench.study.export.collect import Answered, blind, iter_answers, name_image
from cspine_bench.study.export.dictionary import build_dictionary, render_dictionary
from cspine_bench.study.export.mrmc_layouts import MRMCAOV_COLUMNS, list_scores, render_imrmc, render_mrmcaov
from cspine_bench.study.export.tables import Name, list_images, list_ratings, list_repeats, list_trials, render_rows
from cspine_bench.study.folder import load_schedule
from cspine_bench.study.ledger.progress import StudyProgress, measure_progress
from cspine_bench.study.ledger.record import Record
from cspine_bench.study.ledger.store import Ledger
from cspine_bench.study.schedule import blinded_name
from cspine_bench.study.truth import Truth

EXPORT_VERSION: Final = "1"
MANIFEST: Final = "manifest.json"
SIGN: Final = "simulated.json"
"""Beside tables of made-up readers, so that whoever reads the tables alone is told."""
_TRIALS: Final = ("reader", "quartet", "trial_index", "picked_position", "picked_source", "correct", "response_time_s")
_MORE_TRIALS: Final = ("kind", "said", "image_id", "hidden_s", "answered_at")
_RATINGS: Final = ("reader", "quartet", "image_id", "source", "position", "rating", "kind")
_REPEATS: Final = ("reader", "quartet", "image_id", "source", "rating_1", "rating_2", "picked_1", "picked_2")
_IMAGES: Final = ("image_id", "source", "dataset", "sample_id", "changed")
_TELL_THE_TRUTH: Final = {"picked_source", "correct", "source"}


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: where.
        files: their names.
        num_trials: answers.
        num_ratings: ratings.
        manifest: content of the manifest.
    """

    folder: Path
    files: tuple[str, ...]
    num_trials: int
    num_ratings: int
    manifest: dict[str, Any]


def export_study(ledger: Ledger, truth: Truth | None, out: Path, *, overwrite: bool = False) -> Exported:
    """Write all answers of a study.

    Args:
        ledger: of the study; its whole chain is verified first.
        truth: as `open_truth` gives it; None: blinded, without anything that the truth decides.
        out: folder to make.
        overwrite: replace an earlier export that lies there.

    Raises:
        DataError: the chain is broken, or something lies at `out` that may not be replaced.
        OSError: the folder cannot be written.
    """
    check_place(out, overwrite=overwrite)
    schedule = load_schedule(ledger.study)
    with ledger.snapshot():
        ledger.verify()
        progress, events = measure_progress(ledger, schedule), list(ledger.iter_records())
        answers = list(iter_answers(ledger, schedule))
    name: Name = name_image
    if truth is None:
        answers = [blind(answered, schedule) for answered in answers]
        name = functools.partial(blinded_name, schedule)
    files, tables = _render_tables(answers, truth, name)
    if truth is not None:
        files |= _render_layouts(answers, truth, ledger.study.protocol.recipe.title)
        tables |= dict.fromkeys((name for name in files if name.startswith("mrmcaov")), MRMCAOV_COLUMNS)
    files["responses.json"] = _render_json(_describe_answers(ledger, answers, truth, name, progress))
    files["events.jsonl"] = "".join(f"{json.dumps(asdict(event), sort_keys=True)}\n" for event in events).encode()
    if progress.simulated:
        files[SIGN] = _render_json({"simulated": True, "files": sorted(tables), **_describe_simulation(events)})
    files["protocol.yaml"] = ledger.study.paths.protocol.read_bytes()
    names = tuple(files)
    files["data_dictionary.json"] = _render_json(build_dictionary(tables, names))
    files["data_dictionary.md"] = render_dictionary(tables, names).encode()
    manifest = _describe_export(progress, files, blinded=truth is None)
    files[MANIFEST] = _render_json(manifest)
    _put_in_place(out, files)
    return Exported(out, tuple(files), len(answers), sum(len(answered.ratings) for answered in answers), manifest)


def check_place(out: Path, *, overwrite: bool) -> None:
    """See that an export may go somewhere.

    Raises:
        DataError: something lies there that is no export, or one that may not be replaced.
    """
    if not out.exists() and not out.is_symlink():
        return
    if not (out / MANIFEST).is_file() or "export_version" not in (out / MANIFEST).read_text(errors="replace"):
        raise DataError(f"{out}: is there, and is no export of a study; name a folder that is not there yet")
    if not overwrite:
        raise DataError(f"{out}: holds an export already; name another folder, or --overwrite to replace it")


def _render_tables(
    answers: Sequence[Answered], truth: Truth | None, name: Name
) -> tuple[dict[str, bytes], dict[str, Sequence[str]]]:
    tables: dict[str, Sequence[str]] = {
        "trials.csv": (*_TRIALS, *_MORE_TRIALS),
        "ratings.csv": _RATINGS,
        "repeats.csv": _REPEATS,
    }
    if truth is None:
        tables = {file: [item for item in names if item not in _TELL_THE_TRUTH] for file, names in tables.items()}
    rows = {
        "trials.csv": list_trials(answers, truth, name),
        "ratings.csv": list_ratings(answers, truth, name),
        "repeats.csv": list_repeats(answers, truth, name),
    }
    if truth is not None:
        tables["images.csv"], rows["images.csv"] = _IMAGES, list_images(truth)
    return {file: render_rows(rows[file], columns) for file, columns in tables.items()}, tables


def _render_layouts(answers: Sequence[Answered], truth: Truth, title: str) -> dict[str, bytes]:
    picks, ratings = list_scores(answers, truth, "pick"), list_scores(answers, truth, "rating")
    files = {"picks.imrmc": render_imrmc(picks, title), "mrmcaov_picks.csv": render_mrmcaov(picks)}
    if ratings:
        files |= {"ratings.imrmc": render_imrmc(ratings, title), "mrmcaov_ratings.csv": render_mrmcaov(ratings)}
    return files


def _describe_answers(
    ledger: Ledger, answers: Sequence[Answered], truth: Truth | None, name: Name, progress: StudyProgress
) -> dict[str, Any]:
    recipe = ledger.study.protocol.recipe
    ratings = list_ratings(answers, truth, name)
    return {
        "design": recipe.design,
        "anchors": recipe.anchors,
        "protocol_sha256": progress.protocol_sha256,
        "chain_head": progress.head,
        "simulated": progress.simulated,
        "blinded": truth is None,
        "trials": [
            row | {"since_shown_ms": item.since_shown_ms, "actions": item.actions, "comment": item.comment}
            for row, item in zip(list_trials(answers, truth, name), answers, strict=True)
        ],
        "ratings": ratings,
    }


def _describe_simulation(events: Sequence[Record]) -> dict[str, Any]:
    return {"readers": next(json.loads(event.body) for event in events if event.kind == "simulated")}


def _describe_export(progress: StudyProgress, files: dict[str, bytes], *, blinded: bool) -> dict[str, Any]:
    return {
        "export_version": EXPORT_VERSION,
        "package_version": package_version(),
        "protocol_sha256": progress.protocol_sha256,
        "chain_head": progress.head,
        "num_records": progress.num_records,
        "blinded": blinded,
        "unblinded": progress.unblinded,
        "complete": progress.complete,
        "simulated": progress.simulated,
        "readers": [
            {"reader": reader.reader, "done": reader.done, "total": reader.total} for reader in progress.readers
        ],
        "files": {name: {"sha256": sha256_bytes(data), "bytes": len(data)} for name, data in files.items()},
    }


def _render_json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _put_in_place(out: Path, files: dict[str, bytes]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        draft, old = Path(scratch) / "draft", Path(scratch) / "old"
        draft.mkdir()
        for name, data in files.items():
            write_file(draft / name, data, scratch=Path(scratch))
        if out.exists():
            out.rename(old)
        draft.rename(out)
        sync_folder(out.parent)
        shutil.rmtree(old, ignore_errors=True)
