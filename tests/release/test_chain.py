"""provenance/release.json and CHANGELOG.md: the chain back to films and weights, and no trace of the machine."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow.parquet as pq
import pytest
from awkward import AWKWARD
from editions import FULL_RECIPE, make_edition, make_result
from sampled_source import FILMS, RECIPE, WEIGHTS, SampledSource

from cspine_bench.dataset.manifest import load_manifest, render_json
from cspine_bench.dataset.source import Radiograph, SampleKey
from cspine_bench.dataset.write import write_dataset
from cspine_bench.errors import ReleaseError
from cspine_bench.provenance import sha256_file, sha256_json
from cspine_bench.release.mirror import render_json as render_sample
from cspine_bench.release.papers.chain import build_release_json
from cspine_bench.release.papers.changelog import build_changelog
from cspine_bench.release.papers.citation import build_cff, build_zenodo
from cspine_bench.release.papers.croissant import build_croissant
from cspine_bench.release.papers.statements import build_summary, find_training
from cspine_bench.release.recipe import ReleaseRecipe, TrainingData
from cspine_bench.schema import COLUMNS, build_json_schema, iter_batch_records

FILMS_OF_PATIENTS = TrainingData(name="Films", license="CC-BY-4.0", patients=True)


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sampled") / "ds"
    write_dataset(SampledSource(10), folder)
    return folder


def test_the_chain_of_sampled_images(sampled: Path, tmp_path: Path) -> None:
    digest = load_manifest(sampled).digest
    results = {"memorization.json": make_result(digest), "balance.json": make_result(digest, measure="balance")}
    edition = make_edition(sampled, tmp_path / "s", results=results, **FULL_RECIPE)
    values = json.loads(render_json(build_release_json(edition)))
    assert (values["id"], values["version"], values["date"]) == ("spine-group/cspine-synth", "1.2.0", "2026-01-02")
    assert values["num_samples"] == {"train": 6, "validation": 2, "test": 2}
    assert values["dataset"]["digest"] == digest
    assert values["recipe_sha256"] == sha256_json(values["recipe"]) == edition.recipe.compute_sha256()
    [run] = values["runs"]
    assert (run["run_id"], run["num_samples"], run["seen_in"]) == ("run1", values["num_samples"], "this run")
    assert run["seen"]["weights_sha256"] == [{"value": WEIGHTS, "num_samples": 10}]
    assert run["seen"]["recipe_sha256"] == [{"value": RECIPE, "num_samples": 10}]
    assert run["seen"]["sampler"] == [{"value": "ddim", "num_samples": 5}, {"value": "dpmpp-2m", "num_samples": 5}]
    assert values["training_data"]["status"] == "named"
    assert values["training_data"]["recorded"] == {
        "dataset_sha256": FILMS,
        "num_films": 1200,
        "sources": {"phantom": 1200},
    }
    assert [item["name"] for item in values["training_data"]["datasets"]] == ["CSXA", "Phantoms"]
    assert values["code"] == {
        "package": "cspine-bench",
        "version": "0.1.0",
        "commit": "a" * 40,
        "url": "https://example.org/code",
    }
    for file in values["files"]:
        path = sampled / file["path"]
        assert (file["sha256"], file["num_bytes"]) == (sha256_file(path), path.stat().st_size)
    assert sum(file["num_rows"] for file in values["files"]) == 10
    assert [(result["path"], result["measure"]) for result in values["results"]] == [
        ("evaluation/balance.json", "balance"),
        ("evaluation/memorization.json", "memorization"),
    ]
    assert values["results"][1]["inputs"][1]["digest"] == digest


def test_nothing_tells_of_the_machine(sampled: Path, tmp_path: Path) -> None:
    texts = [
        render_json(build_release_json(make_edition(sampled, tmp_path / name, **AWKWARD))).decode() for name in "ab"
    ]
    assert texts[0] == texts[1]
    assert not re.search(rf"{re.escape(str(sampled))}|{re.escape(str(tmp_path))}|/home|/tmp|/root", texts[0])
    assert "脊椎" in texts[0]


def test_several_runs_do_not_lend_each_other_their_values(tmp_path: Path) -> None:
    class TwoRuns(SampledSource):
        def _make(self, key: SampleKey, index: int) -> Radiograph:
            made = super()._make(key, index)
            made.fields["run_id"] = "run1" if index < 6 else "run2"
            return made

    write_dataset(TwoRuns(10), tmp_path / "ds")
    runs = build_release_json(make_edition(tmp_path / "ds", tmp_path / "s"))["runs"]
    assert [(run["run_id"], sum(run["num_samples"].values())) for run in runs] == [("run1", 6), ("run2", 4)]
    assert {run["seen_in"] for run in runs} == {"all runs together"}


def test_a_phantom_was_trained_on_nothing(dataset: Path, tmp_path: Path) -> None:
    values = build_release_json(make_edition(dataset, tmp_path / "s"))
    training = values["training_data"]
    assert (training["stated"], training["status"], training["datasets"]) == (True, "not applicable", [])
    edition = make_edition(dataset, tmp_path / "s", training_data=(FILMS_OF_PATIENTS,))
    assert build_release_json(edition)["training_data"] == training
    assert FILMS_OF_PATIENTS.name not in build_cff(edition) + str(build_zenodo(edition)) + str(build_croissant(edition))
    [run] = values["runs"]
    assert run["run_id"] is None and run["seen"]["generator"] == [{"value": "toy", "num_samples": 30}]
    assert values["id"] == "toy" and values["doi"] is None and values["url"] is None


@pytest.mark.parametrize(
    ("sources", "named", "status", "words"),
    [
        ({"phantom": 1200}, (), "no patients", "Analytic phantom, no patients: 1,200"),
        ({"phantom": 1200}, (FILMS_OF_PATIENTS,), "named", "Films (images of patients; CC-BY-4.0)"),
        ({"phantom": 1200, "csxa": 5}, (), "not stated", "Not stated"),
        ({}, (), "not stated", "Not stated"),
        (None, (), "not stated", "Not stated"),
        (None, (FILMS_OF_PATIENTS,), "named", "Films (images of patients"),
    ],
)
def test_training_data(
    sampled: Path, sources: dict[str, int] | None, named: tuple[TrainingData, ...], status: str, words: str
) -> None:
    described = SampledSource(10, sources=sources).describe()
    manifest = load_manifest(sampled).model_copy(update={"source": described})
    training = find_training(ReleaseRecipe(training_data=named), manifest)
    assert (training.status, training.stated) == (status, status != "not stated")
    assert words in training.summary
    assert (training.recorded or {}).get("dataset_sha256") == (None if sources is None else FILMS)


def test_the_summary_counts(sampled: Path, dataset: Path, tmp_path: Path) -> None:
    assert build_summary(make_edition(sampled, tmp_path / "s")) == (
        "10 synthetic lateral cervical-spine radiographs of 24 x 24 px (6 train, 2 validation, 2 test), made by "
        "cspine-bench ddpm 0.1.0. All 23 landmarks are given for 0, a vertebra mask for 10. "
        "AI-generated; no patient is depicted; not for diagnosis."
    )
    phantom = build_summary(make_edition(dataset, tmp_path / "s", description="Ours."))
    assert phantom == "Ours. Computer-generated phantoms; no patient is depicted; not for diagnosis."


def test_changelog(sampled: Path, tmp_path: Path) -> None:
    first = build_changelog(make_edition(sampled, tmp_path / "s"), None)
    assert first.startswith("# Changelog\n")
    assert first.endswith("## [1.0.0] - 2026-01-02\n\n### Added\n\n- First release.\n")
    settings: dict[str, Any] = {"version": "1.1.0", "supersedes": "1.0.0", "changes": ("More\nof it.", "Less.")}
    edition = make_edition(sampled, tmp_path / "s", **settings)
    second = build_changelog(edition, first)
    entry = "## [1.1.0] - 2026-01-02\n\n### Changed\n\n- More of it.\n- Less.\n\n"
    assert second == first.replace("## [1.0.0]", f"{entry}## [1.0.0]")
    third = build_changelog(make_edition(sampled, tmp_path / "s", version="1.2.0", supersedes="1.1.0"), second)
    assert "- What changed is not stated.\n" in third
    assert [line[4:9] for line in third.splitlines() if line.startswith("## ")] == ["1.2.0", "1.1.0", "1.0.0"]
    with pytest.raises(ReleaseError, match=r"1\.1\.0 is in the CHANGELOG.md .* already; raise `version`"):
        build_changelog(edition, second)
    with pytest.raises(ReleaseError, match="holds no entry"):
        build_changelog(edition, "hello\n")


def test_the_json_schema_takes_what_a_mirror_holds_and_nothing_else(sampled: Path) -> None:
    schema = build_json_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)
    samples = []
    for shard in load_manifest(sampled).shards:
        table = pq.read_table(sampled / shard.path)
        for batch in table.to_batches():
            samples += [
                json.loads(render_sample(record.__dict__)) for record in iter_batch_records(batch, tuple(COLUMNS))
            ]
    assert len(samples) == 10 and all(validator.is_valid(sample) for sample in samples)
    good = samples[0]
    lame = [{**good, "landmarks_xy": good["landmarks_xy"][1:]}, {**good, "source_affine": [1.0] * 5}]
    lame += [{**good, "source_affine": ["a"] * 6}, {**good, "curvature": 1}, {**good, "sample_id": "a.b"}]
    lame += [{**good, "colour": "red"}, {name: value for name, value in good.items() if name != "age"}]
    assert [validator.is_valid(sample) for sample in lame] == [False] * len(lame)
    assert validator.is_valid({**good, "source_affine": [1.0, 0.0, 0.5, 0.0, 1.0, 0.5]})
