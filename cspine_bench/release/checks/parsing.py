"""JSON, YAML and TOML that may be anything: parsed within bounds of size, depth and time, or refused with a reason."""

import json
import tomllib
from typing import Any, Final

import yaml

from cspine_bench.errors import ReleaseError

MAX_YAML_BYTES: Final = 400_000
MAX_TOML_BYTES: Final = 100_000
_MAX_DEPTH: Final = 40
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""That of libyaml is ten times faster; PyYAML may have been built without it."""


class UnreadableError(ReleaseError):
    """The text is not what it should be; says why."""


def decode_text(data: bytes) -> str:
    """UTF-8 text without control characters.

    Raises:
        UnreadableError: it is none.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableError(f"it is no UTF-8 text (byte {error.start})") from error
    for character in "\0\r\x1b":
        if character in text:
            raise UnreadableError(f"it holds the control character {character!r}")
    return text


def parse_json(data: bytes) -> Any:
    """JSON without NaN, and without a key that an object has twice: readers differ on which of the two they take.

    Raises:
        UnreadableError: it is none, or too deep.
    """
    try:
        text = decode_text(data)
        value = json.loads(text, object_pairs_hook=_build_object, parse_constant=_refuse_constant)
        if "\\u" in text:
            # An escape may stand for half a character, which no file, hash or terminal can take.
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"it is no JSON ({str(error)[:200] or type(error).__name__})") from error


def parse_json_object(data: bytes) -> dict[str, Any]:
    """As `parse_json`, and it is an object."""
    value = parse_json(data)
    if not isinstance(value, dict):
        raise UnreadableError(f"it is JSON, but no object ({type(value).__name__})")
    return value


def parse_yaml(text: str) -> Any:
    """YAML of plain values: no alias (a few of them can stand for gigabytes), no tag, no key twice, not too deep.

    Raises:
        UnreadableError: it is none, or holds one of these.
    """
    if len(text) > MAX_YAML_BYTES:
        raise UnreadableError(f"its YAML has {len(text):,} characters; at most {MAX_YAML_BYTES:,} are read")
    try:
        _scan_yaml(text)
        return yaml.load(text, Loader=_LOADER)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise UnreadableError(f"it is no YAML ({' '.join(str(error).split())[:200]})") from error


def parse_toml(data: bytes) -> dict[str, Any]:
    """TOML.

    Raises:
        UnreadableError: it is none, or too large.
    """
    if len(data) > MAX_TOML_BYTES:
        raise UnreadableError(f"it has {len(data):,} bytes; at most {MAX_TOML_BYTES:,} are read")
    try:
        return tomllib.loads(decode_text(data))
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"it is no TOML ({str(error)[:200] or type(error).__name__})") from error


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"key {key[:60]!r} is there twice")
        values[key] = value
    return values


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _scan_yaml(text: str) -> None:
    """Refuse, event by event and before anything is built, what can blow up or be read in two ways."""
    # For each open collection: the keys met, or None for a list; and whether the next node is a key.
    open_keys: list[set[str] | None] = []
    is_key: list[bool] = []
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise ValueError("anchors and aliases are not allowed")
        if isinstance(event, yaml.CollectionEndEvent):
            open_keys.pop()
            is_key.pop()
            continue
        if not isinstance(event, yaml.NodeEvent):
            continue
        if (tag := getattr(event, "tag", None)) is not None:
            raise ValueError(f"the tag {tag[:60]!r} is not allowed")
        if open_keys and open_keys[-1] is not None:
            if is_key[-1]:
                _note_key(event, open_keys[-1])
            is_key[-1] = not is_key[-1]
        if isinstance(event, yaml.CollectionStartEvent):
            open_keys.append(set() if isinstance(event, yaml.MappingStartEvent) else None)
            is_key.append(True)
            if len(open_keys) > _MAX_DEPTH:
                raise ValueError(f"it is more than {_MAX_DEPTH} levels deep")


def _note_key(event: yaml.NodeEvent, keys: set[str]) -> None:
    if not isinstance(event, yaml.ScalarEvent):
        raise ValueError("a key is no plain text")
    if event.value == "<<" or event.value in keys:
        raise ValueError(f"key {event.value[:60]!r} is there twice, or merges others")
    keys.add(event.value)
