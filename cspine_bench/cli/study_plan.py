"""`cspine-bench study plan`: from films and samples to a sealed study, or the reason why there is none."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cspine_bench.cli.options import NEW_PATH, SEED, SPLIT, Printing, printing_options
from cspine_bench.cli.output import NOT_FOR_DIAGNOSIS, format_table, print_note, print_result

if TYPE_CHECKING:
    from cspine_bench.study.folder import StudyFolder
    from cspine_bench.study.plan.sides import Sides
    from cspine_bench.study.protocol import Protocol
    from cspine_bench.study.recipe import StudyRecipe


@click.command()
@click.option("--real", required=True, metavar="DATASET", help="Films that the generator never saw.")
@click.option("--real-split", "splits", multiple=True, type=SPLIT, help="Of them.  [test, if there]")
@click.option(
    "--synthetic", required=True, multiple=True, metavar="[NAME=]DATASET", help="A source, such as a checkpoint."
)
@click.option("--control", metavar="DATASET", help="Obviously synthetic images.  [synthetic ones, spoiled]")
@click.option("--train", metavar="DATASET", help="The generator's training films: none of them is shown.")
@click.option("--recipe", default="quartet", show_default=True, metavar="NAME|FILE", help="Design and analysis.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one of its settings.")
@click.option("--reader", "readers", multiple=True, metavar="NAME", help="A reader's pseudonym.  [R1, R2 ...]")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Decides which images are drawn.")
@click.option("--out", type=NEW_PATH, required=True, help="Folder of the study.")
@click.option("--truth", type=NEW_PATH, metavar="FILE", help="Seal the truth there.  [OUT/sealed/truth.json]")
@click.option("--allow-leaks", default="", metavar="REASON", help="Go on above the leak limit; the protocol keeps why.")
@click.option("--overwrite", is_flag=True, help="Replace another study that has not begun.")
@click.option("--dry-run", is_flag=True, help="Say what would be planned, and write nothing.")
@printing_options
def plan(printing: Printing, **asked: Any) -> None:
    """Draw and match display sets, look for leaks, seal the truth, and freeze the protocol before the first answer.

    \b
    Example:
      cspine-bench study plan --real films --synthetic samples --set cases=20 --out study
    """
    from cspine_bench.study.plan.make import build_plan
    from cspine_bench.study.plan.write import find_plan, write_plan

    sides, recipe = _read(asked)
    out, truth = asked["out"], asked["truth"]
    chosen = {"seed": asked["seed"], "readers": asked["readers"]}
    study = find_plan(out, sides, recipe, overwrite=asked["overwrite"], truth=truth, **chosen)
    if study is None:
        planned = build_plan(sides, recipe, allow_leaks=asked["allow_leaks"], **chosen)
        for note in planned.notes:
            print_note(note, quiet=printing.quiet)
        if asked["dry_run"]:
            print_result(_describe(planned.protocol), _format(planned.protocol), as_json=printing.as_json)
            return
        study = write_plan(planned, out, truth=truth, overwrite=asked["overwrite"])
    else:
        print_note(f"{out}: this very study is planned already; nothing was drawn anew.", quiet=printing.quiet)
    document = _describe(study.protocol, study, truth)
    print_result(document, _format(study.protocol, study, truth), as_json=printing.as_json)


def _read(asked: dict[str, Any]) -> tuple["Sides", "StudyRecipe"]:
    from cspine_bench.recipe import apply_overrides
    from cspine_bench.study.plan.sides import open_sides
    from cspine_bench.study.shipped import open_recipe

    recipe = apply_overrides(open_recipe(asked["recipe"]), asked["overrides"])
    sides = open_sides(
        asked["real"],
        asked["synthetic"],
        real_splits=asked["splits"],
        control=asked["control"],
        train=asked["train"],
    )
    return sides, recipe


def _describe(protocol: "Protocol", study: "StudyFolder | None" = None, truth: Path | None = None) -> dict[str, Any]:
    """The result as JSON; without a study nothing was written."""
    document = protocol.model_dump(mode="json")
    del document["frames"]["frame_sha256"]
    if study is None:
        return {"study": None, "protocol": document}
    return {
        "study": str(study.paths.folder),
        "protocol_sha256": study.protocol_sha256,
        "truth": _name_truth(study, truth),
        "page": str(study.paths.page),
        "next": _name_next(study),
        "protocol": document,
    }


def _name_truth(study: "StudyFolder", truth: Path | None) -> str:
    """Where it is; a study that was planned before may have it in a place that only who planned it knows."""
    return str(truth or study.paths.truth) if truth or study.paths.truth.exists() else "not in the study's folder"


def _name_next(study: "StudyFolder") -> str:
    return f"cspine-bench study links {study.paths.folder}"


def _format(protocol: "Protocol", study: "StudyFolder | None" = None, truth: Path | None = None) -> str:
    recipe, audit, near = protocol.recipe, protocol.leak_audit, protocol.matching["near_copies"]
    rows = [["source", "drawn", "of"]]
    rows += [
        [one.name, f"{one.drawn:,}", "spoiled" if one.dataset is None else f"{one.dataset.num_samples:,}"]
        for one in protocol.sources
    ]
    lines = [
        f"{len(protocol.readers)} reader{'s' * (len(protocol.readers) > 1)}, {recipe.cases} cases ({recipe.design}), "
        f"{recipe.training} to practise on, {recipe.repeats} repeats, {recipe.positive_controls} positive and "
        f"{recipe.negative_controls} negative controls.",
        f"Frames: {protocol.frames.count:,} of {protocol.frames.width} x {protocol.frames.height} px, "
        f"{protocol.frames.bit_depth} bits. Near copies parted: {near['left_out']:,} of {near['pairs_compared']:,} "
        "pairs.",
        f"Leak audit: AUC {audit.auc:.3f} ({audit.low:.3f} to {audit.high:.3f}), limit {audit.limit:g}"
        + (f"; kept all the same: {audit.overridden}" if audit.overridden else "."),
        "",
        format_table(rows),
        "",
    ]
    if protocol.rehearsal:
        lines += [f"REHEARSAL: {protocol.rehearsal}.", ""]
    if study is None:
        lines.append("Nothing was written. " + NOT_FOR_DIAGNOSIS.capitalize() + ".")
    else:
        lines += [
            f"Protocol: {study.paths.protocol}, SHA-256 {study.protocol_sha256}; page: {study.paths.page}.",
            f"Truth, sealed: {_name_truth(study, truth)}. {NOT_FOR_DIAGNOSIS.capitalize()}.",
            f"Next: {_name_next(study)}",
        ]
    return "\n".join(lines)
