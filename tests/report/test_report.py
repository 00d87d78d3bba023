"""The report as a whole: one file that asks for nothing, what it tells and withholds, and what it refuses."""

import base64
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cspine_bench.cli import cli
from cspine_bench.dataset.read import open_dataset
from cspine_bench.errors import DataError, RecipeError
from cspine_bench.imaging.png import decode_png
from cspine_bench.report.build import Given, build_report, write_report
from cspine_bench.report.files import collect_results
from cspine_bench.report.gates import list_gates
from cspine_bench.report.given import open_given_datasets
from cspine_bench.results import Input, load_result

from .report_example import MakeOnce, Traces, build_readers, change_inputs, copy_published, write_example, write_result


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory, make_once: MakeOnce) -> Path:
    """Datasets `films` and `samples`, and `results` about them."""
    folder = tmp_path_factory.mktemp("example")
    return shutil.copytree(make_once("report-example", write_example), folder, dirs_exist_ok=True)


def make(folder: Path, *, real_pixels: bool = True, datasets: bool = True) -> tuple[bytes, Any]:
    collected = collect_results([folder / "results"])
    named = [("real", str(folder / "films")), ("synthetic", str(folder / "samples"))] if datasets else []
    given = Given(collected, open_given_datasets(named, collected.files), real_pixels=real_pixels)
    report = build_report(given, folder / "report.html")
    return report.page, report


def list_pictures(page: bytes) -> set[bytes]:
    return {
        decode_png(base64.b64decode(data), where="page").tobytes()
        for data in re.findall(rb"data:image/png;base64,([A-Za-z0-9+/=]+)", page)
    }


def list_pixels(dataset: Path) -> dict[str, bytes]:
    records = open_dataset(dataset).iter_records(columns=("sample_id", "image"))
    return {one.sample_id: decode_png(one.image, where="dataset").tobytes() for one in records}


def test_one_file_the_same_every_time(example: Path) -> None:
    page, report = make(example)
    assert page == make(example)[0]
    traces = Traces(page)
    assert {link.partition(":")[0] for link in traces.links if not link.startswith("#")} == {
        "data",
        "results/fidelity.html",
    }
    assert b"default-src 'none'" in page and b"<script" not in page
    assert str(example).encode() not in page, "a page holds no path of this machine"
    text = " ".join(traces.bare.values())
    assert "Phantoms, not films." in text and "not for diagnosis" in page.decode()
    assert {"Training curves, and hashes of the weights", "A study with people as readers"} <= set(report.missing)


def test_nothing_of_a_real_film_without_real_pixels(example: Path) -> None:
    films, samples = list_pixels(example / "films"), list_pixels(example / "samples")
    shown = list_pictures(make(example)[0])
    assert shown & set(films.values()) and shown & set(samples.values())
    page, _ = make(example, real_pixels=False)
    hidden = list_pictures(page)
    assert not hidden & set(films.values())
    # Sample 3 has a p value that a copy might have; the others were cleared.
    assert samples["small00000103"] not in hidden
    assert samples["small00000105"] not in hidden, "nobody searched for it"
    assert hidden <= set(samples.values()) and len(hidden) == 10
    assert "No real pixels." in Traces(page).bare["verdict"]


def test_without_rows_nothing_clears_a_synthetic_image(example: Path, tmp_path: Path) -> None:
    shutil.copytree(example, tmp_path, dirs_exist_ok=True)
    (tmp_path / "results" / "memorization.samples.parquet").unlink()
    page, _ = make(tmp_path, real_pixels=False)
    assert list_pictures(page) == set()
    assert "no memorization result of these images" in Traces(page).bare["samples"]


def test_contradictions_are_told(example: Path, tmp_path: Path) -> None:
    assert make(example)[1].contradictions == ()
    results = shutil.copytree(example / "results", tmp_path / "results")
    memorization = load_result(results / "memorization.json")
    sides = {item.role: (item.name, item.digest, item.num_samples) for item in memorization.inputs}
    other = change_inputs(memorization, sides | {"synthetic": ("others", "b" * 64, 7)})
    write_result(results / "memorization.json", other.model_copy(update={"package_version": "0.2.0", "commit": None}))
    fidelity = load_result(results / "fidelity.json")
    sides = {item.role: (item.name.partition(" (")[0], item.digest, item.num_samples) for item in fidelity.inputs}
    changed = change_inputs(fidelity, sides).model_dump(mode="json")
    (results / "fidelity.json").write_text(json.dumps(changed))
    write_result(results / "reader-study.json", build_readers())
    page, report = make(tmp_path, datasets=False)
    told = " ".join(report.contradictions)
    for words in (
        "2 different sets of synthetic images", "reader-study.json names no dataset",
        "films that the generator was trained on",
        "the bytes are not those", "different versions of cspine-bench. 0.1.0: fidelity.json", "no commit is stated",
    ):  # fmt: skip
        assert words in told, words
        assert words in page.decode(), words
    assert "Simulated readers." in Traces(page).bare["verdict"]


def test_a_reader_study_of_several_datasets_goes_with_results_of_one_of_them(example: Path, tmp_path: Path) -> None:
    results = shutil.copytree(example / "results", tmp_path / "results")
    fidelity = load_result(results / "fidelity.json")
    [judged] = [item for item in fidelity.inputs if item.role == "synthetic"]
    readers = build_readers()
    early = Input(role="synthetic", name="early", digest="e" * 64, num_samples=9)
    for inputs, told in (((early, judged), False), ((early,), True)):
        write_result(results / "reader-study.json", readers.model_copy(update={"inputs": (*readers.inputs, *inputs)}))
        found = make(tmp_path, datasets=False)[1].contradictions
        assert any("2 different sets of synthetic images" in sentence for sentence in found) is told


def test_gates_keep_what_cannot_be_told_apart_from_what_is_shown(tmp_path: Path) -> None:
    copy_published(tmp_path, "demo_fidelity", "demo_memorization")
    made_up, people = (
        write_result(tmp_path / f"{made_up}" / "reader-study.json", build_readers(simulated=made_up))
        for made_up in (True, False)
    )

    def states(path: Path) -> list[str]:
        return [gate.state for gate in list_gates(collect_results([path]).files[0])]

    assert states(people) == ["passed", "underpowered", "underpowered"]
    assert states(made_up) == ["not asked"] * 3
    assert set(states(tmp_path / "fidelity.json")) == {"failed"}
    assert states(tmp_path / "memorization.json") == ["passed", "passed", "passed", "underpowered", "passed", "passed"]
    result = load_result(tmp_path / "memorization.json")
    weak = result.model_copy(update={"verdict": "Underpowered: no copy was confirmed."})
    assert states(write_result(tmp_path / "weak.json", weak))[0] == "underpowered"
    found = [one.model_copy(update={"value": 2.0}) if one.name == "num_copies" else one for one in result.figures]
    assert (
        states(write_result(tmp_path / "found.json", result.model_copy(update={"figures": tuple(found)})))[0]
        == "failed"
    )
    fewer = [one for one in result.figures if one.name not in ("planted_recall", "membership_auroc")]
    bare = states(write_result(tmp_path / "bare.json", result.model_copy(update={"figures": tuple(fewer)})))
    assert bare[1] == bare[3] == "not asked"


def test_bad_input_has_one_clear_error(example: Path, tmp_path: Path) -> None:
    results = write_result(tmp_path / "results" / "reader-study.json", build_readers()).parent
    good = (results / "reader-study.json").read_text()
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.json").write_text('{"a": 1}')
    (tmp_path / "torn.json").write_text(good[:300])
    (tmp_path / "older.json").write_text(good.replace('"schema_version": "1.0"', '"schema_version": "0.9"'))
    (tmp_path / "edited.json").write_text(good.replace('"direction": "none"', '"direction": "down"', 1))
    twin = tmp_path / "twin" / "reader-study.json"
    twin.parent.mkdir()
    twin.write_text(good.replace('"seed": 0', '"seed": 1'))
    folder = tmp_path / "broken"
    folder.mkdir()
    shutil.copy(tmp_path / "edited.json", folder)
    for paths, words in (
        ([], "no result was named"),
        ([tmp_path / "empty"], "holds no result file"),
        ([tmp_path / "none.json"], "cannot be read"),
        ([tmp_path / "notes.json"], "not a result file of version 1.0"),
        ([tmp_path / "torn.json"], "not a result file"),
        ([tmp_path / "older.json"], "schema_version"),
        ([tmp_path / "edited.json"], "figures.0.direction"),
        ([folder], "figures.0.direction"),
        ([results, twin], "both hold the measure reader-study of the same datasets"),
    ):
        with pytest.raises(DataError, match=words):
            collect_results(paths)
    assert len(collect_results([results, results / "reader-study.json"]).files) == 1
    files = collect_results([example / "results"]).files
    for named, kind, words in (
        ([("real", str(example / "samples"))], DataError, "no result was measured on it as real"),
        ([("foo", str(example / "films"))], RecipeError, "there are holdout, real, synthetic, train"),
        ([("real", str(example / "films"))] * 2, DataError, "given twice"),
        ([("real", str(example))], DataError, "not a finished dataset folder"),
    ):
        with pytest.raises(kind, match=words):
            open_given_datasets(named, files)
    for change in ({"analysis": {"alpha": "much"}}, {"primary": None}, {"chance": "none"}):
        path = write_result(tmp_path / "study.json", build_readers(settings=build_readers().settings | change))
        with pytest.raises(DataError, match="the file was changed"):
            build_report(Given(collect_results([path])), tmp_path / "report.html")


def test_a_command_says_what_was_found(example: Path, tmp_path: Path) -> None:
    (example / "results" / "other.json").write_text("[]")
    out = tmp_path / "deep" / "report.html"
    words = ["report", "build", str(example / "results"), "--out", str(out), "--no-real-pixels", "--title", "<T>"]
    done = CliRunner().invoke(cli, [*words, "--json"])
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["path"] == str(out) and document["title"] == "<T>"
    assert [one["measure"] for one in document["results"]] == ["fidelity", "memorization"]
    assert document["ignored"] == [{"path": str(example / "results" / "other.json"), "why": "no result of a measure"}]
    assert "passed over" in done.stderr and b"<h1>&lt;T&gt;</h1>" in out.read_bytes()
    assert [path.name for path in out.parent.iterdir()] == ["report.html"]
    assert CliRunner().invoke(cli, words).exit_code == 0, "the same page may stand there"
    out.write_text("mine")
    refused = CliRunner().invoke(cli, words)
    assert refused.exit_code == 2 and "--overwrite" in refused.stderr and out.read_text() == "mine"
    assert CliRunner().invoke(cli, [*words, "--overwrite", "--quiet"]).stderr == ""
    (example / "results" / "other.json").unlink()
    with pytest.raises(DataError, match="is a folder"):
        write_report(make(example)[1], tmp_path)


def test_any_measure_has_a_place(tmp_path: Path) -> None:
    balance = build_readers(measure="balance", verdict="", settings={})
    report = build_report(
        Given(collect_results([write_result(tmp_path / "balance.json", balance)])), tmp_path / "r.html"
    )
    text = Traces(report.page).bare
    assert "Balance of labels" in text["others"] and "Not shown" in text["fidelity"]
    assert report.gates == {"r1": []}
