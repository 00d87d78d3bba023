"""What holds for every test: no network, no cache outside the run, one thread; and folders that are made once."""

import atexit
import fcntl
import hashlib
import os
import pickle
import secrets
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Set before `datasets` and torch are imported anywhere: both read their environment once.
_CACHE = tempfile.TemporaryDirectory(prefix="cspine-bench-tests-")
atexit.register(_CACHE.cleanup)  # left to itself it warns, which may be an error by then
os.environ["HF_HOME"] = _CACHE.name
os.environ["XDG_CACHE_HOME"] = _CACHE.name
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A Ray cluster that starts while every core is busy may take longer than the half minute that Ray grants it.
os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "240")
# Left to itself Ray writes a token into the home folder, and a mode into this process that later clusters inherit.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
# A job that a shell put into the background ignores Ctrl-C, and so would every process that is started from here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def make_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """`make_once(name, fill)`: the folder that `fill` makes, the same one in all worker processes of a run."""
    own = tmp_path_factory.getbasetemp()
    place = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "made-once"

    def make(name: str, fill: Callable[[Path], object]) -> Path:
        place.mkdir(exist_ok=True)
        folder, unfinished = place / name, place / f"{name}.unfinished"
        with (place / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                shutil.rmtree(unfinished, ignore_errors=True)
                fill(unfinished)
                unfinished.rename(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def each_figure_once(make_once: Callable[[str, Callable[[Path], object]], Path]) -> Iterator[None]:
    """Builds of releases draw figures of equal facts once, from here to the end of the run."""
    from cspine_bench.release import assemble
    from cspine_bench.release.edition import Edition
    from cspine_bench.release.papers.figures import draw_figures

    drawn: dict[bytes, dict[str, bytes]] = {}

    def draw(edition: Edition) -> dict[str, bytes]:
        key = pickle.dumps(edition.facts)

        def fill(folder: Path) -> None:
            folder.mkdir()
            (folder / "figures").write_bytes(pickle.dumps(draw_figures(edition)))

        if key not in drawn:
            name = f"figures-{hashlib.sha256(key).hexdigest()}"
            drawn[key] = pickle.loads((make_once(name, fill) / "figures").read_bytes())
        return drawn[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assemble, "draw_figures", draw)
        yield
