"""JSON from strangers: read strictly, or refused with a sentence."""

import json
import math
from typing import Any, Final

from cspine_bench.provenance import canonical_json

_DEEPEST: Final = 6
_LARGEST: Final = 2**53
_LONGEST_NUMBER: Final = 32


def parse_strict_json(data: bytes) -> Any:
    """JSON that means the same to every reader of it.

    Raises:
        ValueError: no JSON in UTF-8; NaN, an infinity or a number beyond 2^53; a key twice; half of a character; nested
            deeper than a parser goes. Says which.
    """
    try:
        value = json.loads(
            data.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_int=_parse_int,
            parse_float=_parse_float,
            object_pairs_hook=_build_object,
        )
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    try:
        canonical_json(value).encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError("a text holds half of a character") from error
    return value


def check_small_json(value: Any, most_characters: int) -> Any:
    """The value itself, if it is shallow and short.

    Raises:
        ValueError: nested deeper than 6, or longer than so many characters.
    """
    if _measure_depth(value, 0) > _DEEPEST:
        raise ValueError(f"is nested deeper than {_DEEPEST}")
    length = len(canonical_json(value))
    if length > most_characters:
        raise ValueError(f"is {length} characters long, the most are {most_characters}")
    return value


def _measure_depth(value: Any, depth: int) -> int:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if depth > _DEEPEST:
        return depth
    return max((_measure_depth(child, depth + 1) for child in children), default=depth)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _parse_int(digits: str) -> int:
    number = int(digits) if len(digits) <= _LONGEST_NUMBER else _LARGEST + 1
    if abs(number) > _LARGEST:
        raise ValueError("a number is beyond 2^53")
    return number


def _parse_float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number) or abs(number) > _LARGEST:
        raise ValueError("a number is beyond 2^53")
    return number


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("an object has a key twice")
    return value
