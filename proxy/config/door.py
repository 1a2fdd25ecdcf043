"""
What a listener asks of each request, and where this process listens, as `core` holds them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from proxy.config.network import TcpAddress
from proxy.config.route import HOST, HeaderName, HeaderValue, match_host
from proxy.config.section import Section, wrong
from proxy.core.admit import ANONYMOUS, Entrance, rule
from proxy.core.destination import Listening, listening
from proxy.core.door import Door
from proxy.core.headers import CALLER_CREDENTIALS, LOOKED_AT, is_forwarding

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.config.model import Listener, Settings

ANY: Final = "*"
"""Stands for every host."""


def _allowed_host(value: object) -> str:
    return ANY if value == ANY else match_host(value)


def _own_mark(value: str) -> str:
    """
    Refuse a header that a page could send without asking, or that means something else here.

    Source: Fetch §2.2.2, CORS-safelisted request-headers; none of them begins with X-.
    """
    name = value.encode()
    if not name.startswith(b"x-"):
        raise wrong("does not begin with X-", "write one such as X-Authproxy-Request")
    if name in CALLER_CREDENTIALS | LOOKED_AT or is_forwarding(name):
        raise wrong("is a header this proxy has another use for", "write another")
    return value


AllowedHost = Annotated[
    str,
    PlainValidator(_allowed_host),
    WithJsonSchema({"type": "string", "pattern": rf"^(\*|{HOST})$"}),
]


class RequiredHeader(Section):
    """
    A header that every request must bring.
    """

    name: Annotated[HeaderName, AfterValidator(_own_mark)] = Field(
        description="The header's name, which begins with X-. It is not passed on."
    )
    value: HeaderValue = Field(
        description="The value it must have exactly. No secret: callers prove themselves by keys."
    )


def doors(settings: Settings) -> tuple[Door, ...]:
    """
    Return what each listener asks of requests, in the file's order.
    """
    spoken_of = [entry.match.host for entry in settings.routes if entry.match.host]
    spoken_of += [entry.upstream.host for entry in settings.routes]
    return tuple(_door(listener, settings, spoken_of) for listener in settings.listen)


def _asks_for_proof(listener: Listener, settings: Settings) -> bool:
    """
    Tell whether whoever calls must show something that a page does not have by being shown on this
    machine: its address alone proves nothing.
    """
    names = listener.callers
    if names is None or ANONYMOUS in names or listener.mode == "report":
        return False
    return not any(settings.callers[name].by_network_alone for name in names)


def _door(listener: Listener, settings: Settings, spoken_of: Iterable[str]) -> Door:
    written = listener.hosts
    open_to_pages = (
        isinstance(listener.address, TcpAddress)  # no page can connect to a Unix socket
        and listener.address.loopback
        and not _asks_for_proof(listener, settings)
    )
    hosts = [*spoken_of] if written is None else [*written]
    answers_all = not open_to_pages if written is None else ANY in written
    mark = listener.require_header
    return Door(
        names=None if answers_all else frozenset(map(str.encode, hosts)),
        suffixes=tuple(host[1:].encode() for host in hosts if host.startswith("*.")),
        unclaimable=written is None,
        own=frozenset(host.encode() for host in written or () if not host.startswith(ANY)),
        browsers=listener.browsers == "allow",
        required=None if mark is None else (mark.name.encode(), mark.value.encode()),
    )


def entrances(settings: Settings) -> tuple[Entrance, ...]:
    """
    Return who may use each listener, in the file's order.
    """
    return tuple(
        Entrance(
            listener_name(index, listener),
            rule(listener.callers, listener.mode),
            listener.caller_credential == "authorization",
        )
        for index, listener in enumerate(settings.listen)
    )


def listener_name(index: int, listener: Listener) -> str:
    """
    Return what a listener is called: its address, or its index if it takes any free port.
    """
    address = listener.address
    free = isinstance(address, TcpAddress) and not address.port
    return f"listen[{index}]" if free else str(address)


def own_listeners(settings: Settings) -> tuple[Listening, ...]:
    """
    Return where this process listens on the network, as far as is known before it does: a port of
    0 is any.
    """
    addresses = (*(listener.address for listener in settings.listen), settings.admin)
    return tuple(
        each
        for address in addresses
        if isinstance(address, TcpAddress) and address.port
        for each in listening(address.host, address.port)
    )
