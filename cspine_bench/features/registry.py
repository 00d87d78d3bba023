"""The encoders that exist, by name; and those that are files of the user, by kind and path."""

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from cspine_bench.features.encoder import Encoder
from cspine_bench.features.file import ONNX, TORCHSCRIPT, load_file
from cspine_bench.features.inception import INCEPTION, load_inception
from cspine_bench.features.lite0 import LITE0, load_lite0
from cspine_bench.features.pixels import PIXELS, load_pixels
from cspine_bench.features.radiomics import RADIOMICS, load_radiomics

DEFAULT_ENCODER: Final = LITE0
ENCODERS: Final[dict[str, Callable[[str], Encoder]]] = {
    LITE0: load_lite0,
    INCEPTION: load_inception,
    PIXELS: load_pixels,
    RADIOMICS: load_radiomics,
}
"""From name to a loader that takes a device."""

FILE_KINDS: Final = (INCEPTION, TORCHSCRIPT, ONNX)
"""What may stand before `:PATH`."""


def load_encoder(
    name: str = DEFAULT_ENCODER, *, device: str = "cpu", options: Mapping[str, Any] | None = None
) -> Encoder:
    """An encoder, ready to use.

    Args:
        name: one of `ENCODERS`; or `inception-v3:PATH`, `torchscript:PATH`, `onnx:PATH` for a file.
        device: where it works.
        options: of a `torchscript` or `onnx` file, see `cspine_bench.features.file`; None: they lie beside it.

    Raises:
        ValueError: there is none of this name, or options are given to one that has none.
        MissingExtraError: a package that it needs is not installed.
        CheckpointError: its weights are missing, or not what they should be.
    """
    kind, colon, path = name.partition(":")
    if options is not None and kind not in (TORCHSCRIPT, ONNX):
        raise ValueError(f"{name!r} takes no options; {TORCHSCRIPT}:PATH and {ONNX}:PATH do")
    if colon and path and kind == INCEPTION:
        return load_inception(device, weights=Path(path))
    if colon and path and kind in FILE_KINDS:
        return load_file(kind, Path(path), device=device, options=options)
    if name not in ENCODERS:
        known = [*ENCODERS, *(f"{kind}:PATH" for kind in FILE_KINDS)]
        near = difflib.get_close_matches(f"{kind}:PATH" if colon else name, known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"no encoder is called {name!r}; {hint}known encoders: {', '.join(sorted(known))}")
    return ENCODERS[name](device)
