"""The leaderboard: rows of one test set beside each other, ranked only where one is surely better.

Rows stand in one table if they have the same task with the same settings of what is asked, the same real dataset by its
digest, split, size and number of test radiographs. Two rows of one result may have a paired difference, whose interval
decides; of all others the intervals must not touch.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from cspine_bench.baselines import arm_rows
from cspine_bench.baselines.arm_rows import DIFFERENCE, MEASURE_PREFIX, SUBMISSION, ArmRow, is_frozen, read_arms
from cspine_bench.baselines.recipe import ARMS
from cspine_bench.baselines.tables import escape_markdown, show_interval
from cspine_bench.errors import DataError
from cspine_bench.page.render import render_page
from cspine_bench.page.wording import title_of
from cspine_bench.provenance import canonical_json, package_version
from cspine_bench.results import Direction, Interval, Result, parse_result

_OF_THE_METHOD: Final[Mapping[str, frozenset[str]]] = {
    "landmarking": frozenset({"kind", "method"}),
    "classification": frozenset({"kind", "head", "saliency", "adversarial", "robustness"}),
    "segmentation": frozenset({"kind"}),
    "quality": frozenset({"kind", "ssim_weight"}),
    "restoration": frozenset({"kind"}),
}
"""Settings of a task that say how it is solved; all others, and all of a task that is not here, say what is asked."""
RULES: Final = (
    "A row's rank is one more than the number of rows that are surely better. Of two rows of one result the interval "
    "of their paired difference decides where it was measured; of all others, and across results, where no paired "
    "difference is known, their 95 % intervals must not touch. So rows that cannot be told apart do not outrank each "
    "other, and a row with a wide interval may keep a good rank: look at its interval.",
    "Floors need no learning and have no rank, nor has a row without an interval. Tables of other test radiographs, "
    "sizes or questions cannot be compared with each other.",
)
NOTHING: Final = "No result of a baseline yet: `cspine-bench baseline run` makes one."


@dataclass(frozen=True)
class Entry:
    """One row.

    Attributes:
        row: the arm with its figures.
        file: name of the result file.
        name: of a submission, or the arm's.
        network: how it was learnt, in words.
        synthetic: name and digest of the synthetic radiographs; "" where none were used.
        result: that it is of.
        rank: 1 is best; None: it has none.
    """

    row: ArmRow
    file: str
    name: str
    network: str
    synthetic: str
    result: Result
    rank: int | None = None


@dataclass(frozen=True)
class Board:
    """One table.

    Attributes:
        task: such as `landmarking`.
        asked: what distinguishes it from other tables of the task, in words.
        real: name of the real dataset.
        digest: of its manifest.
        split: that was tested on.
        size: of the radiographs, px.
        num_test: test radiographs.
        primary: name of the score.
        direction: of the score.
        entries: the best first, floors where their score puts them.
    """

    task: str
    asked: str
    real: str
    digest: str
    split: str
    size: int | None
    num_test: int
    primary: str
    direction: Direction
    entries: tuple[Entry, ...]

    @property
    def title(self) -> str:
        """`Landmarking on films (test), 60 radiographs, 64 px`."""
        size = "" if self.size is None else f", {self.size} px"
        asked = f" ({self.asked})" if self.asked else ""
        return (
            f"{self.task.capitalize()}{asked} on {self.real}, split {self.split}, {self.num_test:,} radiographs{size}"
        )


def load_baselines(folder: Path) -> dict[str, Result]:
    """The results of baselines in a folder, by file name; other files there are passed over.

    Raises:
        DataError: the folder cannot be read; a file is no JSON; or one that says that it is a baseline is no result.
    """
    try:
        paths = sorted(folder.glob("*.json")) if folder.is_dir() else None
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror}); check the path") from error
    if paths is None:
        raise DataError(f"{folder}: is no folder; name the one that holds the results of baselines")
    results = {}
    for path in paths:
        try:
            data = path.read_bytes()
            document = json.loads(data)
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"{path}: cannot be read as JSON ({error}); make the result again, or remove it") from error
        measure = document.get("measure") if isinstance(document, dict) else None
        if isinstance(measure, str) and measure.startswith(MEASURE_PREFIX):
            result = parse_result(data, where=str(path))
            if any("arm" in figure.condition for figure in result.figures):
                results[path.name] = result
    return results


def build_boards(results: Mapping[str, Result]) -> tuple[Board, ...]:
    """The tables, by task, dataset and size.

    Args:
        results: by file name.

    Raises:
        DataError: a result names no real dataset.
    """
    together: dict[str, list[Entry]] = {}
    for file in sorted(results):
        for key, entry in _list_entries(file, results[file]):
            together.setdefault(key, []).append(entry)
    boards = [_build_board(json.loads(key), entries) for key, entries in together.items()]
    return tuple(sorted(boards, key=lambda board: (board.task, board.asked, board.real, board.digest, board.num_test)))


def _list_entries(file: str, result: Result) -> list[tuple[str, Entry]]:
    """Entries with the table that each belongs to."""
    inputs = {item.role: item for item in result.inputs}
    if "real" not in inputs:
        raise DataError(f"{file}: names no input of the role real, so nobody can say what it was tested on")
    try:
        table = read_arms(result)
    except ValueError as error:
        raise DataError(f"{file}: {error}; make the result again, or remove it") from error
    recipe = _mapping(result.settings.get("recipe"))
    asked = _find_asked(table.task, _mapping(recipe.get("task")), result)
    entries = []
    seen = set()
    for row in table.rows:
        # An arm without real labels has a row at every fraction, and one score.
        told = (row.arm, "" if row.num_labels == 0 else row.fraction, row.primary.value)
        if told in seen:
            continue
        seen.add(told)
        key = {
            "task": table.task,
            "asked": asked,
            "real": inputs["real"].name.partition(" (")[0],
            "digest": inputs["real"].digest,
            "split": str(result.settings.get("split", "test")),
            "size": recipe.get("size"),
            "num_test": row.num_test,
            "primary": table.primary,
            "unit": row.primary.unit,
        }
        synthetic = inputs.get("synthetic")
        uses = row.arm in ARMS or row.arm.startswith("mixed-")
        uses = uses and synthetic is not None and not row.arm.startswith("real")
        entry = Entry(
            row=row,
            file=file,
            name=str(result.settings.get("name") or row.arm) if row.arm == SUBMISSION else row.arm,
            network="" if row.is_floor else row.arm if is_frozen(row.arm) else _spell_network(recipe, result),
            synthetic=f"{synthetic.name} {synthetic.digest[:12]}" if uses and synthetic is not None else "",
            result=result,
        )
        entries.append((canonical_json(key), entry))
    return entries


def _find_asked(task: str, settings: Mapping[str, Any], result: Result) -> dict[str, Any]:
    """What is asked of a network, so that answers to other questions are not mixed in."""
    left_out = _OF_THE_METHOD.get(task, frozenset({"kind"}))
    asked = {name: value for name, value in settings.items() if name not in left_out}
    asked |= {} if result.measure_version == arm_rows.BASELINE_VERSION else {"version": result.measure_version}
    # The artefacts of this task's test radiographs are drawn by the seed.
    return asked | ({"seed": result.seed} if task == "quality" else {})


def _spell_network(recipe: Mapping[str, Any], result: Result) -> str:
    if "predictions" in {item.role for item in result.inputs}:
        return "not ours"
    network, task = _mapping(recipe.get("network")), _mapping(recipe.get("task"))
    words = [str(task[name]) for name in ("method", "head") if name in task]
    if network:
        words.append(f"U-Net {'-'.join(map(str, network.get('widths', ())))}, blocks of {network.get('unshuffle')} px")
        words.append(f"{_mapping(recipe.get('learning')).get('updates')} updates")
    if result.encoder is not None:
        words.append(result.encoder.name)
    return ", ".join(words)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _build_board(key: dict[str, Any], entries: Sequence[Entry]) -> Board:
    direction = entries[0].row.primary.direction
    sign = 1 if direction == "lower" else -1
    # A floor depends on the training labels alone: results of one dataset may share it.
    floors = {(entry.row.arm, entry.row.primary.value): entry for entry in entries if entry.row.is_floor}
    entries = [*floors.values(), *(entry for entry in entries if not entry.row.is_floor)]
    ordered = sorted(entries, key=lambda entry: (sign * entry.row.primary.value, entry.file, entry.row.arm))
    return Board(
        task=key["task"],
        asked=_spell_asked(key["asked"]),
        real=key["real"],
        digest=key["digest"],
        split=key["split"],
        size=key["size"],
        num_test=key["num_test"],
        primary=key["primary"],
        direction=direction,
        entries=rank_entries(ordered),
    )


def rank_entries(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """The same entries with ranks: 1 + how many are surely better. See `RULES`."""
    ranked = []
    rivals = [entry for entry in entries if _is_ranked(entry)]
    for entry in entries:
        rank = 1 + sum(is_surely_better(other, entry) for other in rivals) if _is_ranked(entry) else None
        ranked.append(Entry(**{**vars(entry), "rank": rank}))
    return tuple(ranked)


def is_surely_better(one: Entry, other: Entry) -> bool:
    """Whether an entry's score is better than another's beyond the chance of test radiographs and training."""
    if one is other or not (_is_ranked(one) and _is_ranked(other)):
        return False
    sign = 1 if one.row.primary.direction == "lower" else -1
    if one.file == other.file and one.row.arm != other.row.arm:
        found = _find_difference(one, other)
        if found is not None:
            return sign * found.high < 0 if sign == 1 else found.low > 0
    first, second = one.row.primary.interval, other.row.primary.interval
    if first is None or second is None:
        return False
    return first.high < second.low if sign == 1 else first.low > second.high


def _is_ranked(entry: Entry) -> bool:
    return not entry.row.is_floor and entry.row.primary.interval is not None


def _find_difference(one: Entry, other: Entry) -> Interval | None:
    """Interval of the score of one less that of the other, where their result has it at a fraction of both."""
    name = f"{one.row.primary.name}{DIFFERENCE}"
    fractions = {entry.row.fraction for entry in (one, other) if entry.row.num_labels}
    if len(fractions) != 1:
        return None
    for figure in one.result.figures:
        condition = figure.condition
        if figure.name != name or figure.interval is None or condition.get("fraction", "") not in fractions:
            continue
        pair = (condition.get("arm"), condition.get("against"))
        if pair == (one.row.arm, other.row.arm):
            return figure.interval
        if pair == (other.row.arm, one.row.arm):
            low, high = -figure.interval.high, -figure.interval.low
            return figure.interval.model_copy(update={"low": low, "high": high})
    return None


def _spell_asked(asked: Mapping[str, Any]) -> str:
    def spell(value: Any) -> str:
        return "-".join(map(str, value)) if isinstance(value, list) else str(value)

    return ", ".join(f"{name.replace('_', ' ')} {spell(value)}" for name, value in sorted(asked.items()))


def list_cells(entry: Entry) -> list[str]:
    """What a row shows, in the order of `HEADER`."""
    row, result = entry.row, entry.result
    share = f" ({100 * float(row.fraction):.4g} %)" if row.fraction and row.num_labels else ""
    labels = "not stated" if row.num_labels is None else f"{row.num_labels:,}{share}"
    return [
        "floor" if row.is_floor else "–" if entry.rank is None else str(entry.rank),
        entry.name,
        show_interval(row.primary),
        "none" if row.is_floor else labels,
        entry.synthetic or "–",
        entry.network or "–",
        "–" if row.is_floor or row.num_seeds is None else str(row.num_seeds),
        "not known" if result.commit is None else result.commit[:12],
        result.device or "not stated",
        entry.file,
    ]


HEADER: Final = (
    "rank", "arm or name", "score", "real labels", "synthetic radiographs", "network", "seeds", "commit", "device",
    "result",
)  # fmt: skip


def render_markdown(boards: Sequence[Board], *, results: str, note: str = "") -> bytes:
    """LEADERBOARD.md; the same boards give the same bytes.

    Args:
        boards: the tables.
        results: the folder of the result files as seen from the page's own: links lead there.
        note: what a reader must know of the datasets, before all else.
    """
    made = "<!-- Made by `cspine-bench baseline leaderboard`: change the results, not this page. -->"
    lines = ["# Leaderboard", "", made]
    said = " ".join(part for part in ("Not for clinical use.", escape_markdown(note)) if part)
    lines += ["", said, "", "\n\n".join(RULES) if boards else NOTHING]
    for board in boards:
        better = {"lower": "lower is better", "higher": "higher is better", "none": ""}[board.direction]
        lines += ["", f"## {escape_markdown(board.title)}", ""]
        lines += [f"Score: {title_of(board.primary)}, {better}. Manifest of the real dataset: `{board.digest}`.", ""]
        lines += [f"| {' | '.join(HEADER)} |", f"|{' --- |' * len(HEADER)}"]
        for entry in board.entries:
            *cells, file = (escape_markdown(cell) for cell in list_cells(entry))
            lines.append(f"| {' | '.join(cells)} | [{file}]({quote(f'{results}/{entry.file}'.removeprefix('./'))}) |")
    return ("\n".join(lines) + "\n").encode(errors="replace")


@dataclass(frozen=True)
class _Heading:
    """What the frame of a page says of its result."""

    package_version: str
    measure: str = "leaderboard of baselines"
    measure_version: str = ""


def render_html(boards: Sequence[Board], *, note: str = "") -> bytes:
    """leaderboard.html: one file that asks for nothing; the same boards and package give the same bytes."""
    tables = [
        (board, title_of(board.primary), [(entry, list_cells(entry)) for entry in board.entries]) for board in boards
    ]
    values = {
        "title": "Leaderboard of baselines",
        "result": _Heading(package_version()),
        "tables": tables,
        "header": HEADER,
        "rules": RULES,
        "nothing": NOTHING.replace("`", ""),
        "note": note,
        "arms": ARMS,
    }
    return render_page("leaderboard.html.j2", values)


def write_leaderboard(folder: Path, out: Path, *, note: str = "") -> tuple[tuple[Board, ...], tuple[Path, Path]]:
    """LEADERBOARD.md and leaderboard.html from the results of a folder.

    Args:
        folder: with result files.
        out: folder that the two are written to; it is made where it is missing.
        note: what a reader must know of the datasets, such as that "real" ones are phantoms.

    Returns:
        The tables, and where the two files are.

    Raises:
        DataError: as `load_baselines` and `build_boards`; or `out` is a file.
        OSError: the folder cannot be written.
    """
    boards = build_boards(load_baselines(folder))
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file; name a folder for the leaderboard")
    out.mkdir(parents=True, exist_ok=True)
    results = Path(os.path.relpath(folder.resolve(), out.resolve())).as_posix()
    paths = (out / "LEADERBOARD.md", out / "leaderboard.html")
    pages = (render_markdown(boards, results=results, note=note), render_html(boards, note=note))
    for path, data in zip(paths, pages, strict=True):
        draft = path.with_name(f".{path.name}.unfinished")
        draft.write_bytes(data)
        draft.replace(path)
    return boards, paths
