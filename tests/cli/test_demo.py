"""The demo: its stages as commands that parse, how it goes on, whose films it takes; and, slowly, the whole of it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from PIL import Image

from cspine_bench.cli import cli
from cspine_bench.cli.demo_films import detect_films
from cspine_bench.cli.demo_run import DemoRun, open_run
from cspine_bench.cli.demo_settings import (
    PHANTOM,
    Facts,
    Origin,
    Settings,
    choose_sizes,
    guess_facts,
    list_left_out,
    read_facts,
    refuse_too_few,
)
from cspine_bench.cli.demo_stage import Round, Stage, tell_verdict
from cspine_bench.cli.demo_stages import build_film_rounds, build_rounds, list_steps
from cspine_bench.cli.options import Printing
from cspine_bench.dataset.verify import verify_dataset
from cspine_bench.errors import CspineBenchError, DataError

NOTHING: dict[str, int | None] = {}


def make_settings(out: Path, *, origin: Origin = PHANTOM, quick: bool = False, workers: int = 2) -> Settings:
    sizes = choose_sizes(quick=quick, asked=NOTHING)
    facts = guess_facts(origin, sizes)
    return Settings(out, origin, facts, sizes, size=64, seed=0, workers=workers, signed=True, quick=quick)


def list_stages(rounds: tuple[Round, ...]) -> list[Stage]:
    return [stage for tracks in rounds for track in tracks for stage in track]


def parse(command: list[str]) -> None:
    """As the real command line does, up to the call, in a folder where all that is named is there."""
    for word in command:
        if "/" in word and "=" not in word:
            Path(word).mkdir(parents=True, exist_ok=True)
    node: click.Command = cli
    words = command[1:]
    while isinstance(node, click.Group):
        found = node.get_command(click.Context(node), words[0])
        assert found is not None, command
        node, words = found, words[1:]
    node.make_context(node.name, list(words))


def test_every_stage_is_a_public_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    films = Origin("images", tmp_path / "films", False, "9 image files")
    for settings in (
        make_settings(Path("demo")),
        make_settings(Path("demo"), quick=True),
        replace(make_settings(Path("demo"), origin=films), size=128, seed=3),
        make_settings(Path("demo"), origin=replace(films, kind="csxa", labelled=True)),
        make_settings(Path("demo"), origin=replace(films, kind="dicom")),
        make_settings(Path("demo"), origin=replace(films, kind="dataset", labelled=True)),
    ):
        stages = list_stages(build_rounds(settings))
        assert len({stage.name for stage in stages}) == len(stages)
        first = [stage.name for stage in list_stages(build_film_rounds(settings))]
        assert [stage.name for stage in stages[: len(first)]] == first
        for stage in stages:
            assert all(path.is_relative_to("demo") for path in (*stage.owns, *stage.leaves)), "only its own is removed"
            if stage.command[0] == "cspine-bench":
                parse(stage.command)
        names = {stage.name for stage in stages}
        assert {"release", "validate", "fidelity", "memorization", "study-analyze", "report"} <= names
        assert ("baseline" in names) is settings.facts.labelled
        assert ("train-skeleton" in names) is settings.facts.labelled
        assert "train-unconditional" in names


def test_sizes_follow_what_was_asked_and_what_the_films_allow(tmp_path: Path) -> None:
    assert [list_steps(updates) for updates in (3, 5, 700)] == [[1, 2, 3], [2, 4, 5], [280, 490, 700]]
    sizes = choose_sizes(quick=True, asked={"samples": 1200, "films": None})
    assert (sizes.samples, sizes.films) == (1200, choose_sizes(quick=True, asked=NOTHING).films)
    assert choose_sizes(quick=False, asked={"updates": 3}).plain_updates == 3

    settings = make_settings(tmp_path)
    assert (settings.cases, settings.main, list_left_out(settings)) == (50, "skeleton", [])
    few = replace(settings, facts=Facts(70, 10, 30, labelled=False), signed=False)
    assert (few.cases, few.main) == (18, "unconditional")
    left = list_left_out(few)
    assert [sentence.split(":")[0] for sentence in left] == ["Left out", "Scaled down", "Little power", "Left out"]
    assert "18 cases, not 50" in left[1] and "here are 30" in left[2]
    none = replace(settings, facts=Facts(32, 4, 9, labelled=True))
    assert none.cases == 0 and "9 films of 9 patients are held out" in list_left_out(none)[0]
    refuse_too_few(none)
    with pytest.raises(DataError, match=r"20 films to train on .* 3 held out .* at least 24 and 8"):
        refuse_too_few(replace(settings, facts=Facts(20, 3, 3, labelled=True)))
    inspected = {"num_samples": {"train": 7, "test": 2}, "num_groups": {"test": 1}, "labelled": {"landmarks_xy": 4}}
    assert read_facts(inspected) == Facts(7, 0, 2, labelled=False, patients=1)
    assert replace(settings, facts=Facts(200, 20, 60, labelled=True, patients=30)).cases == 18, (
        "a patient is shown once"
    )


def test_whose_films_they_are(tmp_path: Path) -> None:
    def fill(name: str, *files: str, content: bytes = b"x") -> Path:
        for file in files:
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return tmp_path / name

    assert detect_films(fill("csxa", "datasets.xlsx", "a/0001045.png", "a/0001045.json")).kind == "csxa"
    images = detect_films(fill("images", "a.png", "b.JPG", "c/d.tif", "x.dcm", "notes.txt"))
    assert (images.kind, images.labelled) == ("images", False)
    assert images.words == "3 image files; 1 DICOM file beside them stay out"
    assert detect_films(fill("dicom", "a.dcm", "b.dcm", "c.png")).kind == "dicom"
    marked = detect_films(fill("bare", "IM1", "IM2", content=bytes(128) + b"DICM"))
    assert (marked.kind, marked.words) == ("dicom", "2 DICOM files")
    with pytest.raises(DataError, match=r"holds no films that are known: 2 \.txt; give a folder of DICOM files"):
        detect_films(fill("none", "a.txt", "b.txt"))
    with pytest.raises(DataError, match="no file; give"):
        empty = tmp_path / "empty"
        empty.mkdir()
        detect_films(empty)


def call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["demo", *arguments])
    return result.exit_code, result.stderr


def test_what_cannot_be_is_refused_before_anything_runs(tmp_path: Path) -> None:
    out = ("--out", str(tmp_path / "demo"))
    code, said = call(*out, "--size", "65")
    assert (code, "65 is not a multiple of 32" in said) == (2, True)
    (tmp_path / "films").mkdir()
    code, said = call(*out, "--real", str(tmp_path / "films"), "--films", "50")
    assert (code, "--films is for phantoms" in said) == (2, True)
    code, said = call(*out, "--real", str(tmp_path / "films"))
    assert (code, "holds no films that are known" in said) == (2, True)
    assert not (tmp_path / "demo").exists()
    (tmp_path / "demo").touch()
    code, said = call(*out)
    assert (code, "demo: is a file; name a folder for the demo" in said) == (2, True)


def write_stage(folder: Path, name: str, words: str = "", code: int = 0, owns: bool = True) -> Stage:
    """A stage that counts how often it ran, in a file that it owns."""
    file = folder / name
    script = f"open({str(file)!r}, 'a').write('x'); print('{{}}'); raise SystemExit({code})  # {words}"
    return Stage(name, f"Do {name}", ["python", "-c", script], (file,), (file,) if owns else (), lambda found: "done")


def run_all(settings: Settings, *rounds: Round) -> DemoRun:
    run = open_run(settings, Printing(as_json=False, quiet=True), total=len(list_stages(rounds)))
    for tracks in rounds:
        run.run_round(tracks)
    return run


def test_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "demo")

    def run(*, broken: int = 0, middle: str = "", left: int = 1) -> list[bool]:
        a, b, c, d = (
            write_stage(tmp_path, "a"),
            write_stage(tmp_path, "b", middle, broken),
            write_stage(tmp_path, "c", code=left),
            write_stage(tmp_path, "d", owns=False),
        )
        found = run_all(settings, ((a,),), ((b,), (c,)), ((d,),))
        assert found.positive is (left == 0), "c says no where it exits with 1"
        assert [row["stage"] for row in found.shown] == ["a", "b", "c", "d"]
        return [row["ran"] for row in found.shown]

    with pytest.raises(CspineBenchError, match=r"exit code 2: python -c[\s\S]*Run the demo again, and it goes on"):
        run(broken=2)
    assert not (tmp_path / "d").exists()
    c_done = json.loads((tmp_path / "demo" / "log" / "demo.json").read_text())
    assert [row["done"] for row in c_done if row["stage"] in "ab"] == [True, False]
    (tmp_path / "b").unlink()
    ran = run()
    assert (ran[0], ran[1], ran[3]) == (False, True, True)
    assert run() == [False] * 4
    assert (tmp_path / "a").read_text() == "x"

    # A changed option: what it decides is removed and made anew, and all after it; what it does not touch is kept.
    assert run(middle="other") == [False, True, False, True]
    assert (tmp_path / "b").read_text() == "x"
    assert (tmp_path / "d").read_text() == "xx", "owned by nobody: not removed"

    # What a stage left is gone: it runs, and all that use it.
    (tmp_path / "a").unlink()
    assert run(middle="other") == [True] * 4
    assert run(middle="other", left=0)[2] is True


def test_the_number_of_processes_is_no_other_setting(tmp_path: Path) -> None:
    def stage(*words: str) -> Stage:
        command = ["python", "-c", "print('{}')", *words]
        return Stage("a", "Do a", command, (), (), lambda found: "done")

    settings = make_settings(tmp_path)
    assert run_all(settings, ((stage("--workers", "2"),),)).shown[0]["ran"] is True
    assert run_all(settings, ((stage(),),)).shown[0]["ran"] is False
    assert run_all(settings, ((stage("--seed", "1"),),)).shown[0]["ran"] is True


def test_a_look_runs_alone_and_a_study_begins_afresh(tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "demo")
    look = replace(write_stage(tmp_path, "look"), feeds=False)
    study = replace(write_stage(tmp_path, "study"), afresh=True)

    def run() -> list[bool]:
        return [row["ran"] for row in run_all(settings, ((look,),), ((study,),)).shown]

    assert run() == [True, True]
    (tmp_path / "look").unlink()
    assert run() == [True, False]
    settings.log("study").unlink()
    assert run() == [False, True]
    assert (tmp_path / "study").read_text() == "x"


def test_what_a_verdict_says_in_a_line() -> None:
    simulated = "Simulated readers: nobody read these images. Rehearsal: 2 of 2 are phantoms. Inconclusive. More."
    assert tell_verdict({"verdict": simulated}) == "made-up answers, which say nothing of an image: Inconclusive."
    assert tell_verdict({"verdict": "None found: nothing at all."}) == "None found: nothing at all."


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "cspine_bench", "demo", "--out", "demo", *options]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    stdout, stderr = process.communicate(timeout=600)
    assert process.returncode == 0, stderr
    return stdout, stderr


def run_json(folder: Path, *options: str) -> dict[str, Any]:
    stdout, _ = finish(start(folder, *options, "--json"))
    document: dict[str, Any] = json.loads(stdout)
    return document


SMALL = ("--quick", "--films", "120", "--updates", "3", "--samples", "24", "--cases", "10")


@pytest.mark.slow
def test_the_demo_from_interrupted_to_done(tmp_path: Path) -> None:
    process = start(tmp_path, *SMALL)
    # The demo alone is told to end, while its first stage works: the stage ends with it.
    while not (tmp_path / "demo" / "datasets").exists() and process.poll() is None:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 130

    # A power cut: all its processes are gone at once, in the middle of a stage.
    process = start(tmp_path, *SMALL)
    record = tmp_path / "demo" / "log" / "demo.json"
    while not (record.exists() and '"memorization"' in record.read_text()) and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    rows = {row["stage"]: row["done"] for row in json.loads(record.read_text())}
    assert rows["sample-samples"] and not rows["memorization"]

    stdout, stderr = finish(start(tmp_path, *SMALL))
    assert "done before" in stderr
    assert "demo/report.html" in stdout and "cspine-bench demo --real FOLDER" in stdout
    assert stdout.endswith("Synthetic, not for diagnosis.\n")
    assert "$ cspine-bench evaluate memorization" in stderr and "$ cspine-bench ddpm train" not in stderr
    demo = tmp_path / "demo"
    for name in ("films", "samples", "unconditional", "early", "middle"):
        assert verify_dataset(demo / "datasets" / name) == []
    for name in ("films", "samples", "unconditional"):
        with Image.open(demo / "pictures" / f"{name}.png") as sheet:
            assert sheet.width > 3 * 96
    found = {path.stem: json.loads(path.read_text()) for path in (demo / "log").glob("*.json")}
    total = len(found) - 1
    assert f"[{total}/{total}]" in stderr
    assert sum(found["load"].values()) == 120
    assert found["replay"]["same"] is True
    assert found["release"]["signed"] is True
    assert found["memorization"]["verdict"].startswith("Underpowered")
    assert {path.stem for path in (demo / "results").glob("*.json")} == {
        "fidelity", "memorization", "reader-study", "baseline-landmarking",
    }  # fmt: skip
    assert (demo / "report.html").read_bytes().lower().startswith(b"<!doctype html>")

    # Again: nothing is left to do.
    assert not any(row["ran"] for row in run_json(tmp_path, *SMALL)["stages"])

    # What a stage leaves is gone: it runs, and all after it.
    shutil.rmtree(demo / "release")
    ran = [row["stage"] for row in run_json(tmp_path, *SMALL)["stages"] if row["ran"]]
    assert ran == ["release", "validate", "report"]


@pytest.mark.slow
def test_the_demo_on_films_of_ones_own(tmp_path: Path) -> None:
    runner = CliRunner()
    phantoms = tmp_path / "phantoms"
    assert runner.invoke(cli, ["dataset", "phantom", str(phantoms), "--count", "50", "--size", "64"]).exit_code == 0
    (tmp_path / "films").mkdir()
    from cspine_bench.dataset.read import open_dataset

    for record in open_dataset(phantoms).iter_records():
        (tmp_path / "films" / f"{record.sample_id}.png").write_bytes(record.image)
    options = ("--real", "films", "--quick", "--updates", "3", "--samples", "12")
    document = run_json(tmp_path, *options)
    assert document["origin"] == "images"
    assert "patient of its own" in document["left_out"][0] and "no landmarks" in document["left_out"][1]
    names = [row["stage"] for row in document["stages"]]
    assert "train-unconditional" in names and not {"train-skeleton", "baseline", "study-plan"} & set(names)
    assert (tmp_path / "demo" / "report.html").is_file()
