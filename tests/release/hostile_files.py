"""Archives that are made to harm who opens them. As a script, in a process of its own, it checks them.

    python tests/release/hostile_files.py FOLDER

FOLDER holds one file for each attack. Each is checked under a limit of memory; one line of JSON says for each what was
found, and how long that took.
"""

import gzip
import io
import json
import resource
import sys
import tarfile
import time
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

MEMORY_LIMIT = 3_000_000_000
KEY = "toy00000000"


def _header(name: str, size: str | bytes = "00000000000", kind: bytes = b"0", link: str = "") -> bytes:
    data = bytearray(512)
    data[:100] = name.encode().ljust(100, b"\0")
    data[100:124] = b"0000644\0" + b"0000000\0" * 2
    data[124:136] = size if isinstance(size, bytes) else size.encode() + b"\0"
    data[136:148] = b"00000000000\0"
    data[156:157] = kind
    data[157:257] = link.encode().ljust(100, b"\0")
    data[257:265] = b"ustar\x0000"
    data[329:345] = b"0000000\0" * 2
    data[148:156] = b" " * 8
    data[148:156] = f"{sum(data):06o}\0 ".encode()
    return bytes(data)


def _member(name: str, data: bytes) -> bytes:
    return _header(name, f"{len(data):011o}") + data + bytes(-len(data) % 512)


def _sample(json_text: bytes, image: bytes = b"x") -> bytes:
    return _close(_member(f"{KEY}.png", image) + _member(f"{KEY}.json", json_text))


def _close(data: bytes) -> bytes:
    data += bytes(1024)
    return data + bytes(-len(data) % 10_240)


def _pax(text: str) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo(f"{KEY}.png")
        info.pax_headers = {"comment": text}
        archive.addfile(info)
    return sink.getvalue()


def _png(width: int, height: int, raw: bytes) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw, 1)) + chunk(b"IEND", b"")


def _parquet(table: pa.Table, **options: object) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def _big_footer(parquet: bytes) -> bytes:
    return parquet[:-8] + b"\xff\xff\xff\x7f" + parquet[-4:]


def _absurd_counts(parquet: bytes) -> bytes:
    """The footer's lists claim two thousand million items."""
    size = int.from_bytes(parquet[-8:-4], "little")
    footer = parquet[-8 - size : -8].replace(b"\x19\x1c", b"\x19\xfc\xff\xff\xff\xff\x07")
    return parquet[: -8 - size] + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def _long_text(parquet: bytes) -> bytes:
    """A thousand rows that share one text of a megabyte: small in the file, a gigabyte in memory."""
    rows = pq.read_table(io.BytesIO(parquet)).slice(0, 1).combine_chunks().take(pa.array([0] * 1000))
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), pa.array(["x" * 1_000_000]))
    rows = rows.set_column(rows.column_names.index("group_id"), "group_id", text)
    return _parquet(rows, store_schema=False, dictionary_pagesize_limit=2_000_000)


def write_attacks(folder: Path, sound_parquet: bytes, sound_json: bytes) -> None:
    """One file for each attack.

    Args:
        folder: exists.
        sound_parquet: a sound shard.
        sound_json: the JSON of a sound sample.
    """
    tall = pa.table({"x": pa.array(range(3000))})
    values = json.loads(sound_json) | {"sample_id": KEY, "width": 9999, "height": 9999}
    bomb_json = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    files = {
        "parent.tar": _close(_member(f"../../{KEY}.png", b"x")),
        "absolute.tar": _close(_member(f"/tmp/{KEY}.png", b"x")),
        "windows.tar": _close(_member("C:\\x.png", b"x")),
        "symlink.tar": _close(_header(f"{KEY}.png", kind=b"2", link="/etc/passwd")),
        "hardlink.tar": _close(_header(f"{KEY}.png", kind=b"1", link="../x")),
        "device.tar": _close(_header(f"{KEY}.png", kind=b"3")),
        "sparse.tar": _close(_header(f"{KEY}.png", kind=b"S")),
        "eight_gigabytes.tar": _header(f"{KEY}.png", "77777777777") + bytes(10_240),
        "base_256.tar": _header(f"{KEY}.png", b"\x80" + b"\xff" * 11) + bytes(10_240),
        "negative.tar": _header(f"{KEY}.png", b"-0000000001\0") + bytes(10_240),
        "gzip_bomb.tar": gzip.compress(bytes(50_000_000), 1),
        "pax_bomb.tar": _pax("x" * 20_000_000),
        "pax_size.tar": _close(_header("x", "77777777777", kind=b"x")),
        "long_name.tar": _close(_header("x", "00000010000", kind=b"L") + bytes(4096)),
        "many_members.tar": _close(_header("a", kind=b"0") * 30_000),
        "deep.tar": _sample(b"[" * 900_000),
        "deep_object.tar": _sample(b'{"a":' * 150_000),
        "long_number.tar": _sample(b'{"a":' + b"9" * 900_000 + b"}"),
        "large_json.tar": _sample(b'"' + b"x" * 30_000_000 + b'"'),
        "png_bomb.tar": _sample(bomb_json, _png(9999, 9999, bytes(9999 * 10_000))),
        "png_lie.tar": _sample(bomb_json, _png(2**31 - 1, 2**31 - 1, bytes(100))),
        "zeros.tar": b"",
        "empty.tar": b"",
        "empty.parquet": b"",
        "many_groups.parquet": _parquet(tall, row_group_size=1),
        "big_footer.parquet": _big_footer(sound_parquet),
        "absurd_counts.parquet": _absurd_counts(sound_parquet),
        "text.parquet": b"PAR1" + b"x" * 100_000 + b"PAR1",
        "long_text.parquet": _long_text(sound_parquet),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    with (folder / "zeros.tar").open("wb") as file:
        file.truncate(400_000_000_000)


def main() -> None:
    from cspine_bench.release.checks.shards import ShardTask, check_shard

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_LIMIT, used + MEMORY_LIMIT))
    for path in sorted(Path(sys.argv[1]).iterdir()):
        start = time.process_time()
        report = check_shard(ShardTask(sys.argv[1], path.name, "train", "full"))
        row = {"name": path.name, "codes": sorted({item.code for item in report.findings})}
        longest = max((len(item.message) for item in report.findings), default=0)
        print(json.dumps(row | {"seconds": time.process_time() - start, "longest": longest}), flush=True)


if __name__ == "__main__":
    main()
