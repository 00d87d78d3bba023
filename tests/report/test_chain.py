"""The chain from images to source, the release beside it, and the run's curves: checked, stated, or told to differ."""

import hashlib
import html
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest

from cspine_bench.cli import cli
from cspine_bench.dataset.read import DatasetFolder
from cspine_bench.ddpm.run_folder import RunFacts
from cspine_bench.release.rules import Finding
from cspine_bench.release.verdict import Verdict
from cspine_bench.report.build import Given, build_report
from cspine_bench.report.files import collect_results
from cspine_bench.report.given import GivenDataset, GivenRelease, GivenRun, open_given_datasets
from cspine_bench.results import load_result

from .report_example import MakeOnce, Traces, write_example

WEIGHTS = hashlib.sha256(b"weights").hexdigest()


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory, make_once: MakeOnce) -> tuple[Given, Path]:
    """Results, datasets and the run that the synthetic one says it is of."""
    folder = tmp_path_factory.mktemp("chain")
    shutil.copytree(make_once("report-example", write_example), folder, dirs_exist_ok=True)
    collected = collect_results([folder / "results"])
    named = [("real", str(folder / "films")), ("synthetic", str(folder / "samples"))]
    films, samples = open_given_datasets(named, collected.files)
    (folder / "ema.safetensors").write_bytes(b"weights")
    facts = RunFacts(
        recipe_sha256="a" * 64, dataset_sha256=films.manifest_sha256, shape_model_sha256=None, seed=0, device="cpu",
        commit="c" * 40, commit_dirty=False, versions={},
    )  # fmt: skip
    log: tuple[dict[str, Any], ...] = tuple(
        {"kind": "train", "step": step, "loss": 1.0 / step} for step in range(1, 400)
    )
    log += ({"kind": "validation", "step": 399, "loss": 0.2, "bands": {"0-0.5": 0.3, "0.5-1": 0.1}},)
    log += ({"kind": "monitor", "step": 399, "frechet_distance": 20.0, "frechet_distance_low": 18.0,
             "frechet_distance_high": 22.0, "frechet_distance_floor_low": 1.0, "frechet_distance_floor_high": 3.0,
             "num_synthetic": 8, "num_real": 3, "encoder": "pixels"},)  # fmt: skip
    run = GivenRun(folder, facts, log, {WEIGHTS: folder / "ema.safetensors"})
    source = {
        "kind": "ddpm", "run_id": facts.run_id, "checkpoints": [{"step": 399, "weights_sha256": WEIGHTS}],
        "training_data": {"dataset_sha256": films.manifest_sha256, "num_films": 6, "sources": {"phantom": 6}},
    }  # fmt: skip
    return Given(collected, (films, with_source(samples, source)), run), folder


def with_source(dataset: GivenDataset, source: dict[str, Any]) -> GivenDataset:
    manifest = dataset.folder.manifest.model_copy(update={"source": source})
    return replace(dataset, folder=DatasetFolder(dataset.folder.path, manifest))


def list_standings(page: bytes) -> list[str]:
    return re.findall(r'<li class="(checked|stated|differs|unknown)">', page.decode())


def release_of(digest: str, folder: Path, *findings: Finding, **more: Any) -> GivenRelease:
    verdict = Verdict(str(folder), "parquet", "standard", findings, ("LAY-01",), {}, (), 12, ())
    account = {"title": "Toys", "version": "1.0.0", "license": "CC-BY-4.0", "code": {"version": "0.1.0"},
               "dataset": {"digest": digest, "source": {}}}  # fmt: skip
    cff = "type: dataset\ntitle: Toys\nversion: 1.0.0\nauthors:\n- name: Somebody\n"
    return GivenRelease(folder / "rel", {**account, **more}, verdict, cff, {})


def test_each_link_is_checked_where_it_can_be(given: tuple[Given, Path]) -> None:
    whole, folder = given
    report = build_report(whole, folder / "report.html")
    assert list_standings(report.page) == ["checked"] * 5
    assert report.contradictions == ()
    text = Traces(report.page).bare
    assert "noise 0-0.5" in text["training"] and "Fréchet distance while it trained" in text["training"]
    assert "6 phantom" in text["provenance"]
    alone = build_report(replace(whole, run=None), folder / "report.html")
    assert list_standings(alone.page) == ["checked", "stated", "stated", "checked", "checked"]
    bare = build_report(Given(whole.collected), folder / "report.html")
    # A memorization result names the run whose losses it used.
    assert list_standings(bare.page) == ["stated", "stated", "stated", "unknown", "unknown"]


def test_what_differs_is_told(given: tuple[Given, Path]) -> None:
    whole, folder = given
    assert whole.run is not None
    other = replace(whole.run, facts=whole.run.facts.model_copy(update={"seed": 1, "commit_dirty": True}))
    told = build_report(replace(whole, run=other), folder / "report.html")
    assert list_standings(told.page)[1] == "differs"
    assert any("the run that was given is" in text for text in told.contradictions)
    assert any("a dirty tree" in text for text in told.contradictions)
    torn = folder / "torn.safetensors"
    torn.write_bytes(b"weight")
    told = build_report(replace(whole, run=replace(whole.run, weights={WEIGHTS: torn})), folder / "report.html")
    assert list_standings(told.page)[2] == "differs"


def test_the_release_is_held_against_the_results(given: tuple[Given, Path]) -> None:
    whole, folder = given
    digest = whole.datasets[1].digest
    good = build_report(replace(whole, release=release_of(digest, folder)), folder / "report.html")
    assert good.contradictions == ()
    assert "Somebody. (n.d.). Toys (Version 1.0.0) [Data set]." in Traces(good.page).bare["cite"]
    assert good.title == "Evidence for Toys"
    fault = Finding("SUM-01", "data/x.parquet", "its hash differs")
    bad = release_of("d" * 64, folder, fault, code={"version": "0.2.0"})
    result = load_result(folder / "results" / "memorization.json")
    bad = replace(bad, results={"memorization.json": result.model_copy(update={"seed": 9})})
    told = build_report(replace(whole, release=bad), folder / "report.html")
    assert [text.split(" ")[0] for text in told.contradictions] == ["The", "No", "memorization.json", "They"]
    assert "SUM-01 data/x.parquet: its hash differs" in told.contradictions[0]
    assert "Not valid" in Traces(told.page).bare["verdict"]


def test_the_commands_on_the_page_are_commands(given: tuple[Given, Path]) -> None:
    whole, folder = given
    pages = [build_report(one, folder / "report.html").page for one in (whole, Given(whole.collected))]
    text = b"".join(pages).decode()
    blocks = [
        html.unescape(re.sub("</?span>", "", block))
        for block in re.findall(r"<pre[^>]*><code>(.*?)</code>", text, re.S)
    ]
    lines = [line.strip() for block in blocks for line in re.split(r"[;\n]", block)]
    found = {line for line in lines if line.startswith("cspine-bench ")}
    assert len(found) > 15
    for line in found:
        command: click.Command = cli
        words = shlex.split(line)[1:]
        while isinstance(command, click.Group):
            command, words = command.commands[words[0]], words[1:]
        options = {text for parameter in command.params for text in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, line


@pytest.mark.slow  # starts a browser
def test_the_page_in_a_browser(given: tuple[Given, Path]) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e .[dev]")
    path = next((found for name in ("chromium", "chromium-browser") if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no browser is installed: apt-get install chromium")
    whole, folder = given
    report = build_report(whole, folder / "report.html")
    (folder / "report.html").write_bytes(report.page)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 390, "height": 844})
        asked: list[str] = []
        said: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.goto(f"file://{folder}/report.html")
        assert [url for url in asked if not url.startswith("data:")] == [f"file://{folder}/report.html"]
        assert said == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.set_viewport_size({"width": 1280, "height": 800})
        last = page.locator(".cards li").last.bounding_box()
        assert last["y"] + last["height"] < 800, "the answers stand on the first screen"
        light = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.emulate_media(color_scheme="dark")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
        page.emulate_media(media="print", color_scheme="dark")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == light
        assert not page.locator("nav").is_visible()
        browser.close()
