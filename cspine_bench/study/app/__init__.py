"""The server of a reader study: a static page and a small JSON interface. It cannot tell real from synthetic."""

import importlib.util

from cspine_bench.errors import MissingExtraError

for _package in ("starlette", "uvicorn"):
    if importlib.util.find_spec(_package) is None:
        raise MissingExtraError(_package, "study")
