"""Tables as CSV, as the papers beside a result and the files of a study hold them."""

import csv
import io
from collections.abc import Iterable, Sequence


def render_csv_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table with a head, one line for each row; None is an empty cell.

    Args:
        columns: their names.
        rows: cells in this order.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()
