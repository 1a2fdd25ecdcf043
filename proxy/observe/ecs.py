"""
Lines in the words of the Elastic Common Schema: requests and everything else.

Names are written with their dots, as `ecs-logging` does. What the schema has no word for stands
under `authproxy.`, by the name it has in the JSON log. What is left open is left out.

Source: Elastic Common Schema 8.11; ecs-logging's specification (`@timestamp`, `log.level` and
`message` come first).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION: Final = "8.11.0"
SERVICE: Final = "authproxy"

NAMES: Final[Mapping[str, str]] = {
    "request_id": "http.request.id",
    "trace_id": "trace.id",
    "caller": "user.name",
    "method": "http.request.method",
    "path": "url.path",
    "status": "http.response.status_code",
    "bytes_in": "http.request.body.bytes",
    "bytes_out": "http.response.body.bytes",
    "code": "error.code",
    "exception": "error.stack_trace",
    "route": "authproxy.route",  # from here on, so that a request's line need not make them anew
    "service_user": "authproxy.service_user",
    "upstream": "authproxy.upstream",
    "upstream_status": "authproxy.upstream_status",
    "token": "authproxy.token",
    "replayed": "authproxy.replayed",
    "token_ms": "authproxy.token_ms",
    "upstream_ms": "authproxy.upstream_ms",
}
"""What a key of the JSON log is called here, if not `authproxy.` and the same."""


def request(stamp: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return what to write of a request that has ended.

    Args:
        stamp: When, in RFC 3339.
        record: As the JSON log has it.
    """
    asked = f"{record['method']} {record['path'] or '-'}" if record["method"] else "no request"
    line = _head(stamp, "info", f"{asked} {record['status']}", "request.done")
    line["event.category"] = ["web"]
    _tell(line, record)
    return line


def event(facts: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return what to write of any other event.

    Args:
        facts: As the JSON log has them: `timestamp`, `level`, `event` and what it says.
    """
    rest = dict(facts)
    stamp, level, name = rest.pop("timestamp"), rest.pop("level"), rest.pop("event")
    line = _head(stamp, level, name, name)
    _tell(line, rest)
    return line


def _head(stamp: str, level: str, message: str, action: str) -> dict[str, Any]:
    return {
        "@timestamp": stamp,
        "log.level": level,
        "message": message,
        "ecs.version": VERSION,
        "service.name": SERVICE,
        "event.action": action,
    }


def _tell(line: dict[str, Any], facts: Mapping[str, Any]) -> None:
    """
    Add the facts under their names here.
    """
    for key, value in facts.items():
        if value is None:
            continue
        name = NAMES.get(key)
        if name is not None:
            line[name] = value
        elif key == "client":
            _tell_source(line, value)
        elif key == "duration_ms":
            line["event.duration"] = int(value * 1e6)  # nanoseconds
        elif key == "error":
            code, _, reason = str(value).partition(": ")
            line["error.code"] = code
            line["error.message"] = reason or code
        else:
            line[f"authproxy.{key}"] = value


def _tell_source(line: dict[str, Any], client: str) -> None:
    """
    Say who was at the other end: address and port, or a Unix socket.
    """
    line["source.address"] = client
    address, _, port = client.rpartition(":")
    if address and port.isdecimal():
        line["source.ip"] = address
        line["source.port"] = int(port)
