from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.load import load
from proxy.private.settings import private_settings

SOCKET = Path("/tmp/x/proxy.sock")

CONFIG = """
version: 1
listen:
  - {address: "0.0.0.0:8080", callers: [ci], require_header: {name: X-Mark, value: "1"}}
admin: 127.0.0.1:9090
admin_key_sha256: "DIGEST"
audit: {to: stdout}
issuers: {zitadel: {url: "http://127.0.0.1:1"}}
callers: {ci: {api_key_sha256: "DIGEST"}}
service_users:
  one: {issuer: zitadel, method: client_credentials, client_id: a, client_secret: {env: A}}
  two: {issuer: zitadel, method: client_credentials, client_id: b, client_secret: {env: A}}
  asker:
    issuer: zitadel
    method: token_exchange
    client_id: c
    client_secret: {env: A}
    subject: {service_user: one}
routes:
  - {name: a, match: {path: /a/}, upstream: "http://localhost:1", service_user: asker, callers: [ci]}
  - {name: b, match: {host: b.internal}, upstream: "http://[::1]:1", service_user: two}
"""


@pytest.fixture
def settings(tmp_path):
    """
    A configuration made for serving others.
    """
    path = tmp_path / "proxy.yaml"
    path.write_text(CONFIG.replace("DIGEST", "0" * 64))
    return load(path, {"A": "secret"}, now=0.0).settings


def test_it_serves_its_owner_alone(settings):
    """
    One Unix socket, no admin listener, no record, no callers: those are for serving others.
    """
    private = private_settings(settings, SOCKET)

    (listener,) = private.listen
    assert str(listener.address) == f"unix:{SOCKET}"
    assert (listener.callers, listener.require_header, listener.browsers) == (None, None, "refuse")
    assert (private.admin, private.admin_key_sha256, private.audit.to) == (None, None, "off")
    assert not private.callers
    assert [entry.callers for entry in private.routes] == [None, None]


def test_routes_limits_and_issuers_stay(settings):
    """
    What a request becomes is what it becomes at the proxy that serves.
    """
    private = private_settings(settings, SOCKET)

    assert [entry.name for entry in private.routes] == ["a", "b"]
    assert [entry.match for entry in private.routes] == [entry.match for entry in settings.routes]
    assert private.issuers == settings.issuers
    assert private.limits == settings.limits


def test_only_hosts_the_routes_speak_of_are_answered_to(settings):
    """
    The base URL's, the routes' and their upstreams': no rebound name of somebody's page.
    """
    hosts = private_settings(settings, SOCKET).listen[0].hosts

    assert hosts == ("authproxy.internal", "127.0.0.1", "localhost", "b.internal", "[::1]")


@pytest.mark.parametrize(
    ("wanted", "users", "routes"),
    [
        (None, ["one", "two", "asker"], ["a", "b"]),
        ({"two"}, ["two"], ["b"]),
        ({"asker"}, ["one", "asker"], ["a"]),
    ],
    ids=["all", "one", "with whom it exchanges"],
)
def test_nothing_is_minted_for_whom_nobody_wants(settings, wanted, users, routes):
    """
    Service users are those of the wanted routes, and those whose tokens they exchange.
    """
    private = private_settings(settings, SOCKET, wanted)

    assert list(private.service_users) == users
    assert [entry.name for entry in private.routes] == routes
