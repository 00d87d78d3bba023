"""The protocol: what was decided before the first answer, in one file that never changes, and its hash."""

import hashlib
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cspine_bench.errors import DataError
from cspine_bench.results import Digest, Input
from cspine_bench.study.recipe import StudyRecipe

PROTOCOL_VERSION: Final = "1"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Hypotheses(_Frozen):
    """In words, from the recipe, so that nobody has to read code to know what was asked."""

    primary: str
    equivalence: str
    ratings: str
    agreement: str
    order: str = Field(description="In which order they are looked at, and what each needs of the one before.")


class Source(_Frozen):
    """Where images come from. `dataset` is None for images that the plan made itself, such as controls."""

    name: str
    role: Literal["real", "synthetic", "positive-control"]
    dataset: Input | None
    drawn: Annotated[int, Field(ge=0)] = Field(description="Images of it in the study.")


class FramesFile(_Frozen):
    """The pixels as they are shown: one row of fixed length for each frame, in an order that tells nothing."""

    count: Annotated[int, Field(ge=1)]
    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]
    bit_depth: Literal[8, 16]
    sha256: Digest
    frame_sha256: tuple[Digest, ...] = Field(description="Of each frame's bytes.")
    window: tuple[float, float] = Field(description="Centre and width at which every image opens, gray levels.")
    resampled: bool | None = Field(None, description="Whether all images were brought to this size, or none was.")


class LeakAudit(_Frozen):
    """What a classifier tells from features that are no anatomy.

    Args:
        auc: cross-validated, real against synthetic, over all features.
        low: lower end of its interval.
        high: upper end.
        by_features: AUC of each family of features alone.
        by_source: AUC of all features, real against one synthetic source.
        neutralised: AUC of what the source files would have told, and the study does not send.
        limit: above which the plan is refused.
        overridden: why it was kept all the same, or "".
        method: of AUC and interval.
        num_real: images.
        num_synthetic: images.
    """

    auc: float
    low: float
    high: float
    by_features: dict[str, float]
    by_source: dict[str, float] = {}
    neutralised: dict[str, float] = {}
    limit: float
    overridden: str = ""
    method: str
    num_real: int
    num_synthetic: int


class Protocol(_Frozen):
    """Everything that a reader of the results needs to know was fixed."""

    protocol_version: Literal["1"] = PROTOCOL_VERSION
    recipe: StudyRecipe
    hypotheses: Hypotheses
    exclusions: tuple[str, ...] = Field(description="What is left out of which analysis; nothing else ever is.")
    readers: tuple[str, ...]
    sources: tuple[Source, ...]
    frames: FramesFile
    matching: dict[str, Any] = Field(description="Strata, and how many candidates each rule left out.")
    leak_audit: LeakAudit
    schedule_sha256: Digest
    truth_sha256: Digest = Field(description="Salted: which frame is real can be proved later, and not guessed now.")
    seed: Annotated[int, Field(ge=0)]
    package_version: str
    commit: str | None
    rehearsal: str = Field("", description="Why this is no study of real images; empty: nothing says so.")


def spell_leaks(protocol: Protocol | None) -> str:
    """What a verdict says of a leak audit that was overridden; "": none was."""
    if protocol is None or not protocol.leak_audit.overridden:
        return ""
    audit = protocol.leak_audit
    return (
        f"Leaks were known and let through ({audit.overridden}): before the study a program told real from synthetic "
        f"by traces that are no anatomy, AUC {audit.auc:.2f} (95 % interval {audit.low:.2f} to {audit.high:.2f}, limit "
        f"{audit.limit:.2f}), and readers may have seen them too."
    )


def spell_rehearsal(protocol: Protocol | None) -> str:
    """What the verdict of a study begins with if what passed for real is not; "" otherwise."""
    return f"Rehearsal: {protocol.rehearsal}. " if protocol is not None and protocol.rehearsal else ""


def render_protocol(protocol: Protocol) -> bytes:
    """The bytes of `protocol.yaml`."""
    text = yaml.safe_dump(protocol.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)
    return text.encode()


def parse_protocol(data: bytes, *, where: str) -> Protocol:
    """A protocol from the bytes of its file.

    Raises:
        DataError: not a protocol of this version; names the field.
    """
    try:
        return Protocol.model_validate(yaml.safe_load(data.decode()))
    except ValidationError as error:
        first = error.errors()[0]
        found = f"{'.'.join(map(str, first['loc'])) or 'top level'}: {first['msg']}"
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        found = str(error)
    raise DataError(f"{where}: not a study protocol of version {PROTOCOL_VERSION} ({found}); plan the study again")


def compute_protocol_sha256(data: bytes) -> str:
    """Hash of the file's bytes: what every export and every result names."""
    return hashlib.sha256(data).hexdigest()
