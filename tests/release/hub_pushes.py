"""Pushes to a Hub on this machine, and what they must leave there."""

import os
from pathlib import Path
from typing import Any

from hub_server import OWNER, WRITER, HubServer

from cspine_bench.release.push import Pushed, push_release
from cspine_bench.release.push_hub import Patience

REPO = f"{OWNER}/spines"
ROOT = Path(__file__).parent.parent.parent
QUICK = Patience(retries=2, base_wait_s=0.5, max_wait_s=1.0)


def push(hub: HubServer, release: Path, **asked: Any) -> tuple[Pushed, ...]:
    return push_release(release, REPO, **{"level": "quick", "endpoint": hub.url, "patience": QUICK, **asked})


def read_folder(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read_hub(hub: HubServer, revision: str, repository: str = REPO) -> dict[str, bytes]:
    return {name: data for name, data in hub.content(repository, revision).items() if name != ".gitattributes"}


def assert_published(hub: HubServer, release: Path, tag: str = "v1.0.0", repository: str = REPO) -> None:
    expected = read_folder(release)
    assert read_hub(hub, tag, repository) == expected
    assert read_hub(hub, "main", repository) == expected
    assert list(hub.repositories[repository].branches) == ["main"]
    assert hub.tokens_at_store == 0


def assert_sent_once(hub: HubServer) -> None:
    assert set(hub.uploads.values()) == {1}


def build_environment(hub: HubServer, home: Path) -> dict[str, str]:
    own = {"HF_ENDPOINT": hub.url, "HF_TOKEN": WRITER, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(home)}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    places = os.pathsep.join(filter(None, (str(ROOT), clean.get("PYTHONPATH"))))
    return {**clean, **own, "PYTHONPATH": places, "OMP_NUM_THREADS": "1"}
