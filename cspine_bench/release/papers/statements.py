"""What several papers say in the same words: the notice, the summary, where the release is, what it was made from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from cspine_bench.dataset.encode import MARK_OF_KIND
from cspine_bench.dataset.manifest import Manifest
from cspine_bench.release.edition import Edition
from cspine_bench.release.layout import NOTICE_PROCEDURAL, NOTICE_TRAINED
from cspine_bench.release.recipe import Creator, ReleaseRecipe, TrainingData

METHOD_ARXIV: Final = "2510.22166"
"""The preprint of the scientific model that this package follows."""
_NOBODYS: Final = frozenset(kind for kind, mark in MARK_OF_KIND.items() if mark == "procedural")
"""Kinds of source that no patient stood for."""

TrainingStatus = Literal["not applicable", "no patients", "named", "not stated"]


@dataclass(frozen=True)
class Training:
    """What is known of the data that the generator learned from.

    Attributes:
        status: "not applicable": nothing was learned; "no patients": phantoms alone, as the generator recorded;
            "named": by the publisher; "not stated": neither.
        summary: the same as a sentence.
        datasets: that the publisher names, where something was learned.
        recorded: what the generator noted when it sampled of the dataset folder it was trained on: `dataset_sha256` of
            its manifest, `num_films`, and `sources` (films by kind, empty: not noted); None where it noted nothing.
    """

    status: TrainingStatus
    summary: str
    datasets: tuple[TrainingData, ...]
    recorded: dict[str, Any] | None

    @property
    def stated(self) -> bool:
        """Whether a reader learns what the images come from."""
        return self.status != "not stated"


def find_training(recipe: ReleaseRecipe, manifest: Manifest) -> Training:
    """What the images were learned from: by the generator's own record first, then by the recipe.

    Args:
        recipe: its `training_data` names the films.
        manifest: of the dataset; a trained generator leaves `training_data` in its source.
    """
    if manifest.source.get("kind") in _NOBODYS:
        summary = "Not applicable: the images are drawn by an analytic phantom, which learns from no data."
        # Data that a recipe names all the same made none of these images: no paper may say that they did.
        return Training("not applicable", summary, (), None)
    recorded = _read_record(manifest.source.get("training_data"))
    patients = any(item.patients for item in recipe.training_data)
    if recorded is not None and recorded["sources"] and set(recorded["sources"]) <= _NOBODYS and not patients:
        summary = f"Analytic phantom, no patients: {sum(recorded['sources'].values()):,} drawn radiographs."
        return Training("no patients", summary, recipe.training_data, recorded)
    if recipe.training_data:
        summary = "; ".join(_describe_training(item) for item in recipe.training_data) + "."
        return Training("named", summary, recipe.training_data, recorded)
    summary = "Not stated: the publisher did not name the training data."
    return Training("not stated", summary, (), recorded)


def _read_record(values: Any) -> dict[str, Any] | None:
    if not isinstance(values, Mapping):
        return None
    sha256, films, sources = values.get("dataset_sha256"), values.get("num_films"), values.get("sources")
    counts = sources if isinstance(sources, Mapping) else {}
    return {
        "dataset_sha256": sha256 if isinstance(sha256, str) else None,
        "num_films": films if isinstance(films, int) else None,
        "sources": {str(kind): number for kind, number in sorted(counts.items()) if isinstance(number, int)},
    }


def _describe_training(item: TrainingData) -> str:
    whose = "images of patients" if item.patients else "no images of patients"
    licence = item.license or "licence not stated"
    return f"{item.name}{'' if item.version is None else f' {item.version}'} ({whose}; {licence})"


def find_notice(edition: Edition) -> str:
    """The one sentence that stands in the first lines of every paper."""
    return NOTICE_PROCEDURAL if edition.manifest.source.get("kind") in _NOBODYS else NOTICE_TRAINED


def find_url(recipe: ReleaseRecipe) -> str | None:
    """Page of the release: as stated, else on the Hub, else of its DOI; None: it has none yet."""
    if recipe.url is not None:
        return recipe.url
    if recipe.hub_id is not None:
        return hub_page(recipe.hub_id)
    return None if recipe.doi is None else f"https://doi.org/{recipe.doi}"


def hub_page(hub_id: str) -> str:
    """Page of a dataset on the Hugging Face Hub."""
    return f"https://huggingface.co/datasets/{hub_id}"


def name_creator(creator: Creator) -> str:
    """Given names, then family name; or the name of a body."""
    return creator.name if creator.given_names is None else f"{creator.given_names} {creator.name}"


def name_generators(edition: Edition) -> str:
    """Every generator that the rows name, with its versions."""
    names = _sort_known(edition.facts.count("generator"))
    versions = ", ".join(_sort_known(edition.facts.count("generator_version")))
    return f"{', '.join(names) or 'a generator that is not stated'}{f' {versions}' if versions else ''}"


def _sort_known(counts: Mapping[Any, int]) -> list[str]:
    return sorted(str(value) for value in counts if value is not None)


def build_summary(edition: Edition) -> str:
    """A paragraph: the publisher's description or, without one, what the rows hold; the notice is always in it."""
    notice = find_notice(edition)
    text = edition.recipe.description
    if text is None:
        text = _describe_rows(edition)
    return text if notice in text else f"{text} {notice}"


def _describe_rows(edition: Edition) -> str:
    facts = edition.facts
    sizes = sorted({f"{width} x {height} px" for width, height, _ in facts.sizes})
    size = sizes[0] if len(sizes) == 1 else f"{len(sizes)} sizes"
    noun = "radiograph" if facts.total == 1 else "radiographs"
    splits = ", ".join(f"{number:,} {split}" for split, number in facts.num_samples.items())
    return (
        f"{facts.total:,} synthetic lateral cervical-spine {noun} of {size} ({splits}), made by "
        f"{name_generators(edition)}. All 23 landmarks are given for {sum(facts.num_landmarked.values()):,}, "
        f"a vertebra mask for {sum(facts.num_masks.values()):,}."
    )
