"""Publish, check and use synthetic lateral cervical-spine radiographs.

`load` is the torch dataset; its type is in `__init__.pyi`.
"""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "load":
        # Late, because it brings torch: the package itself stays light.
        import importlib

        return importlib.import_module("cspine_bench.dataset.load").load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
