"""`cspine-bench release push`: publish on the Hugging Face Hub."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cspine_bench.cli.options import EXISTING_PATH, Printing, printing_options
from cspine_bench.cli.output import format_count, format_size, format_table, print_note, print_result, show_progress

if TYPE_CHECKING:
    from cspine_bench.release.push import Pushed
    from cspine_bench.release.rules import Level

_UNNAMED = (
    "Its card does not name the repository; `release build --set hub_id={}` makes one that does, in a new version."
)


@click.command()
@click.argument("rel", type=EXISTING_PATH, metavar="RELEASE")
@click.argument("repository", metavar="OWNER/NAME")
@click.option(
    "--level",
    type=click.Choice(("quick", "standard", "full")),
    default="standard",
    show_default=True,
    help="How much is checked before anything is sent.",
)
@click.option("--private/--public", "private", default=None, help="Who sees a new repository.  [private]")
@click.option("--pull-request", is_flag=True, help="Gather the files in a pull request, and merge it.")
@click.option("--mirror/--no-mirror", default=None, help="Push RELEASE-wds too.  [if it is there]")
@click.option("--mirror-repo", metavar="OWNER/NAME", help="Where RELEASE-wds goes.  [OWNER/NAME-wds]")
@click.option("--policy", type=EXISTING_PATH, help="Thresholds that the evidence must meet.")
@click.option("--key", type=EXISTING_PATH, help="Public key that the release must be signed with.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes that check.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@printing_options
def push(rel: Path, repository: str, printing: Printing, **asked: Any) -> None:
    """Publish a release on the Hugging Face Hub: check, upload, verify every file, then tag.

    \b
    Example:
      cspine-bench release push rel owner/spines --dry-run
    """
    with show_progress("Uploading", quiet=printing.quiet) as on_progress:
        done = _push(rel, repository, on_progress=on_progress, **asked)
    if not all(one.named for one in done):
        print_note(_UNNAMED.format(repository), quiet=printing.quiet)
    document = {"dry_run": asked["dry_run"], "repositories": [dataclasses.asdict(one) for one in done]}
    print_result(document, _describe(done, dry_run=asked["dry_run"]), as_json=printing.as_json)


def _push(
    rel: Path,
    repository: str,
    *,
    level: "Level",
    mirror: bool | None,
    mirror_repo: str | None,
    policy: Path | None,
    key: Path | None,
    workers: int,
    **asked: Any,
) -> "tuple[Pushed, ...]":
    from cspine_bench.release.layout import mirror_of
    from cspine_bench.release.policy import load_policy
    from cspine_bench.release.push import push_release

    beside = mirror_of(rel.resolve())
    wanted = mirror is True or mirror_repo is not None or (mirror is None and beside.is_dir())
    if mirror is False and mirror_repo is not None:
        raise click.UsageError("--no-mirror and --mirror-repo: name one of them")
    return push_release(
        rel,
        repository,
        level=level,
        mirror=beside if wanted else None,
        mirror_repository=mirror_repo,
        policy=None if policy is None else load_policy(policy),
        trusted_key=key,
        num_workers=workers,
        **asked,
    )


def _describe(done: "tuple[Pushed, ...]", *, dry_run: bool) -> str:
    parts = [_describe_plan(one) if dry_run else _describe_one(one) for one in done]
    if dry_run:
        size = format_size(sum(one.num_bytes_sent for one in done))
        parts.append(f"Nothing was changed. A push would send {size}.")
    return "\n\n".join(parts)


def _describe_one(one: "Pushed") -> str:
    who = "Private: only its owner sees it." if one.private else "Public."
    sent = f"{format_size(one.num_bytes_sent)} were sent" if one.num_bytes_sent else "none had to be sent"
    return (
        f"{one.repository} {one.tag} is published: {format_count(one.num_files, 'file')}, "
        f"{format_size(one.num_bytes)}; {sent}, and each was verified on the Hub. {who}\n"
        f"  {one.url}\n"
        f"  {one.load_line}"
    )


def _describe_plan(one: "Pushed") -> str:
    if not one.operations:
        return f"{one.repository} {one.tag} is published, and nothing is left to do."
    rows = [
        [f"{step.action}: {step.what}", format_size(step.num_bytes) if step.num_bytes else ""]
        for step in one.operations
    ]
    return f"{one.repository} {one.tag}\n{format_table(rows)}"
