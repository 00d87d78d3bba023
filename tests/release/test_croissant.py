"""Croissant: mlcroissant finds nothing to say about it and reads every record; what it states is so."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from awkward import AWKWARD
from editions import FULL_RECIPE, make_edition, make_result
from sampled_source import SampledSource

from cspine_bench.dataset.manifest import load_manifest, render_json
from cspine_bench.dataset.write import write_dataset
from cspine_bench.provenance import sha256_bytes, sha256_file
from cspine_bench.release.layout import CROISSANT_NAME
from cspine_bench.release.papers.croissant import build_croissant
from cspine_bench.schema import COLUMNS

# rdflib, which mlcroissant parses with, warns of its own classes.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
RECORDED = "The dataset folder that the generator was trained on: 1,200 radiographs (phantom 1,200)"
MINIMAL_RAI = (
    "rai:hasSyntheticData",
    "rai:dataLimitations",
    "rai:dataBiases",
    "rai:personalSensitiveInformation",
    "rai:dataUseCases",
    "rai:dataSocialImpact",
    "prov:wasDerivedFrom",
    "prov:wasGeneratedBy",
)


def load(path: Path, **options: Any) -> Any:
    import mlcroissant

    loaded = mlcroissant.Dataset(str(path), **options)
    issues = loaded.metadata.ctx.issues
    assert (issues.errors, issues.warnings) == (set(), set())
    return loaded


@pytest.fixture
def describe(tmp_path: Path) -> Callable[..., Path]:
    """Writes the description of a dataset beside its shards, as in a release."""

    def write(dataset: Path, **settings: Any) -> Path:
        folder = tmp_path / "rel"
        shutil.copytree(dataset, folder, dirs_exist_ok=True)
        edition = make_edition(dataset, tmp_path / "scratch", **settings)
        (folder / CROISSANT_NAME).write_bytes(render_json(build_croissant(edition)))
        return folder / CROISSANT_NAME

    return write


def test_every_record_of_a_release_is_read(release: Path, caplog: pytest.LogCaptureFixture) -> None:
    loaded = load(release / CROISSANT_NAME, mapping={"repo": str(release)})
    records = {record["default/sample_id"].decode(): record for record in loaded.records("default")}
    rows = [row for path in sorted(release.glob("data/*.parquet")) for row in pq.read_table(path).to_pylist()]
    assert len(records) == len(rows) == 30
    for row in rows:
        record = records[row["sample_id"]]
        assert set(record) == {f"default/{name}" for name in COLUMNS}
        assert record["default/image"].size == (row["width"], row["height"])
        assert np.array(record["default/mask"]).max() == 8
        assert np.array_equal(record["default/landmarks_xy"], row["landmarks_xy"], equal_nan=True)
        for name, column in COLUMNS.items():
            if column.dtype not in ("image", "points", "floats"):
                found = record[f"default/{name}"]
                assert (found.decode() if isinstance(found, bytes) else found) == row[name], name
    assert caplog.records == []
    values = json.loads((release / CROISSANT_NAME).read_text())
    assert values["prov:wasDerivedFrom"][0]["prov:label"].startswith("Not applicable")
    assert "Whether images copy training data was not measured." not in values["rai:dataLimitations"]


def test_a_split_and_the_names_of_classes(release: Path) -> None:
    loaded = load(release / CROISSANT_NAME)  # Without a mapping too: the repository is the folder itself.
    names = {record["default/sample_id"] for record in loaded.records("default", filters={"default/split": "test"})}
    rows = pq.read_table(next(release.glob("data/test-*.parquet")))["sample_id"].to_pylist()
    assert names == {name.encode() for name in rows}
    loaded = load(release / CROISSANT_NAME)
    assert [record["splits/name"] for record in loaded.records("splits")] == ["train", "validation", "test"]
    labels = {record["sex_labels/value"]: record["sex_labels/name"] for record in loaded.records("sex_labels")}
    assert labels == dict(enumerate(COLUMNS["sex"].names))


def test_files_are_those_that_lie_there(release: Path) -> None:
    values = json.loads((release / CROISSANT_NAME).read_text())
    files = {item["@id"]: item for item in values["distribution"] if item["@type"] == "cr:FileObject"}
    shards = {path.relative_to(release).as_posix(): path for path in release.glob("data/*.parquet")}
    assert set(files) == {"repo", *shards}
    for name, path in shards.items():
        assert files[name]["sha256"] == sha256_file(path)
        assert files[name]["contentSize"] == f"{path.stat().st_size} B"
        assert files[name]["containedIn"] == {"@id": "repo"}
    listed = "".join(f"{sha256_file(path)}  {name}\n" for name, path in sorted(shards.items()))
    assert files["repo"]["sha256"] == sha256_bytes(listed.encode())
    sets = [item["@id"] for item in values["distribution"] if item["@type"] == "cr:FileSet"]
    assert sets == ["train-shards", "validation-shards", "test-shards", "shards"]


def test_a_changed_reference_is_noticed(release: Path, tmp_path: Path) -> None:
    import mlcroissant

    text = (release / CROISSANT_NAME).read_text()
    (tmp_path / CROISSANT_NAME).write_text(text.replace('"@id": "repo"', '"@id": "elsewhere"', 1))
    with pytest.raises(mlcroissant.ValidationError):
        load(tmp_path / CROISSANT_NAME)


def test_of_sampled_images_with_everything_stated(tmp_path: Path, describe: Callable[..., Path]) -> None:
    write_dataset(SampledSource(12), tmp_path / "ds")
    result = make_result(load_manifest(tmp_path / "ds").digest)
    path = describe(tmp_path / "ds", results={"memorization.json": result}, **FULL_RECIPE)
    loaded = load(path, mapping={"repo": str(path.parent)})
    assert len(list(loaded.records("default"))) == 12
    values = json.loads(path.read_text())
    assert all(values[name] for name in MINIMAL_RAI)
    assert values["rai:hasSyntheticData"] is True
    assert values["url"] == "https://example.org/cspine-synth"
    assert values["sameAs"] == ["https://huggingface.co/datasets/spine-group/cspine-synth"]
    assert values["license"] == "https://spdx.org/licenses/CC-BY-4.0"
    repository = values["distribution"][0]
    assert repository["contentUrl"] == "https://huggingface.co/datasets/spine-group/cspine-synth"
    assert "the tag v1.2.0" in repository["description"]
    assert [item["prov:label"] for item in values["prov:wasDerivedFrom"]] == ["CSXA", "Phantoms", RECORDED]
    assert "dpmpp-2m" in values["prov:wasGeneratedBy"][0]["description"]
    assert "arXiv:2510.22166" in values["prov:wasGeneratedBy"][0]["description"]
    assert "see evaluation/memorization.json" in values["rai:personalSensitiveInformation"][1]
    assert "evaluation/memorization.json: No copy was found among 60 samples." in values["rai:dataLimitations"]
    assert "Whether images copy training data was not measured." not in values["rai:dataLimitations"]
    assert values["rai:dataUseCases"][0] == "To test landmark detectors."


def test_of_odd_texts(tmp_path: Path, describe: Callable[..., Path]) -> None:
    write_dataset(SampledSource(3, sources=None), tmp_path / "ds", fractions=(1.0, 0.0, 0.0))
    path = describe(tmp_path / "ds", **AWKWARD)
    metadata = load(path).metadata
    assert str(
        metadata.description["en"] if isinstance(metadata.description, dict) else metadata.description
    ).startswith(AWKWARD["description"])
    values = json.loads(path.read_text())
    assert values["license"] == {"@type": "sc:CreativeWork", "name": "LicenseRef-Our-Terms", "url": "LICENSE"}
    assert values["alternateName"] == " ".join(AWKWARD["title"].split())
    assert [item["name"] for item in values["creator"]] == [
        'Anna "Ann" O\'Brien-Núñez, Jr.',
        "Salt and Pepper {X} & Y_Z",
        "null yes",
    ]
    assert len(list(load(path).records("default"))) == 3


def test_of_one_image_with_nothing_stated(tmp_path: Path, describe: Callable[..., Path]) -> None:
    write_dataset(SampledSource(1, sources=None, bits=16), tmp_path / "ds")
    path = describe(tmp_path / "ds")
    [record] = load(path).records("default")
    assert np.array(record["default/image"]).dtype in (np.int32, np.uint16)
    values = json.loads(path.read_text())
    assert values["url"] == "README.md" and values["distribution"][0]["contentUrl"] == "."
    assert values["creator"] == [{"@type": "sc:Organization", "name": "Anonymous"}]
    assert values["prov:wasDerivedFrom"][0]["prov:label"].startswith("Not stated")
    assert "Whether images copy training data was not measured." in values["rai:dataLimitations"]
    assert (
        "Whether the generator was trained on images of patients is not stated."
        in (values["rai:personalSensitiveInformation"])
    )
