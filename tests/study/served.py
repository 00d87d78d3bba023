"""A study served by a real process, and readers who answer it over the network."""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


@contextmanager
def serve(folder: Path, *options: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Process and address; the process is ended if it still runs."""
    command = [sys.executable, "-m", "cspine_bench", "study", "serve", str(folder), "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        if not address:
            raise AssertionError(process.communicate()[1])
        yield process, address
    finally:
        process.kill()
        process.communicate()


class Wire:
    """A reader's connection."""

    def __init__(self, address: str, token: str) -> None:
        parts = urlsplit(address)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}

    def close(self) -> None:
        self._connection.close()

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, list[tuple[str, str]], bytes]:
        data = None if body is None else json.dumps(body).encode()
        self._connection.request(method, path, data, self._headers)
        with self._connection.getresponse() as reply:
            return reply.status, reply.getheaders(), reply.read()

    def post(self, path: str, body: Any = None) -> Any:
        status, _, data = self.ask("POST", path, body or {})
        assert status == 200, data
        return json.loads(data)
