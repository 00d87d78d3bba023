"""`cspine-bench release validate`: a verdict on a release or its mirror."""

import os
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
    from cspine_bench.dataset.files import explain_full_disk
    from cspine_bench.release.findings_formats import FORMATS, render_text, summarize

    name: Format = "json" if asked["as_json"] else asked["format_"]
    report = FORMATS[name](verdict, fail_on=fail_on, prefix=_find_prefix(folder))
    output: Path | None = asked["output"]
    if output is None:
        click.echo(report)
        if name != "text":
            print_note(summarize(verdict), quiet=quiet)
        return
    with explain_full_disk(output, lambda: len(report)):
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(f"{report}\n", encoding="utf-8")
    print_note(render_text(verdict), quiet=quiet)


def _find_prefix(folder: Path) -> str:
    """Path of the release inside the working folder, which in CI is the repository; empty: it lies elsewhere."""
    relative = os.path.relpath(folder.resolve(), Path.cwd())
    return "" if relative == "." or relative.startswith("..") else Path(relative).as_posix()
