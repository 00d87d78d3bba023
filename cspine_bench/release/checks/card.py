"""Rules CARD-01 and CARD-03 to CARD-08: does the card make readers load, find and understand what is there?"""

import re
from collections.abc import Mapping
from typing import Any, Final

from cspine_bench.release.checks.hub_words import CARD_KEYS, TASKS, name_size
from cspine_bench.release.checks.reading import Card
from cspine_bench.release.checks.tree import Kind
from cspine_bench.release.layout import CARD_NAME, NOTICE_PROCEDURAL, NOTICE_TRAINED, metadata_name
from cspine_bench.release.rules import Tally
from cspine_bench.schema import COLUMNS, build_card_features

_PIXELS: Final = tuple(name for name, column in COLUMNS.items() if column.dtype == "image")
NOTICE_WITHIN: Final = 500
"""Characters below the YAML in which the notice must stand."""
_LEFT_OVER: Final = re.compile(
    r"\{\{|\}\}|\{%|%\}|\[More Information Needed\]|\b(TODO|FIXME|TBD|XXX)\b|lorem ipsum|\b(Undefined|jinja2?)\b"
    r"|<(your|insert|replace)[^>]*>|\[(your|insert|replace)[^\]]*\]",
    re.IGNORECASE,
)
SECTIONS: Final[dict[Kind, tuple[str, ...]]] = {
    "parquet": (
        "uses", "structure", "creation", "personal and sensitive information", "limitations", "memorization",
        "citation", "contact", "verify",
    ),
    "webdataset": ("structure", "license", "contact", "verify"),
}  # fmt: skip
"""Words, each of which a heading of the card must hold. Source: the Hub's template of a dataset card."""
_MOST_NAMED: Final = 5


def check_card(card: Card, kind: Kind, counts: Mapping[str, int] | None, trained: bool | None, tally: Tally) -> None:
    """Check the card alone and against the numbers of radiographs.

    Args:
        card: of the release or mirror.
        kind: which of the two.
        counts: radiographs by split, of splits that have any; None: not known.
        trained: whether a trained model made the images (False: an analytic phantom); None: not known.
        tally: takes the findings.
    """
    if unknown := sorted(str(key) for key in card.front if key not in CARD_KEYS):
        tally.add("CARD-01", CARD_NAME, f"keys that the Hub does not know: {', '.join(unknown)[:200]}")
    _check_configs(card, kind, counts, tally)
    infos = _read_infos(card, kind, tally)
    for name, info in infos.items():
        _check_features(name, info.get("features"), kind, tally)
        if counts is not None:
            _check_counts(name, info.get("splits"), counts, tally)
    if counts is not None:
        wanted = name_size(sum(counts.values()))
        if card.front.get("size_categories") not in (wanted, [wanted]):
            said = card.front.get("size_categories")
            tally.add("CARD-05", CARD_NAME, f"size_categories is {said!r:.100}, the data are {wanted}")
    _check_tasks(card, tally)
    check_left_overs(CARD_NAME, card.body, tally)
    _check_sections(card, kind, tally)
    _check_notice(card, trained, tally)


def check_left_overs(name: str, text: str, tally: Tally) -> None:
    """CARD-07: text of a template that was left in a paper."""
    for match in _LEFT_OVER.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        tally.add("CARD-07", name, f"text of a template was left in: {match[0]!r:.60} in line {line} of its text")


def _check_configs(card: Card, kind: Kind, counts: Mapping[str, int] | None, tally: Tally) -> None:
    configs = card.front.get("configs")
    names = ["default", "metadata"] if kind == "parquet" else ["default"]
    if not isinstance(configs, list) or not all(isinstance(item, dict) for item in configs):
        tally.add("CARD-03", CARD_NAME, "there are no configs: readers guess which files are data, and guess wrong")
        return
    found = [item.get("config_name") for item in configs]
    if found != names:
        tally.add("CARD-03", CARD_NAME, f"its configs are {_list(found)}, {', '.join(names)} are expected")
    marked = [item.get("config_name") for item in configs if item.get("default") is True]
    if "default" in found and marked != ["default"]:
        tally.add("CARD-03", CARD_NAME, "the configuration `default` and no other must have `default: true`")
    suffix = ".parquet" if kind == "parquet" else ".tar"
    for item in configs:
        name = item.get("config_name")
        if extra := sorted(str(key) for key in item if key not in ("config_name", "default", "data_files")):
            tally.add("CARD-03", CARD_NAME, f"configuration {name!r:.60} has the keys {', '.join(extra)[:100]}")
        if counts is None or name not in names:
            continue
        expected = [
            {"split": split, "path": metadata_name(split) if name == "metadata" else f"data/{split}-*{suffix}"}
            for split in counts
        ]
        if not _same_entries(item.get("data_files"), expected):
            text = f"configuration {name}: data_files differ from {expected}"
            tally.add("CARD-03", CARD_NAME, text)


def _same_entries(found: Any, expected: list[dict[str, str]]) -> bool:
    if not isinstance(found, list) or len(found) != len(expected):
        return False
    return all(item in expected for item in found) and all(item in found for item in expected)


def _list(values: list[Any]) -> str:
    return ", ".join(str(value)[:40] for value in values[:_MOST_NAMED]) or "none"


def _read_infos(card: Card, kind: Kind, tally: Tally) -> dict[str, dict[str, Any]]:
    raw = card.front.get("dataset_info")
    entries = [item for item in (raw if isinstance(raw, list) else [raw]) if isinstance(item, dict)]
    infos = {str(item.get("config_name", "default")): item for item in entries}
    names = {"default", "metadata"} if kind == "parquet" else {"default"}
    if set(infos) != names or len(entries) != len(names):
        text = f"dataset_info describes {_list(sorted(infos))}; {', '.join(sorted(names))} are expected"
        tally.add("CARD-03", CARD_NAME, text)
    return {name: info for name, info in infos.items() if name in names}


def _check_features(config: str, found: Any, kind: Kind, tally: Tally) -> None:
    expected = _expect_features(config, kind)
    if found == expected:
        return
    if not isinstance(found, list) or not all(isinstance(item, dict) and "name" in item for item in found):
        tally.add("CARD-03", CARD_NAME, f"configuration {config}: features are no list of named features")
        return
    if kind == "webdataset":
        found, expected = _open_struct(found), _open_struct(expected)
    found_by_name = {str(item["name"]): item for item in found}
    expected_by_name = {item["name"]: item for item in expected}
    differing = [
        name
        for name in dict.fromkeys((*expected_by_name, *found_by_name))
        if found_by_name.get(name) != expected_by_name.get(name)
    ]
    if differing:
        named = ", ".join(differing[:_MOST_NAMED]) + (" ..." if len(differing) > _MOST_NAMED else "")
        text = f"configuration {config}: features that are missing, new, or of another type: {named[:300]}"
        tally.add("CARD-03", CARD_NAME, text, count=len(differing))
    elif len(found) != len(expected) or [item["name"] for item in found] != [item["name"] for item in expected]:
        tally.add("CARD-03", CARD_NAME, f"configuration {config}: features are doubled or in another order")


def _open_struct(features: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Features with those of the struct `json` beside them, so that one can be named."""
    opened = []
    for item in features:
        struct = item.get("struct")
        if isinstance(struct, list) and all(isinstance(inner, dict) and "name" in inner for inner in struct):
            opened.append({key: value for key, value in item.items() if key != "struct"})
            opened += [{**inner, "name": f"{item['name']}.{inner['name']}"} for inner in struct]
        else:
            opened.append(item)
    return opened


def _expect_features(config: str, kind: Kind) -> list[dict[str, Any]]:
    """What `load_dataset` must be told, so that nothing is guessed from the first samples."""
    features = build_card_features()
    rest = [item for item in features if item["name"] not in _PIXELS]
    if kind == "parquet":
        return features if config == "default" else rest
    # In the JSON of a sample class labels are spelled by name, and keys are sorted.
    struct = [
        {"name": item["name"], "dtype": "string"} if COLUMNS[item["name"]].dtype == "class_label" else item
        for item in sorted(rest, key=lambda item: str(item["name"]))
    ]
    return [
        {"name": "__key__", "dtype": "string"},
        {"name": "__url__", "dtype": "string"},
        {"name": "png", "dtype": "image"},
        {"name": "mask.png", "dtype": "image"},
        {"name": "json", "struct": struct},
    ]


def _check_counts(config: str, splits: Any, counts: Mapping[str, int], tally: Tally) -> None:
    entries = splits if isinstance(splits, list) else []
    found = {str(item.get("name")): item.get("num_examples") for item in entries if isinstance(item, dict)}
    for split in dict.fromkeys((*counts, *found)):
        if found.get(split) != counts.get(split) or isinstance(found.get(split), bool):
            text = f"configuration {config}: {split} has {found.get(split)!r:.40} examples in the card, "
            tally.add("CARD-04", CARD_NAME, f"{text}{counts.get(split, 0)} in the data")
    if len(entries) != len(found):
        tally.add("CARD-04", CARD_NAME, f"configuration {config}: a split is there twice")


def _check_tasks(card: Card, tally: Tally) -> None:
    tasks = card.front.get("task_categories")
    if not isinstance(tasks, list) or not tasks:
        tally.add("CARD-06", CARD_NAME, "task_categories names no task")
        return
    if unknown := [str(task) for task in tasks if not isinstance(task, str) or task not in TASKS]:
        tally.add("CARD-06", CARD_NAME, f"task_categories names {', '.join(unknown)[:200]}")


def _check_sections(card: Card, kind: Kind, tally: Tally) -> None:
    headings = [line.lstrip("# ").lower() for line in card.body.splitlines() if line.startswith("#")]
    missing = [word for word in SECTIONS[kind] if not any(word in heading for heading in headings)]
    if missing:
        text = f"no heading speaks of: {', '.join(missing)}"
        tally.add("CARD-07", CARD_NAME, text, count=len(missing))


def _check_notice(card: Card, trained: bool | None, tally: Tally) -> None:
    start = " ".join(card.body[:NOTICE_WITHIN].replace("**", "").replace("> ", "").split())
    allowed = {True: (NOTICE_TRAINED,), False: (NOTICE_PROCEDURAL,), None: (NOTICE_TRAINED, NOTICE_PROCEDURAL)}[trained]
    if not any(notice in start for notice in allowed):
        text = f"the first {NOTICE_WITHIN} characters do not hold {' or '.join(map(repr, allowed))}"
        tally.add("CARD-08", CARD_NAME, text)
