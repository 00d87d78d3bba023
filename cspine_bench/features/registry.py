"""The encoders that exist, by name; and those that are files of the user, by kind and path."""

import difflib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from cspine_bench.errors import CheckpointError
from cspine_bench.features.encoder import Encoder
from cspine_bench.features.file import ONNX, TORCHSCRIPT, load_file
from cspine_bench.features.hub import DINOV2, HUB, HUB_MODELS, RAD_DINO, load_hub, load_named
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
    DINOV2: lambda device: load_named(DINOV2, device),
    RAD_DINO: lambda device: load_named(RAD_DINO, device),
}
"""From name to a loader that takes a device."""

FILE_KINDS: Final = (INCEPTION, TORCHSCRIPT, ONNX, DINOV2, RAD_DINO, HUB)
"""What may stand before `:PATH`."""

PIN: Final = "#sha256="
"""Behind an encoder's name, with the hash that its weights must have."""


def load_encoder(
    name: str = DEFAULT_ENCODER, *, device: str = "cpu", options: Mapping[str, Any] | None = None
) -> Encoder:
    """An encoder, ready to use.

    Args:
        name: one of `ENCODERS`; or one of `FILE_KINDS` with `:PATH`, or `hub:OWNER/NAME@REVISION`. Behind it may stand
            `#sha256=HASH`: then weights of another hash are refused.
        device: where it works.
        options: of a `torchscript` or `onnx` file, see `cspine_bench.features.file`; None: they lie beside it.

    Raises:
        ValueError: there is none of this name, or options are given to one that has none.
        MissingExtraError: a package that it needs is not installed.
        CheckpointError: its weights are missing, or not what they should be.
    """
    name, pinned, pin = name.partition(PIN)
    if pinned and not re.fullmatch("[0-9a-f]{64}", pin):
        raise ValueError(f"{name}{PIN}{pin}: behind {PIN} stand 64 digits of 0..9 and a..f")
    encoder = _load(name, device, options)
    if pinned and encoder.weights_sha256 != pin:
        raise CheckpointError(
            f"{name}: its weights have the hash {encoder.weights_sha256}, asked for is {pin}; fetch those again, or "
            "take the hash out of the name, and every figure changes"
        )
    return encoder


def _load(name: str, device: str, options: Mapping[str, Any] | None) -> Encoder:
    kind, colon, path = name.partition(":")
    if options is not None and kind not in (TORCHSCRIPT, ONNX):
        raise ValueError(f"{name!r} takes no options; {TORCHSCRIPT}:PATH and {ONNX}:PATH do")
    if colon and path and kind == INCEPTION:
        return load_inception(device, weights=Path(path))
    if colon and path and kind in HUB_MODELS:
        return load_named(kind, device, path=Path(path))
    if colon and path and kind == HUB:
        return load_hub(path, device)
    if colon and path and kind in FILE_KINDS:
        return load_file(kind, Path(path), device=device, options=options)
    if name not in ENCODERS:
        known = [*ENCODERS, *(f"{kind}:PATH" for kind in FILE_KINDS)]
        near = difflib.get_close_matches(f"{kind}:PATH" if colon else name, known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"no encoder is called {name!r}; {hint}known encoders: {', '.join(sorted(known))}")
    return ENCODERS[name](device)
