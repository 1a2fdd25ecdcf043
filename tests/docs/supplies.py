"""
What a documented proxy.yaml names and a reader would have: files, variables, other entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KEY_SHA256 = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683"


@dataclass(frozen=True)
class Supplies:
    """
    Texts for files, by what they are for.
    """

    key_json: str
    application_json: str
    pem: str
    secret: str
    token: str
    certificate: str
    certificate_key: str
    authority: str


def placed(document: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """
    Yield every value within *document* with the names that lead to it.
    """
    if isinstance(document, dict):
        for name, value in document.items():
            yield from placed(value, (*place, str(name)))
    elif isinstance(document, list):
        for value in document:
            yield from placed(value, place)
    else:
        yield place, document


def needed(document: Any, supplies: Supplies) -> Iterator[tuple[str, str]]:
    """
    Yield path and text of each file a proxy.yaml names.
    """
    for place, value in placed(document):
        if not isinstance(value, str):
            continue
        name = place[-1]
        if name == "key_file" and "introspection" in place:
            yield value, supplies.application_json
        elif name == "key_file" and place[0] == "service_users":
            yield value, supplies.key_json
        elif name in {"key_file", "client_key_file"}:
            yield value, supplies.certificate_key
        elif name == "key_pem_file":
            yield value, supplies.pem
        elif name in {"cert_file", "client_cert_file"}:
            yield value, supplies.certificate
        elif name in {"ca_file", "client_ca_file"}:
            yield value, supplies.authority
        elif name == "file":
            yield value, supplies.token if "token" in place else supplies.secret


def environ(document: Any, supplies: Supplies, credentials: Path) -> dict[str, str]:
    """
    Return the variables a proxy.yaml reads secrets from; systemd's credentials are written.
    """
    found = {"CREDENTIALS_DIRECTORY": str(credentials)}
    for place, value in placed(document):
        text = supplies.token if "token" in place else supplies.secret
        if place[-1:] == ("env",):
            found[value] = text
        if place[-1:] == ("credential",):
            credentials.mkdir(exist_ok=True)
            write(credentials / value, text)
    return found


def write(path: Path, text: str) -> None:
    """
    Write a file for its owner alone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)


def supply(document: Any, base: Path, supplies: Supplies) -> dict[str, str]:
    """
    Write all files a proxy.yaml names; return where those with absolute paths are instead.
    """
    moved = {}
    for path, text in needed(document, supplies):
        if path.startswith("/"):
            moved[path] = str(base / "root" / path[1:])
        write(Path(moved.get(path, str(base / path))), text)
    return moved


def replaced(document: Any, change: Callable[[str], str]) -> Any:
    """
    Return *document* with every text in it changed.
    """
    if isinstance(document, dict):
        return {name: replaced(value, change) for name, value in document.items()}
    if isinstance(document, list):
        return [replaced(value, change) for value in document]
    return change(document) if isinstance(document, str) else document


def completed(fragment: dict[str, Any]) -> dict[str, Any]:
    """
    Return a part of a proxy.yaml as a whole one: what it needs or refers to is put beside it.
    """
    document: dict[str, Any] = {"version": 1, **deepcopy(fragment)}
    users = document.setdefault("service_users", {"dev": _user()})
    user = next(iter(users))
    route = {"name": "all", "upstream": "https://api.example.com", "service_user": user}
    document.setdefault("routes", [route])
    callers = document.setdefault("callers", {})
    for place, value in list(placed(document)):
        if place[-1] == "service_user":
            users.setdefault(value, _user())
        if place[-1] == "callers" and value != "anonymous":
            callers.setdefault(value, {"api_key_sha256": KEY_SHA256})
    document.setdefault("listen", [{"address": "127.0.0.1:0"}, *_listeners(callers)])
    return _with_issuers(document)


def _with_issuers(document: dict[str, Any]) -> dict[str, Any]:
    """
    Return the document with the issuers it names; those that are asked about tokens can be.
    """
    issuers = document.setdefault("issuers", {})
    for place, value in list(placed(document)):
        if place[-1] == "issuer":
            issuers.setdefault(value, {"url": f"https://{value}.example.com"})
        if place[-2:] == ("introspection", "issuer"):
            issuers[value].setdefault("introspection", {"key_file": "app.json"})
    return {name: value for name, value in document.items() if value}


def _listeners(callers: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """
    Yield the listeners that callers of these kinds can use.
    """
    if any("unix" in caller for caller in callers.values()):
        yield {"address": "unix:/run/authproxy/proxy.sock"}
    if any("mtls_san" in caller for caller in callers.values()):
        files = {"cert_file": "server.pem", "key_file": "server.key", "client_ca_file": "ca.pem"}
        yield {"address": "127.0.0.1:0", "tls": files}


def _user() -> dict[str, Any]:
    return {"issuer": "zitadel", "method": "personal_access_token", "token": {"file": "dev.pat"}}
