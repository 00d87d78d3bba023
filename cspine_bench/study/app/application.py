"""The routes of a served study.

Nothing that goes out depends on what an image is: ids are opaque and other ones for every reader, trial and pane;
frames are raw bytes of one length; the sealed truth is never opened here.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cspine_bench.errors import DataError
from cspine_bench.study.app.desk import Desk
from cspine_bench.study.app.limits import PER_LINK, UNKNOWN_LINKS, Limit, Rate
from cspine_bench.study.app.reply import reply_bytes, reply_error, reply_json
from cspine_bench.study.app.requests import check_empty, check_object, identify, read_object
from cspine_bench.study.app.static_files import load_static_files
from cspine_bench.study.ledger.answers import Answer, AnswerRefused, save_answer
from cspine_bench.study.ledger.sessions import (
    Display,
    has_record,
    record_consent,
    record_display,
    record_open,
    record_shown,
)
from cspine_bench.study.schedule import trial_id

_log = logging.getLogger(__name__)

Act = Callable[[Desk, str, dict[str, Any]], Awaitable[dict[str, Any]]]

_STATUS = {"unfit": 422, "unknown": 404, "answered": 409, "closed": 403}


def build_app(desk: Desk, *, per_link: Rate = PER_LINK, unknown_links: Rate = UNKNOWN_LINKS) -> Starlette:
    """The application that serves a study.

    Args:
        desk: of the study.
        per_link: how fast one reader may ask.
        unknown_links: how fast all who have no valid link may ask together.
    """
    readers, strangers = Limit(per_link), Limit(unknown_links)

    def post(path: str, act: Act) -> Route:
        async def serve(request: Request) -> Response:
            reader = identify(request, desk, readers, strangers)
            body = await read_object(request)
            try:
                return reply_json(await act(desk, reader, body))
            except AnswerRefused as error:
                raise HTTPException(_STATUS[error.why], str(error)) from error
            except DataError as error:
                _log.error("%s", error)
                raise HTTPException(503, "the server cannot write just now; try again, nothing is lost") from error

        return Route(path, serve, methods=["POST"])

    async def serve_frame(request: Request) -> Response:
        reader = identify(request, desk, readers, strangers)
        _check_admitted(desk, reader)
        _check_open(desk)
        try:
            frame = desk.find_frame(reader, request.path_params["pane"])
        except DataError as error:
            _log.error("%s", error)
            raise HTTPException(503, "the server cannot read just now; try again, nothing is lost") from error
        if frame is None:
            raise HTTPException(404)
        return reply_bytes(frame, "application/octet-stream")

    routes = [
        post("/api/open", _open),
        post("/api/consent", _consent),
        post("/api/display", _display),
        post("/api/trial", _trial),
        post("/api/answer", _answer),
        _route_get("/api/frame/{pane}", serve_frame),
        *(_route_static(path, data, media_type) for path, (data, media_type) in load_static_files().items()),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: reply_error, Exception: reply_error})
    app.router.redirect_slashes = False
    return app


def _route_static(path: str, data: bytes, media_type: str) -> Route:
    async def serve(request: Request) -> Response:
        return reply_bytes(data, media_type)

    return _route_get(path, serve)


def _route_get(path: str, serve: Callable[[Request], Awaitable[Response]]) -> Route:
    route = Route(path, serve, methods=["GET"])
    route.methods = {"GET"}  # Starlette adds HEAD, which nobody here needs.
    return route


def _check_admitted(desk: Desk, reader: str) -> None:
    if not has_record(desk.ledger, "consent", reader):
        raise HTTPException(403, "agree to take part first")
    if not has_record(desk.ledger, "display", reader):
        raise HTTPException(403, "check the display first")


def _check_open(desk: Desk) -> None:
    """An answer needs no such check: one that was saved before is told so again, and others are refused."""
    if any(desk.ledger.iter_records("unblind")):
        raise HTTPException(403, "this study is over; what you have answered is saved")


async def _open(desk: Desk, reader: str, body: dict[str, Any]) -> dict[str, Any]:
    check_empty(body)
    await desk.writer.write(lambda ledger: record_open(ledger, reader))
    recipe, frames = desk.study.protocol.recipe, desk.study.protocol.frames
    trials, trial = desk.schedule.find(reader).trials, desk.find_trial(reader)
    return {
        "title": recipe.title,
        "design": recipe.design,
        "panes": recipe.num_panes,
        "anchors": recipe.anchors if recipe.ratings else [],
        "width": frames.width,
        "height": frames.height,
        "bit_depth": frames.bit_depth,
        "window": frames.window,
        "reader": reader,
        "consented": has_record(desk.ledger, "consent", reader),
        "display_checked": has_record(desk.ledger, "display", reader),
        "done": len(trials) if trial is None else trial,
        "total": len(trials),
        "training": sum(planned.kind == "training" for planned in trials),
        "finished": trial is None,
    }


async def _consent(desk: Desk, reader: str, body: dict[str, Any]) -> dict[str, Any]:
    check_empty(body)
    await desk.writer.write(lambda ledger: record_consent(ledger, reader))
    return {}


async def _display(desk: Desk, reader: str, body: dict[str, Any]) -> dict[str, Any]:
    display = check_object(body, Display)
    await desk.writer.write(lambda ledger: record_display(ledger, reader, display))
    return {}


async def _trial(desk: Desk, reader: str, body: dict[str, Any]) -> dict[str, Any]:
    check_empty(body)
    _check_admitted(desk, reader)
    _check_open(desk)
    trial, total = desk.find_trial(reader), desk.count_trials(reader)
    if trial is None:
        return {"finished": True, "done": total, "total": total}
    await desk.writer.write(lambda ledger: record_shown(ledger, reader, trial))
    return {
        "finished": False,
        "trial": trial_id(desk.schedule, reader, trial),
        "number": trial + 1,
        "total": total,
        "done": trial,
        "training": desk.schedule.find(reader).trials[trial].kind == "training",
        "panes": desk.list_panes(reader, trial),
    }


async def _answer(desk: Desk, reader: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = check_object(body, Answer)
    _check_admitted(desk, reader)
    saved = await desk.writer.write(lambda ledger: save_answer(ledger, desk.schedule, reader, answer))
    return {"saved": True, "done": saved.done, "total": saved.total}
