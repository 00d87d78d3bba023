"""Ways to break shards: rows of Parquet files, their images, members of tars and their JSON."""

import io
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from broken import Change, put

from cspine_bench.dataset.encode import compute_alignment
from cspine_bench.imaging.png import compute_pixel_sha256, encode_mask_png
from cspine_bench.provenance import canonical_json, sha256_bytes
from cspine_bench.schema import DIGITAL_SOURCE_TYPES

TRAIN, SECOND = "data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"
TEST, TABLE = "data/test-00000-of-00001.parquet", "metadata/train.parquet"
TAR, SECOND_TAR = TRAIN.replace("parquet", "tar"), SECOND.replace("parquet", "tar")
NEW = "toy99999999"
"""A key that no sample has."""
MARK = DIGITAL_SOURCE_TYPES["procedural"]

Row = dict[str, Any]
Members = list[tuple[str, bytes]]
IMAGES = ("image.bytes", "mask.bytes")


def rewrite(
    change: Callable[[pa.Table], pa.Table], name: str = TRAIN, compression: str = "NONE", **options: Any
) -> Change:
    """Another table in a Parquet file; everything else as the writer of datasets does it."""

    def do(folder: Path) -> None:
        table = change(pq.read_table(folder / name))
        footer = {
            key: value for key, value in pq.read_metadata(folder / name).metadata.items() if key == b"cspine_bench"
        }
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), **footer})
        sink = io.BytesIO()
        codecs = {leaf: compression if leaf in IMAGES else "SNAPPY" for leaf in _leaves(table.schema)}
        pq.write_table(table, sink, **{"write_page_index": True, "compression": codecs} | options)
        put(folder, name, sink.getvalue())

    return do


def _leaves(schema: pa.Schema) -> list[str]:
    file = io.BytesIO()
    pq.write_table(schema.empty_table(), file)
    columns = pq.ParquetFile(file).schema
    return [columns.column(index).path for index in range(len(columns))]


def edit_rows(change: Callable[[list[Row]], None], name: str = TRAIN) -> Change:
    """Change rows of a Parquet file, and nothing else of it."""

    def edited(table: pa.Table) -> pa.Table:
        rows = table.to_pylist()
        change(rows)
        return pa.Table.from_pylist(rows, schema=table.schema)

    return rewrite(edited, name)


def set_first(name: str = TRAIN, **values: Any) -> Change:
    """Other values in the first row."""
    return edit_rows(lambda rows: rows[0].update(values), name)


def set_image(data: bytes, pixels: np.ndarray | None = None, **values: Any) -> Change:
    """Another image in the first row, with hashes that fit."""

    def change(rows: list[Row]) -> None:
        rows[0]["image"] = {"bytes": data, "path": rows[0]["image"]["path"]}
        rows[0] |= {"image_sha256": sha256_bytes(data)} | values
        if pixels is not None:
            rows[0]["pixel_sha256"] = compute_pixel_sha256(pixels)

    return edit_rows(change)


def change_image(change: Callable[[bytes], bytes]) -> Change:
    """The first image as changed bytes, with a hash that fits."""

    def edited(rows: list[Row]) -> None:
        data = change(rows[0]["image"]["bytes"])
        rows[0]["image"]["bytes"] = data
        rows[0]["image_sha256"] = sha256_bytes(data)

    return edit_rows(edited)


def set_mask(mask: np.ndarray) -> Change:
    """Another mask in the first row, with a hash that fits."""
    data = encode_mask_png(mask)

    def change(rows: list[Row]) -> None:
        rows[0]["mask"]["bytes"] = data
        rows[0]["mask_sha256"] = sha256_bytes(data)

    return edit_rows(change)


def copy_first(into: str, *names: str) -> Change:
    """Values of the first row of the first shard also in the last row of another."""

    def change(folder: Path) -> None:
        row = pq.read_table(folder / TRAIN).to_pylist()[0]
        edit_rows(lambda rows: rows[-1].update({name: row[name] for name in names}), into)(folder)

    return change


def chunk(kind: bytes, body: bytes) -> bytes:
    """A PNG chunk."""
    import zlib

    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def insert_chunk(kind: bytes, body: bytes) -> Change:
    """A chunk more in front of the pixels of the first image."""
    return change_image(lambda data: data[:33] + chunk(kind, body) + data[33:])


def read_members(folder: Path, name: str = TAR) -> Members:
    """Name and bytes of each member."""
    with tarfile.open(folder / name) as archive:
        return [(item.name, archive.extractfile(item).read()) for item in archive]  # type: ignore[union-attr]


def pack(members: Sequence[tuple[str | tarfile.TarInfo, bytes]], form: int = tarfile.USTAR_FORMAT) -> bytes:
    """A tar as the mirror's writer makes it."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=form) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            if isinstance(name, str):
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return sink.getvalue()


def edit_tar(change: Callable[[Members], Any], name: str = TAR) -> Change:
    """Change the members of a tar; what `change` returns is packed, or the list itself where it returns None."""

    def do(folder: Path) -> None:
        members = read_members(folder, name)
        result = change(members)
        put(folder, name, pack(members if result is None else result))

    return do


def edit_json(change: Callable[[Row], Any]) -> Change:
    """Change the values of the first sample's JSON; what `change` returns is written as it is, if it is text."""

    def edited(members: Members) -> None:
        index = next(index for index, (name, _) in enumerate(members) if name.endswith(".json"))
        values = json.loads(members[index][1])
        text = change(values)
        members[index] = (members[index][0], (text if isinstance(text, str) else canonical_json(values)).encode())

    return edit_tar(edited)


def edit_bytes(change: Callable[[bytes], bytes], name: str = TAR) -> Change:
    """Change the bytes of a file."""
    return lambda folder: put(folder, name, change((folder / name).read_bytes()))


def member(name: str, **fields: Any) -> tarfile.TarInfo:
    """A header."""
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def add_member(name: str | tarfile.TarInfo, data: bytes = b"x") -> Change:
    """A member more at the end of a tar."""
    return edit_tar(lambda members: [*members, (name, data)])


def rename_first(suffix: str, new: Callable[[str], str]) -> Change:
    """Other names for members of the first sample that end so."""

    def change(members: Members) -> None:
        key = members[0][0].partition(".")[0]
        for index, (name, data) in enumerate(members):
            if name.startswith(key) and name.endswith(suffix):
                members[index] = (new(name), data)

    return edit_tar(change)


def first_owner(**fields: Any) -> Change:
    """Another field in the header of the first member."""

    def change(members: Members) -> Any:
        name, data = members[0]
        return [(member(name, size=len(data), **fields), data), *members[1:]]

    return edit_tar(change)


def by_kind(members: Members) -> Members:
    """All images, then all masks, then all JSON."""
    return sorted(members, key=lambda item: item[0].partition(".")[2])


def cut_first_png(members: Members) -> None:
    name, data = members[0]
    members[0] = (name, data[: len(data) // 2])


def with_first(members: Members, **change: Any) -> Members:
    """Members of a copy of the first sample, its JSON with other values."""
    key = members[0][0].partition(".")[0]
    own = [(name, data) for name, data in members if name.startswith(key)]
    return [
        (name, canonical_json(json.loads(data) | change).encode() if name.endswith("json") else data)
        for name, data in own
    ]


def with_new_key(members: Members) -> Members:
    """The first sample under another key."""
    return [(NEW + name[name.index(".") :], data) for name, data in with_first(members, sample_id=NEW)]


def lie_about_alignment(rows: list[Row]) -> None:
    row = next(row for row in rows if row["cobb_c2_c7_deg"] is not None)
    row["cobb_c2_c7_deg"] += 5


def drop_alignment(rows: list[Row]) -> None:
    next(row for row in rows if row["sva_mm"] is not None)["sva_mm"] = None


def swap_rows(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table.slice(1, 1), table.slice(0, 1), table.slice(2)])


def _shift_landmarks(rows: list[Row], point: tuple[float, float]) -> None:
    points = [list(pair) for pair in rows[0]["landmarks_xy"]]
    points[5] = list(point)
    found = compute_alignment(np.array(points, np.float32), facing="left", pixel_spacing_mm=rows[0]["pixel_spacing_mm"])
    rows[0] |= {"landmarks_xy": points} | found


def _rename_feature(table: pa.Table, old: bytes, new: bytes) -> pa.Table:
    metadata = {key: value.replace(old, new) for key, value in table.schema.metadata.items()}
    assert metadata != table.schema.metadata
    return table.replace_schema_metadata(metadata)
