"""A folder served over HTTP as the Hub serves one commit of a dataset: enough for a download and for a file system."""

import hashlib
import http.server
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def serve_folder(folder: Path, hub_id: str) -> Iterator[tuple[str, list[str]]]:
    """Yields the address, and a list into which the paths of the files that were sent go."""
    sent: list[str] = []

    def describe(file: Path) -> dict[str, Any]:
        name = file.relative_to(folder).as_posix()
        return {"type": "file", "path": name, "size": file.stat().st_size, "oid": oid(file)}

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._send_json([describe(folder / name) for name in asked["paths"] if (folder / name).is_file()])

        def _answer(self, *, body: bool) -> None:
            if re.fullmatch(rf"/api/datasets/{hub_id}(/revision/[\w.-]+)?", self.path.split("?")[0]):
                self._send_json({"id": hub_id, "sha": COMMIT, "siblings": []})
                return
            if listed := re.fullmatch(rf"/api/datasets/{hub_id}/tree/[\w.-]+/(.+)", self.path.split("?")[0]):
                self._send_json([describe(file) for file in sorted((folder / listed[1]).iterdir()) if file.is_file()])
                return
            found = re.fullmatch(rf"/datasets/{hub_id}/resolve/([\w.-]+)/(.+)", self.path.split("?")[0])
            if found is None or not (folder / found[2]).is_file():
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound" if found else "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            data = (folder / found[2]).read_bytes()
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
            first, last = (int(wanted[1]), int(wanted[2] or len(data) - 1)) if wanted else (0, len(data) - 1)
            part = data[first : last + 1]
            self.send_response(206 if wanted else 200)
            self.send_header("ETag", f'"{oid(folder / found[2])}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(part)))
            if wanted:
                self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(data)}")
            self.end_headers()
            if body:
                sent.append(found[2])
                self.wfile.write(part)

        def _send_json(self, value: Any) -> None:
            data = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", sent
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def oid(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()
