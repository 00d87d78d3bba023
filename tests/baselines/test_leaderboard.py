"""The leaderboard: one table for each test set, ranks only where one is surely better, the same bytes every time."""

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from baseline_example import FLOOR, example

from cspine_bench.baselines.leaderboard import (
    NOTHING,
    Entry,
    build_boards,
    is_surely_better,
    load_baselines,
    render_html,
    render_markdown,
    write_leaderboard,
)
from cspine_bench.errors import DataError
from cspine_bench.results import Result, render_result


def change(result: Result, **changes: object) -> Result:
    return Result.model_validate(result.model_dump() | changes)


def shift(result: Result, by: float) -> Result:
    """The same result with every primary score a little worse, and no paired differences."""
    figures = []
    for figure in result.figures:
        if figure.name.endswith("_difference"):
            continue
        if figure.name == "mean_radial_error" and figure.interval is not None:
            ends = figure.interval.model_copy(
                update={"low": figure.interval.low + by, "high": figure.interval.high + by}
            )
            figure = figure.model_copy(update={"value": figure.value + by, "interval": ends})
        figures.append(figure)
    return result.model_copy(update={"figures": tuple(figures)})


def test_rows_stand_by_their_score_with_what_they_rest_on() -> None:
    result = example()[1]
    [board] = build_boards({"a.json": result})
    values = [entry.row.primary.value for entry in board.entries]
    assert values == sorted(values) and len(board.entries) == 10, "synthetic once, for all fractions"
    best, last = board.entries[0], board.entries[-1]
    assert (best.name, best.rank, best.row.num_labels) == ("mixed-1", 1, 120)
    assert best.synthetic == "example-synthetic 000000000000" and "U-Net 8-16" in best.network
    assert last.name == FLOOR and last.rank is None
    assert [entry.synthetic for entry in board.entries if entry.name.startswith("real")] == [""] * 4


def test_a_paired_difference_decides_where_it_is_known() -> None:
    result = example()[1]

    def find(found: Result, arm: str) -> Entry:
        [board] = build_boards({"a.json": found})
        return next(one for one in board.entries if (one.name, one.row.num_labels) == (arm, 120))

    real, pretrained = (find(result, arm) for arm in ("real", "pretrained"))
    first, second = real.row.primary.interval, pretrained.row.primary.interval
    assert first is not None and second is not None and first.high > second.low, "their intervals touch"
    assert is_surely_better(real, pretrained) and not is_surely_better(pretrained, real)
    real, pretrained = (find(shift(result, 0.0), arm) for arm in ("real", "pretrained"))
    assert not is_surely_better(real, pretrained), "nothing but their intervals is known"


def test_other_results_outrank_only_beyond_the_intervals() -> None:
    result = shift(example()[1], 0.0)
    [board] = build_boards({"near.json": result, "nearer.json": shift(result, 0.01)})
    best = [entry for entry in board.entries if (entry.name, entry.row.num_labels) == ("mixed-1", 120)]
    assert [entry.rank for entry in best] == [1, 1]
    [board] = build_boards({"near.json": result, "far.json": shift(result, 5.0)})
    num_rivals = sum(entry.file == "near.json" and entry.rank is not None for entry in board.entries)
    assert next(one for one in board.entries if one.file == "far.json" and one.rank).rank == 1 + num_rivals


@pytest.mark.parametrize("what", ["digest", "size", "num_test", "split", "question", "version"])
def test_other_test_sets_have_tables_of_their_own(what: str) -> None:
    result = example()[1]
    document = result.model_dump()
    if what == "digest":
        document["inputs"][0]["digest"] = "f" * 64
    elif what == "size":
        document["settings"]["recipe"]["size"] = 64
    elif what == "split":
        document["settings"]["split"] = "validation"
    elif what == "version":
        document["measure_version"] = "0"
    elif what == "question":
        document["measure"] = "baseline-segmentation"
    else:
        for figure in document["figures"]:
            if "test" in figure["n_used"]:
                figure["n_used"]["test"] -= 1
    boards = build_boards({"a.json": result, "b.json": Result.model_validate(document)})
    assert [{entry.file for entry in board.entries} for board in boards] in (
        [{"a.json"}, {"b.json"}],
        [{"b.json"}, {"a.json"}],
    )


def test_settings_of_the_method_do_not_part_tables() -> None:
    result = example()[1]
    document = result.model_dump()
    document["settings"]["recipe"]["task"]["method"] = "regression"
    [board] = build_boards({"a.json": result, "b.json": Result.model_validate(document)})
    assert {entry.network.split(",")[0] for entry in board.entries if entry.network} == {"heatmap", "regression"}
    assert sum(entry.name == FLOOR for entry in board.entries) == 1


def test_pages_are_written_whole_and_alike(tmp_path: Path) -> None:
    results, out = tmp_path / "results", tmp_path / "out"
    results.mkdir()
    result = example()[1]
    (results / "b [x](y).json").write_bytes(render_result(change(result, device="<b>cuda|0</b>")))
    (results / "a.json").write_bytes(render_result(result))
    (results / "speed.json").write_text('{"measure": "speed"}')
    (results / "list.json").write_text("[]")
    boards, paths = write_leaderboard(results, out, note="Real ones are | phantoms.")
    written = [path.read_bytes() for path in paths]
    assert [path.name for path in sorted(out.iterdir())] == ["LEADERBOARD.md", "leaderboard.html"]
    assert written == [
        render_markdown(boards, results="../results", note="Real ones are | phantoms."),
        render_html(boards, note="Real ones are | phantoms."),
    ]
    assert all(b"phantoms." in page for page in written)
    write_leaderboard(results, out, note="Real ones are | phantoms.")
    assert [path.read_bytes() for path in paths] == written
    text = written[0].decode()
    assert "](../results/a.json)" in text and r"\<b\>cuda\|0\</b\>" in text and "](y)" not in text
    assert b"<b>cuda" not in written[1] and b"<script" not in written[1]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("|")}) == 1


def test_an_empty_folder_says_none_yet(tmp_path: Path) -> None:
    boards, paths = write_leaderboard(tmp_path, tmp_path / "out")
    assert boards == () and NOTHING in paths[0].read_text()
    assert "No result of a baseline yet" in paths[1].read_text()


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "torn.json").write_text('{"measure": "baseline-')
    with pytest.raises(DataError, match=r"torn\.json: cannot be read as JSON"):
        load_baselines(tmp_path)
    (tmp_path / "torn.json").write_text('{"measure": "baseline-landmarking"}')
    with pytest.raises(DataError, match=r"torn\.json: not a result file"):
        load_baselines(tmp_path)
    document = example()[1].model_dump()
    document["figures"][0]["condition"]["fraction"] = "some"
    with pytest.raises(DataError, match=r"odd\.json: .*'some'"):
        build_boards({"odd.json": Result.model_validate(document)})
    (empty := tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="is a file; name a folder"):
        write_leaderboard(empty, tmp_path / "torn.json")
    with pytest.raises(DataError, match="is no folder"):
        load_baselines(tmp_path / "torn.json")
