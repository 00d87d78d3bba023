"""Validate a release or its WebDataset mirror, whatever its bytes: every fault is named, and none hides the others.

Nothing is written, and nothing is fetched. Memory holds one row group of a shard for each worker, and about a hundred
bytes for each radiograph.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cspine_bench.dataset.encode import MARK_OF_KIND
from cspine_bench.errors import MissingExtraError, ReleaseError
from cspine_bench.provenance import sha256_bytes
from cspine_bench.release.checks.agreement import check_agreement
from cspine_bench.release.checks.card import check_card, check_left_overs
from cspine_bench.release.checks.card_facts import check_facts, count_rows
from cspine_bench.release.checks.card_table import check_table, count_splits
from cspine_bench.release.checks.compare import compare_shards, compare_with_mirror
from cspine_bench.release.checks.croissant import check_croissant
from cspine_bench.release.checks.documents import (
    check_citation,
    check_release_json,
    check_reuse,
    check_schema,
    check_zenodo,
    compute_dataset_digest,
)
from cspine_bench.release.checks.evidence import check_evidence, check_training, find_own_results
from cspine_bench.release.checks.layout import check_globs, check_layout
from cspine_bench.release.checks.loading import check_datasets, check_webdataset
from cspine_bench.release.checks.metadata_table import check_metadata_table
from cspine_bench.release.checks.planning import plan_tasks
from cspine_bench.release.checks.reading import Papers
from cspine_bench.release.checks.seals import check_hash, check_manifest, check_signed, compare_lists, read_sums
from cspine_bench.release.checks.shards import ShardReport, ShardTask
from cspine_bench.release.checks.tree import GoneError, Kind, Tree, Unchecked, hash_file, list_tree, probe_file
from cspine_bench.release.checks.work import examine_shards
from cspine_bench.release.layout import (
    ATTESTATION_NAME,
    CARD_NAME,
    DATASHEET_NAME,
    MAX_FOLDER_ENTRIES,
    MIRROR_NAME,
    SEALS,
    SUMS_NAME,
    metadata_name,
    mirror_of,
)
from cspine_bench.release.policy import GateVerdict, Policy, judge, list_findings
from cspine_bench.release.rules import LEVELS, RULES, Finding, Level, Tally
from cspine_bench.release.verdict import Verdict
from cspine_bench.schema import SPLITS

__all__ = ["Verdict", "validate_release"]

OnProgress = Callable[[int, int], None]

_ONLY_RELEASE: Final = (
    "PQ-", "CARD-11", "SUM-04", "SUM-05", "DOC-02", "PRIV-01", "PRIV-04", "GATE-"
)  # fmt: skip
_ONLY_MIRROR: Final = ("TAR-", "REC-02", "LOAD-02")
_TORN: Final = ("PQ-05", "TAR-04", "TAR-05")
_UNSAFE: Final = ("TAR-", "LAY-02", "LAY-04", "LAY-07")
"""Where these are broken nothing is loaded: a library may run code that lies in an archive."""


def validate_release(
    path: Path,
    *,
    level: Level = "standard",
    policy: Policy | None = None,
    mirror: Path | None = None,
    with_mirror: bool = True,
    trusted_key: Path | None = None,
    num_workers: int = 1,
    on_progress: OnProgress | None = None,
) -> Verdict:
    """Check a release against its data, its papers and itself; or a mirror, which stands alone.

    Args:
        path: the folder.
        level: `quick` (names, cards, schemas, counts), `standard` (and every hash, row and PNG file) or `full` (and
            every pixel, and loading by the libraries that users have).
        policy: gates for the evidence; None: there are none.
        mirror: of this release; None: `PATH-wds`, if it lies beside it.
        with_mirror: False: leave the mirror out.
        trusted_key: PEM file of the public key that the publisher is known to use.
        num_workers: processes for the shards.
        on_progress: called with (rows checked, rows in all).

    Raises:
        ReleaseError: `path` is no folder, or a worker was killed.
        OSError: the folder cannot be listed, or the trusted key not read.
        ValueError: there is no such level.
    """
    if level not in LEVELS:
        raise ValueError(f"no level {level!r}; there are {', '.join(LEVELS)}")
    if not path.is_dir():
        raise ReleaseError(f"{path}: is no folder; give that of a release or of its mirror")
    key = None if trusted_key is None else trusted_key.read_bytes()
    tree = list_tree(path.resolve(), max_folder_entries=MAX_FOLDER_ENTRIES)
    tally = Tally()
    kind = tree.kind
    check_layout(tree, kind, tally)
    if kind is None:
        reason = "there is no release"
        skipped = {code: reason for code in RULES if not code.startswith("LAY-")}
        return _conclude(_Validation(path, tree, "parquet", level, tally), skipped, kind=None)
    validation = _Validation(path, tree, kind, level, tally, num_workers, on_progress)
    validation.check_shards()
    validation.check_papers(policy)
    validation.check_seals(key)
    if level != "quick":
        validation.compare(mirror, with_mirror)
    if level == "full":
        validation.check_loading()
    return _conclude(validation, validation.skipped, kind=kind)


@dataclass
class _Validation:
    """One validation, and what it has learned so far."""

    path: Path
    tree: Tree
    kind: Kind
    level: Level
    tally: Tally
    num_workers: int = 1
    on_progress: OnProgress | None = None
    papers: Papers = field(init=False)
    reports: list[ShardReport] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)
    sums: dict[str, str] | None = None
    skipped: dict[str, str] = field(default_factory=dict)
    gates: list[GateVerdict] = field(default_factory=list)
    num_done: int = 0

    def __post_init__(self) -> None:
        self.papers = Papers(self.tree, self.kind, self.tally)

    @property
    def counted(self) -> bool:
        """Whether the rows of all shards could be counted."""
        if self.kind == "webdataset" and self.level == "quick":
            return False
        torn = any(finding.code in _TORN for finding in self.tally.findings())
        return not torn and len(self.reports) == len(self.tree.shards(self.kind))

    @property
    def counts(self) -> dict[str, int] | None:
        """Radiographs by split, of splits that have any: of the shards themselves where all of them can be read."""
        if self.counted:
            found = {split: sum(item.num_rows for item in self.reports if item.split == split) for split in SPLITS}
            return {split: number for split, number in found.items() if number}
        if self.papers.manifest is not None:
            return {split: number for split, number in self.papers.manifest.num_samples.items() if number}
        stated = (self.papers.release or {}).get("num_samples")
        if isinstance(stated, dict) and all(type(number) is int for number in stated.values()):
            return stated
        return None

    @property
    def trained(self) -> bool | None:
        """Whether a trained model made the images; None: not known."""
        release = (self.papers.release or {}).get("dataset")
        source: Any = release.get("source") if isinstance(release, dict) else None
        if self.papers.manifest is not None:
            source = self.papers.manifest.source
        kind = source.get("kind") if isinstance(source, dict) else None
        mark = MARK_OF_KIND.get(kind) if isinstance(kind, str) else None
        return None if mark is None else mark == "trained"

    def check_shards(self) -> None:
        """PQ, TAR, REC, PNG, LAB and PRIV-02 of each shard, and its hash."""
        tasks = plan_tasks(self.tree, self.kind, self.level, self.papers)
        self.reports = self._examine(self.tree, tasks, hashed=self.level != "quick")
        for report in self.reports:
            self.tally.extend(report.findings)
        if self.kind == "parquet" and len(self.reports) == len(self.tree.shards(self.kind)):
            for split in filter(self._has_table, SPLITS):
                own = [report for report in self.reports if report.split == split]
                check_metadata_table(self.tree.root, split, own, self.tally)

    def _has_table(self, split: str) -> bool:
        """Whether there is a table without pixels that may be opened; what the system refuses is noted."""
        name = metadata_name(split)
        try:
            probe_file(self.tree.root / name)
        except GoneError:
            return False
        except OSError as error:
            self.tree.note_unchecked(name, error)
            return False
        return name in self.tree.files

    def _examine(self, tree: Tree, tasks: Sequence[ShardTask], *, hashed: bool) -> list[ShardReport]:
        outcomes = examine_shards(tasks, hashed=hashed, num_workers=self.num_workers, on_rows=self._tell)
        reports = []
        for outcome in outcomes:
            if outcome.gone is not None:
                self.tally.add("LAY-07", outcome.name, outcome.gone)
            if outcome.refused is not None:
                tree.unchecked.append(Unchecked(outcome.name, outcome.refused))
            if outcome.sha256 is not None and tree is self.tree:
                self.hashes[outcome.name] = outcome.sha256
            if outcome.report is not None:
                reports.append(outcome.report)
        return reports

    def _tell(self, num_rows: int) -> None:
        self.num_done += num_rows
        if self.on_progress is not None:
            manifest = self.papers.manifest
            total = self.num_done if manifest is None else sum(manifest.num_samples.values())
            self.on_progress(self.num_done, max(total, self.num_done))

    def check_papers(self, policy: Policy | None) -> None:
        """CARD, DOC, PRIV and GATE."""
        papers, tally, counts, trained = self.papers, self.tally, self.counts, self.trained
        facts = count_splits(self.tree.root, self.reports) if self.level != "quick" and self.counted else {}
        if papers.card is not None:
            check_globs(self.tree, self.kind, papers.card, tally)
            check_card(papers.card, self.kind, counts, trained, tally)
            if facts:
                check_table(papers.card.body, facts, required=self.kind == "parquet", tally=tally)
        check_agreement(papers, tally)
        check_citation(papers, tally)
        check_reuse(papers, tally)
        check_schema(papers, tally)
        digest = None if papers.manifest is None else compute_dataset_digest(papers.manifest)
        check_release_json(papers, counts, {split: item.num_groups for split, item in facts.items()}, digest, tally)
        check_zenodo(papers, tally)
        datasheet = papers.text(DATASHEET_NAME, "CARD-07")
        if datasheet is not None:
            check_left_overs(DATASHEET_NAME, datasheet, tally)
        if facts and self.kind == "parquet" and (rows := count_rows(self.tree.root)) is not None:
            texts = {CARD_NAME: None if papers.card is None else papers.card.body, DATASHEET_NAME: datasheet}
            for name, text in texts.items():
                check_facts(name, text or "", rows, tally)
        own = find_own_results(papers, digest)
        check_evidence(papers, own, digest, tally)
        check_training(papers, own, trained, tally)
        if policy is None:
            self.skipped |= dict.fromkeys(("GATE-01", "GATE-02", "GATE-03"), "no policy was given")
        elif self.kind == "parquet":
            self.gates = judge(policy, own)
            tally.extend(list_findings(self.gates))

    def check_seals(self, trusted_key: bytes | None) -> None:
        """SUM and DOC-02, which needs the hashes."""
        manifest = self.papers.manifest
        if manifest is not None:
            check_manifest(self.tree, manifest, self.tally)
        if self.level != "quick":
            self.sums = read_sums(self.tree, self.tally)
            self._hash_papers()
        if self.sums is not None:
            for name, found in self.hashes.items():
                check_hash(name, found, self.sums, self.tally)
            if manifest is not None:
                compare_lists(manifest, self.sums, self.tally)
        listed = None if manifest is None else {shard.path: shard.sha256 for shard in manifest.shards}
        check_croissant(self.papers, listed, self.tally)
        try:
            reason = check_signed(self.tree, trusted_key, self.tally)
        except MissingExtraError as error:
            self.tree.unchecked.append(Unchecked(ATTESTATION_NAME, str(error)))
        else:
            if reason is not None:
                self.skipped["SUM-03"] = reason

    def _hash_papers(self) -> None:
        for name in self.tree.files:
            if name in SEALS or name in self.hashes:
                continue
            try:
                self.hashes[name] = hash_file(self.tree.root / name)
            except GoneError as error:
                self.tally.add("SUM-01", name, str(error))
            except OSError as error:
                self.tree.note_unchecked(name, error)

    def compare(self, mirror: Path | None, with_mirror: bool) -> None:
        """REC and PNG rules over all shards, and SUM-04."""
        self.tally.extend(compare_shards(self.reports))
        if self.kind == "webdataset":
            return
        beside = mirror_of(self.path.absolute()) if mirror is None else mirror
        if not with_mirror or (mirror is None and not beside.is_dir()):
            self.skipped["SUM-04"] = "no mirror was looked at"
            return
        if not beside.is_dir():
            raise ReleaseError(f"{beside}: is no folder; give that of the mirror")
        tree = list_tree(beside.resolve(), max_folder_entries=MAX_FOLDER_ENTRIES)
        reports = self._examine(tree, plan_tasks(tree, "webdataset", "standard", self.papers), hashed=False)
        self.tree.unchecked += tree.unchecked
        self._compare_seals(tree, reports)
        self.tally.extend(compare_with_mirror(self.reports, reports))

    def _compare_seals(self, tree: Tree, reports: Sequence[ShardReport]) -> None:
        """Does the mirror name this release, and are its archives sound?"""
        errors = [finding for report in reports for finding in report.findings if finding.severity == "error"]
        if errors:
            text = f"{errors[0].code} {errors[0].where}: {errors[0].message}"
            self.tally.add("SUM-04", ".", f"the mirror is broken itself, {text}; validate it, too", count=len(errors))
        said = Papers(tree, "webdataset", Tally()).mirror
        data = self.papers.raw(SUMS_NAME)
        if said is None:
            self.tally.add("SUM-04", ".", f"the mirror's {MIRROR_NAME} is missing or cannot be read")
        elif data is not None and said.get("sums_sha256") != sha256_bytes(data):
            self.tally.add("SUM-04", SUMS_NAME, f"the mirror's {MIRROR_NAME} names a release with another {SUMS_NAME}")

    def check_loading(self) -> None:
        """LOAD."""
        if unsafe := sorted({item.code for item in self.tally.findings() if item.code.startswith(_UNSAFE)}):
            why = f"a library may run what lies in such an archive ({', '.join(unsafe)})"
            self.skipped |= dict.fromkeys(("LOAD-01", "LOAD-02"), why)
            return
        expected = self._expect_samples()
        if expected is None:
            self.skipped |= dict.fromkeys(("LOAD-01", "LOAD-02"), "not all shards can be read")
            return
        num_bytes = sum(self.tree.files[report.name] for report in self.reports)
        check_datasets(self.tree.root, expected, num_bytes, self.tally)
        if self.kind == "webdataset" and (reason := check_webdataset(self.tree.root, expected, self.tally)):
            self.skipped["LOAD-02"] = reason

    def _expect_samples(self) -> dict[str, dict[str, Any]] | None:
        expected: dict[str, dict[str, Any]] = {}
        if len(self.reports) != len(self.tree.shards(self.kind)):
            return None
        for report in sorted(self.reports, key=lambda item: item.name):
            if report.rows is None or len(report.rows.sample_ids) != report.num_rows:
                return None
            if report.num_rows:
                ids = report.rows.sample_ids
                entry = expected.setdefault(report.split, {"num": 0, "first": ids[0].decode(), "last": None})
                entry["num"] += report.num_rows
                entry["last"] = ids[-1].decode()
        return {split: expected[split] for split in SPLITS if split in expected}


def _conclude(validation: _Validation, skipped: dict[str, str], *, kind: Kind | None) -> Verdict:
    reasons: dict[str, str] = {}
    foreign = _ONLY_MIRROR if kind == "parquet" else _ONLY_RELEASE
    for code, rule in RULES.items():
        if LEVELS.index(rule.level) > LEVELS.index(validation.level):
            reasons[code] = f"level {rule.level} looks for it"
        elif kind is not None and code.startswith(foreign):
            reasons[code] = "a release holds no tar" if kind == "parquet" else "it is about the release, not its mirror"
        elif code in skipped:
            reasons[code] = skipped[code]
    findings = sorted(validation.tally.findings(), key=_order)
    broken = {finding.code for finding in findings}
    return Verdict(
        path=str(validation.path),
        kind=kind,
        level=validation.level,
        findings=tuple(findings),
        checked=tuple(code for code in RULES if code not in reasons or code in broken),
        skipped={code: reason for code, reason in reasons.items() if code not in broken},
        unchecked=tuple(validation.tree.unchecked),
        num_images=sum(report.num_rows for report in validation.reports),
        gates=tuple(validation.gates),
    )


def _order(finding: Finding) -> tuple[bool, int, str]:
    return finding.severity != "error", list(RULES).index(finding.code), finding.where
