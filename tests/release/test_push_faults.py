"""Publishing to a Hub that fails, refuses, forgets to answer or spoils files; and pushes that are killed."""

import datetime
import email.utils
import json
import logging
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hub_pushes import QUICK, REPO, assert_published, assert_sent_once, build_environment, push, read_folder, read_hub
from hub_server import READER, WRITER, HubServer

from cspine_bench.errors import ReleaseError

# huggingface_hub 2.4.0 hands files to httpx2 in a way that this calls outdated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


# By what goes wrong: requests that it happens to, each once.
ONCE: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "an error of the server": [
        ("GET /api/datasets/[^/]+/[^/]+$", {}),
        ("POST /api/repos/create", {}),
        ("POST .*/branch/", {"status": 503}),
        ("GET .*/tree/", {}),
        ("POST .*/preupload/", {"status": 502}),
        ("POST .*/objects/batch", {}),
        ("POST /store/.*/complete", {}),
        ("POST .*/objects/verify", {"status": 504}),
        ("POST .*/commit/upload", {}),
        ("POST .*/commit/main", {}),
        ("POST .*/commit/main", {"status": 412}),
    ],
    "no answer though it is done": [
        ("POST .*/commit/upload", {"kind": "deaf"}),
        ("POST .*/commit/main", {"kind": "deaf"}),
        ("POST .*/tag/", {"kind": "deaf"}),
        ("DELETE .*/branch/", {"kind": "deaf"}),
    ],
    "a connection that is lost": [
        ("PUT /store/[^/]+$", {"kind": "drop"}),
        ("PUT /store/[^/]+/2", {"kind": "drop"}),
        ("POST .*/commit/main", {"kind": "drop"}),
    ],
    "a gateway": [
        ("POST .*/paths-info/upload", {"kind": "garbage"}),
        ("POST /api/validate-yaml", {"kind": "garbage"}),
        ("GET .*/resolve/", {"kind": "garbage"}),
    ],
}


@pytest.mark.parametrize("what", ONCE)
def test_what_fails_once_is_tried_again(hub: HubServer, release: Path, waits: list[float], what: str) -> None:
    for pattern, how in ONCE[what]:
        hub.fail(pattern, **how)
    push(hub, release)
    assert [fault.pattern for fault in hub.faults if fault.times] == [], "each fault was met"
    assert len(waits) >= len(ONCE[what])
    assert_published(hub, release)
    assert_sent_once(hub)
    assert sum(branch == "main" for branch, _, _ in hub.repositories[REPO].messages) == 1


def test_the_hub_says_how_long_to_wait(hub: HubServer, release: Path, waits: list[float]) -> None:
    hub.fail("POST .*/commit/upload", status=429, headers={"Retry-After": "37"})
    hub.fail("PUT /store/", status=429, headers={"Retry-After": "41"})
    hub.fail("POST .*/tag/", status=429, headers={"RateLimit": '"api";r=0;t=43'})
    in_a_minute = email.utils.format_datetime(datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=61))
    hub.fail("POST .*/repos/create", status=503, headers={"Retry-After": in_a_minute})
    push(hub, release)
    assert_published(hub, release)
    # huggingface_hub adds a second to what it is told.
    assert sorted(waits)[:3] == [37, 42, 43]
    assert 50 < sorted(waits)[3] <= 61 and len(waits) == 4


def test_a_hub_that_asks_for_too_much_patience(hub: HubServer, release: Path) -> None:
    hub.fail("POST .*/commit/upload", status=429, headers={"Retry-After": "86400"}, message="slow down")
    with pytest.raises(ReleaseError, match=r"slow down; the Hub asks to wait 86400 s: then run the same command again"):
        push(hub, release)


@pytest.mark.parametrize("pattern", ["POST .*/commit/upload", "POST .*/commit/main"])
def test_what_goes_on_failing_stops_and_goes_on_later(
    hub: HubServer, release: Path, waits: list[float], pattern: str
) -> None:
    hub.fail(pattern, times=9)
    with pytest.raises(ReleaseError, match=r"made to fail \(tried 3 times\); wait a while, and run the same command"):
        push(hub, release)
    assert waits == [0.5, 1.0]
    assert hub.repositories[REPO].tags == {}
    assert read_hub(hub, "main") == {}
    hub.faults.clear()
    push(hub, release)
    assert_published(hub, release)
    assert_sent_once(hub)


@pytest.mark.parametrize("kind", ["README.md", "data/"])
def test_other_bytes_on_the_hub_are_found_before_anyone_sees_them(hub: HubServer, release: Path, kind: str) -> None:
    name = next(name for name in sorted(read_folder(release)) if name.startswith(kind))
    hub.spoil.add(name)
    with pytest.raises(
        ReleaseError, match=rf"1 files are not right on upload-v1\.0\.0.*{re.escape(name)}: has .* there"
    ):
        push(hub, release)
    assert read_hub(hub, "main") == {} and hub.repositories[REPO].tags == {}
    hub.spoil.clear()
    [done] = push(hub, release)
    assert [step.what for step in done.operations if step.action == "upload"] == [name]
    assert_published(hub, release)


def test_main_is_verified_before_the_tag(hub: HubServer, release: Path) -> None:
    hub.fail("POST .*/commit/main", times=9)
    with pytest.raises(ReleaseError):
        push(hub, release)
    hub.faults.clear()
    hub.spoil.add("CITATION.cff")
    with pytest.raises(ReleaseError, match=r"1 files are not right on main, and it is not tagged: CITATION\.cff"):
        push(hub, release)
    assert hub.repositories[REPO].tags == {}


def test_what_the_hub_refuses(hub: HubServer, release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", READER)
    with pytest.raises(ReleaseError, match=r"cannot create .*don't have the rights.*write permission for this owner"):
        push(hub, release)
    monkeypatch.setenv("HF_TOKEN", "hf_NoSuchToken")
    with pytest.raises(ReleaseError, match=r"Invalid credentials.*run `hf auth login`.*or set HF_TOKEN"):
        push(hub, release)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ReleaseError, match=r"no token for the Hub; run `hf auth login`.*or set HF_TOKEN"):
        push(hub, release)
    monkeypatch.setenv("HF_TOKEN", WRITER)
    hub.quota = 100
    with pytest.raises(ReleaseError, match=r"storage limit reached.*storage is used up: free some"):
        push(hub, release)
    hub.quota = None
    hub.fail("POST .*/commit/main", status=412, message="A commit has happened since")
    with pytest.raises(ReleaseError, match=r"A commit has happened since; somebody else has changed the repository"):
        push(hub, release)
    hub.fail("GET .*/refs", status=404, message="gone")
    with pytest.raises(ReleaseError, match=r"cannot look for .*gone; it is not there"):
        push(hub, release)


def test_no_network(hub: HubServer, release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    with pytest.raises(ReleaseError, match=r"\(tried 3 times\); look at the network"):
        push(hub, release, endpoint="http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ReleaseError, match=r"take HF_HUB_OFFLINE out of the environment"):
        push(hub, release)


def test_the_token_is_in_no_message(
    hub: HubServer, release: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    hub.fail("PUT /store/", kind="drop")
    done = push(hub, release)
    assert caplog.records
    texts = [caplog.text, repr(done)]
    # Not even where the Hub itself says it; the HTTP library's own log of what it receives is left out here.
    caplog.clear()
    caplog.set_level(logging.INFO)
    hub.fail("GET .*/refs", message=f"cannot serve Bearer {WRITER}", times=9)
    with pytest.raises(ReleaseError, match=r"cannot serve Bearer \(token\)") as caught:
        push(hub, release)
    assert len([record for record in caplog.records if record.name.startswith("cspine_bench")]) == QUICK.retries
    out, err = capfd.readouterr()
    assert not [text for text in (*texts, str(caught.value), caplog.text, out, err) if WRITER in text]


@pytest.mark.slow  # starts four processes and kills three
def test_killed_in_the_middle_it_goes_on(hub: HubServer, release: Path, mirror: Path, tmp_path: Path) -> None:
    env = build_environment(hub, tmp_path / "home")
    options = [str(release), REPO, "--level", "quick", "--json"]
    command = [sys.executable, "-m", "cspine_bench", "release", "push", *options]
    steps = ("PUT /store/.*", "POST .*-wds/commit/upload", "POST .*-wds/commit/main")
    for pattern in steps:
        hub.faults.clear()
        hub.fail(pattern, kind="slow", seconds=60.0, skip=4 if "PUT" in pattern else 0)
        with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            while hub.faults[0].times:
                assert process.poll() is None, process.stderr and process.stderr.read()
                hub.closing.wait(0.02)
            process.send_signal(signal.SIGKILL)
        assert not any(repo.tags for repo in hub.repositories.values())
    hub.faults.clear()
    finished = subprocess.run(command, env=env, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    document = json.loads(finished.stdout)
    assert [one["repository"] for one in document["repositories"]] == [REPO, f"{REPO}-wds"]
    assert_published(hub, release)
    assert_published(hub, mirror, repository=f"{REPO}-wds")
    assert_sent_once(hub)
