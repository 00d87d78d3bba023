"""Serving a study: one process, one study, until it is told to stop."""

import fcntl
import ipaddress
import logging
import os
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn

from cspine_bench.errors import DataError
from cspine_bench.provenance import package_version
from cspine_bench.study.app.application import build_app
from cspine_bench.study.app.desk import Desk
from cspine_bench.study.app.group_commit import GroupCommit
from cspine_bench.study.app.patience import PatientProtocol
from cspine_bench.study.folder import StudyFolder
from cspine_bench.study.ledger.store import open_ledger

_MOST_WAITING: Final = 2000
_KEEP_ALIVE_S: Final = 75
"""Longer than most looks at a display set, so that an answer waits for no new connection."""


def serve_study(
    study: StudyFolder,
    *,
    host: str,
    port: int,
    tls: tuple[Path, Path] | None,
    on_listen: Callable[[str], None],
) -> None:
    """Serve a study until Ctrl-C or SIGTERM, and let requests that have begun finish.

    Args:
        study: to serve.
        host: name or address to listen at.
        port: 0: any that is free.
        tls: files of certificate and key; None: plain HTTP.
        on_listen: is told the address once connections are taken.

    Raises:
        DataError: the study is served already, is not what it was, or was unblinded; the address cannot be had; the
            certificate cannot be used.
    """
    with _only_server(study), open_ledger(study) as ledger, open_ledger(study) as reading:
        desk = Desk(study, GroupCommit(ledger), reading)
        config = uvicorn.Config(
            build_app(desk),
            http=PatientProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_MOST_WAITING,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=5,
            ssl_certfile=None if tls is None else str(tls[0]),
            ssl_keyfile=None if tls is None else str(tls[1]),
        )
        try:
            config.load()
        except (OSError, ssl.SSLError) as error:
            files = " and ".join(map(str, tls or ()))
            raise DataError(
                f"{files}: cannot use the certificate ({error}); give --tls-cert and --tls-key in PEM"
            ) from error
        with _listen(host, port) as listener:
            ledger.append("serve", body={"package_version": package_version()})
            on_listen(_spell_address(listener, host, tls is not None))
            _run(uvicorn.Server(config), listener)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def _only_server(study: StudyFolder) -> Iterator[None]:
    """Hold the study's folder, so that limits and order are one server's; ends with the process, however that ends."""
    descriptor = os.open(study.paths.folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(f"{study.paths.folder}: another process serves it already; stop that first") from error
        yield
    finally:
        os.close(descriptor)


def _listen(host: str, port: int) -> socket.socket:
    listener = None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        family, kind, protocol, _, address = found[0]
        # The protocol must be named: only then does asyncio send a reply's body without waiting for the other side to
        # confirm its head, which takes 40 ms.
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_MOST_WAITING)
    except OSError as error:
        if listener is not None:
            listener.close()
        raise DataError(
            f"cannot listen at {host}:{port} ({error.strerror}); choose another --host or --port"
        ) from error
    return listener


def _spell_address(listener: socket.socket, host: str, with_tls: bool) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"http{'s' * with_tls}://{name}:{listener.getsockname()[1]}/"


def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # What strangers send wrong is no news; what the server itself does wrong is.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    # The server ends in order on both signals, and then raises the one it got again.
    before = signal.signal(signal.SIGTERM, stop)
    try:
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
    finally:
        signal.signal(signal.SIGTERM, before)
