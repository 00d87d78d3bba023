"""Text that should not leave a lab: names and numbers of patients, dates, addresses, and paths and names of machines.

Patterns are narrow on purpose: a check that cries at honest releases is switched off. They look at free text alone;
fields of fixed spelling (hashes, ids, classes) cannot hold such things without breaking their own rule.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cspine_bench.release.checks.record_values import CONSTRAINTS
from cspine_bench.schema import COLUMNS

FREE_TEXT: Final = tuple(
    name
    for name, constraint in CONSTRAINTS.items()
    if COLUMNS[name].dtype == "string" and constraint.kind == "str" and "pattern" not in constraint.limits
    if name != "digital_source_type"
)
"""Columns whose text the schema leaves open."""

_DAY, _MONTH, _YEAR = r"(0?[1-9]|[12]\d|3[01])", r"(0?[1-9]|1[0-2])", r"(19|20)\d{2}"
_LETTER = r"[^\x00-@\[-`{-\x7f]"
"""ASCII letters, and everything that is not ASCII: the classes of Unicode take long to build."""
_TLDS = "com|org|net|edu|gov|mil|int|eu|de|uk|fr|nl|ch|at|ca|cn|jp|kr|in|au|us|it|es|se|dk|no|fi|pl|be|br"

PATTERNS: Final = {
    "a patient's name": rf"{_LETTER}{{2,}}\^{_LETTER}",
    "a patient's number": r"(?i)(^|[^a-z])(mrn|ssn|patient[ _-]?(id|no|nr|number|name)|accession|birth[ _-]?date|dob)"
    r"""["']?\s*[:=#_-]\s*["']?[0-9a-z]""",
    "a long number, as records of patients have": r"""(^|[\s"'#=^(])\d{7,12}($|[\s"'^)])"""
    r"|(^|\D)\d{3}-\d{2}-\d{4}($|\D)",
    "a date": rf"(^|\D){_YEAR}[-/]{_MONTH}[-/]{_DAY}($|\D)|(^|\D){_DAY}[./]{_MONTH}[./]{_YEAR}($|\D)"
    r"|(^|[^0-9A-Za-z:,.\[])(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])($|[^0-9A-Za-z])",
    "an e-mail address": r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}",
    "a path of a machine": r"""(^|[\s"'=:,;(\[])(file:/|/[A-Za-z0-9_.~-]+/[^\s/]|~[A-Za-z0-9_-]*/)"""
    r"""|(^|[^A-Za-z0-9])[A-Za-z]:(\\|/[^/])|\\\\[A-Za-z0-9]""",
    "a DICOM UID": r"(^|[^0-9.])[12](\.(0|[1-9]\d*)){5,}",
    "an address of a machine": r"(^|[^0-9.])((25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(25[0-5]|2[0-4]\d|1?\d?\d)($|[^0-9.])",
    "a name of a machine": r"(?i)(^|[^a-z0-9./@-])[a-z0-9-]+(\.[a-z0-9-]+)*\."
    rf"(local|localdomain|lan|internal|intranet|corp)($|[^a-z0-9.-])|(^|[^a-z0-9./@-])[a-z][a-z0-9-]*(\.[a-z0-9-]+){{1,4}}\.({_TLDS})($|[^a-z0-9.-])",
}  # fmt: skip
"""What a piece of text looks like: its pattern, in RE2's syntax."""

_NOT_IN_VERSIONS: Final = frozenset(("a date", "an address of a machine"))
_ANY: Final = "|".join(f"({pattern})" for pattern in PATTERNS.values())


def find_private_text(batch: pa.RecordBatch) -> Iterator[tuple[NDArray[np.bool_], str]]:
    """Rows whose free text looks private.

    Args:
        batch: at least the columns `FREE_TEXT`.

    Yields:
        bool (rows,), True where one column looks so, with the column and what it looks like.
    """
    encoded = {name: batch.column(name).dictionary_encode() for name in FREE_TEXT}
    # One call for all columns: building the machine for this pattern costs more than running it.
    texts = pa.concat_arrays([array.dictionary for array in encoded.values()])
    if not pc.any(pc.match_substring_regex(texts, _ANY)).as_py():
        return
    for name, array in encoded.items():
        for words, pattern in PATTERNS.items():
            if name.endswith("_version") and words in _NOT_IN_VERSIONS:
                continue
            found = pc.match_substring_regex(array.dictionary, pattern)
            if pc.any(found).as_py():
                rows = pc.fill_null(found.take(array.indices), False).to_numpy(zero_copy_only=False)
                yield np.array(rows, np.bool_), f"{name} looks like {words}"
