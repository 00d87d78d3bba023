"""What a Hub keeps: repositories with commits, branches, tags and pull requests; and the faults it is told to have."""

import base64
import hashlib
import re
import threading
from dataclasses import dataclass, field
from typing import Any

LFS_SUFFIXES = (".parquet", ".tar", ".png")


@dataclass
class Fault:
    """What goes wrong with requests whose `METHOD PATH` a pattern finds; `times` of them, after `skip` good ones.

    Kinds: "status" answers `status` with `headers`; "drop" cuts the connection in the middle of the request; "deaf"
    does what is asked and cuts the connection instead of answering; "slow" waits `seconds`; "garbage" answers no JSON.
    """

    pattern: str
    kind: str = "status"
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "made to fail"
    times: int = 1
    skip: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Entry:
    """A file of a tree: `oid` is the git SHA-1 of the blob (of the pointer for LFS)."""

    oid: str
    size: int
    lfs: str | None = None


@dataclass
class Pull:
    title: str
    author: str
    status: str = "draft"


@dataclass
class Repository:
    private: bool
    blobs: dict[str, bytes] = field(default_factory=dict)
    commits: dict[str, tuple[str | None, dict[str, Entry]]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pulls: dict[int, Pull] = field(default_factory=dict)
    pull_heads: dict[str, str] = field(default_factory=dict)
    messages: list[tuple[str, str, int]] = field(default_factory=list)

    def resolve(self, revision: str) -> str | None:
        for names in (self.branches, self.tags, self.pull_heads):
            if revision in names:
                return names[revision]
        return revision if revision in self.commits else None

    def tree(self, revision: str) -> dict[str, Entry]:
        return self.commits[self.resolve(revision) or ""][1]

    def add_commit(self, parent: str | None, tree: dict[str, Entry], message: str) -> str:
        seed = f"{parent}{message}{sorted((name, entry.oid) for name, entry in tree.items())}"
        oid = hashlib.sha1(seed.encode()).hexdigest()
        self.commits[oid] = (parent, tree)
        return oid

    def add_blob(self, data: bytes) -> Entry:
        oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        self.blobs[oid] = data
        return Entry(oid, len(data))


class Refused(Exception):
    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


class HubState:
    """All repositories, the store of large files, what was asked and sent, and what shall go wrong."""

    def __init__(self, part_bytes: int) -> None:
        self.part_bytes = part_bytes
        self.repositories: dict[str, Repository] = {}
        self.store: dict[str, bytes] = {}
        self.parts: dict[tuple[str, int], bytes] = {}
        self.requests: list[str] = []
        self.uploads: dict[str, int] = {}
        """By SHA-256: how often its bytes were received and acknowledged."""
        self.bytes_received = 0
        self.tokens_at_store = 0
        """Requests to the store of large files that carried a token: it belongs to somebody else."""
        self.spoil: set[str] = set()
        """Names of files that are stored with other bytes than were sent."""
        self.quota: int | None = None
        self.faults: list[Fault] = []
        self.lock = threading.RLock()
        self.closing = threading.Event()

    def fail(self, pattern: str, **kwargs: Any) -> None:
        self.faults.append(Fault(pattern, **kwargs))

    def take_fault(self, request: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if re.search(fault.pattern, request):
                    if fault.skip > 0:
                        fault.skip -= 1
                    elif fault.times > 0:
                        fault.times -= 1
                        return fault
        return None

    @property
    def writes(self) -> list[str]:
        """Requests that change something."""
        reads = ("/paths-info/", "/validate-yaml")
        return [
            text for text in self.requests if not text.startswith(("GET", "HEAD")) and not any(r in text for r in reads)
        ]

    def content(self, repository: str, revision: str) -> dict[str, bytes]:
        """Files of a revision as a client would fetch them."""
        repo = self.repositories[repository]
        tree = repo.tree(revision)
        return {name: self.store[entry.lfs] if entry.lfs else repo.blobs[entry.oid] for name, entry in tree.items()}

    def create(self, name: str, *, private: bool) -> Repository:
        repo = self.repositories[name] = Repository(private)
        attributes = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES)
        repo.branches["main"] = repo.add_commit(None, {".gitattributes": repo.add_blob(attributes.encode())}, "initial")
        return repo

    def put(self, name: str, files: dict[str, bytes]) -> str:
        """Commit files to main as if somebody had pushed them."""
        lines: list[dict[str, Any]] = [{"key": "header", "value": {"summary": "by hand"}}]
        for path, data in files.items():
            if path.endswith(LFS_SUFFIXES):
                sha256 = hashlib.sha256(data).hexdigest()
                self.store[sha256] = data
                lines.append({"key": "lfsFile", "value": {"path": path, "oid": sha256}})
            else:
                lines.append({"key": "file", "value": {"path": path, "content": base64.b64encode(data).decode()}})
        return self.commit(name, "main", lines)

    def commit(self, name: str, revision: str, lines: list[dict[str, Any]]) -> str:
        repo = self.repositories[name]
        parent = repo.resolve(revision)
        if parent is None or (revision not in repo.branches and revision not in repo.pull_heads):
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        header = lines[0]["value"]
        if header.get("parentCommit") not in (None, parent):
            raise Refused(412, "A commit has happened since. Please refresh and try again.")
        tree = dict(repo.commits[parent][1])
        for line in lines[1:]:
            value = line["value"]
            path = value["path"]
            if line["key"] == "deletedFile":
                if tree.pop(path, None) is None:
                    raise Refused(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
            elif line["key"] == "file":
                data = base64.b64decode(value["content"], validate=True)
                self.bytes_received += len(data)
                tree[path] = repo.add_blob(_spoil(data) if path in self.spoil else data)
            elif line["key"] == "lfsFile":
                tree[path] = self._add_pointer(repo, path, value["oid"])
            else:
                raise Refused(400, f"unknown operation {line['key']}")
        oid = repo.add_commit(parent, tree, header["summary"])
        where = repo.branches if revision in repo.branches else repo.pull_heads
        where[revision] = oid
        repo.messages.append((revision, header["summary"], len(lines) - 1))
        return oid

    def _add_pointer(self, repo: Repository, path: str, sha256: str) -> Entry:
        if sha256 not in self.store:
            raise Refused(400, f"LFS pointer pointed to a file that does not exist: {path}")
        if path in self.spoil:
            data = _spoil(self.store[sha256])
            sha256 = hashlib.sha256(data).hexdigest()
            self.store[sha256] = data
        size = len(self.store[sha256])
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
        return Entry(repo.add_blob(pointer).oid, size, sha256)

    def receive(self, sha256: str, data: bytes) -> None:
        if hashlib.sha256(data).hexdigest() != sha256:
            raise Refused(422, "the bytes are not those of the object id")
        self.store[sha256] = data
        self.uploads[sha256] = self.uploads.get(sha256, 0) + 1


def _spoil(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])
