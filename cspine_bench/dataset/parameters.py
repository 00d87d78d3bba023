"""The alignment parameters of every radiograph of a dataset, as one table."""

from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from cspine_bench.anatomy.alignment import PARAMETER_UNITS, compute_parameters
from cspine_bench.anatomy.classes import FACINGS
from cspine_bench.anatomy.landmarks import NUM_LANDMARKS
from cspine_bench.dataset.read import DatasetFolder
from cspine_bench.errors import DataError

SUFFIXES: Final = (".csv", ".parquet")


def compute_parameter_table(folder: DatasetFolder) -> pa.Table:
    """CSXA's 77 parameters of each radiograph.

    Returns:
        One row for each radiograph: `sample_id`, `split`, `pixel_spacing_mm`, then a float64 column `NAME (unit)` for
        each parameter under CSXA's name, unit px, deg or percent. Null where a landmark is not labelled, or where it is
        not known which way the patient faces (signs depend on it). Lengths times `pixel_spacing_mm` are millimetres.
    """
    table = folder.read_table(["sample_id", "split", "pixel_spacing_mm", "facing", "landmarks_xy"])
    values = table["landmarks_xy"].combine_chunks().flatten().flatten().to_numpy(zero_copy_only=False)
    landmarks_xy = values.astype(np.float64).reshape(-1, NUM_LANDMARKS, 2)
    facing = table["facing"].fill_null(-1).to_numpy()
    # Where the facing is unknown both rows below are masked out again.
    by_facing = {label: compute_parameters(landmarks_xy, facing=label) for label in FACINGS}
    result = table.select(["sample_id", "split", "pixel_spacing_mm"])
    for name, unit in PARAMETER_UNITS.items():
        column = np.full(len(table), np.nan)
        for index, label in enumerate(FACINGS):
            column[facing == index] = by_facing[label][name][facing == index]
        result = result.append_column(f"{name} ({unit})", pa.array(column, mask=np.isnan(column)))
    return result


def write_parameters(folder: DatasetFolder, out: Path) -> None:
    """Write `compute_parameter_table` to a file.

    Args:
        folder: the dataset.
        out: a name that ends in .csv or .parquet. An earlier file is replaced when the new one is whole.

    Raises:
        DataError: another ending, or the dataset cannot be read.
        OSError: the file cannot be written.
    """
    if out.suffix not in SUFFIXES:
        raise DataError(
            f"{out}: a table of parameters is written as {' or '.join(SUFFIXES)}; end the name with one of them"
        )
    table = compute_parameter_table(folder)
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(f".{out.name}.unfinished")
    if out.suffix == ".csv":
        pyarrow.csv.write_csv(table, draft)
    else:
        pyarrow.parquet.write_table(table, draft)
    draft.replace(out)
