"""The dataset cards: README.md of the release and of its WebDataset mirror, from the edition alone."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from cspine_bench.dataset.splits import STRATA
from cspine_bench.release.edition import Edition
from cspine_bench.release.facts import ReleaseFacts
from cspine_bench.release.layout import MIRROR_SUFFIX, SCHEMA_NAME
from cspine_bench.release.papers import account, columns, evidence, limits
from cspine_bench.release.papers.citation import build_bibtex
from cspine_bench.release.papers.figures import ALIGNMENT_TITLES, faces_one_way
from cspine_bench.release.papers.header import render_header, render_mirror_header
from cspine_bench.release.papers.statements import (
    build_summary,
    find_notice,
    find_training,
    find_url,
    hub_page,
    name_creator,
)
from cspine_bench.release.papers.templates import render_template
from cspine_bench.release.recipe import ReleaseRecipe

_CARD: Final = "README.md.j2"
_MIRROR_CARD: Final = "README-wds.md.j2"
_STRATA_NAMES: Final = {"age_band": "age band"}


def render_card(edition: Edition) -> str:
    """README.md of a release: the YAML that `load_dataset` follows, and the dataset card for people.

    The same edition gives the same text.
    """
    return render_template(_CARD, {"header": render_header(edition), **build_context(edition)})


def render_mirror_card(edition: Edition, *, shard_bytes: Mapping[str, int]) -> str:
    """README.md of the WebDataset mirror.

    Args:
        edition: of the release.
        shard_bytes: size of each tar by its path, `data/SPLIT-NNNNN-of-NNNNN.tar`.
    """
    header = render_mirror_header(edition, shard_bytes=shard_bytes)
    size = account.format_bytes(sum(shard_bytes.values()))
    values = {"header": header, "num_tars": len(shard_bytes), "size": size, **build_context(edition)}
    return render_template(_MIRROR_CARD, values)


def build_context(edition: Edition) -> dict[str, Any]:
    """All that the templates of cards and datasheet may say."""
    recipe, manifest, facts = edition.recipe, edition.manifest, edition.facts
    path = recipe.hub_id or f"PATH/TO/{recipe.name}"
    first = next(iter(facts.num_samples))
    shards = [shard.path for shard in manifest.shards if shard.split == first]
    return {
        "recipe": recipe,
        "manifest": manifest,
        "facts": facts,
        "notice": find_notice(edition),
        "notice_more": limits.qualify_notice(edition),
        # The notice stands above it already.
        "summary": build_summary(edition).removesuffix(find_notice(edition)).rstrip(),
        "trained": limits.is_trained(edition),
        "training": find_training(recipe, manifest),
        "training_recorded": account.list_recorded_training(edition),
        "creators": [name_creator(creator) for creator in recipe.creators],
        "url": find_url(recipe),
        "mirrored": edition.mirrored,
        "path": path,
        "mirror_path": f"{path}{MIRROR_SUFFIX}",
        "mirror_files": _find_mirror_files(recipe),
        "skeleton": any("skeleton" in str(kind) for kind in facts.count("condition_kind")),
        "on_hub": recipe.hub_id is not None,
        "first_split": first,
        "first_tars": _expand(shards),
        "stream_columns": _list_stream_columns(facts),
        "deep": any(bits == 16 for _, _, bits in facts.sizes),
        "schema_name": SCHEMA_NAME,
        "column_groups": columns.GROUPS,
        "strata": [_STRATA_NAMES.get(name, name) for name in STRATA],
        "figures": {name: _describe_figure(name, facts) for name in map(_plain_name, edition.figures)},
        "samples": edition.samples,
        "fact_rows": account.list_facts(edition),
        "splits": account.list_splits(facts),
        "classes": account.list_classes(facts),
        "alignment": account.list_alignment(facts),
        "label_sources": account.list_label_sources(facts),
        "making": account.list_making(edition),
        "known": {name: account.count_known(facts, name) for name in _TOLD_OF_COMPLETENESS},
        "memorization": evidence.list_memorization(edition),
        "fidelity": evidence.list_fidelity(edition),
        "others": evidence.list_others(edition),
        "direct_uses": limits.list_direct_uses(edition),
        "out_of_scope": limits.OUT_OF_SCOPE,
        "limits": limits.list_limits(edition),
        "bibtex": _spread_braces(build_bibtex(edition)),
        "not_stated": account.NOT_STATED,
    }  # fmt: skip


_TOLD_OF_COMPLETENESS: Final = (
    "facing", "label_source", "curvature", "cobb_c2_c7_deg", "sva_mm", "cci_percent", "sex", "age", "disease",
)  # fmt: skip


def _spread_braces(bibtex: str) -> str:
    """Braces in a row, and "%}", look like an unfilled template; BibTeX drops blanks at the ends of a field."""
    return re.sub(r"([{}])(?=\1)|%(?=})|{(?=%)", r"\g<0> ", bibtex)


def _list_stream_columns(facts: ReleaseFacts) -> list[str]:
    known = {"image": True, "mask": any(facts.num_masks.values()), "landmarks_xy": facts.num_points > 0}
    return [name for name, there in known.items() if there]


def _find_mirror_files(recipe: ReleaseRecipe) -> str:
    """Where `webdataset`, which knows no Hub, finds the mirror: at its address there, or in its folder."""
    if recipe.hub_id is None:
        return f"PATH/TO/{recipe.name}{MIRROR_SUFFIX}"
    return f"{hub_page(recipe.hub_id)}{MIRROR_SUFFIX}/resolve/v{recipe.version}"


def _plain_name(figure: str) -> str:
    return PurePosixPath(figure).stem


def _expand(shards: list[str]) -> str:
    """Tars of a split as one pattern, `train-{00000..00003}-of-00004.tar`."""
    last = len(shards) - 1
    numbers = "00000" if last == 0 else f"{{00000..{last:05d}}}"
    name = PurePosixPath(shards[0]).name.removesuffix(".parquet")
    return re.sub(r"-\d{5}-", f"-{numbers}-", name, count=1) + ".tar"


def _describe_figure(name: str, facts: ReleaseFacts) -> tuple[str, str]:
    """What a figure shows, for those who do not see it, and its caption."""
    match name:
        case "samples":
            return (
                "Contact sheet: the first synthetic radiographs of the dataset, with outlines and landmarks if "
                "there are any",
                "The first radiographs in the order of the rows, which is shuffled; not chosen.",
            )
        case "class_balance":
            shares = ", ".join(
                f"{value or 'not labelled'} {count / facts.total * 100:.1f} %"
                for value, count in sorted(facts.count("curvature").items(), key=lambda item: -item[1])
            )
            return (
                f"Bars: share of each curvature class by split; over all splits {shares}",
                "Curvature classes by split. Intervals are for the generator's share; the counts themselves are exact.",
            )
        case "landmark_spread":
            if faces_one_way(facts):
                return (
                    "Plot: mean position of each landmark of C2 to C7 in the image, with an ellipse of one standard "
                    "deviation",
                    "Gray: where labelled landmarks lie (darker: more, by the square root). Orange: mean of each "
                    "landmark, with one standard deviation across and down. Blue: vertebrae through the means.",
                )
            return (
                "Plot: where labelled landmarks lie in the image",
                "Darker: more landmarks, by the square root. No means are drawn, because radiographs face different "
                "ways.",
            )
        case "alignment":
            parts = "; ".join(
                f"{ALIGNMENT_TITLES[key]}: mean {item.mean:.1f}, SD {item.sd:.1f}, {item.low:.1f} to {item.high:.1f}"
                for key, item in facts.alignment.items()
            )
            return (
                f"Histograms of alignment parameters. {parts}",
                "Alignment, computed from the landmarks; the line is the mean. Values beyond the ends count in the "
                "bins there.",
            )
        case "age_and_sex":
            sexes = ", ".join(f"{value or 'not known'} {count:,}" for value, count in facts.count("sex").items())
            return f"Bars: ages by sex, and sexes by split; {sexes}", "Ages and sexes of the people that were made up."
        case _:
            return name.replace("_", " "), ""
