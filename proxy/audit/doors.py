"""
Who can connect, and whom a listener takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.audit.rule import Hit
from proxy.config.door import ANY
from proxy.config.network import TcpAddress
from proxy.core.admit import ANONYMOUS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.audit.evidence import Evidence
    from proxy.config.draft import Place
    from proxy.config.model import Listener
    from proxy.config.route import Route


def _listeners(evidence: Evidence) -> Iterator[tuple[Place, Listener]]:
    for index, listener in enumerate(evidence.settings.listen):
        yield ("listen", index), listener


def _open(entry: Listener | Route) -> bool:
    return entry.callers is None or ANONYMOUS in entry.callers or entry.mode == "report"


def _some_route_is_open(evidence: Evidence) -> bool:
    return any(map(_open, evidence.settings.routes))


def anonymous(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each listener that lets in whoever can reach this machine, to some route at least.

    One with `client_ca_file` lets in nobody without a certificate, whoever it names.
    """
    for place, listener in _listeners(evidence):
        if listener.address.loopback or (listener.tls and listener.tls.client_ca_file):
            continue
        if _open(listener) and _some_route_is_open(evidence):
            instead = "write callers: [NAME, …], or listen on 127.0.0.1 or a Unix socket"
            if listener.mode == "report":
                instead = "write mode: enforce"
            what = "whoever can reach this machine may use its service users"
            yield Hit((*place, "callers"), what, instead)


def keys_in_clear(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each listener that callers' keys and requests reach readable for the network.
    """
    for place, listener in _listeners(evidence):
        if not listener.address.loopback and listener.tls is None:
            yield Hit(
                (*place, "address"),
                "requests, answers and callers' keys cross the network readable",
                "write tls: {cert_file: …, key_file: …} beside the address",
            )


def shared_host(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each listener on loopback that asks nobody who they are.
    """
    for place, listener in _listeners(evidence):
        tcp = isinstance(listener.address, TcpAddress)
        if tcp and listener.address.loopback and _open(listener) and _some_route_is_open(evidence):
            yield Hit(
                (*place, "address"),
                "every user and program of this machine may use its service users",
                "on a host you share write callers: [NAME, …], or listen on a Unix socket",
            )


def unlimited(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each listener of other machines if nobody's number of requests has a limit.
    """
    settings = evidence.settings
    limits = [caller.limits for caller in settings.callers.values()]
    limits += [listener.limits for listener in settings.listen]
    if settings.upstreams or any(limits):
        return
    for place, listener in _listeners(evidence):
        if not listener.address.loopback:
            yield Hit(
                (*place, "address"),
                "no caller, listener or upstream has a limit to its number of requests",
                "write limits under the callers, or under upstreams",
            )


def any_host(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each open listener on loopback that answers to every name; elsewhere that is the default.
    """
    for place, listener in _listeners(evidence):
        guarded = _open(listener) and _some_route_is_open(evidence) and _for_pages(listener)
        for index, host in enumerate(listener.hosts or ()):
            if host == ANY and guarded and listener.address.loopback:
                yield Hit(
                    (*place, "hosts", index),
                    "requests for any name are taken, those of a rebound web page too",
                    "list the names this listener is known by",
                )


def browsers(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each listener where a web page gets in without knowing anything.
    """
    for place, listener in _listeners(evidence):
        allowed = listener.browsers == "allow" and listener.require_header is None
        if allowed and _for_pages(listener) and _lets_in_unknowing(evidence, listener):
            yield Hit(
                (*place, "browsers"),
                "any web page shown on a machine that reaches this listener may use it",
                "remove it, or write require_header, or callers with keys, beside it",
            )


def _for_pages(listener: Listener) -> bool:
    """
    Tell whether a web page can connect: to no Unix socket.
    """
    return isinstance(listener.address, TcpAddress)


def _lets_in_unknowing(evidence: Evidence, listener: Listener) -> bool:
    """
    Tell whether somebody gets in who shows nothing but what a browser shows by itself: its address,
    or the certificate of whoever sits there.
    """
    settings = evidence.settings
    if _open(listener) and _some_route_is_open(evidence):
        return True
    named = set(listener.callers or ())
    named.update(*(route.callers or () for route in settings.routes))
    callers = [settings.callers[name] for name in named if name in settings.callers]
    return any(caller.by_network_alone or caller.mtls_san is not None for caller in callers)


def reported_only(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each list of callers that is not enforced.
    """
    entries: list[tuple[Place, Listener | Route]] = [*_listeners(evidence)]
    entries += [(("routes", at), route) for at, route in enumerate(evidence.settings.routes)]
    for place, entry in entries:
        if entry.mode == "report" and entry.callers is not None and ANONYMOUS not in entry.callers:
            yield Hit(
                (*place, "mode"),
                "callers that are not listed are let through",
                "write mode: enforce once the log names nobody who should pass",
            )
