"""`cspine-bench dataset ...`: make, import, look at and check dataset folders."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cspine_bench.anatomy.classes import FACINGS
from cspine_bench.cli.group import Group
from cspine_bench.cli.options import (
    EXISTING_PATH,
    NEW_PATH,
    QUALITY_RULES,
    Importing,
    Printing,
    Writing,
    device_option,
    importing_options,
    printing_options,
    writing_options,
)
from cspine_bench.cli.output import (
    NOT_FOR_DIAGNOSIS,
    format_count,
    format_size,
    format_table,
    print_note,
    print_part,
    print_result,
    show_progress,
)

if TYPE_CHECKING:
    from cspine_bench.dataset.finish import DatasetSummary
    from cspine_bench.dataset.inspect import DatasetFacts
    from cspine_bench.dataset.manifest import RejectedSample
    from cspine_bench.dataset.parts import PartSummary
    from cspine_bench.dataset.source import Source
    from cspine_bench.dataset.verify import Issue
    from cspine_bench.schema import Split


@click.group(cls=Group)
def dataset() -> None:
    """Make, import, look at and check dataset folders.

    \b
    Example:
      cspine-bench dataset phantom ds --count 12
    """


@dataset.command()
@click.argument("out", type=NEW_PATH)
@click.option("--count", type=click.IntRange(min=1), default=48, show_default=True, help="Radiographs to make.")
@click.option("--size", type=click.IntRange(min=16), help="Side of the square image, px.")
@click.option("--facing", type=click.Choice(FACINGS), help="Side of the image that the patients face.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting of the recipe.")
@device_option
@writing_options
@printing_options
def phantom(
    out: Path,
    count: int,
    size: int | None,
    facing: str | None,
    overrides: tuple[str, ...],
    device: str,
    writing: Writing,
    printing: Printing,
) -> None:
    """Make annotated radiographs from the analytic phantom.

    \b
    Example:
      cspine-bench dataset phantom ds --count 12 --size 256
    """
    from cspine_bench.recipe import apply_overrides
    from cspine_bench.sources.phantom import PhantomRecipe, PhantomSource

    named = [f"{name}={value}" for name, value in (("size", size), ("facing", facing)) if value is not None]
    recipe = apply_overrides(PhantomRecipe(), [*named, *overrides])
    write_folder(PhantomSource(recipe, count, writing.seed, device), out, writing, printing)
    print_note(f"Synthetic phantoms: {NOT_FOR_DIAGNOSIS}.", quiet=printing.quiet)


@dataset.group("import", cls=Group)
def import_() -> None:
    """Turn real films into a dataset folder.

    \b
    Example:
      cspine-bench dataset import images films ds --size 256
    """


@import_.command()
@click.argument("src", type=EXISTING_PATH)
@click.argument("out", type=NEW_PATH)
@click.option("--need-spacing", is_flag=True, help="Refuse films whose pixel size the sheet does not give.")
@importing_options
@writing_options
@printing_options
def csxa(src: Path, out: Path, need_spacing: bool, importing: Importing, writing: Writing, printing: Printing) -> None:
    """Import CSXA from the folder that holds its spreadsheet, images and label files, zipped or not.

    \b
    Example:
      cspine-bench dataset import csxa csxa ds --size 256
    """
    from cspine_bench.sources.csxa import CsxaSource, write_import_report

    source = CsxaSource(src, need_spacing=need_spacing, **importing.settings)
    write_folder(source, out, writing, printing, importing)
    # Of several parts, the first alone: they would all say the same.
    if not writing.dry_run and (writing.part is None or writing.part.index == 0):
        report = out.with_name(f"{out.name}.import.json")
        write_import_report(source.build_report(), report)
        print_note(f"{report} tells where images, labels and sheet disagree.", quiet=printing.quiet)


@import_.command()
@click.argument("src", type=EXISTING_PATH)
@click.argument("out", type=NEW_PATH)
@click.option("--group-pattern", metavar="REGEX", help="Names the patient in a film's path; groups share a split.")
@click.option("--keep-names", is_flag=True, help="Keep file names in the dataset; they may identify patients.")
@importing_options
@writing_options
@printing_options
def images(
    src: Path,
    out: Path,
    group_pattern: str | None,
    keep_names: bool,
    importing: Importing,
    writing: Writing,
    printing: Printing,
) -> None:
    """Import a folder of PNG, JPEG and TIFF films.

    \b
    Example:
      cspine-bench dataset import images films ds --size 256
    """
    from cspine_bench.sources.images import ImagesSource

    source = ImagesSource(src, group_pattern=group_pattern, keep_names=keep_names, **importing.settings)
    write_folder(source, out, writing, printing, importing)


@import_.command()
@click.argument("src", type=EXISTING_PATH)
@click.argument("out", type=NEW_PATH)
@importing_options
@writing_options
@printing_options
def dicom(src: Path, out: Path, importing: Importing, writing: Writing, printing: Printing) -> None:
    """Import DICOM radiographs (CR, DX, secondary capture); nothing that identifies a patient is kept.

    \b
    Example:
      cspine-bench dataset import dicom dicom ds --size 256
    """
    from cspine_bench.sources.dicom import DicomSource

    write_folder(DicomSource(src, **importing.settings), out, writing, printing, importing)


@dataset.command()
@click.argument("folder", type=EXISTING_PATH, metavar="DATASET")
@click.option("--sheet", type=NEW_PATH, help="Write a contact sheet (PNG).")
@click.option("--sheet-count", type=click.IntRange(min=1), default=24, show_default=True, help="Radiographs on it.")
@click.option("--labels/--no-labels", default=True, help="Draw outlines and landmarks on it, or not.")
@click.option("--parameters", type=NEW_PATH, help="Write CSXA's 77 alignment parameters (.csv or .parquet).")
@printing_options
def inspect(
    folder: Path, sheet: Path | None, sheet_count: int, labels: bool, parameters: Path | None, printing: Printing
) -> None:
    """Show what a dataset holds: counts, strata by split, sizes, labels.

    \b
    Example:
      cspine-bench dataset inspect ds --sheet sheet.png --parameters parameters.csv
    """
    from cspine_bench.dataset.inspect import inspect_dataset
    from cspine_bench.dataset.parameters import write_parameters
    from cspine_bench.dataset.read import open_dataset
    from cspine_bench.dataset.sheet import write_sheet

    facts = inspect_dataset(folder)
    document = {**facts.model_dump(mode="json"), "sheet": None, "parameters": None}
    if sheet is not None:
        write_sheet(open_dataset(folder), sheet, count=sheet_count, with_labels=labels)
        document["sheet"] = str(sheet)
    if parameters is not None:
        write_parameters(open_dataset(folder), parameters)
        document["parameters"] = str(parameters)
    print_result(document, _describe_facts(facts), as_json=printing.as_json)


@dataset.command()
@click.argument("folder", type=EXISTING_PATH, metavar="DATASET")
@printing_options
@click.pass_context
def verify(context: click.Context, folder: Path, printing: Printing) -> None:
    """Check every byte, row and label of a dataset; exit 1 if anything is wrong.

    \b
    Example:
      cspine-bench dataset verify ds
    """
    from cspine_bench.dataset.verify import verify_dataset

    with show_progress("verify", quiet=printing.quiet) as on_progress:
        issues = verify_dataset(folder, on_progress=on_progress)
    document = {"path": str(folder), "valid": not issues, "issues": [dataclasses.asdict(issue) for issue in issues]}
    print_result(document, _describe_issues(folder, issues), as_json=printing.as_json)
    context.exit(1 if issues else 0)


def write_folder(
    source: "Source", out: Path, writing: Writing, printing: Printing, importing: Importing | None = None
) -> None:
    """Write a source into a dataset folder, or say what would be written, and print the result."""
    from cspine_bench.dataset.parts import write_part
    from cspine_bench.dataset.write import write_dataset

    if writing.dry_run:
        _print_plan(source, out, writing, printing)
        return
    asked: dict[str, Any] = {
        "fractions": writing.fractions,
        "seed": writing.seed,
        "shard_rows": writing.shard_rows,
        "skip_bad": importing is not None and importing.skip_bad,
        "max_bad": None if importing is None else importing.max_bad,
        "num_workers": writing.num_workers,
        "overwrite": writing.overwrite,
    }
    with show_progress(str(out), quiet=printing.quiet) as on_progress:
        if writing.part is not None:
            _print_part(write_part(source, out, writing.part, **asked, on_progress=on_progress), printing)
        else:
            summary = write_dataset(source, out, **asked, ray=writing.ray, on_progress=on_progress)
            print_result(_describe_summary(summary), _format_summary(summary), as_json=printing.as_json)


def _print_part(result: "PartSummary", printing: Printing) -> None:
    summary = result.summary
    print_part(
        result.part,
        result.path,
        (result.part_shards, result.num_shards, result.missing_shards),
        None if summary is None else (_describe_summary(summary), _format_summary(summary)),
        unit="shards",
        as_json=printing.as_json,
    )
    if result.part_shards == 0:
        note = f"Part {result.part} has nothing to make: the dataset has {format_count(result.num_shards, 'file')}."
        print_note(
            f"{note} Name fewer parts, or allow fewer radiographs in a file (--shard-rows).", quiet=printing.quiet
        )


def _describe_summary(summary: "DatasetSummary") -> dict[str, Any]:
    return {
        "path": str(summary.path),
        "num_samples": summary.num_samples,
        "rejected": [sample.model_dump() for sample in summary.rejected],
        "rejected_by_rule": _count_rejected(summary),
        "manifest_sha256": summary.manifest_sha256,
    }


def _format_summary(summary: "DatasetSummary") -> str:
    lines = [f"{summary.path}: {_describe_counts(summary.num_samples)}"]
    lines += [f"turned away by rule {rule}: {count}" for rule, count in _count_rejected(summary).items()]
    return "\n".join([*lines, *(f"skipped {sample.reason}" for sample in summary.rejected if not _find_rule(sample))])


def _count_rejected(summary: "DatasetSummary") -> dict[str, int]:
    """Samples that each quality rule turned away; a film that cannot be read is under none."""
    rules = [_find_rule(sample) for sample in summary.rejected]
    return {rule: rules.count(rule) for rule in QUALITY_RULES if rule in rules}


def _find_rule(sample: "RejectedSample") -> str | None:
    rule, is_rule, _ = sample.reason.partition(": measured ")
    return rule if is_rule and rule in QUALITY_RULES else None


def _print_plan(source: "Source", out: Path, writing: Writing, printing: Printing) -> None:
    from cspine_bench.dataset.plan import build_plan
    from cspine_bench.schema import SPLITS

    plan = build_plan(source, fractions=writing.fractions, seed=writing.seed, shard_rows=writing.shard_rows)
    counts = {split: sum(len(shard.keys) for shard in plan.shards if shard.split == split) for split in SPLITS}
    document = {
        "path": str(out),
        "num_samples": counts,
        "num_shards": len(plan.shards),
        "estimated_bytes": plan.estimated_bytes,
        "source": plan.source,
    }
    size = f"{format_count(len(plan.shards), 'file')}, about {format_size(plan.estimated_bytes)}"
    print_result(document, f"{out} would hold {_describe_counts(counts)}: {size}", as_json=printing.as_json)


def _describe_counts(num_samples: "Mapping[Split, int]") -> str:
    parts = ", ".join(f"{split} {count:,}" for split, count in num_samples.items())
    return f"{format_count(sum(num_samples.values()), 'radiograph')} ({parts})"


def _describe_issues(folder: Path, issues: "list[Issue]") -> str:
    from cspine_bench.dataset.verify import RULES

    if not issues:
        return f"{folder}: no fault found"
    lines = []
    for issue in issues:
        sample = f" (sample {issue.sample_id})" if issue.sample_id else ""
        lines.append(f"{issue.severity} {issue.code} {issue.where}: {issue.message}{sample}")
    lines += ["", *(f"{code}: {RULES[code].why} {RULES[code].mend}" for code in sorted({item.code for item in issues}))]
    return "\n".join([*lines, "", f"{folder}: {format_count(len(issues), 'finding')}"])


def _describe_facts(facts: "DatasetFacts") -> str:
    from cspine_bench.schema import SPLITS

    splits = [split for split in SPLITS if split in facts.num_samples]
    rows = [["", *splits], ["radiographs", *(f"{facts.num_samples[split]:,}" for split in splits)]]
    rows.append(["groups", *(f"{facts.num_groups[split]:,}" for split in splits)])
    for stratum, table in facts.strata.items():
        rows.append([stratum.replace("_", " "), *("" for _ in splits)])
        rows += [[f"  {value}", *(f"{counts[split]:,}" for split in splits)] for value, counts in table.items()]
    total = sum(facts.num_samples.values())
    sizes = ", ".join(f"{size} bit ({count:,})" for size, count in facts.sizes.items())
    labelled = ", ".join(f"{name} {count:,}" for name, count in facts.labelled.items() if count)
    lines = [
        f"{facts.name}: {format_count(total, 'radiograph')}, {format_size(facts.num_bytes)} in "
        f"{format_count(facts.num_shards, 'file')}",
        "",
        format_table(rows),
        "",
        f"size: {sizes}",
        f"labelled: {labelled or 'nothing'}",
    ]
    if facts.pixel_spacing_mm is not None:
        low, middle, high = facts.pixel_spacing_mm
        lines.append(f"pixel spacing: {low:.3f} to {high:.3f} mm, median {middle:.3f}")
    for name, counts in facts.values.items():
        if counts:
            words = [f"{value or 'none'} {count:,}" for value, count in counts.items()]
            lines.append(f"{name}: {', '.join(words)}")
    lines += [f"skipped {sample.reason}" for sample in facts.rejected]
    return "\n".join(lines)
