"""
The request again, with a line in the audit trail at its end (`observe.audit`).

Without an audit trail none of this is in use, so that it costs nothing.
"""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING, Any

from proxy.config.secrets import read
from proxy.core.secret import Secret
from proxy.errors import ConfigError, CredentialInvalid, Overloaded, UpstreamConnect
from proxy.gateway import Request
from proxy.observe.audit import AuditLog
from proxy.observe.file import FileSink
from proxy.observe.log import loss_notice
from proxy.problem import Problem

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator, Mapping

    from proxy.config.load import Loaded
    from proxy.observe.formats import LogFormat
    from proxy.observe.sink import LineSink

UNSENT = (UpstreamConnect, Overloaded, CredentialInvalid)
"""What ends a request with a token before anything of it was sent, unless there was an answer."""


class AuditedRequest(Request):
    """
    A request that is recorded if it took a token upstream.
    """

    __slots__ = ()

    def finished(self) -> None:
        """
        Count the request, and write its lines.
        """
        super().finished()
        gateway = self.gateway
        if self.token is not None and gateway.audit is not None and took(self):
            gateway.audit.write(_line(self, gateway.audit))


def took(request: Request) -> bool:
    """
    Say whether the request's token went upstream; yes if that cannot be told.
    """
    if request.upstream_status or request.replayed or request.retried:
        return True
    return not isinstance(request.error, UNSENT)


def _line(request: AuditedRequest, audit: AuditLog) -> dict[str, Any]:
    errand, lane, token = request.errand, request.lane, request.token
    assert errand is not None
    assert lane is not None
    assert token is not None
    return {
        "request_id": request.request_id,
        "caller": request.caller_name,
        "client": request.caller.peer,
        "listener": request.gateway.listeners[request.caller.listener],
        "service_user": lane.plan.service_user,
        "route": errand.route,
        "method": errand.method,
        "path": errand.path,
        "upstream": lane.plan.upstream,
        "status": request.status,
        "token": audit.mark(token),
        "replayed": request.replayed,
    }


@contextlib.contextmanager
def open_audit(
    loaded: Loaded,
    environ: Mapping[str, str],
    sink: LineSink,
    wall: Callable[[], float],
    loop: asyncio.AbstractEventLoop,
    *,
    style: LogFormat = "json",
) -> Iterator[AuditLog | None]:
    """
    Yield the audit trail that the settings ask for; None if they ask for none.

    Args:
        loaded: The configuration.
        environ: The environment the key may come from.
        sink: The log's.
        wall: Seconds since the epoch.
        loop: Whose timer flushes what has gathered.
        style: The log's form; a file of its own is JSON.

    Raises:
        ConfigError: The file cannot be appended to, or the key not be read.
    """
    to = loaded.settings.audit.to
    if to == "off":
        yield None
        return
    key = _key(loaded, environ)
    if to == "stdout":
        trail = AuditLog(sink, wall, loop, key, style=style)
        try:
            yield trail
        finally:
            trail.flush()
        return
    notice = loss_notice(wall, event="audit.dropped")
    try:
        file = FileSink(loaded.base / to, notice=notice, what="audit lines")
    except OSError as error:
        what = f"cannot be appended to: {error.strerror or type(error).__name__}"
        problem = Problem("audit.to", what, file=loaded.origin)
        raise ConfigError([problem]) from error
    trail = AuditLog(file, wall, loop, key, file=file)
    try:
        yield trail
    finally:
        trail.flush()
        file.close()


def _key(loaded: Loaded, environ: Mapping[str, str]) -> Secret:
    source = loaded.settings.audit.hmac_key
    if source is None:
        return Secret(secrets.token_hex(32))
    try:
        return read(source, loaded.base, environ)
    except CredentialInvalid as error:
        problem = Problem("audit.hmac_key", error.reason, file=loaded.origin)
        raise ConfigError([problem]) from error
