"""Replies: the same headers on every one, so that none tells more than its body."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from cspine_bench.provenance import canonical_json

HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
}
_SENTENCES: Final = {404: "there is nothing here", 405: "this address does not take that method"}


def reply_bytes(data: bytes, media_type: str) -> Response:
    """Bytes as they are: no compression, no validators, no cookie."""
    return Response(data, media_type=media_type, headers=HEADERS)


def reply_json(value: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON in one spelling, so that its length depends on the values alone."""
    data = canonical_json(value).encode()
    return Response(data, status, {**HEADERS, **(headers or {})}, "application/json")


def reply_error(request: Request, error: Exception) -> Response:
    """What went wrong, in a sentence."""
    if not isinstance(error, HTTPException):  # The server's log has the trace.
        return reply_json({"error": "the server failed; try again, nothing is lost"}, 500)
    sentence = _SENTENCES.get(error.status_code, "") if error.detail in _STATUS_NAMES else error.detail
    return reply_json({"error": sentence or error.detail}, error.status_code, error.headers)


_STATUS_NAMES: Final = ("Not Found", "Method Not Allowed")
