"""Requests as strangers send them: who asks, how often, and with what body."""

import asyncio
import json
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from cspine_bench.study.app.desk import Desk
from cspine_bench.study.app.limits import Limit
from cspine_bench.study.ledger.plain_json import parse_strict_json

MOST_BODY_BYTES: Final = 64 * 1024
_MOST_SECONDS: Final = 30.0
_ALL_STRANGERS: Final = ""

Model = TypeVar("Model", bound=BaseModel)


def identify(request: Request, desk: Desk, readers: Limit, strangers: Limit) -> str:
    """The reader whose link came with a request.

    Raises:
        HTTPException: 401 for unknown, malformed and revoked links alike; 429 for one that asks too often, and for
            unknown links that do so together.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    reader = desk.find_reader(token) if scheme.lower() == "bearer" else None
    wait = strangers.take(_ALL_STRANGERS) if reader is None else readers.take(reader)
    if wait:
        raise HTTPException(429, "too many requests; wait a moment", {"retry-after": str(wait)})
    if reader is None:
        raise HTTPException(401, "this link is not known here; ask the study's lead for a new one")
    return reader


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object in a request's body.

    Raises:
        HTTPException: 400 no JSON, 408 too slow, 413 too large, 415 not sent as JSON, 422 no object, or with numbers
            and keys that are not allowed.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "send the body as application/json")
    data = await _read_body(request)
    try:
        value = parse_strict_json(data)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise HTTPException(400, "the body is no JSON in UTF-8") from error
    except ValueError as error:
        raise HTTPException(422, f"the body cannot be used: {error}") from error
    if not isinstance(value, dict):
        raise HTTPException(422, "the body must be a JSON object")
    return value


async def _read_body(request: Request) -> bytes:
    data = b""
    try:
        async with asyncio.timeout(_MOST_SECONDS):
            async for part in request.stream():
                data += part
                if len(data) > MOST_BODY_BYTES:
                    # The rest stays unread, so nothing can follow on this connection.
                    close = {"connection": "close"}
                    raise HTTPException(413, f"the body is longer than {MOST_BODY_BYTES:,} bytes", close)
    except TimeoutError as error:
        raise HTTPException(408, "the body did not come in time", {"connection": "close"}) from error
    except ClientDisconnect as error:
        raise HTTPException(400, "the body did not come whole") from error
    return data


def check_object(value: dict[str, Any], model: type[Model]) -> Model:
    """A body as its model.

    Raises:
        HTTPException: 422, with the field and what is wrong with it.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part)[:40] for part in first["loc"]) or "body"
        raise HTTPException(422, f"{field}: {first['msg']}") from error


def check_empty(value: dict[str, Any]) -> None:
    """See that a body is {}.

    Raises:
        HTTPException: 422, it is not.
    """
    if value:
        raise HTTPException(422, "the body must be {}")
