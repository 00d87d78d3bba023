"""What a run finds in a dataset folder and leaves there: other people's files, the plan, shards with their receipts.

While a dataset is written, `.unfinished/` in its folder holds the plan, locks, temporary files, and a receipt with the
hash of each finished shard.
"""

import json
import shutil
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from cspine_bench.dataset.files import write_file
from cspine_bench.dataset.manifest import ANNOTATION_FOLDER, MANIFEST_NAME, README_NAME, ShardEntry, render_json
from cspine_bench.dataset.plan import Plan, ShardPlan
from cspine_bench.errors import DataError
from cspine_bench.provenance import sha256_file

SCRATCH_NAME: Final = ".unfinished"
_PLAN_NAME: Final = "plan.json"
_MAX_LISTED: Final = 10


def refuse_foreign_files(out: Path) -> None:
    """Stop before anything is touched in a folder that holds more than a dataset. Parts may be at work in it.

    Raises:
        DataError: names what is not of a dataset.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise DataError(f"{out}: is a file; name a folder for the dataset")
    expected = {MANIFEST_NAME: False, README_NAME: False, SCRATCH_NAME: True, "data": True, ANNOTATION_FOLDER: True}
    # What is listed may be gone a moment later, when another part finishes.
    foreign = [path.name for path in out.iterdir() if expected.get(path.name) is not path.is_dir() and path.exists()]
    data = out / "data"
    if data.is_dir():
        foreign += [f"data/{path.name}" for path in data.iterdir() if not _is_shard_name(path.name)]
    tables = (out / ANNOTATION_FOLDER).glob("*")
    foreign += [f"{ANNOTATION_FOLDER}/{path.name}" for path in tables if path.suffix != ".parquet"]
    # The plan is asked for twice: it goes when the manifest is there, and comes before an old manifest goes.
    plan = out / SCRATCH_NAME / _PLAN_NAME
    if not any(path.exists() for path in (plan, out / MANIFEST_NAME, plan)):
        foreign += [path.relative_to(out).as_posix() for path in (out / README_NAME, *data.glob("*")) if path.exists()]
    if foreign:
        names = ", ".join(sorted(set(foreign))[:_MAX_LISTED])
        raise DataError(
            f"{out}: holds files that are not of a dataset ({names}); choose another folder, or move them away"
        )


def make_folder(out: Path) -> None:
    """Make the dataset folder if it is not there.

    Raises:
        DataError: it cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{out}: cannot be made ({error.strerror}); choose a folder that you may make, or a name that is free"
        ) from error


def is_begun(out: Path, plan: Plan) -> bool:
    """Whether the folder is being filled by this very plan."""
    return _read_fingerprint(out / SCRATCH_NAME / _PLAN_NAME) == plan.fingerprint


def is_finished(out: Path, plan: Plan) -> bool:
    """Whether the folder holds the finished dataset of this very plan, by its manifest."""
    return _read_fingerprint(out / MANIFEST_NAME) == plan.fingerprint


def prepare_folder(out: Path, plan: Plan, *, overwrite: bool) -> None:
    """Make the folder one that this plan fills; what another plan left loses its receipts. Needs the lock, alone.

    Raises:
        DataError: another plan was begun here, and `overwrite` is False; or the disk is full.
    """
    scratch = out / SCRATCH_NAME
    begun = _read_fingerprint(scratch / _PLAN_NAME)
    if begun is not None and begun != plan.fingerprint and not overwrite:
        raise another_dataset(out)
    if begun != plan.fingerprint:
        # Receipts go before the plan that they belong to: none may vouch for a shard of another plan.
        for receipt in scratch.glob("*.parquet.json"):
            receipt.unlink()
    summary = {"fingerprint": plan.fingerprint, "source": plan.source, "fractions": plan.fractions, "seed": plan.seed}
    write_file(scratch / _PLAN_NAME, render_json(summary), scratch=scratch)
    # The manifest goes first: from then on the folder says that it is not complete.
    (out / MANIFEST_NAME).unlink(missing_ok=True)
    (out / README_NAME).unlink(missing_ok=True)
    shutil.rmtree(out / ANNOTATION_FOLDER, ignore_errors=True)
    (out / "data").mkdir(exist_ok=True)


def take_up(out: Path, plan: Plan) -> dict[str, ShardEntry]:
    """The shards that are whole, by their path; everything else that runs and parts left goes. Needs the lock, alone.

    Every kept shard is read and hashed.
    """
    scratch = out / SCRATCH_NAME
    kept = {}
    for shard in plan.shards:
        if (entry := find_whole(out, shard)) is not None:
            kept[shard.path] = entry
        else:
            _receipt(scratch, shard.path).unlink(missing_ok=True)
    for path in (out / "data").iterdir():
        if f"data/{path.name}" not in kept:
            path.unlink()
    remove_temporary_files(scratch)
    for path in scratch.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
    return kept


def remove_temporary_files(scratch: Path) -> None:
    """Remove what workers that were killed left half written. Only for the one that holds the lock of this folder."""
    for path in scratch.glob("*.tmp"):
        path.unlink()


def find_whole(out: Path, shard: ShardPlan) -> ShardEntry | None:
    """The receipt of a shard whose bytes match it, or None."""
    entry = load_receipt(out, shard)
    try:
        whole = entry is not None and sha256_file(out / shard.path) == entry.sha256
    except OSError:
        return None
    return entry if whole else None


def load_receipt(out: Path, shard: ShardPlan) -> ShardEntry | None:
    """The receipt of a shard, or None where there is none or it is not readable."""
    try:
        entry = ShardEntry.model_validate_json(_receipt(out / SCRATCH_NAME, shard.path).read_bytes())
    except (OSError, ValidationError):
        return None
    return entry if entry.path == shard.path else None


def save_receipt(out: Path, entry: ShardEntry, *, scratch: Path) -> None:
    """Say that a shard is in its place. `scratch` is where this run keeps its temporary files.

    Raises:
        DataError: the disk is full.
    """
    receipt = _receipt(out / SCRATCH_NAME, entry.path)
    write_file(receipt, render_json(entry.model_dump(mode="json")), scratch=scratch)


def count_missing(out: Path, plan: Plan) -> int:
    """Shards of the plan that have no receipt."""
    return sum(not _receipt(out / SCRATCH_NAME, shard.path).exists() for shard in plan.shards)


def another_dataset(out: Path) -> DataError:
    """The error for a folder that holds another dataset, or a part of one."""
    return DataError(
        f"{out}: holds another dataset (other source, parameters, fractions, seed or format); "
        "choose another folder, or overwrite it"
    )


def _is_shard_name(name: str) -> bool:
    try:
        ShardEntry.model_validate(
            {"path": f"data/{name}", "split": name.split("-")[0], "num_rows": 0, "num_bytes": 0, "arrow_bytes": 0}
            | {"sha256": "0" * 64, "rejected": ()}
        )
    except ValidationError:
        return False
    return True


def _read_fingerprint(path: Path) -> str | None:
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return values.get("fingerprint") if isinstance(values, dict) else None


def _receipt(scratch: Path, shard_path: str) -> Path:
    return scratch / f"{Path(shard_path).name}.json"
