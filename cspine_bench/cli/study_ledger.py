"""`cspine-bench study status`, `unblind` and `export`: what readers answered, and how far they are."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cspine_bench.cli.options import EXISTING_PATH, NEW_PATH, Printing, printing_options
from cspine_bench.cli.output import format_count, format_table, print_note, print_result

if TYPE_CHECKING:
    from cspine_bench.study.ledger.progress import ReaderProgress, StudyProgress
    from cspine_bench.study.ledger.store import Ledger


@click.command()
@click.argument("folder", type=EXISTING_PATH, metavar="STUDY")
@click.option(
    "--verify", is_flag=True, help="Recompute the chain of records and the hash of every frame; exit 1 if one is wrong."
)
@click.option("--head", metavar="SHA256", help="With --verify: a head that was noted earlier must be in the chain.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
@click.pass_context
def status(context: click.Context, /, folder: Path, verify: bool, head: str | None, as_json: bool) -> None:
    """Say how far each reader is, without a word on who is right.

    \b
    Example:
      cspine-bench study status study --verify
    """
    from cspine_bench.errors import DataError
    from cspine_bench.study.folder import load_schedule, open_study
    from cspine_bench.study.ledger.progress import measure_progress
    from cspine_bench.study.ledger.store import open_ledger

    if head is not None and not verify:
        raise click.UsageError("--head needs --verify")
    study = open_study(folder)
    with open_ledger(study, read_only=True) as ledger, ledger.snapshot():
        fault = _find_fault(ledger, head) if verify else None
        try:
            found = measure_progress(ledger, load_schedule(study))
        except DataError:
            if fault is None:
                raise
            print_result({"fault": fault}, _name_fault(fault), as_json=as_json)
            context.exit(1)
    chain = {"fault": fault} if verify else {}
    print_result(dataclasses.asdict(found) | chain, _format_progress(found, fault, verify), as_json=as_json)
    context.exit(0 if fault is None else 1)


def _find_fault(ledger: "Ledger", head: str | None) -> str | None:
    from cspine_bench.errors import DataError
    from cspine_bench.study.folder import check_frames

    fault = ledger.find_fault()
    if fault is not None:
        return f"the chain is broken: {fault}"
    if head is not None and not ledger.has_head(head):
        return f"the chain is broken: no record has the hash {head}, so it was written anew since that was noted"
    try:
        check_frames(ledger.study)
    except DataError as error:
        return str(error)
    return None


def _format_progress(found: "StudyProgress", fault: str | None, verified: bool) -> str:
    rows = [["reader", "link", "opened", "consented", "display", "done", "median time", "refused", "last heard of"]]
    rows += [_format_reader(reader) for reader in found.readers]
    lines = [format_table(rows), ""]
    lines.append("Every trial is answered." if found.complete else "Not every trial is answered yet.")
    if found.simulated:
        lines.append("The readers are made up.")
    lines.append(f"Unblinded {found.unblinded}." if found.unblinded else "The truth is sealed.")
    lines.append(f"Protocol {found.protocol_sha256}")
    lines.append(f"Head     {found.head}  ({format_count(found.num_records, 'record')}; note it elsewhere)")
    if verified:
        whole = "The chain is whole, and every frame is what was frozen"
        lines.append(f"{whole}." if fault is None else _name_fault(fault))
    return "\n".join(lines)


def _name_fault(fault: str) -> str:
    return f"{fault[0].upper()}{fault[1:]}."


def _format_reader(reader: "ReaderProgress") -> list[str]:
    return [
        reader.reader,
        reader.link,
        _format_time(reader.opened),
        _format_time(reader.consented),
        reader.display or "-",
        f"{reader.done}/{reader.total}",
        "-" if reader.median_s is None else f"{reader.median_s:.1f} s",
        str(reader.refused),
        _format_time(reader.last),
    ]


def _format_time(time: str | None) -> str:
    return "-" if time is None else time[:16].replace("T", " ")


@click.command()
@click.argument("folder", type=EXISTING_PATH, metavar="STUDY")
@click.option(
    "--truth", "truth_path", type=EXISTING_PATH, help="The sealed truth, where it is kept elsewhere than in STUDY."
)
@click.option("--incomplete", "reason", metavar="REASON", default="", help="Why, before every trial is answered.")
@printing_options
def unblind(folder: Path, truth_path: Path | None, reason: str, printing: Printing) -> None:
    """Open the truth, on the record and once; from then on no answer counts.

    \b
    Example:
      cspine-bench study unblind study
    """
    from cspine_bench.study.folder import open_study
    from cspine_bench.study.ledger.store import open_ledger
    from cspine_bench.study.ledger.unblinding import unblind_study

    with open_ledger(open_study(folder)) as ledger:
        found = unblind_study(ledger, truth_path=truth_path, reason=reason)
    text = f"{'Was unblinded before, on' if found.earlier else 'Unblinded'} {found.time}; the truth is what was sealed."
    if found.incomplete:
        text += f"\nNot every trial was answered: {', '.join(found.incomplete)}. Reason given: {found.reason}"
    print_result(dataclasses.asdict(found), text, as_json=printing.as_json)


@click.command()
@click.argument("folder", type=EXISTING_PATH, metavar="STUDY")
@click.option("--out", type=NEW_PATH, required=True, help="Folder to make.")
@click.option("--blinded", is_flag=True, help="Without anything that the truth decides; possible at any time.")
@click.option(
    "--truth", "truth_path", type=EXISTING_PATH, help="The sealed truth, where it is kept elsewhere than in STUDY."
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier export that lies in OUT.")
@printing_options
def export(folder: Path, out: Path, blinded: bool, printing: Printing, **asked: Any) -> None:
    """Write all answers as tables, as JSON, and for iMRMC and MRMCaov, with a data dictionary.

    \b
    Example:
      cspine-bench study export study --out answers
    """
    from cspine_bench.study.export.export import export_study
    from cspine_bench.study.folder import open_study
    from cspine_bench.study.ledger.store import open_ledger
    from cspine_bench.study.ledger.unblinding import open_truth

    study = open_study(folder)
    with open_ledger(study, read_only=True) as ledger:
        truth = None if blinded else open_truth(study, ledger, asked["truth_path"])
        written = export_study(ledger, truth, out, overwrite=asked["overwrite"])
    text = f"{format_count(written.num_trials, 'answer')} and {format_count(written.num_ratings, 'rating')} to {out}"
    print_result(written.manifest | {"folder": str(out)}, text, as_json=printing.as_json)
    if not written.manifest["complete"]:
        print_note("Not every trial is answered.", quiet=printing.quiet)
