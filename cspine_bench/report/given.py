"""What a report is given besides results: datasets, a training run and a release, each held against the results."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cspine_bench.citation import build_apa, parse_works
from cspine_bench.dataset.manifest import render_manifest
from cspine_bench.dataset.read import DatasetFolder, open_dataset
from cspine_bench.ddpm.checkpoint import find_checkpoint, list_steps
from cspine_bench.ddpm.progress import read_log
from cspine_bench.ddpm.run_folder import RunFacts, read_facts
from cspine_bench.errors import DataError, RecipeError, ReleaseError
from cspine_bench.provenance import sha256_bytes, sha256_file
from cspine_bench.release.layout import CITATION_NAME, RELEASE_NAME
from cspine_bench.release.validate import Verdict, validate_release
from cspine_bench.report.files import ResultFile
from cspine_bench.results import Result, load_result
from cspine_bench.schema import SPLITS, Split

ROLES: Final = ("real", "synthetic", "train", "holdout")
"""Of datasets in results; `real`, `train` and `holdout` are films, or stand for them."""
FILMS: Final = ("real", "train", "holdout")
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class GivenDataset:
    """A dataset that a result was measured on.

    Attributes:
        role: as the results call it.
        folder: the dataset.
        manifest_sha256: of the bytes of its manifest: what training runs state.
        splits: that the results used in this role; all where one of them used all of a synthetic dataset, or none says.
    """

    role: str
    folder: DatasetFolder
    manifest_sha256: str
    splits: tuple[Split, ...]

    @property
    def digest(self) -> str:
        """Of the manifest, as results state it."""
        return self.folder.manifest.digest

    @property
    def name(self) -> str:
        """Of the folder."""
        return self.folder.path.resolve().name


@dataclass(frozen=True)
class GivenRun:
    """A training run.

    Attributes:
        path: of its folder.
        facts: what decides its weights.
        log: its rows, training and validation.
        weights: (update, file) by the SHA-256 that the checkpoints state of their files.
    """

    path: Path
    facts: RunFacts
    log: tuple[dict[str, Any], ...] = field(repr=False)
    weights: dict[str, Path] = field(repr=False)

    @property
    def name(self) -> str:
        """Of the folder."""
        return self.path.resolve().name

    def holds(self, weights_sha256: str) -> bool:
        """Whether a checkpoint's file has this hash: computed anew, not read."""
        path = self.weights.get(weights_sha256)
        return path is not None and path.is_file() and sha256_file(path) == weights_sha256


@dataclass(frozen=True)
class GivenRelease:
    """A release with the verdict on it.

    Attributes:
        path: of its folder.
        account: its own account, `provenance/release.json`.
        verdict: of the validator.
        citation: text of its CITATION.cff; "" where there is none.
        results: its evidence by file name; what is no result is left out.
    """

    path: Path
    account: dict[str, Any] = field(repr=False)
    verdict: Verdict = field(repr=False)
    citation: str = field(repr=False)
    results: dict[str, Result] = field(repr=False)

    @property
    def name(self) -> str:
        """Of the folder."""
        return self.path.resolve().name

    @property
    def digest(self) -> str:
        """Manifest digest of the dataset that was released; "" where the account does not say."""
        dataset = self.account.get("dataset")
        return str(dataset.get("digest", "")) if isinstance(dataset, dict) else ""


def open_given_datasets(named: Sequence[tuple[str, str]], files: Sequence[ResultFile]) -> tuple[GivenDataset, ...]:
    """Open datasets by role.

    Args:
        named: (role, folder or name on the Hub).
        files: the results.

    Raises:
        RecipeError: no result has a dataset of this role.
        DataError: a dataset cannot be read, is given twice, or is not one that a result was measured on.
    """
    found: list[GivenDataset] = []
    for role, where in named:
        known = {item.digest: item.name for file in files for item in file.result.inputs if item.role == role}
        if role not in ROLES or not known:
            there = sorted({item.role for file in files for item in file.result.inputs if item.role in ROLES})
            raise RecipeError(
                f"--dataset {role}={where}: no result was measured on a dataset in the role {role!r}; "
                f"{'there are ' + ', '.join(there) if there else 'these results name no dataset'}"
            )
        folder = open_dataset(where)
        digest = folder.manifest.digest
        if digest not in known:
            told = "; ".join(f"{name}, {one[:12]}" for one, name in sorted(known.items()))
            raise DataError(
                f"{where}: its manifest digest is {digest[:12]}, and no result was measured on it as {role} "
                f"({told}); give the dataset that was measured, or measure this one"
            )
        if any((one.role, one.digest) == (role, digest) for one in found):
            raise DataError(f"{where}: this dataset is given twice as {role}; name it once")
        manifest_sha256 = sha256_bytes(render_manifest(folder.manifest))
        found.append(GivenDataset(role, folder, manifest_sha256, _find_splits(folder, role, files)))
    return tuple(found)


def _find_splits(folder: DatasetFolder, role: str, files: Sequence[ResultFile]) -> tuple[Split, ...]:
    """Splits in the brackets of the input's name, as `measurement.inputs` writes them; else all that hold something.

    Of films only what was compared, also where a baseline had all: what a generator learnt from stays apart.
    """
    used: set[str] = set()
    for file in files:
        for item in file.result.inputs:
            if (item.role, item.digest) == (role, folder.manifest.digest):
                _, some, splits = item.name.partition(" (")
                if role == "synthetic" and not some:
                    return tuple(folder.splits)
                used |= {split for split in splits.removesuffix(")").split(", ") if split in SPLITS}
    return tuple(split for split in folder.splits if split in used) or tuple(folder.splits)


def open_given_run(path: Path) -> GivenRun:
    """Open a run folder.

    Raises:
        CheckpointError: it is none, or damaged.
        DataError: its log cannot be read.
    """
    facts = read_facts(path)
    try:
        log = tuple(read_log(path))
        weights = dict(_iter_weights(path))
    except (ValueError, KeyError, OSError) as error:
        raise DataError(
            f"{path}: its log or a checkpoint's state cannot be read ({error}); copy the run again"
        ) from error
    return GivenRun(path, facts, log, weights)


def _iter_weights(run: Path) -> list[tuple[str, Path]]:
    found = []
    for step in list_steps(run):
        folder = find_checkpoint(run, step)
        state = folder / "state.json"
        if state.is_file():
            files = json.loads(state.read_bytes())["files"]
            found += [(str(sha256), folder / name) for name, sha256 in sorted(files.items())]
    return found


def open_given_release(path: Path, *, on_progress: OnProgress | None = None) -> GivenRelease:
    """Read a release and validate it as `release validate` does by default.

    Raises:
        ReleaseError: no folder, or no account of a release in it.
    """
    verdict = validate_release(path, on_progress=on_progress)
    try:
        account = json.loads((path / RELEASE_NAME).read_bytes())
    except (OSError, ValueError) as error:
        raise ReleaseError(
            f"{path}: its {RELEASE_NAME} cannot be read ({error}); give a folder that `cspine-bench release build` "
            "wrote"
        ) from error
    if not isinstance(account, dict):
        raise ReleaseError(f"{path / RELEASE_NAME}: holds no account of a release; build it again")
    citation = path / CITATION_NAME
    return GivenRelease(
        path=path,
        account=account,
        verdict=verdict,
        citation=citation.read_text(encoding="utf-8", errors="replace") if citation.is_file() else "",
        results=dict(_iter_evidence(path)),
    )


def _iter_evidence(release: Path) -> list[tuple[str, Result]]:
    found = []
    for path in sorted((release / "evaluation").glob("*.json")):
        try:
            found.append((path.name, load_result(path)))
        except DataError:
            continue  # The validator has told of it.
    return found


def read_citation(release: GivenRelease) -> list[str]:
    """How a release is cited, as `cspine-bench cite` spells it; nothing where its CITATION.cff cannot be read."""
    try:
        works = parse_works(release.citation, where=CITATION_NAME)
    except DataError:
        return []  # The validator has told of it.
    return [build_apa(works[:1]).strip().removesuffix(".")]
