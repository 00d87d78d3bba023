"""Run the demo's stages: side by side where they may, and on from where an earlier run stopped."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click

from cspine_bench.cli.demo_settings import Settings
from cspine_bench.cli.demo_stage import Round, Stage, Track
from cspine_bench.cli.options import Printing
from cspine_bench.errors import CspineBenchError, DataError

_RECORD: Final = "demo"
_ENVIRONMENT: Final = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
"""The demo needs no network, and `datasets` shall not draw bars between our lines."""

_STOP_WITHIN_S: Final = 20.0
"""What a stage may take to put its files down when it is told to stop."""

Row = dict[str, Any]


@dataclass
class DemoRun:
    """The stages of one run: what is recorded of them, and the processes at work.

    Args:
        settings: of the demo.
        printing: how it prints.
        total: stages, as far as it is known.
        rows: of the record, by stage: command, whether it is done, exit code, seconds.
        shown: rows of this run, in the order of the stages.
        positive: whether every stage so far passes.
    """

    settings: Settings
    printing: Printing
    total: int
    rows: dict[str, Row]
    shown: list[Row] = field(default_factory=list)
    positive: bool = True
    _changed: bool = False
    _ran: bool = False
    _stopping: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _alive: set[subprocess.Popen[bytes]] = field(default_factory=set)

    def run_round(self, tracks: Round) -> None:
        """Run the stages of a round that are not done, the tracks side by side as far as there are workers.

        Raises:
            CspineBenchError: a stage could not run; those beside it were stopped, and go on the next time.
        """
        numbered, number = [], len(self.shown) + 1
        for track in tracks:
            numbered.append((number, track))
            number += len(track)
        self.shown += [{"stage": stage.name} for track in tracks for stage in track]
        upstream = (self._changed, self._ran)
        with self._stopping_all(), ThreadPoolExecutor(self.settings.workers) as pool:
            futures = [
                pool.submit(self._run_track, first, track, upstream, first == numbered[0][0])
                for first, track in numbered
            ]
            whole = False
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
                whole = True
            finally:
                if not whole:
                    self._stop_all()

    def _run_track(self, number: int, track: Track, upstream: tuple[bool, bool], loud: bool) -> None:
        changed, ran = upstream
        for place, stage in enumerate(track, start=number):
            if self._stopping:
                return
            before = self.rows.get(stage.name)
            other = changed or (before is not None and _identity(before["command"]) != _identity(stage.command))
            runs = ran or other or not self._is_done(stage, before)
            if before is None or runs:
                if before is not None and (other or (stage.afresh and before.get("done"))):
                    _remove(stage.owns)
                row = self._run_stage(place, stage, loud)
            else:
                row = before
            if stage.feeds:
                changed, ran = other, runs
            self._finish(place, stage, row, runs)
        with self._lock:
            self._changed, self._ran = self._changed or changed, self._ran or ran

    def _is_done(self, stage: Stage, row: Row | None) -> bool:
        files = (self.settings.log(stage.name), *stage.leaves)
        return row is not None and row.get("done") is True and all(path.exists() for path in files)

    def _run_stage(self, number: int, stage: Stage, loud: bool) -> Row:
        row: Row = {"stage": stage.name, "command": stage.command, "done": False}
        self._note(f"{self._label(number)} {stage.title}\n{' ' * 8}$ {_join(stage.command)}")
        self._record(row)
        started = time.monotonic()
        exit_code, document = self._call(stage.command, loud)
        _save_json(self.settings.log(stage.name), document)
        row |= {"done": True, "exit_code": exit_code, "seconds": round(time.monotonic() - started, 2)}
        self._record(row)
        return row

    def _call(self, command: list[str], loud: bool) -> tuple[int, Any]:
        # Progress of the first track alone goes to a terminal: two bars would draw over each other.
        quiet = self.printing.quiet or not loud or not sys.stderr.isatty()
        arguments = [sys.executable, *command[1:]]
        if command[0] != "python":
            arguments = [sys.executable, "-m", "cspine_bench", *command[1:], "--json", *(["--quiet"] if quiet else [])]
        with self._lock:
            if self._stopping:
                raise CspineBenchError("the demo was stopped; run the same command again, and it goes on")
            process = subprocess.Popen(arguments, stdout=subprocess.PIPE, env={**os.environ, **_ENVIRONMENT})
            self._alive.add(process)
        stdout, _ = process.communicate()
        with self._lock:
            self._alive.discard(process)
        again = "run the demo again, and it goes on with this stage"
        if process.returncode not in (0, 1):
            raise CspineBenchError(
                f"a stage stopped with exit code {process.returncode}: {_join(command)}\n"
                f"What it said stands above. {again[0].upper()}{again[1:]}"
            )
        try:
            return process.returncode, json.loads(stdout)
        except ValueError as error:
            raise CspineBenchError(f"a stage printed no JSON document: {_join(command)}; {again}") from error

    def _finish(self, number: int, stage: Stage, row: Row, ran: bool) -> None:
        document = json.loads(self.settings.log(stage.name).read_text())
        passes = stage.passes(row["exit_code"], document)
        with self._lock:
            self.positive = self.positive and passes
            said = stage.sentence(document)
            self.shown[number - 1] = {**row, "ran": ran, "passes": passes, "says": said}
        if ran:
            self._note(f"{self._label(number)} {said} ({row['seconds']:.1f} s)")
        else:
            self._note(f"{self._label(number)} {stage.title}: done before")

    def _label(self, number: int) -> str:
        return f"[{number}/{self.total}]".rjust(7)

    def _note(self, text: str) -> None:
        if self.printing.quiet:
            return
        with self._lock:
            # Over what a bar of a stage has drawn on this line.
            click.echo(f"\r\x1b[2K{text}" if sys.stderr.isatty() else text, err=True)

    def _record(self, row: Row) -> None:
        with self._lock:
            self.rows[row["stage"]] = dict(row)
            _save_json(self.settings.log(_RECORD), list(self.rows.values()))

    @contextmanager
    def _stopping_all(self) -> Iterator[None]:
        """A request to end this process ends those of the stages too, as Ctrl-C does."""

        def interrupt(number: int, frame: object) -> None:
            raise KeyboardInterrupt

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGTERM, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def _stop_all(self) -> None:
        with self._lock:
            self._stopping = True
            alive = list(self._alive)
        for process in alive:
            process.send_signal(signal.SIGINT)
        for process in alive:
            try:
                process.wait(_STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()


def open_run(settings: Settings, printing: Printing, total: int) -> DemoRun:
    """A run of the demo, with the record that earlier ones left in its folder.

    Args:
        settings: of the demo.
        printing: how it prints.
        total: stages, as far as it is known.

    Raises:
        DataError: a file stands where the folder should.
    """
    if settings.out.exists() and not settings.out.is_dir():
        raise DataError(f"{settings.out}: is a file; name a folder for the demo")
    for name in ("log", "pictures"):
        (settings.out / name).mkdir(parents=True, exist_ok=True)
    try:
        rows = {row["stage"]: row for row in json.loads(settings.log(_RECORD).read_text()) if row["command"]}
    except (OSError, ValueError, TypeError, KeyError):
        # No record, or a torn one: the stages themselves know what they have done.
        rows = {}
    return DemoRun(settings, printing, total, rows)


def _identity(command: list[str]) -> list[str]:
    """Of a command, what decides its result: not how many processes work."""
    words = list(command)
    while "--workers" in words:
        place = words.index("--workers")
        del words[place : place + 2]
    return words


def _remove(paths: tuple[Path, ...]) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _join(command: list[str]) -> str:
    # As a person would type it: shlex breaks quotes inside quotes into five pieces.
    return " ".join(
        f'"{word}"' if "'" in word and not set(word) & set('"$`\\!') else shlex.quote(word) for word in command
    )


def _save_json(path: Path, document: Any) -> None:
    draft = path.with_name(f".{path.name}.unfinished")
    draft.write_text(json.dumps(document, indent=2) + "\n")
    draft.replace(path)
