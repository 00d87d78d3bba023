"""A Hub on this machine: the part of the Hub's HTTP interface that huggingface_hub 2.4.0 uses to publish and to fetch.

It keeps git trees with LFS pointers in memory, checks what a Hub checks (tokens, hashes, parents of commits, tags that
exist), counts what was sent, and fails on request. Without Xet: the client is told so with HF_HUB_DISABLE_XET=1.
"""

import email.utils
import hashlib
import json
import re
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml
from hub_state import LFS_SUFFIXES, Entry, HubState, Pull, Refused, Repository

WRITER, READER = "hf_WriterTokenOfTheTests", "hf_ReaderTokenOfTheTests"
OWNER = "spine-lab"
_PAGE = 25
_WHEN = "2026-01-01T00:00:00.000Z"


class HubServer(HubState):
    """`with HubServer() as hub: ...`; `hub.url` is its address."""

    def __init__(self, *, part_bytes: int = 1 << 20) -> None:
        super().__init__(part_bytes)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Answer,), {"hub": self}))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "HubServer":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


class _Answer(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_DELETE = do_HEAD = do_GET

    def _serve(self) -> None:
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        request = f"{self.command} {url.path}"
        with self.hub.lock:
            self.hub.requests.append(request)
        fault = self.hub.take_fault(request)
        length = int(self.headers.get("Content-Length") or 0)
        if fault is not None and fault.kind == "drop":
            self.rfile.read(length // 2)
            self.close_connection = True
            return
        self.body = self.rfile.read(length)
        if fault is not None and fault.kind == "slow":
            self.hub.closing.wait(fault.seconds)
        if fault is not None and fault.kind == "garbage":
            self._answer(502, b"<html>Bad gateway</html>", {"Content-Type": "text/html"})
            return
        if fault is not None and fault.kind == "status":
            self._answer_json(
                {"error": fault.message}, fault.status, {"X-Error-Message": fault.message, **fault.headers}
            )
            return
        try:
            with self.hub.lock:
                made = self._route(url.path)
        except Refused as refused:
            headers = {"X-Error-Message": refused.message}
            if refused.code:
                headers["X-Error-Code"] = refused.code
            self._answer_json({"error": refused.message}, refused.status, headers)
            return
        if fault is not None and fault.kind == "deaf":
            self.close_connection = True
            return
        if isinstance(made, _Raw):
            self._answer(made.status, made.data, made.headers)
        else:
            self._answer_json(made, 200, self._extra)

    def _answer_json(self, document: Any, status: int, headers: dict[str, str]) -> None:
        self._answer(status, json.dumps(document).encode(), {"Content-Type": "application/json", **headers})

    def _answer(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        # So that no connection outlives its server in the client's pool.
        self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", headers.get("Content-Length", str(len(data))))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def send_header(self, keyword: str, value: str) -> None:
        if keyword == "Content-Length" and any(
            b"Content-Length" in line for line in getattr(self, "_headers_buffer", [])
        ):
            return
        super().send_header(keyword, value)

    def _route(self, path: str) -> Any:
        self._extra: dict[str, str] = {}
        if path.startswith("/store/"):
            return self._store(path)
        user = self._authenticate()
        if path == "/api/whoami-v2":
            return {"name": user, "type": "user"}
        if path == "/api/validate-yaml":
            return self._validate_card()
        if path == "/api/repos/create":
            return self._create(user)
        if match := re.fullmatch(r"/datasets/([^/]+/[^/]+)\.git/info/lfs/objects/(batch|verify)", path):
            repo, name = self._find(match[1], user), match[1]
            return self._batch(repo, name) if match[2] == "batch" else self._verify()
        if match := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self._resolve(self._find(match[1], user), unquote(match[2]), unquote(match[3]))
        if match := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)((?:/.*)?)", path):
            return self._repository(match[1], self._find(match[1], user), match[2], user)
        raise Refused(404, f"no such endpoint: {path}")

    def _authenticate(self) -> str | None:
        header = self.headers.get("Authorization")
        if header is None:
            return None
        users = {f"Bearer {WRITER}": "writer", f"Bearer {READER}": "reader"}
        if header not in users:
            raise Refused(401, "Invalid credentials in Authorization header")
        return users[header]

    def _find(self, name: str, user: str | None) -> Repository:
        repo = self.hub.repositories.get(name)
        if repo is None or (repo.private and user is None):
            raise Refused(404 if user else 401, "Repository not found", "RepoNotFound")
        return repo

    def _may_write(self, user: str | None, name: str) -> None:
        if user != "writer" or not name.startswith(f"{OWNER}/"):
            raise Refused(403, f"you don't have the rights to write to {name}")

    def _json(self) -> Any:
        return json.loads(self.body)

    def _create(self, user: str | None) -> Any:
        asked = self._json()
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.hub.repositories:
            raise Refused(409, "You already created this dataset repo")
        self._may_write(user, name)
        self.hub.create(name, private=asked.get("visibility") == "private" or bool(asked.get("private")))
        return {"url": f"{self.hub.url}/datasets/{name}", "name": name}

    def _validate_card(self) -> Any:
        parts = self._json()["content"].split("---")
        try:
            yaml.safe_load(parts[1] if len(parts) > 2 else "")
        except yaml.YAMLError as error:
            return _Raw(400, json.dumps({"errors": [{"message": str(error)}]}).encode(), {})
        return {"errors": [], "warnings": []}

    def _repository(self, name: str, repo: Repository, rest: str, user: str | None) -> Any:
        parts = [unquote(part) for part in rest.strip("/").split("/")] if rest.strip("/") else []
        verb = parts[0] if parts else "info"
        if verb in ("info", "revision"):
            oid = self._commit_of(repo, parts[1] if len(parts) > 1 else "main")
            return {
                "id": name,
                "sha": oid,
                "private": repo.private,
                "tags": [],
                "siblings": [{"rfilename": n} for n in repo.tree(oid)],
            }
        if verb == "refs":
            refs = [(k, d, getattr(repo, k)) for k, d in (("branches", "heads"), ("tags", "tags"))]
            found = {
                k: [{"name": n, "ref": f"refs/{d}/{n}", "targetCommit": c} for n, c in v.items()] for k, d, v in refs
            }
            return {**found, "converts": []}
        if verb == "tree":
            return self._tree(repo, parts[1])
        if verb == "paths-info":
            tree = repo.tree(self._commit_of(repo, parts[1]))
            return [_describe(path, tree[path]) for path in parse_qs(self.body.decode())["paths"] if path in tree]
        if verb == "preupload":
            tree = repo.tree(self._commit_of(repo, parts[1]))
            return {"files": [_choose_mode(file, tree) for file in self._json()["files"]]}
        if verb == "discussions":
            return self._discussions(name, repo, parts[1:], user)
        if verb == "commit" and parts[1] in repo.pull_heads:
            if repo.pulls[int(parts[1].rpartition("/")[2])].author != user:
                self._may_write(user, name)
        else:
            self._may_write(user, name)
        if verb == "commit":
            oid = self.hub.commit(name, parts[1], [json.loads(line) for line in self.body.splitlines()])
            return {"commitUrl": f"{self.hub.url}/datasets/{name}/commit/{oid}", "commitOid": oid, "success": True}
        if verb == "branch" and self.command == "DELETE":
            if repo.branches.pop(parts[1], None) is None:
                raise Refused(404, "no such branch", "RevisionNotFound")
            return {}
        if verb in ("branch", "tag"):
            names, new = (repo.branches, parts[1]) if verb == "branch" else (repo.tags, self._json()["tag"])
            start = "main" if verb == "branch" else parts[1]
            if new in names:
                raise Refused(409, f"{verb} {new} exists already")
            names[new] = self._commit_of(repo, start)
            return {}
        raise Refused(404, f"no such endpoint: {rest}")

    def _commit_of(self, repo: Repository, revision: str) -> str:
        oid = repo.resolve(revision)
        if oid is None:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return oid

    def _tree(self, repo: Repository, revision: str) -> Any:
        tree = repo.tree(self._commit_of(repo, revision))
        folders = sorted({name.rpartition("/")[0] for name in tree} - {""})
        entries = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": folder} for folder in folders]
        entries += [_describe(path, entry) for path, entry in sorted(tree.items())]
        start = int(self.query.get("cursor", ["0"])[0])
        if start + _PAGE < len(entries):
            where = self.path.partition("?")[0]
            self._extra["Link"] = f'<{self.hub.url}{where}?recursive=true&cursor={start + _PAGE}>; rel="next"'
        return entries[start : start + _PAGE]

    def _discussions(self, name: str, repo: Repository, parts: list[str], user: str | None) -> Any:
        if not parts and self.command == "POST":
            asked = self._json()
            number = len(repo.pulls) + 1
            repo.pulls[number] = Pull(asked["title"], str(user))
            repo.pull_heads[f"refs/pr/{number}"] = repo.branches["main"]
            return {"num": number}
        if not parts:
            by = self.query.get("author", [None])[0]
            found = [_tell(name, n, pull) for n, pull in repo.pulls.items() if by in (None, pull.author)]
            return {"count": len(found), "start": 0, "discussions": found}
        number = int(parts[0])
        pull = repo.pulls[number]
        if len(parts) == 1:
            changes = {"changes": {"base": "main"}, "filesWithConflicts": [], "events": [], "diff": ""}
            return {**_tell(name, number, pull), **changes}
        if parts[1] == "status":
            pull.status = self._json()["status"]
            event = {"id": "1", "type": "status-change", "createdAt": _WHEN, "data": {"status": pull.status}}
            return {"newStatus": {**event, "author": {"name": user}}}
        self._may_write(user, name)
        if pull.status != "open":
            raise Refused(400, f"a pull request that is {pull.status} cannot be merged")
        head = repo.pull_heads[f"refs/pr/{number}"]
        repo.branches["main"] = repo.add_commit(
            repo.branches["main"], repo.commits[head][1], f"{pull.title} (#{number})"
        )
        pull.status = "merged"
        return {}

    def _batch(self, repo: Repository, name: str) -> Any:
        objects = []
        for item in self._json()["objects"]:
            oid, size = item["oid"], item["size"]
            made: dict[str, Any] = {"oid": oid, "size": size}
            if self.hub.quota is not None and size > self.hub.quota:
                raise Refused(403, "Private repository storage limit reached, please upgrade your plan")
            if oid not in self.hub.store:
                made["actions"] = {
                    "upload": self._say_where(oid, size),
                    "verify": {"href": f"{self.hub.url}/datasets/{name}.git/info/lfs/objects/verify"},
                }
            objects.append(made)
        return {"transfer": "multipart", "objects": objects}

    def _say_where(self, oid: str, size: int) -> Any:
        part = self.hub.part_bytes
        if size <= part:
            return {"href": f"{self.hub.url}/store/{oid}"}
        parts = {f"{n + 1:05d}": f"{self.hub.url}/store/{oid}/{n + 1}" for n in range(-(-size // part))}
        return {"href": f"{self.hub.url}/store/{oid}/complete", "header": {"chunk_size": str(part), **parts}}

    def _verify(self) -> Any:
        asked = self._json()
        if len(self.hub.store.get(asked["oid"], b"")) != asked["size"]:
            raise Refused(422, "the object is not there, or has another size")
        return {}

    def _store(self, path: str) -> Any:
        self.hub.tokens_at_store += "Authorization" in self.headers
        _, _, oid, *rest = path.split("/")
        if rest == ["complete"]:
            count = len(self._json()["parts"])
            self.hub.receive(oid, b"".join(self.hub.parts.pop((oid, n + 1)) for n in range(count)))
            return {}
        self.hub.bytes_received += len(self.body)
        if rest:
            self.hub.parts[oid, int(rest[0])] = self.body
            return _Raw(200, b"", {"ETag": f'"{hashlib.md5(self.body).hexdigest()}"'})
        if self.command == "GET":
            return _Raw(200, self.hub.store[oid], {"ETag": f'"{oid}"'})
        self.hub.receive(oid, self.body)
        return _Raw(200, b"", {"ETag": f'"{oid}"'})

    def _resolve(self, repo: Repository, revision: str, name: str) -> Any:
        oid = self._commit_of(repo, revision)
        entry = repo.tree(oid).get(name)
        if entry is None:
            raise Refused(404, "Entry not found", "EntryNotFound")
        data = self.hub.store[entry.lfs] if entry.lfs else repo.blobs[entry.oid]
        headers = {"X-Repo-Commit": oid, "ETag": f'"{entry.lfs or entry.oid}"', "Date": email.utils.formatdate()}
        return _Raw(200, data, headers)


@dataclass(frozen=True)
class _Raw:
    status: int
    data: bytes
    headers: dict[str, str]


def _describe(path: str, entry: Entry) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "file", "path": path, "oid": entry.oid, "size": entry.size}
    return {**made, "lfs": {"oid": entry.lfs, "size": entry.size, "pointerSize": 130}} if entry.lfs else made


def _choose_mode(file: dict[str, Any], tree: dict[str, Entry]) -> dict[str, Any]:
    path = file["path"]
    there = tree.get(path)
    oid = {} if there is None else {"oid": there.lfs or there.oid}
    mode = "lfs" if path.endswith(LFS_SUFFIXES) else "regular"
    return {"path": path, "uploadMode": mode, "shouldIgnore": False, **oid}


def _tell(name: str, number: int, pull: Pull) -> dict[str, Any]:
    return {
        "num": number, "title": pull.title, "status": pull.status, "author": {"name": pull.author}, "createdAt": _WHEN,
        "repo": {"name": name, "type": "dataset"}, "isPullRequest": True,
    }  # fmt: skip
