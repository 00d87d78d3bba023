"""Random corruptions of a release or its mirror: each that changes a byte must be found, whatever it is.

As a script: `python tests/release/fuzz_validate.py RELEASE --count 2000 --seed 1`, RELEASE having its mirror beside it.
"""

import argparse
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from broken import copy_release, put, reseal

from cspine_bench.release.validate import validate_release

Corruption = Callable[[Path, list[str], random.Random], str]


def flip_bit(folder: Path, names: list[str], draw: random.Random) -> str:
    name = draw.choice(names)
    data = bytearray((folder / name).read_bytes())
    at = draw.randrange(len(data))
    data[at] ^= 1 << draw.randrange(8)
    put(folder, name, bytes(data))
    return f"bit of byte {at} of {name}"


def overwrite(folder: Path, names: list[str], draw: random.Random) -> str:
    name = draw.choice(names)
    data = bytearray((folder / name).read_bytes())
    at, length = draw.randrange(len(data)), draw.randrange(1, 64)
    data[at : at + length] = draw.randbytes(length) if draw.random() < 0.7 else bytes(length)
    if data == (folder / name).read_bytes():
        return ""
    put(folder, name, bytes(data))
    return f"{length} bytes at {at} of {name}"


def truncate(folder: Path, names: list[str], draw: random.Random) -> str:
    name = draw.choice(names)
    data = (folder / name).read_bytes()
    left = draw.randrange(len(data))
    put(folder, name, data[:left])
    return f"{name} cut to {left} of {len(data)}"


def append(folder: Path, names: list[str], draw: random.Random) -> str:
    name = draw.choice(names)
    extra = draw.choice([b"\n", b"\0" * 512, draw.randbytes(30)])
    put(folder, name, (folder / name).read_bytes() + extra)
    return f"{len(extra)} bytes behind {name}"


def swap(folder: Path, names: list[str], draw: random.Random) -> str:
    one, two = draw.sample(names, 2)
    first, second = (folder / one).read_bytes(), (folder / two).read_bytes()
    put(folder, one, second)
    put(folder, two, first)
    return f"{one} and {two} swapped" if first != second else ""


def delete(folder: Path, names: list[str], draw: random.Random) -> str:
    name = draw.choice(names)
    (folder / name).unlink()
    return f"{name} deleted"


def duplicate(folder: Path, names: list[str], draw: random.Random) -> str:
    name = draw.choice(names)
    other = draw.choice([f"{name}.bak", f"copy/{name}", f"data/{Path(name).name}", f".{Path(name).name}"])
    if (folder / other).exists():
        return ""
    put(folder, other, (folder / name).read_bytes())
    return f"{name} doubled as {other}"


def edit_text(folder: Path, names: list[str], draw: random.Random) -> str:
    """A line of a paper doubled, dropped, moved, or with another value."""
    name = draw.choice(
        [name for name in names if name.endswith((".md", ".json", ".cff", ".toml", "SHA256SUMS", "LICENSE"))]
    )
    lines = (folder / name).read_text().split("\n")
    before = list(lines)
    at = draw.randrange(len(lines))
    match draw.randrange(5):
        case 0:
            lines.insert(at, lines[at])
        case 1:
            del lines[at]
        case 2:
            lines.insert(draw.randrange(len(lines)), lines.pop(at))
        case 3:
            lines[at] = lines[at].replace("1", "2").replace("true", "false") + draw.choice(["", " ", "x", ": [", "{"])
        case _:
            lines[at] = draw.choice(
                ["", "---", "null", "- a: &a [*a]", "\t", '"', "é", "}" * 50, "[" * 5000, "9" * 5000]
            )
    put(folder, name, "\n".join(lines))
    return f"line {at} of {name} edited" if lines != before else ""


CORRUPTIONS: tuple[Corruption, ...] = (
    flip_bit, flip_bit, overwrite, truncate, append, swap, delete, duplicate, edit_text, edit_text
)  # fmt: skip


def iter_corrupted(release: Path, mirror: Path, count: int, seed: int) -> Iterator[tuple[str, Path, bool]]:
    """Corrupted copies, each gone when the next is asked for: what was done, the folder, whether it was sealed anew.

    A release that was sealed anew is another release: it may be sound, but must not crash or hang the validation.
    """
    draw = random.Random(seed)
    for _ in range(count):
        source = draw.choice([release, mirror])
        with tempfile.TemporaryDirectory() as scratch:
            folder = copy_release(source, Path(scratch) / source.name)
            names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
            done = draw.choice(CORRUPTIONS)(folder, names, draw)
            sealed = draw.random() < 0.3 and (folder / "dataset.json").exists()
            if sealed:
                try:
                    reseal(folder)
                except (ValueError, KeyError, TypeError, RecursionError):
                    sealed = False
            if done:
                yield done, folder, sealed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("release", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="Copy folders that were not found here.")
    arguments = parser.parse_args()
    mirror = arguments.release.with_name(arguments.release.name + "-wds")
    found = silent = resealed = 0
    slowest = 0.0
    for done, folder, sealed in iter_corrupted(arguments.release, mirror, arguments.count, arguments.seed):
        start = time.monotonic()
        try:
            verdict = validate_release(folder)
        except Exception:
            print(f"CRASH: {done} (sealed: {sealed})", flush=True)
            raise
        slowest = max(slowest, time.monotonic() - start)
        resealed += sealed
        if verdict.findings:
            found += 1
        elif not sealed:
            silent += 1
            print(f"SILENT: {done}", flush=True)
            if arguments.keep:
                shutil.copytree(folder, arguments.keep / f"silent{silent}")
    print(f"{found} found, {silent} silent, {resealed} of them sealed anew; slowest {slowest:.1f} s")


if __name__ == "__main__":
    main()
