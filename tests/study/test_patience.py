"""Connections that say nothing, or too little, or too much."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest
import uvicorn
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from cspine_bench.study.app import patience
from cspine_bench.study.app.patience import PatientProtocol

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]
GET = b"GET / HTTP/1.1\r\nhost: h\r\n"


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    await Response("here")(scope, receive, send)


async def meet(*talks: Talk) -> None:
    config = uvicorn.Config(answer, lifespan="off", log_config=None)
    config.load()
    state, loop = ServerState(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: PatientProtocol(config, state, {}), "127.0.0.1", 0)

    async def run(talk: Talk) -> None:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        await asyncio.wait_for(talk(reader, writer), 60)
        writer.close()

    await asyncio.gather(*(run(talk) for talk in talks))
    server.close()


async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    assert await reader.read() == b""


async def say_it_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(GET + b"\r\n")
    assert (await reader.readuntil(b"here")).startswith(b"HTTP/1.1 200")
    for byte in GET:  # More often than the wait is long.
        writer.write(bytes([byte]))
        await asyncio.sleep(0.03)
        # A byte that crosses the server's goodbye is answered by a reset, which ends a stream without its end.
        if reader.at_eof() or isinstance(reader.exception(), ConnectionError):
            return
    raise AssertionError("the whole head was waited for")


async def go_on_after_the_reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(GET + b"content-length: 100\r\n\r\n")
    await reader.readuntil(b"here")
    writer.write(b"a")
    assert await reader.read() == b""


async def be_a_reader(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for _ in range(2):
        writer.write(GET[:9])
        await asyncio.sleep(0.02)
        writer.write(GET[9:] + b"\r\n")
        assert (await reader.readuntil(b"here")).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(0.7)  # Looking at images takes longer than a head may.


def test_who_is_late_is_let_go_and_who_reads_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "HEAD_S", 0.5)
    asyncio.run(meet(say_nothing, say_it_slowly, go_on_after_the_reply, be_a_reader))
