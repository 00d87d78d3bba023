"""What can be wrong with a dataset folder: each fault by its code, with why it matters and how to mend it."""

from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Rule:
    """One kind of fault."""

    code: str
    severity: Severity
    why: str
    mend: str


@dataclass(frozen=True)
class Issue:
    """One fault that was found.

    Args:
        code: of the rule, a key of `RULES`.
        severity: of the rule.
        where: file inside the folder, "." for the folder itself.
        message: what was found there and what was expected.
        sample_id: the radiograph, where one is meant.
    """

    code: str
    severity: Severity
    where: str
    message: str
    sample_id: str | None = None


_AGAIN = "Fetch the file again, or write the dataset anew."
_SOURCE = "Correct the label or the code of the source, and write the dataset anew."

_ALL = (
    Rule("folder-missing", "error", "There is nothing to verify.", "Check the path."),
    Rule(
        "manifest-missing", "error", "Without dataset.json the dataset is not finished.",
        "Run the command that writes it again; it goes on where it stopped.",
    ),
    Rule("manifest-damaged", "error", "dataset.json is not what the writer wrote, so it proves nothing.", _AGAIN),
    Rule("file-missing", "error", "A file that the manifest lists is not there.", _AGAIN),
    Rule("file-extra", "error", "A file that the manifest does not list may be read with the data.", "Move it away."),
    Rule("file-unreadable", "error", "The system refuses to read the file.", "Check its permissions and the disk."),
    Rule("file-hash", "error", "The file's bytes are not those that were written.", _AGAIN),
    Rule("readme-mismatch", "error", "The README's YAML makes `load_dataset` read other splits or columns.", _AGAIN),
    Rule("shard-torn", "error", "The Parquet file is cut short or damaged, so its rows cannot be read.", _AGAIN),
    Rule("shard-foreign", "error", "The shard was made for another dataset or another place in this one.", _AGAIN),
    Rule("schema-drift", "error", "Columns, types or Hugging Face features are not this version's.", _AGAIN),
    Rule("row-count", "error", "The shard holds more or fewer rows than the manifest says.", _AGAIN),
    Rule("row-invalid", "error", "A value is missing, of a wrong type, or out of its range.", _SOURCE),
    Rule("split-mismatch", "error", "A row names another split than its shard.", _SOURCE),
    Rule("duplicate-id", "error", "Two rows have one sample_id, so that results cannot be joined.", _SOURCE),
    Rule("group-cut", "error", "A group lies in two splits: a model is tested on what it was trained on.", _SOURCE),
    Rule("image-hash", "error", "The image is not the one that was written.", _AGAIN),
    Rule("mask-hash", "error", "The mask is not the one that was written.", _AGAIN),
    Rule("image-unreadable", "error", "The image does not decode as a gray PNG.", _AGAIN),
    Rule("mask-unreadable", "error", "The mask does not decode as a gray 8-bit PNG.", _AGAIN),
    Rule("pixel-hash", "error", "The decoded pixels are not those that were hashed.", _AGAIN),
    Rule("image-shape", "error", "Width, height or bit depth differ from the image's own.", _SOURCE),
    Rule("image-blank", "error", "All pixels have one value: there is nothing in the image.", _SOURCE),
    Rule("mask-shape", "error", "The mask has another size than its image.", _SOURCE),
    Rule("mask-label", "error", "The mask holds a value that names no vertebra.", _SOURCE),
    Rule("mask-levels", "error", "The mask and the list of vertebrae that it annotates disagree.", _SOURCE),
    Rule(
        "landmark-outside", "error", "A landmark lies outside its image.",
        "Set it to NaN if the point is not in the field of view, and write the dataset anew.",
    ),
    Rule("alignment-mismatch", "error", "An alignment parameter is not the one that the landmarks give.", _SOURCE),
    Rule("mark-mismatch", "error", "The mark of origin in the row differs from the one inside the PNG.", _SOURCE),
    Rule("duplicate-pixels", "warning", "Two images of one split are equal in every pixel.", "Remove one of them."),
    Rule(
        "duplicate-across-splits", "error", "One image is in two splits: a model is tested on what it was trained on.",
        "Give both one group_id, or remove one, and write the dataset anew.",
    ),
)  # fmt: skip

RULES: Final[dict[str, Rule]] = {rule.code: rule for rule in _ALL}
"""Every check that `verify_dataset` makes."""


def report(code: str, where: str, message: str, sample_id: str | None = None) -> Issue:
    """An issue under a rule."""
    return Issue(code, RULES[code].severity, where, message, sample_id)
