"""Results for tests of the report: those that the repository publishes, a made-up reader study, and tiny datasets."""

import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cspine_bench.dataset.manifest import load_manifest
from cspine_bench.measurement.figures import build_figure
from cspine_bench.metrics.intervals import Estimate
from cspine_bench.results import Input, Result, load_result, render_result
from cspine_bench.study.recipe import AnalysisRecipe
from tests.cli.small_source import write_small

MakeOnce = Callable[[str, Callable[[Path], object]], Path]
PUBLISHED = Path(__file__).parent.parent.parent / "benchmarks" / "results"
NAMES = {
    "demo_fidelity": "fidelity", "demo_memorization": "memorization",
    "baseline-classification": "baseline-classification", "baseline-restoration": "baseline-restoration",
}  # fmt: skip


def copy_published(folder: Path, *names: str) -> Path:
    """Some published results under the names that the measures give them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or NAMES:
        shutil.copy(PUBLISHED / f"{name}.json", folder / f"{NAMES[name]}.json")
    return folder


def build_readers(*, simulated: bool = True, **more: Any) -> Result:
    """A reader study of which the report needs hardly more than this."""
    used = {"readers": 3, "cases": 20, "answers": 60}

    def figure(
        name: str, value: float, low: float | None = None, high: float | None = None, unit: str = "share"
    ) -> Any:
        estimate = value if low is None or high is None else Estimate(value, low, high)
        return build_figure(
            name, estimate, direction="none", used=used, available=used, unit=unit, method="made up"
        )  # fmt: skip

    figures = (
        figure("acc.twoway.mean", 0.3, 0.21, 0.39),
        figure("pick.label_test.p_greater", 0.2, unit=""),
        figure("acc.twoway_tost10.p", 0.13, unit=""),
        figure("acc.twoway_tost10.nn_p", 0.14, unit=""),
        figure("acc.twoway_tost10.lo90", -0.02, unit="share"),
        figure("acc.twoway_tost10.hi90", 0.12, unit="share"),
        figure("control.accuracy", 0.9, 0.7, 0.98),
        figure("reader.R1.accuracy", 0.35, 0.2, 0.5),
        figure("source.real.share", 0.3, 0.2, 0.4),
        figure("rate.mean.real", 3.1, 2.9, 3.3, unit="steps"),
    )
    settings = {
        "analysis": AnalysisRecipe().model_dump(mode="json"), "chance": 0.25, "num_steps": 4, "simulated": simulated,
        "verdict": "inconclusive", "control": "passed", "sources": {}, "registration": "pre-registered",
        "primary": {"test": "pick.label_test.p_greater", "interval": "acc.twoway.mean",
                    "equivalence": "acc.twoway_tost10.p"},
    }  # fmt: skip
    made_up = "Simulated readers: nobody read these images. " if simulated else ""
    values = {
        "measure": "reader-study", "measure_version": "1", "inputs": (), "settings": settings, "figures": figures,
        "verdict": f"{made_up}Inconclusive. Nothing was shown.", "seed": 0, "package_version": "0.1.0",
        "commit": "a" * 40, "device": "cpu", "seconds": 0.1,
    }  # fmt: skip
    return Result.model_validate({**values, **more})


def write_result(path: Path, result: Result) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(render_result(result))
    return path


def change_inputs(result: Result, digests: dict[str, tuple[str, str, int]]) -> Result:
    """The result as if it had been measured on other datasets: (name, digest, samples) by role."""
    inputs = tuple(
        Input(role=item.role, name=digests[item.role][0], digest=digests[item.role][1],
              num_samples=digests[item.role][2])
        for item in result.inputs
    )  # fmt: skip
    return result.model_copy(update={"inputs": inputs})


def write_example(folder: Path) -> Path:
    """`films` and `samples`, a memorization result of them with its rows, and a fidelity result, in `results`."""
    for name, first in (("films", 0), ("samples", 100)):
        write_small(folder / name, 12, first=first)
    films, samples = (load_manifest(folder / name).digest for name in ("films", "samples"))
    sides = {
        "real": ("films (test)", films, 3), "train": ("films (train)", films, 6), "holdout": ("films (test)", films, 3),
        "synthetic": ("samples", samples, 12),
    }  # fmt: skip
    for name in ("demo_fidelity", "demo_memorization"):
        result = change_inputs(load_result(PUBLISHED / f"{name}.json"), sides)
        write_result(folder / "results" / f"{NAMES[name]}.json", result)
    rows = [
        {"sample_id": f"small{100 + k:08d}", "nearest_train_id": f"small{k:08d}", "similarity": 0.9 - k / 50,
         "nearest_holdout_id": f"small{(k + 1) % 12:08d}", "holdout_similarity": 0.4,
         "p_value": 0.005 if k == 3 else 0.5, "tail_p_value": 0.5, "listed": False, "confirmed": False}
        for k in range(12) if k != 5
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), folder / "results" / "memorization.samples.parquet")
    (folder / "results" / "fidelity.html").write_text("<p>the page of the measure</p>")
    return folder / "results"


class Traces(HTMLParser):
    """Traced elements of a page with their text, and what text of some sections is not traced."""

    HIDDEN = ("style", "svg", "code", "pre", "title")
    VOID = ("img", "br", "meta", "input")

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.traced: list[tuple[dict[str, str], str]] = []
        self.bare: dict[str, str] = {}
        self.links: list[str] = []
        self._open: list[tuple[str, dict[str, str]]] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attributes}
        self.links += [found[name] for name in ("href", "src", "action", "srcset") if name in found]
        if tag in self.VOID:
            return
        self._open.append((tag, found))
        if found.get("class") == "traced":
            self.traced.append((found, ""))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if any(tag in self.HIDDEN or found.get("class") in ("id", "source", "told") for tag, found in self._open):
            return
        if any(found.get("class") == "traced" for _, found in self._open):
            self.traced[-1] = (self.traced[-1][0], self.traced[-1][1] + data)
            return
        section = next((found["id"] for tag, found in self._open if tag == "section" and "id" in found), "")
        self.bare[section] = self.bare.get(section, "") + data
