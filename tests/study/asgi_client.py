"""A client that speaks to an application within this process, byte for byte and without a network."""

import asyncio
import json
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette

from cspine_bench.study.app.application import build_app
from cspine_bench.study.app.desk import Desk
from cspine_bench.study.app.group_commit import GroupCommit
from cspine_bench.study.app.limits import Rate
from cspine_bench.study.folder import StudyFolder
from cspine_bench.study.ledger.store import Ledger, open_ledger

PLENTY = Rate(1e6, 10**6)
DISPLAY = {
    "device_pixel_ratio": 1.5, "viewport": [1280, 800], "screen": [1280, 800], "full_screen": True, "dark_patch": True,
    "light_patch": True,
}  # fmt: skip


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        return dict(self.headers).get(name)


class Client:
    """Sends requests, one at a time or many together."""

    def __init__(self, app: Starlette, ledger: Ledger, runner: asyncio.Runner) -> None:
        self.app = app
        self.ledger = ledger
        self._runner = runner

    def send(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Reply:
        return self._runner.run(self._send(method, path, headers or {}, body))

    def get(self, path: str, token: str) -> Reply:
        return self.send("GET", path, {"authorization": f"Bearer {token}"})

    def post(self, path: str, token: str, body: Any = None) -> Reply:
        return self.send(*self.build_post(path, token, body))

    def post_together(self, requests: Iterable[tuple[str, str, Any]]) -> list[Reply]:
        async def send_all() -> list[Reply]:
            return await asyncio.gather(*(self._send(*self.build_post(*request)) for request in requests))

        return self._runner.run(send_all())

    @staticmethod
    def build_post(path: str, token: str, body: Any = None) -> tuple[str, str, dict[str, str], bytes]:
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        return "POST", path, headers, json.dumps(body or {}).encode()

    async def _send(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        pieces = [body[start : start + 20_000] for start in range(0, len(body), 20_000)] or [b""]
        messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        messages[-1]["more_body"] = False
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "server": ("h", 80),
            "client": None, "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
        }  # fmt: skip
        await self.app(scope, receive, send)
        start = next(message for message in sent if message["type"] == "http.response.start")
        data = b"".join(message.get("body", b"") for message in sent)
        return Reply(start["status"], tuple((name.decode(), value.decode()) for name, value in start["headers"]), data)

    def admit(self, token: str) -> None:
        """Agree, and check the display."""
        assert self.post("/api/consent", token).status == 200
        assert self.post("/api/display", token, DISPLAY).status == 200


@contextmanager
def open_client(study: StudyFolder, *, per_link: Rate = PLENTY, unknown_links: Rate = PLENTY) -> Iterator[Client]:
    """A served study."""
    with open_ledger(study) as ledger, open_ledger(study) as reading, asyncio.Runner() as runner:
        desk = Desk(study, GroupCommit(ledger), reading)
        yield Client(build_app(desk, per_link=per_link, unknown_links=unknown_links), ledger, runner)


def build_answer(trial: dict[str, Any], /, **fields: Any) -> dict[str, Any]:
    """An answer to a trial of four rated panes."""
    values = {"answer": str(uuid.uuid4()), "trial": trial["trial"], "pick": 1, "said": None, "ratings": [1, 2, 3, 4]}
    return values | {"elapsed_ms": 1200, "hidden_ms": 0, "actions": {}, "comment": ""} | fields
