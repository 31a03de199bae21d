"""Which names the server answers to, and headers that every answer carries."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from winnow.serving._errors import RefusalError, refusal_response

__all__ = ["HostGuard", "is_allowed"]

ANY = "*"
NAME = re.compile(r"[\w.:\[\]-]{1,255}", re.ASCII)  # what is safe to repeat
ZONE = re.compile(r"[\w.-]{1,32}", re.ASCII)  # names of network interfaces


class HostGuard:
    """Answers only requests that call the server by an address or a name of its own.

    A page of somebody else's can let its own name point to this machine and then read what the
    server answers (DNS rebinding); its requests carry that name in ``Host``. Addresses cannot be
    pointed elsewhere, so they are always allowed.

    Args:
        app: the application behind it.
        names: allowed besides addresses, ``localhost`` and the name of this machine; ``*``: any.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str] = ()) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in names) | {
            "localhost",
            socket.gethostname().lower(),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def nosniff(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Content-Type-Options"] = "nosniff"
            await send(message)

        host = Headers(scope=scope).get("host", "")
        if is_allowed(host, self._names):
            await self._app(scope, receive, nosniff)
            return
        shown = f"the name {host}" if NAME.fullmatch(host) else "that name"
        message = (
            f"this server does not answer to {shown}: start it with `--allow-host NAME` for each "
            f"of its names"
        )
        await refusal_response(RefusalError(400, message))(scope, receive, nosniff)


def is_allowed(host: str, names: Iterable[str]) -> bool:
    """Return whether the server answers to a name.

    Args:
        host: the ``Host`` header, with or without a port.
        names: in lower case; addresses are allowed besides.

    Example:
        >>> is_allowed("127.0.0.1:8000", []), is_allowed("evil.example", ["localhost"])
        (True, False)
    """
    names = frozenset(names)
    if ANY in names:
        return True
    bare, _, port = host.lower().rpartition(":")
    name = bare if port.isdecimal() and bare else host.lower()
    if name in names:
        return True
    try:
        address = ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    # Of an address on one link, the interface: Python takes any text for it
    scope = getattr(address, "scope_id", None)
    return scope is None or (address.is_link_local and ZONE.fullmatch(scope) is not None)
