"""Rules LAY: is everything there, in its place, under its name, and nothing else?"""

import re
from collections import Counter
from typing import Any, Final

from cspine_bench.release.checks.reading import EVIDENCE_PREFIX, Card
from cspine_bench.release.checks.tree import MAX_ENTRIES, Kind, Tree
from cspine_bench.release.layout import (
    LICENCE_NAME,
    MANIFEST_NAME,
    MAX_FILE_BYTES,
    MAX_FOLDER_ENTRIES,
    MAX_SHARD_BYTES,
    MIRROR_NAME,
    MIRROR_PAPERS,
    RELEASE_PAPERS,
    SEALS,
    SHARD_PATTERN,
    SUMS_NAME,
    metadata_name,
)
from cspine_bench.release.rules import Tally
from cspine_bench.schema import SPLITS

_DATA: Final = "data/"
_METADATA: Final = "metadata/"
_SUFFIX: Final[dict[Kind, str]] = {"parquet": ".parquet", "webdataset": ".tar"}
_OTHER_FORMATS: Final[dict[Kind, tuple[str, ...]]] = {
    "parquet": (".tar", ".tar.gz", ".tgz", ".zip", ".csv", ".jsonl", ".arrow"),
    "webdataset": (".parquet", ".zip", ".csv", ".jsonl", ".arrow"),
}
"""What `datasets` would take for data of another builder."""
_SCRIPTS: Final = (".py", ".sh", ".bat", ".ps1", ".ipynb", ".pkl", ".pickle", ".so", ".exe", ".js")
_HALF_DONE: Final = (".unfinished", ".tmp", ".part", ".incomplete", ".crdownload")
_LEAST_SHARDS: Final = 16
_LEAST_SHARD_BYTES: Final = 100_000_000
"""A split of more bytes than 16 times this should have 16 shards: each reader of a stream takes whole shards."""
_MOST_NAMED: Final = 5


def check_layout(tree: Tree, kind: Kind | None, tally: Tally) -> None:
    """All rules LAY but LAY-03.

    Args:
        tree: the release.
        kind: which of the two repositories it is.
        tally: takes the findings.
    """
    _check_oddities(tree, tally)
    if kind is None:
        there = f"it holds {len(tree.files):,} files" if tree.files else "it is empty"
        text = f"neither {MANIFEST_NAME} nor {MIRROR_NAME} nor a shard is there; {there}"
        tally.add("LAY-07", ".", text)
        return
    _check_finished(tree, kind, tally)
    _check_names(tree, kind, tally)
    _check_formats(tree, kind, tally)
    _check_sizes(tree, kind, tally)
    _check_papers(tree, kind, tally)


def check_globs(tree: Tree, kind: Kind, card: Card, tally: Tally) -> None:
    """LAY-03: does each pattern of the card match the files of its split and no other?"""
    for config in _listed(card.front.get("configs")):
        name = config.get("config_name")
        for entry in _listed(config.get("data_files")):
            split, patterns = entry.get("split"), entry.get("path")
            if split not in SPLITS or patterns is None:
                continue
            expected = _expect_files(tree, kind, str(name), split)
            found: set[str] = set()
            for pattern in patterns if isinstance(patterns, list) else [patterns]:
                matches = {file for file in tree.files if translate_glob(str(pattern)).fullmatch(file)}
                if not matches:
                    tally.add("LAY-03", str(pattern)[:200], f"configuration {name!r}: this pattern matches no file")
                found |= matches
            if expected is None:
                continue
            for file in sorted(found - expected):
                tally.add("LAY-03", file, f"configuration {name!r} would load it as data of split {split}")
            for file in sorted(expected - found):
                tally.add("LAY-03", file, f"no pattern of configuration {name!r} matches it")


def _listed(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _expect_files(tree: Tree, kind: Kind, config: str, split: str) -> set[str] | None:
    if config == "metadata":
        return {metadata_name(split)} & set(tree.files)
    if config == "default":
        return {name for name in tree.shards(kind) if name.startswith(f"{_DATA}{split}-")}
    return None


def translate_glob(pattern: str) -> re.Pattern[str]:
    """`*` and `?` stay within a folder, `**` does not; anything else is literal, as no pattern of ours needs more."""
    parts = re.split(r"(\*\*/?|\*|\?)", pattern[:300])
    meaning = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    # Runs of stars would make the matching slow; none of our patterns has more than two.
    if sum(part in meaning for part in parts) > 8:
        return re.compile(r"(?!)")
    return re.compile("".join(meaning.get(part, re.escape(part)) for part in parts))


def _check_oddities(tree: Tree, tally: Tally) -> None:
    for name, what in tree.oddities.items():
        tally.add("LAY-04", name, what)
    for name, number in tree.crowded.items():
        tally.add("LAY-04", name, f"the folder has {number:,} entries; the Hub takes {MAX_FOLDER_ENTRIES:,}")
    if tree.truncated:
        tally.add("LAY-04", ".", f"there are more than {MAX_ENTRIES:,} files and folders; the rest was not looked at")
    for name, size in tree.files.items():
        last = name.rsplit("/", 1)[-1]
        if any(part.startswith(".") for part in name.split("/")):
            tally.add("LAY-04", name, "it is hidden; the files of a release are in plain sight")
        elif last.endswith(_SCRIPTS):
            tally.add("LAY-04", name, "it is a script or holds code; a release holds data and papers")
        elif last.startswith("~") or last.endswith("~") or last in ("Thumbs.db", "desktop.ini", "__MACOSX"):
            tally.add("LAY-04", name, "a desktop left it there")
        if size > MAX_FILE_BYTES:
            tally.add("LAY-04", name, f"it has {size:,} bytes; the Hub takes {MAX_FILE_BYTES:,}")


def _check_finished(tree: Tree, kind: Kind, tally: Tally) -> None:
    mark = MANIFEST_NAME if kind == "parquet" else MIRROR_NAME
    for name in (mark, SUMS_NAME):
        if name not in tree.files:
            tally.add("LAY-07", name, "it is not there: the build or the download stopped before its end")
    for name in tree.files:
        if name.endswith(_HALF_DONE) or ".unfinished" in name:
            tally.add("LAY-07", name, "it is a file that was not finished")
    if tree.root.name.endswith(_HALF_DONE):
        tally.add("LAY-07", ".", f"{tree.root.name} is the folder of a build that has not ended")
    if not tree.shards(kind):
        tally.add("LAY-07", _DATA, "there is no shard")


def _check_names(tree: Tree, kind: Kind, tally: Tally) -> None:
    suffix = _SUFFIX[kind]
    numbers: dict[tuple[str, str], set[int]] = {}
    for name in tree.files:
        match = SHARD_PATTERN.fullmatch(name)
        if match is not None and f".{match[4]}" == suffix:
            numbers.setdefault((match[1], match[3]), set()).add(int(match[2]))
        elif match is None and (name.startswith(_DATA) or (name.endswith(suffix) and not _is_known(name))):
            tally.add("LAY-01", name, f"it is not of the form data/SPLIT-NNNNN-of-NNNNN{suffix}")
        elif name.startswith(_METADATA) and not _is_table(name):
            tally.add("LAY-01", name, "metadata/ holds SPLIT.parquet alone")
    totals = Counter(split for split, _ in numbers)
    for (split, total), found in numbers.items():
        stem = f"{_DATA}{split}"
        if totals[split] > 1:
            tally.add("LAY-01", stem, f"shards of {split} disagree on how many there are")
        # A name may claim a hundred thousand shards: the first missing ones are enough.
        missing = [number for number in range(int(total)) if number not in found]
        if missing:
            first = ", ".join(f"{number:05d}" for number in missing[:_MOST_NAMED])
            tally.add("LAY-01", stem, f"of {int(total)} shards {len(missing)} are missing: {first}", count=len(missing))
        for number in sorted(number for number in found if number >= int(total))[:_MOST_NAMED]:
            tally.add("LAY-01", f"{stem}-{number:05d}-of-{total}{suffix}", f"number {number} of {int(total)}")


def _is_known(name: str) -> bool:
    """Whether a file looks like data and is none of `load_dataset`: a table, a seal, or the rows behind a result."""
    return _is_table(name) or name in SEALS or name.startswith(EVIDENCE_PREFIX)


def _is_table(name: str) -> bool:
    return name in {metadata_name(split) for split in SPLITS}


def _check_formats(tree: Tree, kind: Kind, tally: Tally) -> None:
    for name in tree.files:
        if name.lower().endswith(_OTHER_FORMATS[kind]) and not _is_known(name):
            text = f"data of another format in a repository of {_SUFFIX[kind]} files"
            tally.add("LAY-02", name, text)


def _check_sizes(tree: Tree, kind: Kind, tally: Tally) -> None:
    shards = tree.shards(kind)
    for name in shards:
        if tree.files[name] > MAX_SHARD_BYTES:
            tally.add("LAY-05", name, f"it has {tree.files[name]:,} bytes; at most {MAX_SHARD_BYTES:,} read well")
    for split in SPLITS:
        sizes = [tree.files[name] for name in shards if name.startswith(f"{_DATA}{split}-")]
        if len(sizes) < _LEAST_SHARDS and sum(sizes) > _LEAST_SHARDS * _LEAST_SHARD_BYTES:
            text = f"split {split} has {sum(sizes):,} bytes in {len(sizes)} shards; {_LEAST_SHARDS} or more stream well"
            tally.add("LAY-05", f"{_DATA}{split}", text)


def _check_papers(tree: Tree, kind: Kind, tally: Tally) -> None:
    names = set(RELEASE_PAPERS if kind == "parquet" else MIRROR_PAPERS)
    for name in sorted(names - set(tree.files) - {MANIFEST_NAME, MIRROR_NAME}):
        tally.add("LAY-06", name, "it is not there")
    if not any(name.startswith("LICENSES/") for name in tree.files):
        tally.add("LAY-06", "LICENSES/", f"no text of a licence is there, besides {LICENCE_NAME}")
    if kind == "parquet":
        for split in SPLITS:
            has_shards = any(name.startswith(f"{_DATA}{split}-") for name in tree.shards(kind))
            if has_shards != (metadata_name(split) in tree.files):
                text = "it is not there" if has_shards else "there is no shard of this split"
                tally.add("LAY-06" if has_shards else "LAY-01", metadata_name(split), text)
