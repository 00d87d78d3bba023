"""`cspine-bench release validate`: a verdict on a release or its mirror."""

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cspine_bench.cli.options import EXISTING_PATH, NEW_PATH
from cspine_bench.cli.output import print_note, show_progress

if TYPE_CHECKING:
    from cspine_bench.release.findings_formats import Format
    from cspine_bench.release.verdict import FailOn, Verdict

LEVELS = ("quick", "standard", "full")
FAIL_ON = ("error", "warning", "never")
FORMATS = ("text", "json", "junit", "sarif", "github")


def _parse_also(texts: tuple[str, ...]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for text in texts:
        name, equals, file = text.partition("=")
        if name not in FORMATS or not equals or not file or name in files:
            raise click.BadParameter(f"{text!r} is not FORMAT=FILE, of {', '.join(FORMATS)}, each once")
        files[name] = Path(file)
    return files


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="RELEASE")
@click.option("--level", type=click.Choice(LEVELS), default="standard", show_default=True, help="How closely to look.")
@click.option(
    "--fail-on", type=click.Choice(FAIL_ON), default="error", show_default=True, help="Least severity of exit code 1."
)
@click.option(
    "--format", "format_", type=click.Choice(FORMATS), default="text", show_default=True, help="Of the report."
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--output", type=NEW_PATH, help="Write the report to this file.  [stdout]")
@click.option(
    "--also",
    multiple=True,
    metavar="FORMAT=FILE",
    callback=lambda context, option, texts: _parse_also(texts),
    help="Write the report to this file in this format, too.",
)
@click.option("--policy", "policy_file", type=EXISTING_PATH, help="YAML: thresholds for the evidence.")
@click.option("--mirror", type=EXISTING_PATH, help="WebDataset mirror of the release.  [RELEASE-wds, if it is there]")
@click.option("--no-mirror", is_flag=True, help="Leave the mirror out.")
@click.option("--key", type=EXISTING_PATH, help="Public key (PEM) that the publisher is known to use.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Worker processes.")
@click.option("--quiet", is_flag=True, help="No progress and no summary on stderr.")
@click.pass_context
def validate(context: click.Context, /, folder: Path, fail_on: "FailOn", quiet: bool, **asked: Any) -> None:
    """Check a release or its WebDataset mirror against its data, its papers and itself; exit 1 if it is not valid.

    Exit code 2: something could not be looked at. The report goes to stdout or --output, a summary to stderr.

    \b
    Example:
      cspine-bench release validate rel
    """
    verdict = _validate(folder, asked, quiet=quiet)
    _report(verdict, folder, fail_on, asked, quiet=quiet)
    context.exit(verdict.exit_code(fail_on))


def _validate(folder: Path, asked: dict[str, Any], *, quiet: bool) -> "Verdict":
    from cspine_bench.release.policy import load_policy
    from cspine_bench.release.validate import validate_release

    if asked["no_mirror"] and asked["mirror"] is not None:
        raise click.UsageError("--mirror and --no-mirror: name one of them")
    policy = None if asked["policy_file"] is None else load_policy(asked["policy_file"])
    with show_progress("validate", quiet=quiet) as on_progress:
        return validate_release(
            folder,
            level=asked["level"],
            policy=policy,
            mirror=asked["mirror"],
            with_mirror=not asked["no_mirror"],
            trusted_key=asked["key"],
            num_workers=asked["workers"],
            on_progress=on_progress,
        )


def _report(verdict: "Verdict", folder: Path, fail_on: "FailOn", asked: dict[str, Any], *, quiet: bool) -> None:
    from cspine_bench.release.findings_formats import FORMATS, render_text, summarize

    name: Format = "json" if asked["as_json"] else asked["format_"]
    render = {key: partial(FORMATS[key], verdict, fail_on=fail_on, prefix=_find_prefix(folder)) for key in FORMATS}
    for also, file in asked["also"].items():
        _write(file, render[also]())
    if asked["output"] is not None:
        _write(asked["output"], render[name]())
        print_note(render_text(verdict), quiet=quiet)
        return
    click.echo(render[name]())
    if name != "text":
        print_note(summarize(verdict), quiet=quiet)


def _write(file: Path, report: str) -> None:
    from cspine_bench.dataset.files import explain_full_disk

    with explain_full_disk(file, lambda: len(report)):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{report}\n", encoding="utf-8")


def _find_prefix(folder: Path) -> str:
    """Path of the release inside the working folder, which in CI is the repository; empty: it lies elsewhere."""
    relative = os.path.relpath(folder.resolve(), Path.cwd())
    return "" if relative == "." or relative.startswith("..") else Path(relative).as_posix()
