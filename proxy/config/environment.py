"""
The start without a file: a handful of `AUTHPROXY_` variables make one catch-all route.

They are turned into the data a proxy.yaml would hold, and checked like one; messages name the
variable. An empty variable counts as not set, as Compose files write it.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pydantic_core import PydanticCustomError

from proxy.config.draft import Draft, Finding, Place, near
from proxy.config.minted import API_AUDIENCE
from proxy.config.model import ANONYMOUS
from proxy.config.network import parse_address

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

ORIGIN: Final = "environment"

_PREFIX: Final = "AUTHPROXY_"
_FORM: Final = re.compile(_PREFIX + "[A-Z0-9_]{1,64}")

ISSUER: Final = "AUTHPROXY_ISSUER"
UPSTREAM: Final = "AUTHPROXY_UPSTREAM"
KEY_FILE: Final = "AUTHPROXY_KEY_FILE"
CLIENT_ID: Final = "AUTHPROXY_CLIENT_ID"
CLIENT_SECRET: Final = "AUTHPROXY_CLIENT_SECRET"
CLIENT_SECRET_FILE: Final = "AUTHPROXY_CLIENT_SECRET_FILE"
TOKEN: Final = "AUTHPROXY_TOKEN"
TOKEN_FILE: Final = "AUTHPROXY_TOKEN_FILE"
LISTEN: Final = "AUTHPROXY_LISTEN"
CALLERS: Final = "AUTHPROXY_CALLERS"
ADMIN: Final = "AUTHPROXY_ADMIN"
SCOPES: Final = "AUTHPROXY_SCOPES"

CREDENTIALS: Final = (KEY_FILE, CLIENT_ID, CLIENT_SECRET, CLIENT_SECRET_FILE, TOKEN, TOKEN_FILE)
VARIABLES: Final = (ISSUER, *CREDENTIALS, UPSTREAM, LISTEN, CALLERS, ADMIN, SCOPES)

KNOWN: Final = (
    *VARIABLES,
    "AUTHPROXY_ADMIN_KEY_FILE",
    "AUTHPROXY_CONFIG",
    "AUTHPROXY_COREDUMPS",
    "AUTHPROXY_HANDOVER",
    "AUTHPROXY_LOG_FORMAT",
    "AUTHPROXY_REVOKED",
    "AUTHPROXY_SOCKET",
    "AUTHPROXY_URL",
)
"""Every variable of this program; tests hold it against the source and the reference."""

DEFAULT_SCOPES: Final = ("openid", API_AUDIENCE)
"""What ZITADEL's own APIs need; other upstreams need their project's scope instead."""

_NAME: Final = "default"
"""What the one service user and the one route are called in logs and metrics."""

_USER: Final = ("service_users", _NAME)

PLACES: Final[Mapping[Place, str]] = {
    ("issuers",): ISSUER,
    ("routes",): UPSTREAM,
    ("listen",): LISTEN,
    ("listen", 0, "callers"): CALLERS,
    ("admin",): ADMIN,
    _USER: KEY_FILE,
    (*_USER, "scopes"): SCOPES,
    (*_USER, "key_file"): KEY_FILE,
    (*_USER, "client_id"): CLIENT_ID,
}
"""Which variable a setting came from; the variables with secrets are added as they are found."""


def draft(environ: Mapping[str, str], base: Path) -> Draft:
    """
    Return what the variables say as a draft; what is missing or contradicts is in its findings.

    Args:
        environ: The environment.
        base: Folder that relative paths in variables start from.
    """
    said = {name: environ[name] for name in VARIABLES if environ.get(name)}
    places = dict(PLACES)
    if not said.keys() & {ISSUER, UPSTREAM, *CREDENTIALS}:
        return Draft({}, ORIGIN, base, findings=(_nothing(),))
    findings = (*_gaps(said, environ), *_conflicts(said), *_listener(said))
    data: dict[str, object] = {
        "version": 1,
        "issuers": {"zitadel": {"url": said.get(ISSUER)}},
        "service_users": {_NAME: _service_user(said, places)},
        "routes": [{"name": _NAME, "upstream": said.get(UPSTREAM), "service_user": _NAME}],
    }
    if LISTEN in said or CALLERS in said:
        listener: dict[str, object] = {"address": said.get(LISTEN, "127.0.0.1:8080")}
        if CALLERS in said:
            listener["callers"] = said[CALLERS].split()
        data["listen"] = [listener]
    if ADMIN in said:
        data["admin"] = said[ADMIN]
    variables: dict[Place, str] = {(name,): name for name in VARIABLES} | places
    return Draft(data, ORIGIN, base, variables=variables, findings=findings)


def _nothing() -> Finding:
    return Finding(
        (),
        "no configuration: no proxy.yaml here or in /etc/authproxy, and no AUTHPROXY_ variables",
        f"write --config FILE; or set {ISSUER}, {KEY_FILE} and {UPSTREAM}; "
        "or try `authproxy demo`, which needs neither",
    )


def _gaps(said: Mapping[str, str], environ: Mapping[str, str]) -> Iterator[Finding]:
    """
    Yield what is missing.
    """
    for name, place, example in (
        (ISSUER, "issuers", "https://acme.zitadel.cloud"),
        (UPSTREAM, "routes", "https://api.example.com"),
    ):
        if name not in said:
            slip = _slip(name, environ)
            hint = f"; {slip} is set: a slip?" if slip else ""
            yield Finding((place,), "is not set", f"set it, as in {name}={example}{hint}")
    if not _ways(said):
        yield Finding(
            _USER,
            "is not set, nor is another credential",
            f"set it, or {CLIENT_ID} with {CLIENT_SECRET_FILE}, or {TOKEN_FILE}",
        )
    secret = said.keys() & {CLIENT_SECRET, CLIENT_SECRET_FILE}
    if secret and CLIENT_ID not in said:
        yield Finding((*_USER, "client_id"), "is not set although a client secret is", "set both")
    if CLIENT_ID in said and not secret:
        yield Finding(
            (*_USER, "client_secret"),
            f"is not set although {CLIENT_ID} is",
            f"set it, or {CLIENT_SECRET_FILE}",
        )


def _slip(name: str, environ: Mapping[str, str]) -> str:
    """
    Return a variable that is set and was probably meant to be *name*; empty if there is none.
    """
    ends = (each.removeprefix(_PREFIX) for each in environ if each.startswith(_PREFIX))
    unknown = (end for end in ends if _PREFIX + end not in VARIABLES)
    end = near(name.removeprefix(_PREFIX), unknown)
    return _PREFIX + end if end else ""


def misspelt(environ: Mapping[str, str], named: Collection[str]) -> Iterator[Finding]:
    """
    Yield each variable that is none of this program's and resembles one.

    Others that begin alike are left alone: Kubernetes sets some for a Service of this name.

    Args:
        environ: The environment.
        named: Variables that the settings name.
    """
    ends = {name.removeprefix(_PREFIX): name for name in KNOWN}
    for name in sorted(environ):
        if not _FORM.fullmatch(name) or name in KNOWN or name in named:
            continue
        meant = near(name.removeprefix(_PREFIX), ends)
        if meant:
            what = f"{name} is no variable of this program"
            yield Finding((), what, f"did you mean {ends[meant]}?")


def _conflicts(said: Mapping[str, str]) -> Iterator[Finding]:
    """
    Yield which variables cannot stand together, and which to drop.
    """
    for one, two in ((CLIENT_SECRET, CLIENT_SECRET_FILE), (TOKEN, TOKEN_FILE)):
        if one in said and two in said:
            yield Finding((two,), f"is set together with {one}", "unset one of them")
    ways = _ways(said)
    if len(ways) > 1:
        others = " and ".join(ways[1:])
        yield Finding((ways[0],), f"is set together with {others}", "keep one, unset the rest")
    token = next((name for name in (TOKEN, TOKEN_FILE) if name in said), None)
    if token and SCOPES in said:
        what = f"is set together with {token}, whose scopes are fixed"
        yield Finding((SCOPES,), what, "unset it")


def _listener(said: Mapping[str, str]) -> Iterator[Finding]:
    """
    Yield what is wrong with the listener and would read oddly in a file's words.
    """
    if set(said.get(CALLERS, ANONYMOUS).split()) != {ANONYMOUS}:
        yield Finding(
            ("listen", 0, "callers"), "no such caller", "without a file, anonymous is the only one"
        )
    with suppress(PydanticCustomError):  # an address that is none is found with the settings
        if CALLERS not in said and LISTEN in said and not parse_address(said[LISTEN]).loopback:
            yield Finding(
                ("listen", 0),
                "other machines can connect here, and nothing says who may",
                f"set {CALLERS}={ANONYMOUS}, or use a proxy.yaml with callers",
            )


def _ways(said: Mapping[str, str]) -> list[str]:
    """
    Return the methods the variables stand for, each by its first variable.
    """
    groups = ((KEY_FILE,), (CLIENT_ID, CLIENT_SECRET, CLIENT_SECRET_FILE), (TOKEN, TOKEN_FILE))
    firsts = (next((name for name in group if name in said), None) for group in groups)
    return [name for name in firsts if name]


def _service_user(said: Mapping[str, str], places: dict[Place, str]) -> dict[str, object]:
    user: dict[str, object] = {"issuer": "zitadel"}
    if TOKEN in said or TOKEN_FILE in said:
        user |= {"method": "personal_access_token"}
        setting, plain, file = "token", TOKEN, TOKEN_FILE
    else:
        user["scopes"] = said.get(SCOPES, " ".join(DEFAULT_SCOPES)).split()
        if KEY_FILE in said:
            return user | {"method": "private_key_jwt", "key_file": said[KEY_FILE]}
        user |= {"method": "client_credentials", "client_id": said.get(CLIENT_ID)}
        setting, plain, file = "client_secret", CLIENT_SECRET, CLIENT_SECRET_FILE
    places[*_USER, setting] = file if file in said else plain
    user[setting] = {"file": said[file]} if file in said else {"env": plain}
    return user
