"""
`authproxy explain`: what would happen to a request, and why; nothing is sent.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import click

from proxy.cli.terminal import config_option, label, load_config
from proxy.config.door import doors, entrances
from proxy.config.route import METHODS
from proxy.core.admit import ANONYMOUS, admit
from proxy.core.decide import (
    Plan,
    confine,
    decide,
    host_lines,
    id_line,
    last_lines,
    travelling,
    upstream_target,
)
from proxy.core.headers import AUTHORIZATION, REQUEST_ID, valid_request_id
from proxy.core.route import Lost, Table
from proxy.errors import BadRequest, CallerForbidden, ProxyError
from proxy.generation import plan_routes, request_roles
from proxy.wire.request import read_request

if TYPE_CHECKING:
    from proxy.config.load import Loaded
    from proxy.core.decide import Decision
    from proxy.wire.request import RequestFields

SHOWN = "Authorization: Bearer ***"
BEARER = f"{SHOWN}\r\n".encode()


@dataclass(frozen=True, slots=True)
class Explained:
    """
    What would happen to a request.

    Attributes:
        decision: The route, and what was asked of it; None if the request is refused.
        lost: Why the other routes were not taken.
        refused: Why the request is refused; None if it is not.
        caller: What the route's and listeners' `callers` say of the caller; empty if allowed.
        sent: The head the upstream would get, credentials hidden; empty if refused.
        reported: What they would say if they were all enforced; empty if the same.
    """

    decision: Decision[Plan] | None
    lost: tuple[Lost, ...]
    refused: ProxyError | None
    caller: str
    sent: str
    reported: str = ""


@click.command("explain", short_help="Say which route a request takes, and why.")
@click.argument("method")
@click.argument("url")
@config_option
@click.option("--caller", metavar="NAME", help="Who calls: a name under `callers`.")
@click.option(
    "-H",
    "--header",
    "headers",
    multiple=True,
    metavar="'NAME: VALUE'",
    help="A header of the request; may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_context
def command(  # noqa: PLR0913 - one parameter per option
    ctx: click.Context,
    config: str | None,
    method: str,
    url: str,
    caller: str | None,
    headers: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """
    Say which route METHOD URL takes, why the others lost, as whom it goes, and what is sent.

    URL is what the caller would ask the proxy for, or a path alone. Exit code 1 if the request
    would be refused. Sends nothing.
    """
    loaded = load_config(config)
    if caller is not None and caller != ANONYMOUS and caller not in loaded.settings.callers:
        known = ", ".join(loaded.settings.callers) or "none"
        raise click.UsageError(f"no caller {caller!r} in the configuration; there are: {known}")
    if method.upper() == "CONNECT":
        fields, target = [(b"Host", url.encode())], url.encode()
    else:
        fields, target = _headers(url, headers), _target(url)
    explained = explain(loaded, (method.encode(), target), fields, caller)
    click.echo(
        json.dumps(_facts(explained), indent=2) if as_json else _text(explained, loaded).rstrip()
    )
    ctx.exit(1 if explained.refused is not None or explained.caller else 0)


def _target(url: str) -> bytes:
    path = url if url.startswith("/") else urlsplit(url)._replace(scheme="", netloc="").geturl()
    if path and not path.isascii():
        raise click.UsageError("the URL holds characters that must be written as %XX")
    return (path if path.startswith("/") else f"/{path}").encode()


def _headers(url: str, given: tuple[str, ...]) -> list[tuple[bytes, bytes]]:
    fields = []
    for header in given:
        name, colon, value = header.partition(":")
        if not colon or not name.strip() or not header.isascii():
            raise click.UsageError(f"-H wants 'Name: value', not {header!r}")
        fields.append((name.strip().encode(), value.strip().encode()))
    if not any(name.lower() == b"host" for name, _ in fields):
        host = "localhost" if url.startswith("/") else urlsplit(url).netloc
        if not host:
            raise click.UsageError("URL must be a path (/…) or an absolute URL (http://…)")
        fields.insert(0, (b"Host", host.encode("idna") if not host.isascii() else host.encode()))
    return fields


def explain(
    loaded: Loaded,
    line: tuple[bytes, bytes],
    fields: list[tuple[bytes, bytes]],
    caller: str | None,
) -> Explained:
    """
    Work out what would happen to a request.

    Args:
        loaded: The configuration.
        line: Method and request target.
        fields: The request's header fields.
        caller: Who calls; None for nobody known.
    """
    routes = plan_routes(loaded.settings)
    table = Table(routes)
    try:
        if line[0].decode() not in METHODS | {"CONNECT", "TRACE"}:
            raise BadRequest("the method is none that HTTP parsers know; methods are in capitals")
        lines = [b"%b: %b" % pair for pair in fields]
        head = read_request(lines, request_roles(routes, doors(loaded.settings)))
        assert head is not None
        decision = decide(table, *line, head.host, head.field)
        confine(decision.route.action, decision.route.match.path, decision.target)
    except ProxyError as error:
        return Explained(None, _lost(table, fields, line), error, "", "")
    target = decision.target
    lost = table.explain(line[0], target.host, target.path, head.field)
    plan = decision.route.action
    welcome = _welcome(loaded, plan, caller, head)
    sent = ""
    if not welcome.denied:
        sent = _sent(decision, line[0], head, takes_authorization=welcome.takes_authorization)
    return Explained(
        decision=decision,
        lost=tuple(lost),
        refused=None,
        caller=welcome.denied,
        sent=sent,
        reported=welcome.reported,
    )


def _lost(
    table: Table[Plan], fields: list[tuple[bytes, bytes]], line: tuple[bytes, bytes]
) -> tuple[Lost, ...]:
    """
    Say why no route was taken, as far as the request can be read at all.
    """
    known = {name.lower(): value for name, value in fields}
    host = known.get(b"host", b"").partition(b":")[0].lower()
    return tuple(table.explain(line[0], host, line[1].partition(b"?")[0], known.get))


class Welcome(NamedTuple):
    """
    What the listeners and the route say of a caller.

    Attributes:
        denied: Why none of them lets it use the route; empty if one does.
        reported: What the log would say of it there, since only report mode lets it; empty if not.
        takes_authorization: That listener keeps an Authorization to itself.
    """

    denied: str = ""
    reported: str = ""
    takes_authorization: bool = False


def _welcome(loaded: Loaded, plan: Plan, caller: str | None, head: RequestFields) -> Welcome:
    """
    Say what becomes of *caller* at the first listener that lets it use the route.
    """
    name = None if caller == ANONYMOUS else caller
    why = ""
    settings = loaded.settings
    for entrance, door in zip(entrances(settings), doors(settings), strict=True):
        try:
            if refusal := door.refusal(head.host, head.aside):
                raise CallerForbidden(refusal)
            admit(name, entrance.rule, plan.callers)
        except ProxyError as error:
            why = why or f"{error.code}: {error.reason}"
            continue
        rules = (each for each in (entrance.rule, plan.callers) if each is not None)
        denials = [denial for each in rules if (denial := each.denial(name)) is not None]
        reported = f"{denials[0].code}: {denials[0].reason}" if denials else ""
        return Welcome("", reported, entrance.takes_authorization)
    return Welcome(why)


def _sent(
    decision: Decision[Plan], method: bytes, fields: RequestFields, *, takes_authorization: bool
) -> str:
    plan = decision.route.action
    own = fields.field(REQUEST_ID)
    keep_id = own is not None and valid_request_id(own)
    also = frozenset((AUTHORIZATION,)) if takes_authorization else frozenset()
    foreign = plan.authorization == "keep" and fields.field(AUTHORIZATION) is not None
    goal = upstream_target(plan, decision.route.match.path, decision.target)
    parts = (
        b"%b %b" % (method, goal),
        host_lines(plan),
        travelling(plan, fields, keep_id=keep_id, also=also),
        b"" if foreign and not also else BEARER,
        plan.set_lines,
        b"" if keep_id else id_line("…"),
        last_lines(fields, "Via: 1.1 authproxy-…\r\n".encode()),
    )
    sent = b"".join(parts)
    return "\n".join(_hide(line) for line in sent.decode().split("\r\n") if line)


def _hide(line: str) -> str:
    """
    Hide the credential of a line a caller may keep.
    """
    name = line.partition(":")[0]
    return f"{name}: ***" if name.lower() == "authorization" and line != SHOWN else line


def _facts(explained: Explained) -> dict[str, Any]:
    refused, decision = explained.refused, explained.decision
    facts: dict[str, Any] = {
        "route": None,
        "lost": [{"route": lost.route, "why": lost.why} for lost in explained.lost],
    }
    if refused is not None or decision is None:
        reason = "" if refused is None else refused.reason
        code = "" if refused is None else refused.code
        return facts | {"refused": {"code": code, "reason": reason}}
    plan = decision.route.action
    return facts | {
        "route": decision.route.name,
        "service_user": plan.service_user,
        "upstream": plan.upstream,
        "caller": explained.caller or "allowed",
        "reported": explained.reported or None,
        "request": explained.sent.split("\n") if explained.sent else None,
    }


def _text(explained: Explained, loaded: Loaded) -> str:
    refused, decision = explained.refused, explained.decision
    out = []
    if refused is not None or decision is None:
        reason = "" if refused is None else f"{refused.status} {refused.code}: {refused.reason}"
        out.append(label("refused") + click.style(reason, fg="red"))
    else:
        route, plan = decision.route, decision.route.action
        names = [entry.name for entry in loaded.settings.routes]
        place = loaded.where(("routes", names.index(route.name)))
        user = loaded.settings.service_users[plan.service_user]
        out.append(f"{label('route')}{click.style(route.name, bold=True)}   {place}")
        out.append(f"{label('user')}{plan.service_user}   {user.method} at {user.issuer}")
        if explained.caller:
            out.append(label("caller") + click.style(explained.caller, fg="red"))
        elif explained.reported:
            said = f"let through by mode: report; {explained.reported}"
            out.append(label("caller") + click.style(said, fg="yellow"))
        elif plan.callers is not None:
            out.append(f"{label('caller')}allowed")
        out.append(f"{label('upstream')}{plan.upstream}")
    out.extend(f"{label('lost')}{lost.route}: {lost.why}" for lost in explained.lost)
    if explained.sent:
        out.append(label("request").rstrip())
        out.extend(f"    {line}" for line in explained.sent.split("\n"))
    return "\n".join(out)
