"""Validation: one broken release for each rule, clean ones that yield nothing, hostile ones that end in time."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from broken import Broken, copy_release, put, reseal
from broken_papers import CARD, CASES, TRAIN
from broken_shards import CASES as SHARD_CASES
from click.testing import CliRunner
from fuzz_validate import iter_corrupted

import cspine_bench
from cspine_bench.cli.release_validate import validate
from cspine_bench.errors import ReleaseError
from cspine_bench.release.rules import LEVELS, RULES
from cspine_bench.release.validate import Verdict, validate_release


@pytest.fixture
def copies(release: Path, mirror: Path, tmp_path: Path) -> Callable[[bool], Path]:
    """A copy of the release, or of its mirror, to break."""

    def copy(of_mirror: bool) -> Path:
        return copy_release(mirror, tmp_path / "rel-wds") if of_mirror else copy_release(release, tmp_path / "rel")

    return copy


def break_and_validate(broken: Broken, folder: Path) -> Verdict:
    broken.change(folder)
    if broken.sealed:
        reseal(folder)
    return validate_release(folder, level=broken.level, **broken.options)


@pytest.mark.parametrize(
    "broken",
    # A full validation starts processes that import torch.
    [pytest.param(broken, marks=[pytest.mark.slow] if broken.level == "full" else []) for broken in CASES],
    ids=lambda broken: f"{broken.code}-{broken.message[:30]}",
)
def test_each_rule_sees_its_fault(broken: Broken, copies: Callable[[bool], Path]) -> None:
    verdict = break_and_validate(broken, copies(broken.mirror))
    seen = [finding for finding in verdict.findings if finding.code == broken.code]
    assert broken.where in [finding.where for finding in seen], verdict.findings
    finding = next(finding for finding in seen if finding.where == broken.where)
    # A finding tells the first fault of its rule in its file; where there are more, the count says so.
    assert broken.message in finding.message or finding.count > 1
    assert any(broken.message in finding.message for finding in seen)
    assert finding.count >= 1
    assert {broken.code, *broken.also} <= set(verdict.checked)
    assert set(broken.also) <= {finding.code for finding in verdict.findings}
    assert verdict.exit_code("warning") == 1


def test_each_rule_has_a_broken_release() -> None:
    seen = {code for broken in CASES for code in (broken.code, *broken.also)}
    assert seen | set(SHARD_CASES) == set(RULES)
    assert all(rule.why and rule.mend for rule in RULES.values())


@pytest.mark.parametrize(
    "level", [pytest.param(level, marks=[pytest.mark.slow] if level == "full" else []) for level in LEVELS]
)
def test_a_sound_release_yields_nothing(release: Path, mirror: Path, level: Any) -> None:
    seen: list[tuple[int, int]] = []
    for folder, kind in ((release, "parquet"), (mirror, "webdataset")):
        verdict = validate_release(folder, level=level, on_progress=lambda *counts: seen.append(counts))
        assert (verdict.findings, verdict.unchecked, verdict.kind) == ((), (), kind)
        assert verdict.valid
        assert set(verdict.checked) | set(verdict.skipped) == set(RULES)
        if kind == "parquet" or level != "quick":
            assert verdict.num_images == 30
    assert seen[-1][0] == seen[-1][1]


def test_workers_find_the_same(release: Path, tmp_path: Path) -> None:
    folder = copy_release(release, tmp_path / "rel")
    put(folder, TRAIN, (folder / TRAIN).read_bytes()[:5000])
    alone, together = (validate_release(folder, num_workers=number) for number in (1, 2))
    assert alone == together
    assert {finding.code for finding in alone.findings} >= {"PQ-05", "SUM-02", "SUM-05"}


def test_what_git_and_the_hub_leave_is_no_fault(release: Path, tmp_path: Path) -> None:
    folder = copy_release(release, tmp_path / "rel")
    put(folder, ".gitattributes", "*.parquet filter=lfs")
    put(folder, ".git/config", "x")
    put(folder, ".cache/huggingface/download/README.md.metadata", "x")
    assert validate_release(folder).findings == ()
    put(folder, "data/.gitattributes", "x")
    assert "LAY-04" in {finding.code for finding in validate_release(folder).findings}


def test_no_release_is_one_finding(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    verdict = validate_release(tmp_path)
    assert [(finding.code, finding.where) for finding in verdict.findings] == [("LAY-07", ".")]
    assert verdict.kind is None


def test_a_dataset_folder_is_no_release(dataset: Path) -> None:
    codes = {finding.code for finding in validate_release(dataset, level="quick").findings}
    assert {"LAY-06", "LAY-07"} <= codes


def test_what_is_no_folder_cannot_be_checked(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="is no folder"):
        validate_release(tmp_path / "nothing")


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(validate, [str(argument) for argument in arguments])


def test_exit_codes(copies: Callable[[bool], Path], tmp_path: Path) -> None:
    folder = copies(False)
    assert invoke(folder, "--level", "quick").exit_code == 0
    text = (folder / "CITATION.cff").read_text()
    put(folder, "CITATION.cff", text.replace("- family-names: Doe\n  given-names: Jane", "- name: Anonymous"))
    reseal(folder)
    found = {fail_on: invoke(folder, "--level", "quick", "--fail-on", fail_on).exit_code for fail_on in
             ("error", "warning", "never")}  # fmt: skip
    assert found == {"error": 0, "warning": 1, "never": 0}
    put(folder, "LICENSE", "mine")
    assert invoke(folder, "--level", "quick").exit_code == 1
    assert invoke(folder, "--level", "quick", "--fail-on", "never").exit_code == 0
    assert isinstance(invoke(tmp_path / "nothing").exception, ReleaseError)


def test_the_report_goes_where_it_is_sent(release: Path, tmp_path: Path) -> None:
    result = invoke(release, "--level", "quick", "--json")
    assert json.loads(result.stdout)["valid"] is True
    assert "valid (0 errors, 0 warnings)" in result.stderr
    result = invoke(release, "--level", "quick", "--format", "sarif", "--output", tmp_path / "new" / "out.sarif")
    assert result.stdout == ""
    assert json.loads((tmp_path / "new" / "out.sarif").read_text())["version"] == "2.1.0"
    assert "valid" in result.stderr


def test_a_policy_is_judged(release: Path, tmp_path: Path) -> None:
    gate = {"name": "women", "measure": "balance", "figure": "share_sex_female", "at_least": 0.99}
    (tmp_path / "policy.yaml").write_text(json.dumps({"gates": [gate]}))
    result = invoke(release, "--level", "quick", "--policy", tmp_path / "policy.yaml")
    assert result.exit_code == 1
    assert "gate women fails: share_sex_female" in result.stdout


def test_what_validates_imports_nothing_of_what_builds() -> None:
    """A fault that builder and validator share would be seen by neither."""
    package = Path(cspine_bench.__file__).parent / "release"
    readers = [*package.glob("checks/*.py"), *(package / f"{name}.py" for name in
               ("validate", "verdict", "policy", "findings_formats"))]  # fmt: skip
    writers = ("assemble", "build", "edition", "facts", "mirror", "papers", "preview", "resolve", "staging", "tables")
    imports = re.compile(rf"cspine_bench\.release\.({'|'.join(writers)})\b")
    assert len(readers) > 20
    assert [path.name for path in readers if imports.search(path.read_text())] == []


def test_random_corruptions_are_found(release: Path, mirror: Path) -> None:
    """A sample of what `python tests/release/fuzz_validate.py` does thousands of times."""
    silent = []
    for done, folder, sealed in iter_corrupted(release, mirror, count=12, seed=20261123):
        verdict = validate_release(folder)
        if not sealed and not verdict.findings:
            silent.append(done)
    assert silent == []


def test_what_would_never_end_ends(release: Path, tmp_path: Path) -> None:
    folder = copy_release(release, tmp_path / "rel")
    deep = folder / "/".join(["d"] * 200)
    deep.mkdir(parents=True)
    (folder / "data" / "loop").symlink_to(folder)
    os.mkfifo(folder / "metadata" / "pipe.parquet")
    put(folder, "croissant.json", b"[" * 7_000_000)
    put(folder, "REUSE.toml", "a = " + "[" * 90_000)
    put(folder, "zenodo.json", b'{"a": ' + b"9" * 1_000_000 + b"}")
    (folder / "provenance" / "release.json").unlink()
    put(folder, "provenance/release.json", b"")
    os.truncate(folder / "provenance" / "release.json", 50_000_000_000)  # sparse: no disk holds it
    start = time.process_time()
    codes = {finding.code for finding in validate_release(folder, level="quick").findings}
    assert time.process_time() - start < 10
    assert {"LAY-04", "DOC-02", "DOC-03", "DOC-04"} <= codes


# Nobody may read a folder of mode 0, but root: the system's refusal is met as another user.
_AS_NOBODY = """
import os, sys
from pathlib import Path
import cspine_bench.release.validate, cspine_bench.release.checks.loading
os.setgroups([]); os.setgid(65534); os.setuid(65534)
verdict = cspine_bench.release.validate.validate_release(Path(sys.argv[1]))
print(verdict.exit_code("error"), verdict.exit_code("never"), [item.where for item in verdict.unchecked], verdict.valid)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("name", [CARD, "samples"])
def test_what_the_system_refuses_could_not_be_checked(name: str, release: Path, tmp_path: Path) -> None:
    # pytest keeps its folders to its own user.
    folder = Path(shutil.copytree(release, f"/tmp/cspine-bench-refused-{os.getpid()}/rel"))
    try:
        folder.parent.chmod(0o755)
        (folder / name).chmod(0)
        answer = subprocess.run(
            [sys.executable, "-c", _AS_NOBODY, str(folder)], capture_output=True, text=True, timeout=300, check=True
        )
    finally:
        shutil.rmtree(folder.parent)
    if name == "samples":
        # What is in a folder that cannot be listed is missing from the list, too.
        assert answer.stdout.startswith(f"1 2 ['{name}']")
    else:
        assert answer.stdout == f"2 2 ['{name}'] False\n"


def test_a_signed_release_without_its_library(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copy_release(release, tmp_path / "rel")
    put(folder, "provenance/release.intoto.jsonl", "{}")
    put(folder, "provenance/release.pub", "x")
    found = validate_release(folder, level="quick")
    assert [finding.code for finding in found.findings] == ["SUM-03"]
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    verdict = validate_release(folder, level="quick")
    assert verdict.exit_code("error") == 2
    assert "cspine-bench[sign]" in verdict.unchecked[0].reason
