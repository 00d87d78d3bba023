"""Publishing: whole, verified, and harmless to what is there, against a Hub on this machine."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hub_pushes import QUICK, REPO, assert_published, assert_sent_once, build_environment, push, read_folder, read_hub
from hub_server import READER, WRITER, HubServer

from cspine_bench.cli.release_push import push as push_command
from cspine_bench.errors import ReleaseError
from cspine_bench.release.push import push_release
from cspine_bench.release.push_plan import LocalFile, iter_commits

# huggingface_hub 2.4.0 hands files to httpx2 in a way that this calls outdated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


def test_release_and_mirror_are_published(hub: HubServer, release: Path, mirror: Path) -> None:
    seen: list[tuple[int, int]] = []
    done = push(hub, release, mirror=mirror, on_progress=lambda now, total: seen.append((now, total)))
    assert [one.repository for one in done] == [REPO, f"{REPO}-wds"]
    assert_published(hub, release)
    assert_published(hub, mirror, repository=f"{REPO}-wds")
    assert_sent_once(hub)
    total = sum(len(data) for folder in (release, mirror) for data in read_folder(folder).values())
    assert seen[0] == (0, total) and seen[-1] == (total, total) and seen == sorted(seen)
    assert sum(one.num_bytes_sent for one in done) == total
    for one in done:
        repo = hub.repositories[one.repository]
        assert repo.private and one.private
        assert one.commit == repo.tags["v1.0.0"] == repo.branches["main"]
        assert one.load_line == f'load_dataset("{one.repository}", revision="v1.0.0")'
        on_main = [number for branch, _, number in repo.messages if branch == "main"]
        assert len(on_main) == 1, "main moves in one commit"
        assert max(number for branch, _, number in repo.messages if branch != "main") <= 50
    # No main moves before all is uploaded, and no tag is made before every main is right.
    order = [re.sub(r".*/(commit/main|commit/upload|tag)\b.*", r"\1", text) for text in hub.writes]
    steps = [step for step in order if step in ("commit/upload", "commit/main", "tag")]
    assert steps == sorted(steps, key=["commit/upload", "commit/main", "tag"].index)
    assert steps.count("commit/main") == steps.count("tag") == 2


def test_a_second_push_does_nothing(hub: HubServer, release: Path) -> None:
    push(hub, release)
    hub.requests.clear()
    [done] = push(hub, release)
    assert done.operations == () and done.commit is not None
    assert hub.writes == []


def test_dry_run_says_all_and_writes_nothing(
    hub: HubServer, release: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    planned = push(hub, release, mirror=mirror, dry_run=True)
    assert hub.writes == [] and hub.repositories == {}
    monkeypatch.setenv("HF_TOKEN", WRITER)
    assert [one.operations for one in planned] == [one.operations for one in push(hub, release, mirror=mirror)]
    sizes = {name: len(data) for name, data in read_folder(release).items()}
    uploads = {step.what: step.num_bytes for step in planned[0].operations if step.action == "upload"}
    assert uploads == sizes
    assert [step.action for step in planned[0].operations if step.action != "upload"] == [
        "create repository", "create branch", "move main", "tag", "delete branch",
    ]  # fmt: skip


def test_the_example_in_the_help_lists_what_a_push_would_do(
    hub: HubServer, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.chdir(release.parent)
    [example] = re.findall(r"^ +cspine-bench release push (.*)$", click.Context(push_command).get_help(), flags=re.M)
    result = CliRunner().invoke(push_command, example.split())
    assert result.exit_code == 0, result.stderr
    assert "create repository: private" in result.stdout and "owner/spines-wds v1.0.0\n" in result.stdout
    assert re.search(r"Nothing was changed\. A push would send [\d.]+ [KM]B\.", result.stdout)
    assert "`release build --set hub_id=owner/spines`" in result.stderr
    assert hub.writes == []
    refused = CliRunner().invoke(push_command, [*example.split(), "--no-mirror", "--mirror-repo", "owner/x"])
    assert refused.exit_code == 2 and "--no-mirror and --mirror-repo" in refused.stderr


def test_a_new_version_replaces_the_old_one_and_its_files(hub: HubServer, release: Path) -> None:
    now = read_folder(release)
    shard = next(name for name in now if name.startswith("data/"))
    gone = "data/train-00000-of-00009.parquet"
    before = {**now, shard: b"other radiographs", "CITATION.cff": b"older", gone: b"more"}
    repo = hub.create(REPO, private=False)
    repo.tags["v0.9.0"] = hub.put(REPO, before)
    [done] = push(hub, release)
    assert_published(hub, release)
    assert read_hub(hub, "v0.9.0") == before
    changes = [(step.action, step.what) for step in done.operations if step.action in ("upload", "delete")]
    # An unchanged file is not sent again.
    assert changes == [
        ("upload", "CITATION.cff"), ("upload", shard), ("delete", gone),
    ]  # fmt: skip
    assert not done.private
    repo.tags["v1.10.0"] = repo.tags.pop("v1.0.0")
    with pytest.raises(ReleaseError, match=r"already has version v1\.10\.0, and v1\.0\.0 would take main back"):
        push(hub, release)


def test_a_tag_is_never_moved(hub: HubServer, release: Path) -> None:
    repo = hub.create(REPO, private=True)
    repo.tags["v1.0.0"] = repo.branches["main"]
    with pytest.raises(ReleaseError, match=r"v1\.0\.0 is published with other files .* raise `version`, build"):
        push(hub, release)
    assert hub.writes == []


def test_an_invalid_release_goes_nowhere(hub: HubServer, release: Path, tmp_path: Path) -> None:
    broken = tmp_path / "rel"
    shutil.copytree(release, broken)
    (broken / "LICENSE").write_text("another licence")
    with pytest.raises(ReleaseError, match=r"is not valid, so nothing is pushed .*LICENSE.*release validate"):
        push(hub, broken, level="standard")
    (broken / "LICENSE").unlink()
    with pytest.raises(ReleaseError, match=r"LICENSE: SHA256SUMS lists it, but no such file is there"):
        push(hub, broken)
    with pytest.raises(ReleaseError, match=r"there is no SHA256SUMS to read .* so this is no release"):
        push(hub, tmp_path)
    assert hub.requests == []


def test_files_are_sent_in_commits_of_a_size_that_the_hub_advises() -> None:
    def sizes_of(*num_bytes: int) -> list[int]:
        files = [LocalFile(f"{number}", Path("x"), size, "0" * 64) for number, size in enumerate(num_bytes)]
        commits = list(iter_commits(files))
        assert [file for commit in commits for file in commit] == files
        return [len(commit) for commit in commits]

    assert sizes_of(*[1] * 120) == [50, 50, 20]
    assert sizes_of(5, 10**9, 10**9, 10**9) == [2, 2]
    assert sizes_of(3 * 10**9, 1) == [1, 1]
    assert sizes_of() == []


def test_papers_that_name_another_repository(hub: HubServer, release: Path, mirror: Path, tmp_path: Path) -> None:
    for folder, name in ((release, "rel"), (mirror, "rel-wds")):
        shutil.copytree(folder, tmp_path / name)
        path = tmp_path / name / "provenance" / "release.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"recipe": {"hub_id": "lab/necks"}}))
    with pytest.raises(ReleaseError, match=r"send readers to lab/necks, not to .*`--set hub_id=spine-lab/spines`"):
        push(hub, tmp_path / "rel")
    with pytest.raises(ReleaseError, match=r"send readers to lab/necks-wds, not to lab/other"):
        push_release(tmp_path / "rel", "lab/necks", mirror=tmp_path / "rel-wds", mirror_repository="lab/other")
    assert hub.requests == []


def test_a_list_that_reaches_outside(release: Path, tmp_path: Path) -> None:
    shutil.copytree(release, tmp_path / "rel")
    (tmp_path / "secret").write_text("not yours")
    sums = tmp_path / "rel" / "SHA256SUMS"
    sums.write_bytes(b"0" * 64 + b"  ../secret\n" + sums.read_bytes())
    with pytest.raises(ReleaseError, match=r"lists '\.\./secret', which lies outside the release"):
        push_release(tmp_path / "rel", REPO, dry_run=True)


@pytest.mark.parametrize(
    "name", ["spines", "a/b/c", "spine lab/x", "lab/x.git", "lab/-x", "lab/a--b", "lab/" + "x" * 97]
)
def test_impossible_names(release: Path, name: str) -> None:
    with pytest.raises(ReleaseError, match="is no name of a repository on the Hub"):
        push_release(release, name)


def test_a_repository_that_a_push_would_harm(hub: HubServer, release: Path, mirror: Path) -> None:
    repo = hub.create(REPO, private=False)
    tree = repo.tree("main")
    repo.branches["main"] = repo.add_commit(None, {**tree, "thesis.pdf": repo.add_blob(b"years of work")}, "mine")
    with pytest.raises(ReleaseError, match=r"files that no release put there \(thesis\.pdf\).*name another repository"):
        push(hub, release)
    repo.branches["main"] = repo.add_commit(None, tree, "empty")
    with pytest.raises(ReleaseError, match=r"is public, and private was asked for"):
        push(hub, release, private=True)
    assert hub.writes == []
    push(hub, release)
    with pytest.raises(ReleaseError, match=r"holds another format \(data/.*\); one repository cannot hold both"):
        repo.tags.clear()
        push_release(mirror, REPO, level="quick", endpoint=hub.url, patience=QUICK)


def test_a_pull_request_is_verified_and_merged(hub: HubServer, release: Path) -> None:
    hub.fail("PUT /store/", status=400, skip=2)
    with pytest.raises(ReleaseError):
        push(hub, release, pull_request=True)
    [done] = push(hub, release, pull_request=True)
    repo = hub.repositories[REPO]
    assert [pull.status for pull in repo.pulls.values()] == ["merged"], "the pull request of the first try was used"
    assert [step.action for step in done.operations if step.action != "upload"] == ["open pull request", "merge", "tag"]
    assert_published(hub, release)
    assert_sent_once(hub)


def test_who_may_not_merge_leaves_a_verified_pull_request(
    hub: HubServer, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = hub.create(REPO, private=True)
    monkeypatch.setenv("HF_TOKEN", READER)
    with pytest.raises(
        ReleaseError, match=r"cannot merge pull request 1 of .*, which holds every file and is verified"
    ):
        push(hub, release, pull_request=True)
    assert read_hub(hub, "main") == {}
    # The owner merges it by hand, and the same command by somebody who may write finishes it.
    repo.branches["main"] = repo.pull_heads["refs/pr/1"]
    monkeypatch.setenv("HF_TOKEN", WRITER)
    [done] = push(hub, release, pull_request=True)
    assert [step.action for step in done.operations] == ["tag"]
    assert_published(hub, release)
    assert_sent_once(hub)


@pytest.mark.slow  # a process that imports datasets
def test_a_stranger_loads_what_the_command_pushed(hub: HubServer, release: Path, mirror: Path, tmp_path: Path) -> None:
    env = build_environment(hub, tmp_path / "home")
    command = [sys.executable, "-m", "cspine_bench", "release", "push", str(release), REPO, "--level", "quick"]
    pushed = subprocess.run(command, env=env, capture_output=True, text=True)
    assert pushed.returncode == 0, pushed.stderr
    for repository in (REPO, f"{REPO}-wds"):
        assert f"{repository} v1.0.0 is published" in pushed.stdout
        assert f"{hub.url}/datasets/{repository}/tree/v1.0.0" in pushed.stdout
        assert f'load_dataset("{repository}", revision="v1.0.0")' in pushed.stdout
    assert "Private: only its owner sees it." in pushed.stdout
    assert WRITER not in pushed.stdout + pushed.stderr
    use = (
        "import json\n"
        "from cspine_bench.dataset.read import open_dataset\n"
        "from cspine_bench.dataset.verify import verify_dataset\n"
        f"folder = open_dataset({REPO!r}, revision='v1.0.0')\n"
        "issues = [str(issue) for issue in verify_dataset(folder.path)]\n"
        "print(json.dumps([len(folder), issues, str(folder.path)]))"
    )
    used = subprocess.run([sys.executable, "-c", use], env=env, capture_output=True, text=True)
    assert used.returncode == 0, used.stderr
    count, issues, path = json.loads(used.stdout)
    assert (count, issues) == (30, [])
    fetched = read_folder(Path(path))
    assert {name: data for name, data in fetched.items() if name != ".gitattributes"} == read_folder(release)
