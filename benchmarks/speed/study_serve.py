"""How long do readers wait for a study's server when fifty of them read at once?

    python benchmarks/speed/study_serve.py [--readers 50] [--rounds 6] [--pace-s 4] [--size 512] [--repeats 5]

The server is `cspine-bench study serve` in a process of its own, the readers are connections of this one, so on two
cores each has about one. A reader asks for a trial, then for its four images over four connections, as a browser
does, then answers. Latency is from the first byte sent to the last one received. Two ways of reading: `paced`, each
reader in their own time, so many seconds a trial (people take 10 to 40); `together`, all readers send their answers
in the same moment, round after round, which is the worst that can happen. Every answer is on the disk before its
reply. Each repeat is a new study and a new server.
"""

import argparse
import asyncio
import itertools
import json
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.report import RESULTS, describe_setting, format_spread, spell_command, spread, write_result
from benchmarks.speed.comparison import OURS, Comparison, Reading, Term, load_test_module
from cspine_bench.study.ledger.links import issue_link
from cspine_bench.study.ledger.store import open_ledger

DISPLAY = {
    "device_pixel_ratio": 1, "viewport": [1280, 800], "screen": [1280, 800], "full_screen": True, "dark_patch": True,
    "light_patch": True,
}  # fmt: skip
SHARES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
TARGET_MS = 200.0

Latencies = dict[tuple[str, str], list[float]]


@dataclass
class Line:
    """A kept connection."""

    host: str
    port: int
    token: str
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: Any = None) -> bytes:
        if self.streams is None:
            self.streams = await asyncio.open_connection(self.host, self.port)
        reader, writer = self.streams
        data = b"" if method == "GET" else json.dumps(body or {}).encode()
        head = f"{method} {path} HTTP/1.1\r\nhost: {self.host}\r\nauthorization: Bearer {self.token}\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
        writer.write(head.encode() + data)
        status, *headers = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        length = next(int(line.partition(":")[2]) for line in headers if line.lower().startswith("content-length"))
        reply = await reader.readexactly(length)
        if " 200 " not in status:
            raise SystemExit(f"{path}: {status}: {reply[:200]!r}")
        return reply

    def close(self) -> None:
        if self.streams is not None:
            self.streams[1].close()


@dataclass
class Reader:
    """One reader: a line for what is posted and for the first image, three more for the others."""

    lines: list[Line]
    trial: dict[str, Any] = field(default_factory=dict)

    async def begin(self) -> None:
        for path, body in (("/api/open", {}), ("/api/consent", {}), ("/api/display", DISPLAY)):
            await self.lines[0].ask("POST", path, body)

    async def look(self, way: str, found: Latencies) -> None:
        """Ask for the trial and all its images."""
        start = time.perf_counter()
        self.trial = json.loads(await self.lines[0].ask("POST", "/api/trial"))
        found[way, "trial"].append(time.perf_counter() - start)
        panes = zip(self.lines, self.trial["panes"], strict=True)
        await asyncio.gather(*(self._fetch(line, pane, way, found) for line, pane in panes))

    @staticmethod
    async def _fetch(line: Line, pane: str, way: str, found: Latencies) -> None:
        start = time.perf_counter()
        await line.ask("GET", f"/api/frame/{pane}")
        found[way, "frame"].append(time.perf_counter() - start)

    async def answer(self, way: str, found: Latencies) -> None:
        answer = {"answer": str(uuid.uuid4()), "trial": self.trial["trial"], "pick": 1, "said": None}
        answer |= {"ratings": [1, 2, 3, 4], "elapsed_ms": 9000.5, "hidden_ms": 0, "actions": {"zoom": 3}, "comment": ""}
        start = time.perf_counter()
        await self.lines[0].ask("POST", "/api/answer", answer)
        found[way, "answer"].append(time.perf_counter() - start)


async def read_paced(reader: Reader, rounds: int, pace_s: float, draw: random.Random, found: Latencies) -> None:
    """Read so many trials, each in about so many seconds."""
    await asyncio.sleep(draw.uniform(0, pace_s))
    for _ in range(rounds):
        await reader.look("paced", found)
        await asyncio.sleep(draw.uniform(0.5, 1.5) * pace_s)
        await reader.answer("paced", found)


async def read_all(address: str, tokens: Sequence[str], options: argparse.Namespace, seed: int) -> Latencies:
    """All readers through all rounds, both ways."""
    parts, draw = urlsplit(address), random.Random(seed)
    readers = [Reader([Line(parts.hostname or "", parts.port or 0, token) for _ in range(4)]) for token in tokens]
    found: Latencies = defaultdict(list)
    for reader in readers:
        await reader.begin()
    await asyncio.gather(*(read_paced(reader, options.rounds, options.pace_s, draw, found) for reader in readers))
    for _ in range(options.rounds):
        await asyncio.gather(*(reader.look("together", found) for reader in readers))
        await asyncio.gather(*(reader.answer("together", found) for reader in readers))
    for reader in readers:
        for line in reader.lines:
            line.close()
    return found


def run_once(options: argparse.Namespace, scratch: Path, seed: int) -> tuple[Latencies, float]:
    """Latencies in seconds, and CPU-seconds of the server from its start to its end."""
    counts = {"readers": options.readers, "cases": 2 * options.rounds, "training": 0, "repeats": 0}
    make_bare_study = load_test_module("study/bare_study.py").make_bare_study
    study = make_bare_study(scratch / str(seed), size=options.size, positive_controls=0, **counts)
    with open_ledger(study) as ledger, ledger.transaction():
        tokens = [issue_link(ledger, reader) for reader in study.protocol.readers]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "cspine_bench", "study", "serve", str(study.paths.folder), "--port", "0"]
    # From the checkout, so that the server is this code, installed or not.
    home = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        if server.stdout is None:
            raise SystemExit("the server has no output")
        try:
            found = asyncio.run(read_all(server.stdout.readline().strip(), tokens, options, seed))
        finally:
            server.send_signal(signal.SIGINT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    with open_ledger(study) as ledger:
        ledger.verify()
        saved = sum(1 for _ in ledger.iter_records("answer"))
    if saved != 2 * options.rounds * options.readers:
        raise SystemExit(f"{saved} answers in the ledger, {2 * options.rounds * options.readers} were acknowledged")
    return found, (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


def summarize(runs: Sequence[Latencies]) -> list[dict[str, Any]]:
    """Quantiles of each repeat, and their spread over the repeats."""
    rows = []
    for way, request in sorted(runs[0]):
        ordered = [sorted(1000 * value for value in found[way, request]) for found in runs]
        row: dict[str, Any] = {"way": way, "request": request, "direction": "lower is better", "unit": "ms"}
        row["count"] = sum(map(len, ordered))
        for name, share in SHARES.items():
            row[name] = spread([values[min(len(values) - 1, int(share * len(values)))] for values in ordered])
        row["slowest"] = max(values[-1] for values in ordered)
        rows.append(row)
    return rows


def compare_server(scratch: Path, *, readers: int, rounds: int, pace_s: float, size: int) -> Comparison:
    """The slowest twentieth of the answers of many readers, in both ways of reading, against what we promise."""
    options = argparse.Namespace(readers=readers, rounds=rounds, pace_s=pace_s, size=size)
    answers = 2 * rounds * readers
    seeds = itertools.count()

    def read() -> Reading:
        found, server_cpu_s = run_once(options, scratch, next(seeds))
        slow = {row["way"]: row["p95"]["median"] for row in summarize([found]) if row["request"] == "answer"}
        return Reading(server_cpu_s / answers, max(slow.values()) / 1000, slow)

    def check(found: dict[str, Any]) -> str:
        return f"the ledger held all {answers:,} answers, and verified"

    return Comparison(
        unit="answer",
        count=answers,
        work=f"{readers} readers at once, {2 * rounds} trials of four frames of {size} px each; by the clock the wait "
        "that 95 % of the answers stay below, of the slower way of reading: in one's own time, or all at once",
        candidates={OURS: read},
        packages={OURS: ("starlette", "uvicorn")},
        check=check,
        floor=(Term(1, "one append to the ledger, forced to the disk before the reply", "fsync", "disk"),),
        ceiling_s=TARGET_MS / 1000,
        notes={"readers": readers, "rounds": rounds, "pace_s": pace_s},
    )


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--readers", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=6, help="trials of each reader, for each way of reading")
    parser.add_argument("--pace-s", type=float, default=4.0)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS / "speed_study_serve.json")
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as scratch:
        runs = [run_once(options, Path(scratch), seed) for seed in range(options.repeats)]
    rows = summarize([found for found, _ in runs])
    for row in rows:
        quantiles = "  ".join(f"{name} {format_spread(row[name])}" for name in SHARES)
        print(f"{row['way']:9} {row['request']:7} {quantiles}  slowest {row['slowest']:.1f} ms")
    answers = [row["p95"]["median"] for row in rows if row["request"] == "answer"]
    document = {
        "schema_version": 1,
        "measure": "speed_study_serve",
        "unit": "milliseconds",
        "readers": options.readers,
        "rounds": options.rounds,
        "pace_s": options.pace_s,
        "frame_bytes": options.size**2,
        "repeats": options.repeats,
        "target": {"request": "answer", "quantile": "p95", "below_ms": TARGET_MS, "reached": max(answers) < TARGET_MS},
        "server_cpu_s": spread([seconds for _, seconds in runs]),
        "answers_a_repeat": 2 * options.rounds * options.readers,
        "command": spell_command("benchmarks/speed/study_serve.py", words),
        **describe_setting("cpu", ("numpy", "starlette", "uvicorn")),
        "figures": rows,
    }
    write_result(options.out, document)
    print(f"median p95 of answers {statistics.median(answers):.1f} ms; written to {options.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
