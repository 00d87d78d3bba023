"""What can be wrong with a release: each rule by its code, with why it matters and how to mend it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

Severity = Literal["error", "warning"]
Level = Literal["quick", "standard", "full"]
LEVELS: Final[tuple[Level, ...]] = ("quick", "standard", "full")
MOST_IDS: Final = 10


@dataclass(frozen=True)
class Rule:
    """One kind of fault.

    Args:
        code: GROUP-NN; never given to another rule later.
        severity: a release with an error is not valid.
        level: the first level that looks for it.
        why: one sentence, what it does to a user.
        mend: one sentence, the next step.
    """

    code: str
    severity: Severity
    level: Level
    why: str
    mend: str


@dataclass(frozen=True)
class Finding:
    """One rule broken in one file: how often, where first, and by which radiographs.

    Args:
        code: of the rule, a key of `RULES`.
        where: file inside the release, "." for the release itself.
        message: the first fault: what was found and what was expected.
        count: faults of this rule in this file.
        sample_ids: the first ten radiographs concerned; empty where none is meant.
    """

    code: str
    where: str
    message: str
    count: int = 1
    sample_ids: tuple[str, ...] = ()

    @property
    def severity(self) -> Severity:
        """Of the rule."""
        return RULES[self.code].severity


@dataclass
class Tally:
    """Collects faults, and gives one finding for each rule and file, in the order they were first met."""

    _found: dict[tuple[str, str], tuple[str, list[str]]] = field(default_factory=dict)
    _counts: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, code: str, where: str, message: str, sample_id: str | None = None, count: int = 1) -> None:
        """Note `count` faults. `code` must be in `RULES`."""
        key = (RULES[code].code, where)
        _, ids = self._found.setdefault(key, (message, []))
        self._counts[key] = self._counts.get(key, 0) + count
        if sample_id is not None and len(ids) < MOST_IDS:
            ids.append(sample_id)

    def extend(self, findings: Iterable[Finding]) -> None:
        """Take over findings of another tally."""
        for finding in findings:
            key = (finding.code, finding.where)
            _, ids = self._found.setdefault(key, (finding.message, []))
            self._counts[key] = self._counts.get(key, 0) + finding.count
            ids += finding.sample_ids[: MOST_IDS - len(ids)]

    def findings(self) -> list[Finding]:
        """What was found so far."""
        return [
            Finding(code, where, message, self._counts[code, where], tuple(ids))
            for (code, where), (message, ids) in self._found.items()
        ]


_FETCH = "Fetch the file again; as its maker, build the release again."
_BUILD = "Build the release again with `cspine-bench release build`, and edit nothing in it by hand."
_SOURCE = "Correct the source or its labels, write the dataset anew, and build the release again."
_RECIPE = "State it in the recipe of the release, and build the release again."

_ALL: Sequence[Rule] = (
    # Layout
    Rule(
        "LAY-01",
        "error",
        "quick",
        "A shard whose name or number is wrong is not loaded, or a missing one goes unnoticed.",
        _FETCH,
    ),
    Rule(
        "LAY-02",
        "error",
        "quick",
        "A repository with Parquet and tar data has one builder, which cannot read both.",
        "Keep tar shards in the mirror and Parquet shards in the release.",
    ),
    Rule(
        "LAY-03",
        "error",
        "quick",
        "A file that a pattern of the card matches is loaded as data; a pattern that matches none fails the load.",
        _BUILD,
    ),
    Rule(
        "LAY-04",
        "error",
        "quick",
        "Scripts, links, hidden or special files are refused or mistaken for data, or hide what they are.",
        "Move the file away, or replace a link by the file itself.",
    ),
    Rule(
        "LAY-05",
        "warning",
        "quick",
        "Shards above 500 MB, and too few of them, leave readers of a stream idle.",
        "Write the dataset anew with `--shard-rows`.",
    ),
    Rule("LAY-06", "error", "quick", "A paper that belongs to every release is missing.", _FETCH),
    Rule(
        "LAY-07",
        "error",
        "quick",
        "There is no finished release here: the build or the download stopped before its end.",
        "Run the build or the download again; it goes on where it stopped.",
    ),
    # Card
    Rule(
        "CARD-01", "error", "quick", "The card's YAML cannot be read, or holds keys that the Hub does not know.", _BUILD
    ),
    Rule("CARD-02", "error", "quick", "Papers that name several licences leave a user with none.", _RECIPE),
    Rule(
        "CARD-03",
        "error",
        "quick",
        "Configurations or features differ from the files: values are cut, columns dropped, or the load fails.",
        _BUILD,
    ),
    Rule(
        "CARD-04",
        "error",
        "quick",
        "The card's number of radiographs is not that of the data, so that `load_dataset` refuses it.",
        _BUILD,
    ),
    Rule("CARD-05", "error", "quick", "The size category is not that of the data, so that searches miss it.", _BUILD),
    Rule("CARD-06", "error", "quick", "A task that the Hub does not know is not shown.", _BUILD),
    Rule(
        "CARD-07",
        "error",
        "quick",
        "A section that readers need is missing, or text of a template was left in.",
        _BUILD,
    ),
    Rule(
        "CARD-08",
        "error",
        "quick",
        "The first lines do not say that the images are synthetic and not for diagnosis.",
        _BUILD,
    ),
    Rule(
        "CARD-09",
        "error",
        "quick",
        "Name, version, DOI or date differ between the papers, so that citations part ways.",
        _BUILD,
    ),
    Rule("CARD-10", "warning", "quick", "Nobody is named as the maker, so that nobody can be cited or asked.", _RECIPE),
    Rule("CARD-11", "error", "standard", "A figure in the card contradicts the data.", _BUILD),
    # Parquet
    Rule("PQ-01", "error", "quick", "Columns or types differ between shards, or from the schema.", _FETCH),
    Rule(
        "PQ-02",
        "error",
        "quick",
        "Without Hugging Face features that all versions of `datasets` read, columns load as something else.",
        _BUILD,
    ),
    Rule(
        "PQ-03",
        "error",
        "quick",
        "The Hub's viewer refuses row groups that are too large, and is slow without a page index.",
        _BUILD,
    ),
    Rule(
        "PQ-04",
        "error",
        "quick",
        "Images that are compressed twice read slower, and change as a whole when one of them does.",
        _BUILD,
    ),
    Rule(
        "PQ-05", "error", "quick", "The Parquet file is cut short or damaged, so that its rows cannot be read.", _FETCH
    ),
    Rule("PQ-06", "error", "standard", "The table without pixels says something else than the shards.", _BUILD),
    # Tar
    Rule(
        "TAR-01",
        "error",
        "standard",
        "Headers that are not plain ustar with fixed time and owner differ from build to build, or are not read.",
        _BUILD,
    ),
    Rule(
        "TAR-02",
        "error",
        "standard",
        "Members that are missing, doubled or not adjacent give doubled rows without labels, and no error.",
        _BUILD,
    ),
    Rule("TAR-03", "error", "standard", "A key with a dot or a slash makes one row of a whole shard.", _BUILD),
    Rule(
        "TAR-04",
        "error",
        "standard",
        "An archive with a wrong end or bytes after it is cut short or hides something.",
        _FETCH,
    ),
    Rule(
        "TAR-05",
        "error",
        "standard",
        "A header that is damaged, or asks for a link, a path outside or an absurd size, is an attack or a torn file.",
        _FETCH,
    ),
    # Record
    Rule("REC-01", "error", "standard", "A value is missing, of a wrong type, or out of its range.", _SOURCE),
    Rule(
        "REC-02",
        "error",
        "standard",
        "JSON with absent keys, whole numbers for fractions or NaN is cut or dropped without an error on loading.",
        _BUILD,
    ),
    Rule("REC-03", "error", "standard", "Two rows have one sample_id, so that results cannot be joined.", _SOURCE),
    Rule("REC-04", "error", "standard", "A row that is not marked as synthetic may pass for a patient.", _SOURCE),
    Rule(
        "REC-05",
        "error",
        "standard",
        "A row names a run that provenance/release.json does not know, so that its origin is lost.",
        _BUILD,
    ),
    Rule("REC-06", "error", "standard", "One seed, index, condition and network twice give one image twice.", _SOURCE),
    Rule("REC-07", "error", "standard", "A group in two splits: a model is tested on what it was trained on.", _SOURCE),
    Rule("REC-08", "error", "standard", "A row names another split than its shard.", _SOURCE),
    # Image files
    Rule(
        "PNG-01",
        "error",
        "standard",
        "A damaged PNG fails when its row is decoded; unexpected chunks may carry what should not leave the lab.",
        _FETCH,
    ),
    Rule("PNG-02", "error", "standard", "The file's bytes are not those that were hashed.", _FETCH),
    Rule("PNG-03", "error", "standard", "Size or bit depth of the PNG differ from its row.", _SOURCE),
    Rule("PNG-04", "error", "standard", "An image that leaves its folder no longer says what it is.", _SOURCE),
    Rule("PNG-05", "error", "full", "There is nothing in the image: all pixels have one value.", _SOURCE),
    Rule(
        "PNG-06",
        "error",
        "standard",
        "One image is in two splits: a model is tested on what it was trained on.",
        _SOURCE,
    ),
    Rule("PNG-07", "warning", "standard", "Two images of one split are equal in every pixel.", _SOURCE),
    Rule("PNG-08", "error", "full", "The decoded pixels are not those that were hashed.", _FETCH),
    # Labels
    Rule("LAB-01", "error", "standard", "A landmark lies outside its image, or is half given.", _SOURCE),
    Rule(
        "LAB-02",
        "error",
        "full",
        "The mask has another size, holds values that name no vertebra, or disagrees with mask_levels.",
        _SOURCE,
    ),
    Rule("LAB-03", "error", "full", "An alignment parameter is not the one that the landmarks give.", _SOURCE),
    # Privacy and evidence
    Rule(
        "PRIV-01",
        "warning",
        "quick",
        "Nobody has looked for copies of training films of patients: a patient may be depicted after all.",
        "Run `cspine-bench evaluate memorization`, and build the release with its result.",
    ),
    Rule(
        "PRIV-02",
        "error",
        "standard",
        "Text that looks like a person's data or a path of a machine does not belong in a release.",
        _SOURCE,
    ),
    Rule(
        "PRIV-03", "error", "quick", "What the generator was trained on, and under which terms, is not stated.", _RECIPE
    ),
    Rule(
        "PRIV-04",
        "error",
        "quick",
        "Evidence that was measured on another dataset proves nothing about this one.",
        "Evaluate this dataset, and build the release with that result.",
    ),
    # Integrity and papers
    Rule(
        "SUM-01",
        "error",
        "standard",
        "SHA256SUMS is missing, not in its one spelling, or lists too much or too little.",
        _FETCH,
    ),
    Rule("SUM-02", "error", "standard", "The file's bytes are not those that were released.", _FETCH),
    Rule(
        "SUM-03",
        "error",
        "quick",
        "The signature does not belong to these files, or to the key that is trusted.",
        "Take the release from its maker again; ask them for the fingerprint of their key.",
    ),
    Rule(
        "SUM-04",
        "error",
        "standard",
        "Release and mirror do not hold the same radiographs.",
        "Build both again, in one go.",
    ),
    Rule("SUM-05", "error", "quick", "dataset.json is damaged, or does not list the files that are there.", _FETCH),
    Rule("DOC-01", "error", "quick", "CITATION.cff is not valid, so that citations are wrong or missing.", _BUILD),
    Rule(
        "DOC-02",
        "error",
        "quick",
        "croissant.json lacks a required field or points to files that are not there.",
        _BUILD,
    ),
    Rule("DOC-03", "error", "quick", "REUSE.toml or LICENSES does not cover every file.", _BUILD),
    Rule(
        "DOC-04",
        "error",
        "quick",
        "provenance/release.json or zenodo.json is not readable, or contradicts the data.",
        _BUILD,
    ),
    Rule("DOC-05", "error", "quick", "The JSON Schema of a row is not that of this version.", _BUILD),
    # Loading
    Rule("LOAD-01", "error", "full", "`load_dataset` does not give the rows that were written.", _BUILD),
    Rule("LOAD-02", "error", "full", "`webdataset` does not give the samples that were written.", _BUILD),
    # Gates of a policy
    Rule(
        "GATE-01",
        "error",
        "quick",
        "The evidence misses a threshold of the policy, or there is none.",
        "Improve the dataset, or measure what is missing, and build the release with the result.",
    ),
    Rule(
        "GATE-02",
        "error",
        "quick",
        "The evidence is too thin to tell whether the threshold is met: not met is not excluded.",
        "Measure again on more radiographs, and build the release with the result.",
    ),
    Rule(
        "GATE-03",
        "warning",
        "quick",
        "The evidence is too thin to tell whether the threshold is met, and the policy lets that pass.",
        "Measure again on more radiographs, and build the release with the result.",
    ),
)

RULES: Final[dict[str, Rule]] = {rule.code: rule for rule in _ALL}
"""Every check that `validate_release` makes."""
