"""Cards and datasheet: no template is left over, numbers are counted, snippets run, nothing is made up."""

import ast
import inspect
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from awkward import AWKWARD
from editions import FULL_RECIPE, make_edition, make_result
from sampled_source import SampledSource
from scarce_source import BareSource, DeepSource, ScarceSource
from toy_source import ToySource

from cspine_bench.dataset.readme import describe_readme_fault
from cspine_bench.dataset.write import write_dataset
from cspine_bench.release.build import build_release
from cspine_bench.release.edition import Edition
from cspine_bench.release.layout import NOTICE_PROCEDURAL, NOTICE_TRAINED
from cspine_bench.release.papers import card
from cspine_bench.release.papers.card import render_card, render_mirror_card
from cspine_bench.release.papers.columns import GROUPS
from cspine_bench.release.papers.datasheet import render_datasheet
from cspine_bench.release.papers.header import build_mirror_features, find_size_category
from cspine_bench.release.recipe import ReleaseRecipe, TrainingData
from cspine_bench.results import Figure, Interval
from cspine_bench.schema import COLUMNS, build_card_features

SOURCES = {
    "phantom": (ToySource(12), {}),
    "sampled": (SampledSource(12), {}),
    "full": (SampledSource(12, sources=None), FULL_RECIPE),
    "awkward": (
        SampledSource(12, sources={"images": 7}),
        AWKWARD | {"description": "Plain.", "title": AWKWARD["title"].replace("{50 %}", "50 %")},
    ),
    "scarce": (ScarceSource(12), {"training_data": (TrainingData(name="Films", patients=True),)}),
    "bare": (BareSource(12, sources=None), {}),
    "deep": (DeepSource(12, bits=16, rejected=frozenset([3])), {}),
    "one": (ToySource(1), {}),
}

# Words of the Hub, written down here and not taken from the package.
# Source: huggingface.js, packages/tasks/src/pipelines.ts; hub-docs, datasetcard.md.
REAL_TASKS = {
    "image-segmentation", "keypoint-detection", "image-classification", "unconditional-image-generation",
    "object-detection", "image-to-image", "image-feature-extraction",
}  # fmt: skip
KNOWN_KEYS = {
    *inspect.signature(huggingface_hub.DatasetCardData).parameters,
    "tags", "configs", "dataset_info", "license_name", "license_link",
}  # fmt: skip
CREATORS = {"crowdsourced", "expert-generated", "machine-generated", "found", "no-annotation", "other"}


@pytest.fixture(scope="module")
def editions(make_once: Callable[[str, Callable[[Path], object]], Path]) -> dict[str, Edition]:
    def fill(folder: Path) -> None:
        for name, (source, _) in SOURCES.items():
            write_dataset(source, folder / name, skip_bad=True)

    folder = make_once("papers", fill)
    made = {name: make_edition(folder / name, folder / "tables", **settings) for name, (_, settings) in SOURCES.items()}
    results = {name: make_result(made["full"].manifest.digest, measure=name) for name in ("memorization", "fidelity")}
    made["full"] = replace(made["full"], results={f"{name}.json": result for name, result in results.items()})
    return made


@pytest.fixture(scope="module")
def papers(editions: dict[str, Edition]) -> dict[str, dict[str, str]]:
    """Rendered once: by dataset, then card, mirror and datasheet."""
    return {name: render_all(edition) for name, edition in editions.items()}


@pytest.fixture(params=SOURCES)
def paper(request: pytest.FixtureRequest, papers: dict[str, dict[str, str]]) -> dict[str, str]:
    return papers[request.param]


def render_all(edition: Edition) -> dict[str, str]:
    tars = {shard.path.replace(".parquet", ".tar"): 10_240 for shard in edition.manifest.shards}
    return {
        "card": render_card(edition),
        "mirror": render_mirror_card(edition, shard_bytes=tars),
        "datasheet": render_datasheet(edition),
    }


def read_front(card: str) -> dict[str, Any]:
    front: dict[str, Any] = yaml.load(card.split("---\n")[1], yaml.CSafeLoader)
    return front


def read_section(paper: str, heading: str) -> str:
    return re.split(r"\n#+ ", paper.split(f"# {heading}\n", 1)[1])[0]


def test_no_left_over_of_a_template_survives(paper: dict[str, str]) -> None:
    for name, text in paper.items():
        found = re.findall(r".*(?:\{\{|\}\}|\{%|%\}|TODO|Undefined|\bNone\b|\bnan\b|\binf\b|\[\]|\(\)).*", text)
        found = [line for line in found if "decode()" not in line]
        assert found == [], name
        assert not re.search(r"[ \t]$|\n\n\n", text, flags=re.M), name
        assert text.endswith("\n") and not text.endswith("\n\n")


def test_the_same_edition_gives_the_same_papers(
    editions: dict[str, Edition], papers: dict[str, dict[str, str]]
) -> None:
    assert render_all(editions["full"]) == papers["full"]


def test_tables_are_whole(paper: dict[str, str]) -> None:
    """Every row of a table has as many cells as its header, and a table begins after an empty line."""
    for name, text in paper.items():
        lines = text.splitlines()
        for number, line in enumerate(lines):
            if not line.startswith("|"):
                continue
            cells = len(re.findall(r"(?<!\\)\|", line))
            if lines[number - 1].startswith("|"):
                assert cells == len(re.findall(r"(?<!\\)\|", lines[number - 1])), (name, line)
            else:
                assert lines[number - 1] == "" and re.fullmatch(r"\|( --- \|)+", lines[number + 1]), (name, line)


def test_the_hub_knows_every_word_of_the_yaml(paper: dict[str, str]) -> None:
    for text in (paper["card"], paper["mirror"]):
        front = read_front(text)
        assert set(front) <= KNOWN_KEYS
        assert front["task_categories"] and set(front["task_categories"]) <= REAL_TASKS
        assert set(front["annotations_creators"]) <= CREATORS
        assert {"synthetic", "medical", "radiology"} <= set(front["tags"])
        assert "\n" not in front["pretty_name"]
        assert "&id" not in text.split("---\n")[1], "YAML anchors"


@pytest.mark.parametrize("name", SOURCES)
def test_the_yaml_says_what_the_shards_hold(
    editions: dict[str, Edition], papers: dict[str, dict[str, str]], name: str
) -> None:
    edition, text = editions[name], papers[name]["card"]
    front, manifest = read_front(text), edition.manifest
    assert describe_readme_fault(text, manifest.shards) is None
    default, metadata = front["dataset_info"]
    assert default["features"] == build_card_features()
    assert [item["name"] for item in metadata["features"]] == [
        name for name in COLUMNS if name not in ("image", "mask")
    ]
    for info in (default, metadata):
        rows = {entry["name"]: entry["num_examples"] for entry in info["splits"]}
        assert rows == {split: count for split, count in manifest.num_samples.items() if count}
        assert info["dataset_size"] == sum(entry["num_bytes"] for entry in info["splits"]) > 0
    assert default["download_size"] == sum(shard.num_bytes for shard in manifest.shards)
    assert default["dataset_size"] == sum(shard.arrow_bytes for shard in manifest.shards if shard.num_rows)
    assert metadata["download_size"] == sum(edition.metadata_bytes.values())


def test_the_mirror_declares_every_key() -> None:
    features = {item["name"]: item for item in build_mirror_features()}
    # What the reader of `datasets` 3.6 to 4.x adds, it wants declared, or it does not stream.
    assert list(features) == ["__key__", "__url__", "png", "mask.png", "json"]
    struct = {item["name"]: item for item in features["json"]["struct"]}
    assert set(struct) == set(COLUMNS) - {"image", "mask"}
    assert struct["curvature"]["dtype"] == "string"
    assert struct["landmarks_xy"]["sequence"] == {"sequence": "float32"}


@pytest.mark.parametrize(
    ("num_samples", "name"),
    [(1, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (20_063, "10K<n<100K"), (1_000_000, "1M<n<10M")],
)
def test_size_categories(num_samples: int, name: str) -> None:
    assert find_size_category(num_samples) == name


def test_tasks_are_those_of_the_labels(papers: dict[str, dict[str, str]]) -> None:
    tasks = {name: read_front(papers[name]["card"])["task_categories"] for name in ("phantom", "bare")}
    assert tasks["phantom"] == ["image-segmentation", "keypoint-detection", "image-classification"]
    assert tasks["bare"] == ["unconditional-image-generation"]
    assert read_front(papers["bare"]["card"])["annotations_creators"] == ["no-annotation"]


def test_a_licence_that_the_hub_does_not_know(papers: dict[str, dict[str, str]]) -> None:
    front = read_front(papers["awkward"]["card"])
    assert (front["license"], front["license_link"]) == ("other", "LICENSE")
    assert read_front(papers["full"]["card"])["license"] == "cc-by-4.0"


def test_the_table_of_splits_is_counted(dataset: Path, release: Path) -> None:
    rows = re.findall(r"^\| (train|validation|test) \| (.*) \|$", (release / "README.md").read_text(), flags=re.M)
    for split, cells in rows:
        table = pq.read_table(
            sorted(dataset.glob(f"data/{split}-*")), columns=["group_id", "mask_sha256", "landmarks_xy"]
        )
        points = np.array(table["landmarks_xy"].to_pylist(), float)
        groups, masks = table["group_id"].unique(), table["mask_sha256"]
        whole = int(np.isfinite(points).all(axis=(1, 2)).sum())
        assert list(map(int, cells.split(" | "))) == [len(table), len(groups), len(masks) - masks.null_count, whole]
    assert len(rows) == 3


def test_every_column_is_explained() -> None:
    assert sorted(name for names, _ in GROUPS for name in names) == sorted(COLUMNS)


@pytest.mark.parametrize(
    ("name", "notice", "more"),
    [
        ("phantom", NOTICE_PROCEDURAL, "No network was trained"),
        ("sampled", NOTICE_TRAINED, "trained on phantoms alone"),
        ("scarce", NOTICE_TRAINED, "has not been tested"),
        ("bare", NOTICE_TRAINED, "has not been tested"),
        ("full", NOTICE_TRAINED, "were looked for"),
    ],
)
def test_the_notice_comes_first(papers: dict[str, dict[str, str]], name: str, notice: str, more: str) -> None:
    for text in papers[name].values():
        start = text.split("---\n", 2)[-1].lstrip()[:500]
        assert notice in start and more in start


def test_memorization_is_reported_or_said_to_be_unmeasured(papers: dict[str, dict[str, str]]) -> None:
    sections = {name: read_section(one["card"], "Memorization") for name, one in papers.items()}
    assert "Does not apply" in sections["phantom"]
    assert sections["sampled"].strip().startswith("Not measured. The training images were phantoms")
    assert "has not been tested" in sections["scarce"] and "has not been tested" in sections["bare"]
    full = sections["full"]
    assert "| `copy_rate` | 0 | 0 to 0.0123 | 95 %, Clopper-Pearson | train 400 of 480, synthetic 60 of 64 |" in full
    assert "efficientnet-lite0 (weights `222222222222`" in full
    assert "1.5" not in full and "Not printed: `median_distance` (no interval)" in full


def test_a_distance_without_encoder_is_not_printed(editions: dict[str, Edition]) -> None:
    counts = {"real": 50, "synthetic": 50}
    figure = Figure(
        name="frechet_distance", value=123.25, direction="lower", n_used=counts, n_available=counts,
        interval=Interval(low=120, high=127.5, method="jackknife"),
    )  # fmt: skip
    result = make_result("3" * 64, measure="fidelity", figures=(figure,))
    with_encoder = render_card(replace(editions["phantom"], results={"fidelity.json": result}))
    without = render_card(
        replace(editions["phantom"], results={"fidelity.json": result.model_copy(update={"encoder": None})})
    )
    assert "| `frechet_distance` | 123.2 | 120 to 127.5 | 95 %, jackknife | lower is better |" in with_encoder
    assert "123.2" not in without and "`frechet_distance` (no encoder named)" in without


def test_hundreds_of_figures_do_not_drown_the_card(editions: dict[str, Edition]) -> None:
    counts = {"real": 50, "synthetic": 50}
    plain = Figure(
        name="kernel_distance", value=1.25, direction="lower", n_used=counts, n_available=counts,
        interval=Interval(low=1, high=1.5, method="jackknife"),
    )  # fmt: skip
    others = [plain.model_copy(update={"subgroup": {"age_band": str(number)}}) for number in range(30)]
    others += [plain.model_copy(update={"condition": {"degradation": str(number)}}) for number in range(30)]
    result = make_result("3" * 64, measure="fidelity", figures=(plain, *others))
    card = render_card(replace(editions["phantom"], results={"fidelity.json": result}))
    assert card.count("`kernel_distance`") == 1
    assert "60 more figures, of subgroups and of other conditions, stand in the file." in card


def test_what_is_not_known_is_said(papers: dict[str, dict[str, str]]) -> None:
    bare = papers["bare"]["card"]
    assert "What the generator was trained on is not stated" in bare
    assert "12 of 12 radiographs carry no labels" in bare
    assert "| DOI | none stated |" in bare and "**Curated by:** Anonymous" in bare
    scarce = papers["scarce"]["datasheet"]
    assert "| `mask` | 4 of 12 | 33.3 % |" in scarce
    assert "| Films | not stated | not stated | not stated | yes | not stated |" in papers["scarce"]["card"]


def test_limits_follow_from_the_facts(papers: dict[str, dict[str, str]]) -> None:
    limits = {name: read_section(one["card"], "Bias, Risks, and Limitations") for name, one in papers.items()}
    assert "overlap between the films" in limits["full"] and "CSXA" not in limits["sampled"]
    assert "are what the generator was asked for" in limits["sampled"] and "asked for" not in limits["phantom"]
    assert "These are phantoms" in limits["phantom"] and "These are phantoms" not in limits["full"]
    assert "16 bits" in limits["deep"] and "16 bits" not in limits["phantom"]
    assert "face different ways" in limits["deep"]
    assert "holds 1 radiograph:" in limits["one"]


def test_the_publishers_facts_are_in_the_card(papers: dict[str, dict[str, str]]) -> None:
    full = papers["full"]["card"]
    for text in (
        "Jane Doe, Spine Group",
        "Grant 1.",
        "To test landmark detectors.",
        "spine@example.org",
        "Masks of C2.",
    ):
        assert text in full
    assert 'load_dataset("spine-group/cspine-synth", split="train")' in full and 'revision="v1.2.0"' in full
    tars = "https://huggingface.co/datasets/spine-group/cspine-synth-wds/resolve/v1.2.0/data/train-00000-of-00001.tar"
    assert tars in full and tars in papers["full"]["mirror"]
    assert "it supersedes 1.1.0" in full and "10.57760/sciencedb.15391" in full
    assert "author = { {" not in full and "author = {Doe, Jane and {Spine Group} }" in full
    assert ".decode()" in papers["deep"]["card"] and 'decode("l8")' in full


def test_the_datasheet_has_the_five_clusters(paper: dict[str, str]) -> None:
    text = paper["datasheet"]
    clusters = ["Measurement Process", "Timeliness", "Representativeness", "Informativeness", "Consistency"]
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == [
        "Motivation and Distribution",
        *clusters,
    ]
    answers = re.findall(r"^\*\*[^*]+\?\*\*(.*)$", text, flags=re.M)
    assert len(answers) > 30
    empty = re.findall(r"^\*\*[^*]+\?\*\*\n\n(?=\*\*|##)", text, flags=re.M)
    assert empty == []


def find_snippets(text: str) -> str:
    return "\n".join(re.findall(r"```python\n(.*?)```", text, flags=re.S))


# The webdataset library leaves the last tar of a stream to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_snippets_of_the_cards_run(release: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(release.parent))
    for folder in (release, mirror):
        code = find_snippets((folder / "README.md").read_text()).replace("PATH/TO/", f"{release.parent}/")
        found: dict[str, Any] = {}
        exec(compile(code, str(folder), "exec"), found)
        samples = list(found["samples"])  # to the end, so that its files are closed
        assert samples and all(sample["json"]["synthetic"] is True for sample in samples)
        assert next(iter(found["stream"])).keys() >= ({"image", "mask"} if folder == release else {"png", "json"})
        if folder == release:
            counts = {len(found[name]) for name in ("dataset", "table", "films")}
            assert len(counts) == 1 and "image" not in found["table"].column_names


def test_scarce_labels_load_from_release_and_mirror(editions: dict[str, Edition], tmp_path: Path) -> None:
    """Absent masks, null labels and NaN landmarks, in map and streaming, are what was written."""
    import datasets

    source = tmp_path / "ds"
    write_dataset(ScarceSource(12), source)
    build_release(source, tmp_path / "rel", ReleaseRecipe(license="CC-BY-4.0"), mirror=True)
    for streaming in (False, True):
        rows = {
            row["sample_id"]: row
            for row in datasets.load_dataset(str(tmp_path / "rel"), split="train", streaming=streaming)
        }
        bare = datasets.load_dataset(str(tmp_path / "rel"), "metadata", split="train", streaming=streaming)
        assert [row["sample_id"] for row in bare] == list(rows)
        samples = datasets.load_dataset(str(tmp_path / "rel-wds"), split="train", streaming=streaming)
        assert {row["json"]["sample_id"] for row in samples} == rows.keys()
        for sample in samples:
            row, values = rows[sample["json"]["sample_id"]], sample["json"]
            assert (sample["mask.png"] is None) == (row["mask"] is None) == (row["label_source"] is None)
            assert values["cobb_c2_c7_deg"] == row["cobb_c2_c7_deg"] and values["age"] is None
            np.testing.assert_array_equal(np.array(sample["png"]), np.array(row["image"]))
            points = np.array(values["landmarks_xy"], float)
            np.testing.assert_array_equal(points, np.array(row["landmarks_xy"], float))
            assert set(values) == set(row) - {"image", "mask"}


def test_heavy_libraries_are_imported_late() -> None:
    for path in Path(card.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text())
        modules = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
        modules |= {str(node.module) for node in tree.body if isinstance(node, ast.ImportFrom)}
        assert not {name.split(".")[0] for name in modules} & {"jinja2", "matplotlib", "torch", "datasets"}, path.name
