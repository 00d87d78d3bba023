"""HTTP with an end to patience: who opens connections and says nothing, or says it a byte a minute, keeps nobody out.

The server takes so many connections at once; uvicorn closes idle ones only after a first reply.
"""

import asyncio
from typing import Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S: Final = 20.0
"""Longest time from a connection, or from the first byte after a reply, to the end of a request's head."""


class PatientProtocol(H11Protocol):
    """A connection that is closed when the head of a request is late, or when its body goes on after the reply."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self._late = self.loop.call_later(HEAD_S, transport.close)

    def data_received(self, data: bytes) -> None:
        """Go on waiting, however much comes, until a head is whole."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._late = self._late or self.loop.call_later(HEAD_S, self.transport.close)
            return
        self._stop_waiting()
        if self.conn.their_state is h11.SEND_BODY and self.cycle.response_complete:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
