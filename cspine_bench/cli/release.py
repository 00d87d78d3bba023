"""`cspine-bench release ...`: build, sign, validate, compare, publish and export releases."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cspine_bench.cli.group import Group
from cspine_bench.cli.options import EXISTING_PATH, NEW_PATH, Printing, printing_options
from cspine_bench.cli.output import format_count, format_size, print_note, print_result, show_progress
from cspine_bench.cli.release_diff import diff
from cspine_bench.cli.release_export import export
from cspine_bench.cli.release_key import key
from cspine_bench.cli.release_push import push
from cspine_bench.cli.release_validate import validate

if TYPE_CHECKING:
    from cspine_bench.release.build import BuiltRelease
    from cspine_bench.release.recipe import ReleaseRecipe


@click.group(cls=Group)
def release() -> None:
    """Build, sign, validate, compare, publish and export releases.

    \b
    Example:
      cspine-bench release build ds --out rel --webdataset
    """


release.add_command(key)


@release.command()
@click.argument("folder", type=EXISTING_PATH, metavar="DATASET")
@click.option("--out", type=NEW_PATH, required=True, help="The release folder; its name is the dataset's.")
@click.option("--webdataset", "mirror", is_flag=True, help="Build the WebDataset mirror, OUT-wds, too.")
@click.option("--recipe", "recipe_file", type=EXISTING_PATH, help="YAML: licence, creators, training data ...")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting of the recipe.")
@click.option("--evaluation", "evaluations", multiple=True, type=EXISTING_PATH, help="Result file of this dataset.")
@click.option("--supersedes", type=EXISTING_PATH, help="Folder of the release before this one.")
@click.option("--key", type=EXISTING_PATH, help="Sign with this Ed25519 key (PEM).")
@click.option("--c2pa", "c2pa", nargs=2, type=EXISTING_PATH, metavar="CERT KEY", help="Mark samples/ by C2PA too.")
@click.option("--overwrite", is_flag=True, help="Replace another release that lies in OUT.")
@click.option("--dry-run", is_flag=True, help="Say what would be built, and write nothing.")
@printing_options
def build(
    folder: Path,
    out: Path,
    recipe_file: Path | None,
    overrides: tuple[str, ...],
    c2pa: tuple[Path, Path] | None,
    dry_run: bool,
    printing: Printing,
    **asked: Any,
) -> None:
    """Turn a dataset folder into a repository that is ready for the Hub and for Zenodo.

    \b
    Example:
      cspine-bench release build ds --out rel --webdataset
    """
    from cspine_bench.release.build import build_release, plan_release
    from cspine_bench.release.preview import Credentials

    recipe = _read_recipe(recipe_file, overrides)
    asked["credentials"] = None if c2pa is None else Credentials(*c2pa)
    if dry_run:
        _print_plan(plan_release(folder, out, recipe, **asked), printing)
        return
    with show_progress(str(out), quiet=printing.quiet) as on_progress:
        built = build_release(folder, out, recipe, **asked, on_progress=on_progress)
    print_result(_describe(built), _format(built), as_json=printing.as_json)
    _print_notes(built, printing)


@release.command()
@click.argument("folder", type=EXISTING_PATH, metavar="RELEASE")
@click.option("--key", type=EXISTING_PATH, required=True, help="Ed25519 key (PEM).")
@printing_options
def sign(folder: Path, key: Path, printing: Printing) -> None:
    """Sign a release or a mirror that was built without a key; only SHA256SUMS is read.

    \b
    Example:
      cspine-bench release sign rel --key release.key
    """
    from cspine_bench.release.sign import sign_release

    fingerprint = sign_release(folder, key)
    print_result(
        {"path": str(folder), "key": fingerprint}, f"{folder}: signed with key {fingerprint}", as_json=printing.as_json
    )


release.add_command(validate)
release.add_command(diff)
release.add_command(push)
release.add_command(export)


def _read_recipe(path: Path | None, overrides: tuple[str, ...]) -> "ReleaseRecipe":
    from cspine_bench.recipe import apply_overrides, load_recipe
    from cspine_bench.release.recipe import ReleaseRecipe

    recipe = ReleaseRecipe() if path is None else load_recipe(path, ReleaseRecipe)
    return apply_overrides(recipe, overrides)


def _describe(built: "BuiltRelease") -> dict[str, Any]:
    return {
        "path": str(built.path),
        "mirror": None if built.mirror is None else str(built.mirror),
        "name": built.recipe.name,
        "version": built.recipe.version,
        "date": str(built.recipe.date),
        "license": built.recipe.license,
        "num_samples": built.num_samples,
        "num_files": built.num_files,
        "num_bytes": built.num_bytes,
        "sums_sha256": built.sums_sha256,
        "signed": built.signed,
    }


def _format(built: "BuiltRelease") -> str:
    total = format_count(sum(built.num_samples.values()), "radiograph")
    size = f"{format_count(built.num_files, 'file')}, {format_size(built.num_bytes)}"
    lines = [f"{built.path}: {built.recipe.name} {built.recipe.version}, {total}, {size}, {built.recipe.license}"]
    if built.mirror is not None:
        lines.append(f"{built.mirror}: the same as WebDataset")
    lines.append(f"Synthetic, not for diagnosis. Check it: cspine-bench release validate {built.path}")
    return "\n".join(lines)


def _print_notes(built: "BuiltRelease", printing: Printing) -> None:
    if not built.recipe.creators:
        note = "No creator is named: the citation says Anonymous (creators in a recipe file)."
        print_note(note, quiet=printing.quiet)
    if not built.signed:
        print_note("Not signed: give --key, or run `release sign` later.", quiet=printing.quiet)


def _print_plan(document: dict[str, Any], printing: Printing) -> None:
    counts = ", ".join(f"{split} {count:,}" for split, count in document["num_samples"].items())
    text = f"{document['path']} would be {document['name']} {document['version']} ({counts}), {document['license']}"
    print_result(document, text, as_json=printing.as_json)
