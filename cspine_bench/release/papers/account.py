"""What the rows are and how they were made, as rows of tables and sentences: from counts and the manifest alone."""

from collections.abc import Mapping
from typing import Any, Final

from cspine_bench.anatomy.landmarks import LEVELS
from cspine_bench.release.edition import Edition
from cspine_bench.release.facts import ALIGNMENT, ReleaseFacts
from cspine_bench.release.papers.evidence import format_number
from cspine_bench.release.papers.figures import ALIGNMENT_TITLES
from cspine_bench.release.papers.header import count_data_bytes
from cspine_bench.release.papers.statements import find_training, name_generators

NOT_STATED: Final = "not stated"
_MOST_VALUES: Final = 6
LABEL_SOURCES: Final = {
    "exact": "known before the image was: the pixels are computed from the same geometry",
    "conditioned": "drawn first, then given to the generator as its condition; the image was asked to follow, and may "
    "depart from them",
    "measured": "annotated by a trained model once the image was there; its errors are in them",
    "reader": "annotated by people",
    None: "no labels",
}
_PLANES: Final = {
    "patient": "in the midsagittal plane, so that magnification is corrected for",
    "detector": "in the plane of the detector, so that lengths are magnified",
    "unknown": "in a plane that is not known",
    None: "no spacing",
}
_MADE: Final = {
    "generator": "generator",
    "generator_version": "its version",
    "run_id": "run",
    "weights_sha256": "weights, SHA-256",
    "recipe_sha256": "recipe, SHA-256",
    "sampler": "sampler",
    "num_steps": "steps",
    "guidance_scale": "guidance scale",
    "condition_kind": "condition",
    "dtype": "arithmetic",
    "device": "kind of device",
}
_HASHES: Final = ("run_id", "weights_sha256", "recipe_sha256")


def list_facts(edition: Edition) -> list[tuple[str, str]]:
    """The table at the top of a card: name and value."""
    recipe, facts = edition.recipe, edition.facts
    shards = [shard for shard in edition.manifest.shards if shard.num_rows]
    splits = ", ".join(f"{count:,} {split}" for split, count in facts.num_samples.items())
    rows = [
        ("radiographs", f"{facts.total:,}: {splits}"),
        ("image", f"{describe_views(edition)}; PNG, one gray channel: {describe_sizes(facts)}"),
        ("pixel spacing", describe_spacing(facts)),
        ("landmarks", f"23 points of C2 to C7; all 23 in {_share(sum(facts.num_landmarked.values()), facts.total)}"),
        ("masks", describe_masks(facts)),
        ("class labels", describe_known(facts)),
        ("label source", "; ".join(f"{name}: {count:,}" for name, count in list_label_counts(facts))),
        ("made by", name_generators(edition)),
        ("trained on", find_training(recipe, edition.manifest).summary.rstrip(".")),
        ("size", f"{format_bytes(count_data_bytes(edition.manifest))} in {_count(len(shards), 'Parquet file')}"),
        ("version", f"{recipe.version} of {recipe.date}"),
        ("licence", f"[{recipe.license}](LICENSE)"),
        ("DOI", "none stated" if recipe.doi is None else f"[{recipe.doi}](https://doi.org/{recipe.doi})"),
    ]
    return rows


def describe_views(edition: Edition) -> str:
    """Which way the radiographs were taken, and which way they face."""
    recipe = edition.manifest.source.get("recipe")
    angles = recipe.get("view_angles_deg") if isinstance(recipe, Mapping) else None
    if angles and any(angle != 0 for angle in angles):
        views = f"cervical spine, views at {', '.join(map(_plain, angles))} degrees (0 is lateral)"
    else:
        views = "lateral cervical spine"
    facing = [(value, count) for value, count in _sort(edition.facts.count("facing")) if value is not None]
    if len(facing) == 1 and facing[0][1] == edition.facts.total:
        return f"{views}, facing {facing[0][0]}"
    return views + "".join(f", {count:,} facing {value}" for value, count in facing)


def describe_sizes(facts: ReleaseFacts) -> str:
    """Pixels and bits of the images, the most frequent first."""
    ordered = sorted(facts.sizes.items(), key=lambda item: (-item[1], item[0]))
    parts = [f"{width} x {height} px, {bits} bit ({count:,})" for (width, height, bits), count in ordered]
    if len(parts) == 1:
        return parts[0].rsplit(" (", 1)[0]
    return _cut(parts, "size")


def describe_spacing(facts: ReleaseFacts) -> str:
    """Millimetres of a pixel, and in which plane."""
    moments = facts.pixel_spacing_mm
    if moments is None:
        return "not known"
    planes = "; ".join(
        f"{_PLANES.get(plane, plane)}: {count:,}"
        if len(facts.count("pixel_spacing_plane")) > 1
        else str(_PLANES[plane])
        for plane, count in _sort(facts.count("pixel_spacing_plane"))
    )
    size = f"mean {moments.mean:.3g} mm, SD {moments.sd:.2g}, {moments.low:.3g} to {moments.high:.3g}"
    return f"{size}; known of {_share(moments.num, facts.total)}; {planes}"


def describe_masks(facts: ReleaseFacts) -> str:
    """How many masks, and what they annotate."""
    text = _share(sum(facts.num_masks.values()), facts.total)
    levels = [(value, count) for value, count in _sort(facts.count("mask_levels")) if value is not None]
    if not levels:
        return text
    if len(levels) == 1:
        return f"{text}; they annotate {_span(levels[0][0])}"
    return f"{text}; they annotate " + _cut([f"{_span(value)} ({count:,})" for value, count in levels], "choice")


def describe_known(facts: ReleaseFacts) -> str:
    """How many radiographs carry each class label."""
    parts = []
    for name in ("curvature", "sex", "age", "disease"):
        known = count_known(facts, name)
        parts.append(f"{name} {'all' if known == facts.total else f'{known:,}' if known else 'none'}")
    return ", ".join(parts)


def count_known(facts: ReleaseFacts, name: str, split: str | None = None) -> int:
    """Radiographs whose `name` is known: a counted column, `age`, or one of the alignment parameters (all splits)."""
    if name == "age":
        return sum(n for (where, age), n in facts.ages.items() if age is not None and split in (None, where))
    if name in ALIGNMENT:
        return facts.alignment[name].num if name in facts.alignment else 0
    return sum(number for value, number in facts.count(name, split).items() if value is not None)


def list_label_counts(facts: ReleaseFacts) -> list[tuple[str, int]]:
    """Where labels come from, and of how many radiographs."""
    return [(name or "no labels", count) for name, count in _sort(facts.count("label_source"))]


def list_label_sources(facts: ReleaseFacts) -> list[tuple[str, str, str]]:
    """Name, number and meaning of each source of labels that occurs."""
    return [
        (name or "no labels", f"{count:,}", LABEL_SOURCES[name]) for name, count in _sort(facts.count("label_source"))
    ]


def list_splits(facts: ReleaseFacts) -> list[tuple[str, int, int, int, int]]:
    """Split, radiographs, groups, with mask, with all landmarks."""
    return [
        (split, count, facts.num_groups[split], facts.num_masks[split], facts.num_landmarked[split])
        for split, count in facts.num_samples.items()
    ]


def list_classes(facts: ReleaseFacts) -> list[tuple[str, ...]]:
    """Rows: label, value, number in each split, share of all; only labels that are known of any radiograph."""
    rows = []
    for name in ("curvature", "sex", "disease", "facing", "artefact"):
        if not count_known(facts, name):
            continue
        for value, total in _sort(facts.count(name)):
            numbers = [f"{facts.count(name, split).get(value, 0):,}" for split in facts.num_samples]
            rows.append(
                (name, NOT_GIVEN if value is None else str(value), *numbers, f"{total / facts.total * 100:.1f} %")
            )
    if count_known(facts, "age"):
        for band, total in facts.count_age_bands().items():
            numbers = [f"{facts.count_age_bands(split).get(band, 0):,}" for split in facts.num_samples]
            name = f"{band} years" if band != "unknown" else NOT_GIVEN
            rows.append(("age", name, *numbers, f"{total / facts.total * 100:.1f} %"))
    return rows


NOT_GIVEN: Final = "not given"


def list_alignment(facts: ReleaseFacts) -> list[tuple[str, ...]]:
    """Rows: column, meaning, known of, mean, SD, least, greatest."""
    return [
        (
            f"`{name}`", ALIGNMENT_TITLES[name], f"{item.num:,}",
            *(f"{number:.1f}" for number in (item.mean, item.sd, item.low, item.high)),
        )
        for name, item in facts.alignment.items()
    ]  # fmt: skip


def list_making(edition: Edition) -> list[tuple[str, str]]:
    """How the images were made: name and values, each with its number where there are several."""
    source = edition.manifest.source
    steps = {item["weights_sha256"]: item for item in source.get("checkpoints", ()) if "weights_sha256" in item}
    rows = []
    for column, title in _MADE.items():
        counts = _sort(edition.facts.count(column))
        if all(value is None for value, _ in counts):
            continue
        parts = []
        for value, count in counts:
            text = NOT_GIVEN if value is None else f"`{value}`" if column in _HASHES else _plain(value)
            if value in steps and "step" in steps[value]:
                text += f" (step {steps[value]['step']:,})"
            parts.append(text if len(counts) == 1 else f"{text}: {count:,}")
        rows.append((title, _cut(parts, "value", most=12)))
    if "seed" in source:
        rows.append(("seed of the images", str(source["seed"])))
    libraries = source.get("libraries")
    if isinstance(libraries, Mapping) and libraries:
        rows.append(("libraries", ", ".join(f"{name} {version}" for name, version in libraries.items())))
    rows.append(("left out", _describe_rejected(edition)))
    commit = "" if edition.commit is None else f", commit `{edition.commit}`"
    rows.append(("packaged with", f"cspine-bench {edition.package_version}{commit}"))
    return rows


def _describe_rejected(edition: Edition) -> str:
    rules = edition.manifest.source.get("reject")
    rejected = len(edition.manifest.rejected)
    text = f"{_count(rejected, 'image')} of {rejected + edition.facts.total:,}"
    if isinstance(rules, Mapping) and rules:
        limits = ", ".join(f"{name} (limit {_plain(limit)})" for name, limit in rules.items())
        return f"{text}, by the rules {limits}; `dataset.json` gives each reason"
    return text if rejected == 0 else f"{text}; `dataset.json` gives each reason"


def list_recorded_training(edition: Edition) -> list[str]:
    """What the generator itself noted of its training films, as sentences."""
    recorded = find_training(edition.recipe, edition.manifest).recorded
    if recorded is None:
        return []
    lines = []
    if isinstance(recorded.get("num_films"), int):
        lines.append(f"{recorded['num_films']:,} films in its train split.")
    sources = recorded.get("sources")
    if isinstance(sources, Mapping) and sources:
        lines.append("By kind of source: " + ", ".join(f"{kind} {count:,}" for kind, count in sources.items()) + ".")
    if isinstance(recorded.get("dataset_sha256"), str):
        lines.append(f"Manifest of that dataset: `{recorded['dataset_sha256']}`.")
    return lines


def format_bytes(number: int) -> str:
    """Decimal units, as the Hub shows sizes."""
    for power, unit in ((4, "TB"), (3, "GB"), (2, "MB"), (1, "kB")):
        if number >= 1000**power:
            return f"{number / 1000**power:.3g} {unit}"
    return f"{number} bytes"


def _span(levels: str) -> str:
    names = levels.split(",")
    first = LEVELS.index(names[0])
    in_a_row = tuple(names) == LEVELS[first : first + len(names)] and len(names) > 2
    return f"{names[0]} to {names[-1]}" if in_a_row else ", ".join(names)


def _share(number: int, total: int) -> str:
    return f"{number:,} of {total:,}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _plain(value: Any) -> str:
    return format_number(value) if isinstance(value, float) else str(value)


def _cut(parts: list[str], noun: str, *, most: int = _MOST_VALUES) -> str:
    """The first few, and how many more there are."""
    rest = len(parts) - most
    return "; ".join(parts) if rest <= 0 else f"{'; '.join(parts[:most])}; and {_count(rest, f'other {noun}')}"


def _sort(counts: Mapping[Any, int]) -> list[tuple[Any, int]]:
    """The most frequent first; what is not known last."""
    return sorted(counts.items(), key=lambda item: (item[0] is None, -item[1], str(item[0])))
