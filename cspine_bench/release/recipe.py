"""What the publisher decides about a release: names, version, licence, people, and the terms of the training data."""

import datetime
import re
import unicodedata
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from cspine_bench.recipe import Recipe

ANONYMOUS: Final = "Anonymous"

_KEPT_CONTROLS: Final = "\n\t\f"
_HUB_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?")


def _refuse_controls(text: str) -> str:
    for sign in text:
        if unicodedata.category(sign) == "Cc" and sign not in _KEPT_CONTROLS:
            raise ValueError(f"it holds the control character {sign!r}, which files of text cannot carry")
    return text


def _check_hub_id(text: str) -> str:
    owner, _, name = text.partition("/")
    if not all(_HUB_NAME.fullmatch(part) and not re.search(r"--|\.\.|\.git$", part) for part in (owner, name)):
        raise ValueError(
            "it has the form owner/name, each of at most 96 letters, digits, `-`, `_` and `.`, neither `--` nor `..` "
            "in it, and no `-`, `.` or `.git` at the ends"
        )
    return text


def _check_orcid(text: str) -> str:
    """Source: ISO 7064, MOD 11-2, as orcid.org describes the structure of its identifiers."""
    plain = text.replace("-", "")
    total = 0
    for digit in plain[:-1]:
        total = (total + int(digit)) * 2
    if plain[-1] != "0123456789X"[(12 - total % 11) % 11]:
        raise ValueError("its last digit does not fit the others; copy it again from orcid.org")
    return text


def _refuse_number(value: Any) -> Any:
    if isinstance(value, int | float):
        raise ValueError("a date is written YEAR-MONTH-DAY, for example 2026-11-23")
    return value


Slug = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$")]
_VERSION: Final = r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?"
Version = Annotated[str, StringConstraints(pattern=f"^{_VERSION}$", max_length=80)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(_refuse_controls)]
Line = Annotated[Text, AfterValidator(lambda text: " ".join(text.split()))]
"""On one line, however the recipe's YAML breaks it: some papers have no place for a second one."""
HubId = Annotated[str, AfterValidator(_check_hub_id)]
Doi = Annotated[Text, StringConstraints(pattern=r"^10\.[0-9]{4,9}/\S+$")]
Orcid = Annotated[
    str, StringConstraints(pattern=r"^[0-9]{4}-[0-9]{4}-[0-9]{4}-[0-9]{3}[0-9X]$"), AfterValidator(_check_orcid)
]
Url = Annotated[Text, StringConstraints(pattern=r"^https?://[^\s<>\"\\^`{|}]+$")]


class Creator(Recipe):
    """A person, or a body where `given_names` is left out."""

    name: Line = Field(description="Family name of a person, or the name of a body.")
    given_names: Line | None = None
    orcid: Orcid | None = None
    affiliation: Line | None = None


class TrainingData(Recipe):
    """A dataset that the generator was trained on, and under which terms."""

    name: Line
    version: Line | None = None
    url: Url | None = None
    doi: Doi | None = None
    license: Text | None = Field(default=None, description="SPDX id or a sentence. Null: not known, and said so.")
    terms: Text | None = Field(default=None, description="Data use agreement, ethics approval: what binds the outputs.")
    patients: bool = Field(description="Whether it holds images of patients.")


class ReleaseRecipe(Recipe):
    """Settings of `release build`. What is left out is taken from the dataset or said to be unknown."""

    name: Slug | None = Field(default=None, description="Short name. Null: that of the output folder.")
    title: Line | None = Field(default=None, description="Null: made from what the dataset holds.")
    description: Text | None = Field(default=None, description="A paragraph for the card. Null: made from the data.")
    version: Version = "1.0.0"
    date: Annotated[datetime.date, BeforeValidator(_refuse_number)] | None = Field(
        default=None, description="Of publication. Null: $SOURCE_DATE_EPOCH, or today (UTC); it is recorded."
    )
    license: Text | None = Field(
        default=None, description="SPDX id. Null: CC-BY-4.0, unless real films were trained on: then it must be named."
    )
    license_text: Text | None = Field(
        default=None, description="Text of a licence that is not shipped here; call it `LicenseRef-NAME`."
    )
    creators: tuple[Creator, ...] = Field(default=(), description="Empty: the citation says Anonymous.")
    contact: Text | None = Field(default=None, description="Where to write for questions and take-down.")
    hub_id: HubId | None = Field(default=None, description="owner/name on the Hugging Face Hub.")
    doi: Doi | None = None
    url: Url | None = Field(default=None, description="Page of the release. Null: that of `hub_id`, if it is given.")
    code_url: Url | None = Field(default=None, description="Where the code of the generator is.")
    training_data: tuple[TrainingData, ...] = ()
    purpose: Text | None = Field(default=None, description="Why the dataset was made.")
    funding: Text | None = None
    ethics: Text | None = Field(default=None, description="Approval, or why none was needed.")
    changes: tuple[Text, ...] = Field(default=(), description="What is new in this version, a line each.")
    supersedes: Version | None = None
    keywords: tuple[Text, ...] = ("synthetic data", "cervical spine", "radiograph", "landmarks", "segmentation")

    @model_validator(mode="after")
    def _version_moves_on(self) -> Self:
        if self.supersedes is not None and order_version(self.supersedes) >= order_version(self.version):
            raise ValueError(f"version {self.version} cannot supersede {self.supersedes}; raise `version`")
        return self


def is_version(text: str) -> bool:
    """Whether a text is a version number as `Version` allows it."""
    return re.fullmatch(_VERSION, text) is not None


def order_version(version: str) -> tuple[Any, ...]:
    """What versions are compared by. Source: Semantic Versioning 2.0.0, section 11.

    Args:
        version: as `Version` allows it.
    """
    numbers, _, before = version.partition("-")
    parts = tuple((not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in before.split("."))
    return *(int(part) for part in numbers.split(".")), not before, parts


def is_spdx(text: str) -> bool:
    """Whether a licence is written as one SPDX identifier."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]*", text) is not None
