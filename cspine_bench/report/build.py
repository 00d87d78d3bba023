"""The report: results in, one self-contained page out. The same files give the same bytes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup

from cspine_bench.baselines.arm_rows import MEASURE_PREFIX
from cspine_bench.dataset.files import write_file
from cspine_bench.errors import DataError
from cspine_bench.measurement.task import cite_sources
from cspine_bench.page.images import GRAY_RULE
from cspine_bench.page.render import render_page
from cspine_bench.page.wording import split_sentence
from cspine_bench.provenance import package_version, sha256_bytes
from cspine_bench.report.chain import Chain, build_chains
from cspine_bench.report.contradictions import list_contradictions
from cspine_bench.report.evidence import show_fidelity, show_memorization, show_readers, show_usefulness
from cspine_bench.report.files import Collected, ResultFile
from cspine_bench.report.gates import Gate, count_states, describe_samples, list_gates
from cspine_bench.report.given import GivenDataset, GivenRelease, GivenRun, read_citation
from cspine_bench.report.landmarks import compare_landmarks
from cspine_bench.report.nature import describe_nature, list_banners
from cspine_bench.report.pictures import NearPair, Withheld, draw_pairs, draw_sheets, take_opening
from cspine_bench.report.remake import hold_words, link_pages, list_checks, list_missing
from cspine_bench.report.story import Verdict, tell_story, title_measure
from cspine_bench.report.traced import Traced, mark_dataset, name_in_file
from cspine_bench.report.training import show_training

_STYLES: Final = ("style.css.j2", "report.css.j2")
_NATURES: Final = ("Simulated readers: nobody read these images. ",)
"""What a verdict begins with before it says what was found."""
_MOST_OTHERS: Final = 12
_MOST_FINDINGS: Final = 8
_SIGNS: Final = (
    ("passed", "passed"), ("failed", "failed"), ("underpowered", "underpowered: cannot tell"),
    ("not asked", "not asked, or nobody could answer"),
)  # fmt: skip
_CONTENTS: Final = (
    ("nature", "What this is"), ("verdicts", "Verdicts"), ("samples", "Samples"), ("training", "Training"),
    ("fidelity", "Fidelity"), ("memorization", "Copies"), ("landmarks", "Landmarks"), ("usefulness", "Usefulness"),
    ("readers", "Readers"), ("provenance", "Provenance"), ("verify", "Verify"), ("cite", "Cite"),
    ("missing", "Not measured"), ("files", "Files"),
)  # fmt: skip


@dataclass(frozen=True)
class Given:
    """All that a report is made of.

    Attributes:
        collected: the results.
        datasets: that were measured.
        run: that made the images; None: not given.
        release: None: not given.
        real_pixels: False leaves out all that shows a real film's pixel.
        title: of the page; "": from what it is about.
    """

    collected: Collected
    datasets: tuple[GivenDataset, ...] = ()
    run: GivenRun | None = None
    release: GivenRelease | None = None
    real_pixels: bool = True
    title: str = ""

    @property
    def files(self) -> tuple[ResultFile, ...]:
        """The results in the order of the report."""
        return self.collected.files


@dataclass(frozen=True)
class Report:
    """A page, and what a command says of it.

    Attributes:
        page: UTF-8.
        title: of the page.
        gates: by key of the result.
        contradictions: sentences.
        missing: what was not measured.
    """

    page: bytes = field(repr=False)
    title: str
    gates: dict[str, list[Gate]]
    contradictions: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Of the page."""
        return sha256_bytes(self.page)


def build_report(given: Given, out: Path) -> Report:
    """Draw the page.

    Args:
        given: results and what belongs to them.
        out: where the page will lie: pages of measures that lie below are linked from it.

    Raises:
        DataError: a result lacks what its measure always has, or rows or a dataset cannot be read.
    """
    files = given.files
    gates = {file.key: list_gates(file) for file in files}
    chains = build_chains(files, given.datasets, given.run, given.release)
    contradictions = list_contradictions(files, chains, given.run, given.release)
    missing = list_missing(files, given.datasets, given.run, given.release)
    title = given.title or _name(given, chains)
    withheld = Withheld(files, real_pixels=given.real_pixels)
    sheets = draw_sheets(given.datasets, withheld)
    values: dict[str, Any] = {
        "title": title,
        "version": package_version(),
        "files": files,
        "lead": _lead(chains),
        "banners": [
            (one.strong, one.text, one.plain)
            for one in list_banners(
                files, given.datasets, given.release, real_pixels=given.real_pixels,
                num_contradictions=len(contradictions),
            )
        ],
        "cards": tell_story(files, gates, given.release),
        "signs": _SIGNS,
        "opening": take_opening(sheets),
        "contradictions": contradictions,
        "contents": _CONTENTS,
        "nature": describe_nature(files, given.datasets, given.release, real_pixels=given.real_pixels),
        "verdicts": [_describe(file, gates[file.key]) for file in files],
        "tallies": {key: count_states(found) for key, found in gates.items()},
        "is_baseline": lambda file: file.result.measure.startswith(MEASURE_PREFIX),
        "sheets": sheets,
        "gray_rule": GRAY_RULE,
        "count_in": mark_dataset,
        "real_pixels": given.real_pixels,
        "training": None if given.run is None else show_training(given.run),
        "run": given.run,
        "traced_of": {file.key: Traced(file) for file in files},
        "pages": link_pages(files, out),
        "missing": [(what, hold_words(command)) for what, command in missing],
        "commands": [
            (what, hold_words(command))
            for what, command in list_checks(files, given.datasets, given.run, given.release)
        ],
    }  # fmt: skip
    values |= _show_evidence(given, withheld)
    values |= _show_appendix(given, chains)
    page = render_page("report.html.j2", values, styles=_STYLES)
    return Report(page, title, gates, tuple(contradictions), tuple(what for what, _ in missing))


def write_report(report: Report, out: Path, *, overwrite: bool = False) -> None:
    """Put the page in place, whole or not at all; the very same page may stand there.

    Raises:
        DataError: another file stands there and `overwrite` is False, or the disk is full.
        OSError: it cannot be written.
    """
    if out.is_dir():
        raise DataError(f"{out}: is a folder; name a file for the report, such as {out / 'report.html'}")
    if out.exists() and not overwrite and out.read_bytes() != report.page:
        raise DataError(f"{out}: another file stands there; give another --out, or --overwrite to replace it")
    out.parent.mkdir(parents=True, exist_ok=True)
    write_file(out, report.page, scratch=out.parent)


def _name(given: Given, chains: Sequence[Chain]) -> str:
    if given.release is not None:
        return f"Evidence for {given.release.account.get('title') or given.release.name}"
    names = list(dict.fromkeys(chain.name.partition(" (")[0] for chain in chains))
    return f"Evidence on synthetic radiographs: {', '.join(names)}" if names else "Evidence on synthetic radiographs"


def _lead(chains: Sequence[Chain]) -> Markup:
    """What the report is about, in a sentence."""
    if not chains:
        return Markup("Synthetic lateral cervical-spine radiographs; the results name no set of them.")
    read_alone = [chain for chain in chains if all(one.result.measure == "reader-study" for one in chain.measures)]
    about = [chain for chain in chains if chain not in read_alone] or read_alone
    words = Markup(" and ").join(map(_name_images, about))
    if len(about) < len(chains):
        words += Markup("; the reader study shows {} too").format(Markup(" and ").join(map(_name_images, read_alone)))
    return Markup(
        "Synthetic lateral cervical-spine radiographs: {}. Five questions, and what the evidence says."
    ).format(words)


def _name_images(chain: Chain) -> Markup:
    file = chain.measures[0]
    place = next(place for place, item in enumerate(file.result.inputs) if item.digest == chain.digest)
    count = f"{file.result.inputs[place].num_samples:,}"
    traced = Traced(file).setting(f"inputs.{place}.num_samples", count)
    return Markup('{} of <span class="id">{}</span> (<code>{}</code>)').format(traced, chain.name, chain.digest[:8])


def _describe(file: ResultFile, gates: Sequence[Gate]) -> Verdict:
    finding, more = _split_verdict(file)
    encoder = file.result.encoder
    return Verdict(
        file=file,
        traced=Traced(file),
        title=title_measure(file.result.measure),
        finding=finding,
        more=more,
        gates=tuple(gates),
        encoder="none" if encoder is None else f"{encoder.name}, {encoder.bit_depth} bit",
        samples=describe_samples(file),
    )


def _split_verdict(file: ResultFile) -> tuple[str, str]:
    """What was found, and what else the verdict says; both are parts of it, word by word."""
    text = file.result.verdict
    if file.result.measure.startswith(MEASURE_PREFIX) and " With " in f" {text}":
        # Cautions stand before the finding, and how arms were compared after it.
        start = f" {text}".index(" With ")
        end = text.find(" Each arm is compared")
        finding = text[start : None if end < 0 else end]
        return finding, text if finding != text else ""
    if file.result.measure == "memorization" and text.startswith("Underpowered") and " Each of " in text:
        # Why, and what would help, before how it was searched.
        return text[: text.index(" Each of ")], text
    if nature := next((one for one in _NATURES if text.startswith(one)), ""):
        finding, _ = split_sentence(text.removeprefix(nature))
        return nature + finding, text
    finding, more = split_sentence(text)
    return finding, text if more else ""


def _show_evidence(given: Given, withheld: Withheld) -> dict[str, Any]:
    of: dict[str, list[ResultFile]] = {"fidelity": [], "memorization": [], "reader-study": [], "": []}
    baselines = []
    for file in given.files:
        if file.result.measure.startswith(MEASURE_PREFIX):
            baselines.append(file)
        else:
            of[file.result.measure if file.result.measure in of else ""].append(file)
    fidelity = [show_fidelity(file) for file in of["fidelity"]]
    pairs = [
        (view.traced.file.digests("real")[0], view.traced.file.digests("synthetic")[0])
        for view in fidelity
        if view.traced.file.digests("real") and view.traced.file.digests("synthetic")
    ]
    pairs += [(real, made) for file in baselines for real in file.digests("real") for made in file.digests("synthetic")]
    anatomy = [plot for view in fidelity for plot in view.anatomy]
    views = compare_landmarks(given.datasets, pairs)
    searches = [(show_memorization(file), draw_pairs(file, given.datasets, withheld)) for file in of["memorization"]]
    return {
        "fidelity": fidelity,
        "memorization": searches,
        "row_value": _mark_row,
        "anatomy": anatomy,
        "landmark_views": views,
        "measured_alignment": anatomy if len(fidelity) == 1 else [],
        "usefulness": show_usefulness(baselines),
        "readers": [show_readers(file) for file in of["reader-study"]],
        "others": of[""],
        "most_others": _MOST_OTHERS,
        "title_measure": title_measure,
        "name_in_file": name_in_file,
    }  # fmt: skip


def _mark_row(file: ResultFile, pair: NearPair, column: str, text: str) -> Markup:
    """A value of the rows beside a result."""
    rows = file.rows
    title = f"{'' if rows is None else rows.name}: {pair.row['sample_id']}, {column}"
    return Markup('<span class="traced" data-rows="{}" data-sample="{}" data-column="{}" title="{}">{}</span>').format(
        file.key, pair.row["sample_id"], column, title, text
    )


def _show_appendix(given: Given, chains: Sequence[Chain]) -> dict[str, Any]:
    inputs: dict[tuple[str, str, int, str], list[str]] = {}
    for file in given.files:
        for item in file.result.inputs:
            inputs.setdefault((item.role, item.name, item.num_samples, item.digest), []).append(file.number)
    digests = dict.fromkeys(
        (f"{link.what}: {link.name}", link.digest) for chain in chains for link in chain.links if link.digest
    )
    return {
        "chains": chains,
        "release": given.release,
        "most_findings": _MOST_FINDINGS,
        "citation": [] if given.release is None else read_citation(given.release),
        "toolkit": cite_sources(),
        "inputs": [(*key, ", ".join(numbers)) for key, numbers in inputs.items()],
        "digests": list(digests),
        "ignored": [(path.name, why) for path, why in given.collected.ignored],
    }
