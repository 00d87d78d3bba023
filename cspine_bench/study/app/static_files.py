"""The page of the readers: files that are the same bytes for everybody, read once."""

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "static"
MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


def load_static_files(folder: Path = FOLDER) -> dict[str, tuple[bytes, str]]:
    """Bytes and media type by path; `index.html` is `/`. Files of other kinds are not served."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in MEDIA_TYPES and path.is_file():
            name = path.relative_to(folder).as_posix()
            files["/" if name == "index.html" else f"/{name}"] = (path.read_bytes(), MEDIA_TYPES[path.suffix])
    return files
