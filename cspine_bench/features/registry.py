"""The encoders that exist, by name."""

import difflib
from collections.abc import Callable
from typing import Final

from cspine_bench.features.encoder import Encoder
from cspine_bench.features.lite0 import LITE0, load_lite0

DEFAULT_ENCODER: Final = LITE0
ENCODERS: Final[dict[str, Callable[[str], Encoder]]] = {LITE0: load_lite0}
"""From name to a loader that takes a device."""


def load_encoder(name: str = DEFAULT_ENCODER, *, device: str = "cpu") -> Encoder:
    """An encoder, ready to use.

    Raises:
        ValueError: there is none of this name.
        MissingExtraError: a package that it needs is not installed.
        CheckpointError: its weights are not what they should be.
    """
    if name not in ENCODERS:
        near = difflib.get_close_matches(name, ENCODERS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"no encoder is called {name!r}; {hint}known encoders: {', '.join(sorted(ENCODERS))}")
    return ENCODERS[name](device)
