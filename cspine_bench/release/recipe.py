"""What the publisher decides about a release: names, version, licence, people, and the terms of the training data."""

import datetime
import re
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from cspine_bench.recipe import Recipe

ANONYMOUS: Final = "Anonymous"

Slug = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$")]
Version = Annotated[str, StringConstraints(pattern=r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?$")]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Line = Annotated[Text, AfterValidator(lambda text: " ".join(text.split()))]
"""On one line, however the recipe's YAML breaks it: some papers have no place for a second one."""
HubId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")]
Doi = Annotated[str, StringConstraints(pattern=r"^10\.\d{4,9}/\S+$")]
Orcid = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{4}-\d{4}-\d{3}[\dX]$")]
Url = Annotated[str, StringConstraints(pattern=r"^https?://\S+$")]


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
    date: datetime.date | None = Field(
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
        if self.supersedes is not None and self.supersedes == self.version:
            raise ValueError(f"version {self.version} cannot supersede itself; raise `version`")
        return self


def is_spdx(text: str) -> bool:
    """Whether a licence is written as one SPDX identifier."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]*", text) is not None
