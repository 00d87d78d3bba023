"""The papers of a release, each read and parsed once; one that cannot be read is one finding, not a dozen."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from cspine_bench.dataset.manifest import Manifest, parse_manifest
from cspine_bench.errors import DataError
from cspine_bench.release.checks.parsing import (
    UnreadableError,
    decode_text,
    parse_json_object,
    parse_toml,
    parse_yaml,
)
from cspine_bench.release.checks.tree import MAX_LIST_BYTES, MAX_PAPER_BYTES, GoneError, Kind, Tree
from cspine_bench.release.layout import (
    CARD_NAME,
    CITATION_NAME,
    CROISSANT_NAME,
    MANIFEST_NAME,
    MIRROR_NAME,
    RELEASE_NAME,
    REUSE_NAME,
    ZENODO_NAME,
)
from cspine_bench.release.rules import Tally
from cspine_bench.results import Result, parse_result

T = TypeVar("T")

EVIDENCE_PREFIX: Final = "evaluation/"
_FENCE: Final = "---\n"


@dataclass(frozen=True)
class Card:
    """README.md: its YAML as values, and the Markdown below it."""

    front: dict[str, Any]
    body: str


@dataclass
class Papers:
    """What the papers say. None stands for a paper that is not there or cannot be read; the second is a finding."""

    tree: Tree
    kind: Kind
    tally: Tally
    _kept: dict[str, Any] = field(default_factory=dict)

    @property
    def card(self) -> Card | None:
        return self._load(CARD_NAME, "CARD-01", _parse_card)

    @property
    def manifest(self) -> Manifest | None:
        return self._load(MANIFEST_NAME, "SUM-05", _parse_manifest, MAX_LIST_BYTES)

    @property
    def release(self) -> dict[str, Any] | None:
        return self._load(RELEASE_NAME, "DOC-04", parse_json_object)

    @property
    def mirror(self) -> dict[str, Any] | None:
        return self._load(MIRROR_NAME, "DOC-04", parse_json_object)

    @property
    def zenodo(self) -> dict[str, Any] | None:
        return self._load(ZENODO_NAME, "DOC-04", parse_json_object)

    @property
    def croissant(self) -> dict[str, Any] | None:
        return self._load(CROISSANT_NAME, "DOC-02", parse_json_object)

    @property
    def citation(self) -> dict[str, Any] | None:
        return self._load(CITATION_NAME, "DOC-01", _parse_yaml_mapping)

    @property
    def reuse(self) -> dict[str, Any] | None:
        return self._load(REUSE_NAME, "DOC-03", parse_toml)

    @property
    def results(self) -> dict[str, Result]:
        """Evidence by file; a file that is no result is a finding."""
        names = [name for name in self.tree.files if name.startswith(EVIDENCE_PREFIX) and name.endswith(".json")]
        found = {name: self._load(name, "PRIV-04", _parse_result) for name in names}
        return {name: result for name, result in found.items() if result is not None}

    def text(self, name: str, code: str) -> str | None:
        """Text of another file."""
        return self._load(name, code, decode_text)

    def raw(self, name: str, max_bytes: int = MAX_PAPER_BYTES) -> bytes | None:
        """Bytes of another file; None where it is not there or too large."""
        try:
            return self.tree.read(name, max_bytes) if name in self.tree.files else None
        except (GoneError, OSError):
            return None

    def _load(self, name: str, code: str, parse: Callable[[bytes], T], max_bytes: int = MAX_PAPER_BYTES) -> T | None:
        if name not in self._kept:
            self._kept[name] = self._read(name, code, parse, max_bytes)
        kept: T | None = self._kept[name]
        return kept

    def _read(self, name: str, code: str, parse: Callable[[bytes], T], max_bytes: int) -> T | None:
        if name not in self.tree.files:
            return None
        try:
            return parse(self.tree.read(name, max_bytes))
        except (UnreadableError, GoneError, DataError) as error:
            self.tally.add(code, name, str(error))
        except OSError:
            pass  # The tree keeps the list of what could not be read.
        return None


def _parse_card(data: bytes) -> Card:
    text = decode_text(data)
    if not text.startswith(_FENCE):
        raise UnreadableError("it does not begin with `---` and YAML: the Hub and `datasets` guess what it holds")
    head, fence, body = text[len(_FENCE) :].partition(f"\n{_FENCE}")
    if not fence:
        raise UnreadableError("its YAML does not end: there is no second line `---`")
    front = parse_yaml(head)
    if not isinstance(front, dict):
        raise UnreadableError(f"its YAML is no mapping ({type(front).__name__})")
    return Card(front, body)


def _parse_yaml_mapping(data: bytes) -> dict[str, Any]:
    values = parse_yaml(decode_text(data))
    if not isinstance(values, dict):
        raise UnreadableError(f"it is YAML, but no mapping ({type(values).__name__})")
    return values


def _parse_manifest(data: bytes) -> Manifest:
    return parse_manifest(data, where=MANIFEST_NAME)


def _parse_result(data: bytes) -> Result:
    parse_json_object(data)
    return parse_result(data, where="it")
