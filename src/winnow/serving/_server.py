"""Serving a bundle from this machine."""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Callable, Sequence

import uvicorn

from winnow.errors import WinnowError
from winnow.serving._app import create_app
from winnow.serving._connections import QuietLog, server_config
from winnow.serving._protocol import Predictor

__all__ = ["serve"]


def serve(
    bundle: Predictor | str | os.PathLike[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    max_body_bytes: int | None = None,
    max_rows: int = 1000,
    allowed_hosts: Sequence[str] = (),
    announce: Callable[[str], None] = print,
) -> None:
    """Serve ``bundle`` until interrupted.

    Args:
        bundle: a loaded bundle, or the path of one.
        host: address to listen on; the default is reached from this machine only.
        port: 0 takes any free one.
        max_body_bytes: largest body of a request, in bytes; None: 1 MiB, or 16 rows of wide inputs.
        max_rows: most rows in one request.
        allowed_hosts: names that requests may call the server by, besides addresses, ``localhost``,
            the name of this machine and ``host``; ``"*"`` allows any.
        announce: told, line by line, where the server is once it can be reached.

    Raises:
        BundleError: the path holds no bundle, a damaged one, or a newer one.
        WinnowError: the address or the port cannot be used.
    """
    app = create_app(
        bundle,
        max_body_bytes=max_body_bytes,
        max_rows=max_rows,
        allowed_hosts=(host, *allowed_hosts),
    )
    listening = _listen(host, port)
    log, quiet = logging.getLogger("uvicorn.error"), QuietLog()
    try:
        for line in announcement(app.title, host, listening.getsockname()[1]):
            announce(line)
        server = uvicorn.Server(server_config(app))
        log.addFilter(quiet)
        server.run(sockets=[listening])
    except KeyboardInterrupt:  # uvicorn raises it again once it has shut down
        pass
    finally:
        log.removeFilter(quiet)
        listening.close()


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket: taken before anything is announced, so nobody else can have the
    port in between.
    """
    if not 0 <= port <= 65535:
        raise WinnowError(f"`port` must be between 0 and 65535, got {port}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
    except (socket.gaierror, UnicodeError):
        raise WinnowError(
            f"`host` must be an address of this machine such as 127.0.0.1 or 0.0.0.0, got {host!r}"
        ) from None
    listening = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere the option would let two servers share a port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise WinnowError(_why(error, host, port)) from None
    return listening


def _why(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is taken by another program: stop that, or choose another "
            f"port (0 takes a free one)"
        )
    if error.errno == errno.EACCES:
        return f"port {port} needs administrator rights: choose one above 1023"
    if error.errno == errno.EADDRNOTAVAIL:
        return (
            f"`host` must be an address of this machine such as 127.0.0.1 or 0.0.0.0, got {host!r}"
        )
    return f"cannot listen on {host} port {port}: {error.strerror}"


def announcement(name: str, host: str, port: int) -> list[str]:
    """Where the server is, for the person who started it; and who else can reach it, when that
    is anyone.
    """
    # The address that means every address of this machine is none that a browser can open.
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    url = f"http://{shown}:{port}"
    lines = [f"{name}: try it at {url}  (API: {url}/docs; stop with Ctrl-C)"]
    if host not in ("localhost", "::1") and not host.startswith("127."):
        lines.append(
            "anyone who can reach this machine can use the model: there is no key and no encryption"
        )
    return lines
