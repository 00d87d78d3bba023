"""The result of an evaluation: one JSON model for every measure, so that nobody prints a number without its company.

A figure carries its direction, its interval with the method, and how many samples it used of how many there were; the
result carries what it was measured on (by manifest digest), with which encoder, by which code.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cspine_bench.errors import DataError

RESULT_VERSION: Final = "1.0"

Direction = Literal["higher", "lower", "none"]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][A-Za-z0-9_.-]*(\[\d+\])?$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Interval(_Frozen):
    """Two ends, what they cover, and how they were found."""

    low: Finite
    high: Finite
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    method: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"an interval's low end is at most its high end, got {self.low} and {self.high}")
        return self


class Floor(_Frozen):
    """What real images score against other real images, so that a figure can be read.

    Args:
        value: of two disjoint sets of real images, none of whose patients is in both; a mean where several were drawn.
        low: what such a score can be by chance: lower end.
        high: upper end.
        level: what the two ends cover.
        method: how they were found.
        n_used: images in the two sets.
        matched: the figure itself, at the same numbers of images, for a fair comparison: many figures depend on them.
    """

    value: Finite
    low: Finite
    high: Finite
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    method: Annotated[str, Field(min_length=1)]
    n_used: tuple[Count, Count]
    matched: Finite | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"a floor's low end is at most its high end, got {self.low} and {self.high}")
        return self


class Figure(_Frozen):
    """One number.

    Args:
        name: field's term, for example `frechet_distance`.
        value: of all samples used.
        unit: "" where it has none; "mm", "deg", "share".
        direction: which is better, higher or lower values.
        interval: None where none was computed; such a figure passes no gate.
        n_used: samples that it rests on, by input role.
        n_available: samples that there were, by input role.
        subgroup: what the samples have in common, for example {"sex": "female"}; empty: all.
        condition: how it was measured, or what was done to the images before, for example {"degradation": "blur 2 px"};
            empty: as they are.
        floor: what real images score against real ones; None where that makes no sense, or was not measured.
        note: one sentence that a reader needs, or "".
    """

    name: Name
    value: Finite
    unit: str = ""
    direction: Direction
    interval: Interval | None
    n_used: dict[str, Count]
    n_available: dict[str, Count]
    subgroup: dict[str, str] = {}
    condition: dict[str, str] = {}
    floor: Floor | None = None
    note: str = ""


class Input(_Frozen):
    """A dataset that was measured: its role (real, synthetic, train, holdout), name, and manifest digest."""

    role: Name
    name: str
    digest: Digest
    num_samples: Count


class EncoderUsed(_Frozen):
    """The image encoder of a distribution score; without it such a score means nothing."""

    name: str
    weights_sha256: Digest | None
    resize: str
    bit_depth: Literal[8, 16]


class Result(_Frozen):
    """The whole of a result file."""

    schema_version: Literal["1.0"] = RESULT_VERSION
    measure: Name
    measure_version: str
    inputs: tuple[Input, ...]
    encoder: EncoderUsed | None = None
    settings: dict[str, Any] = {}
    figures: tuple[Figure, ...]
    verdict: str = Field(default="", description="The finding in one or two sentences, for a card.")
    seed: Count | None = None
    package_version: str
    commit: str | None = None
    device: str | None = None
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None


def render_result(result: Result) -> bytes:
    """The bytes of a result file."""
    values = result.model_dump(mode="json")
    return (json.dumps(values, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def parse_result(data: bytes, *, where: str) -> Result:
    """A result from the bytes of its file.

    Raises:
        DataError: not a result of this version; names the field.
    """
    try:
        return Result.model_validate(json.loads(data))
    except (ValueError, RecursionError) as error:
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            found = f"{'.'.join(map(str, first['loc'])) or 'top level'}: {first['msg']}"
        else:
            found = str(error) or type(error).__name__
        raise DataError(
            f"{where}: not a result file of version {RESULT_VERSION} ({found}); "
            "give one that `cspine-bench evaluate`, `baseline run` or `study analyze` wrote"
        ) from error


def load_result(path: Path) -> Result:
    """Read a result file.

    Raises:
        DataError: it cannot be read, or is no result.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    return parse_result(data, where=str(path))
