"""
`authproxy explain`.
"""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from proxy.cli.command import main

CONFIG = """\
version: 1
listen: [{address: "127.0.0.1:8080", callers: [ci]}]
issuers: {zitadel: {url: "https://acme.zitadel.cloud"}}
service_users:
  dev: {issuer: zitadel, method: personal_access_token, token: canary-token}
callers: {ci: {api_key_sha256: "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683"}}
routes:
  - {name: api, match: {path: /management/v1/}, upstream: "https://acme.zitadel.cloud", service_user: dev}
  - name: orders
    match: {host: orders.internal, path: /orders/, methods: [GET, POST]}
    upstream: https://orders.example.com/base
    rewrite_path: /api/v2/
    service_user: dev
    request_headers: {set: {x-zitadel-orgid: "123"}, remove: [x-debug]}
  - {name: kept, match: {path: /kept}, upstream: "https://kept.example.com", service_user: dev, authorization: keep}
  - {name: closed, match: {path: /closed}, upstream: "https://acme.zitadel.cloud", service_user: dev, callers: [ci]}
"""


@pytest.fixture
def explain(tmp_path):
    """
    Runs the verb on the configuration above.
    """
    path = tmp_path / "proxy.yaml"
    path.write_text(CONFIG)

    def run(*arguments: str, **more):
        return CliRunner().invoke(main, ["explain", "--config", str(path), *arguments], **more)

    return run


def test_the_route_the_user_and_the_request_are_told(explain):
    """
    Route with its line, service user, upstream, the whole head that would go up; exit code 0.
    """
    result = explain("GET", "http://localhost:8080/management/v1/orgs/me?x=%20", "--caller", "ci")

    assert result.exit_code == 0
    assert "api" in result.output.splitlines()[0]
    assert "proxy.yaml:8" in result.output.splitlines()[0]
    assert (
        "    GET /management/v1/orgs/me?x=%20 HTTP/1.1\n    Host: acme.zitadel.cloud\n"
        in result.output
    )
    assert "tried first: orders (host differs), kept (path differs)" in result.output
    assert "dev   personal_access_token at zitadel" in result.output
    assert "+ Authorization: Bearer ***, X-Request-Id: …" in result.output
    assert "canary-token" not in result.output


def test_what_changes_on_the_way_is_shown(explain):
    """
    The prefix is rewritten under the upstream's path, headers are set, removed, stripped.
    """
    headers = (
        "X-Debug: 1",
        "X-Forwarded-For: 192.0.2.1",
        "X-Api-Key: k",
        "Authorization: mine",
        "X-Kept: 1",
    )
    options = [part for header in headers for part in ("-H", header)]
    result = explain(
        "POST", "http://orders.internal/orders/5%2F", "--caller", "ci", "--json", *options
    )

    facts = json.loads(result.output)
    assert facts["route"] == "orders"
    assert facts["request"] == [
        "POST /base/api/v2/5%2F HTTP/1.1",
        "Host: orders.example.com",
        "X-Kept: 1",
        "Authorization: Bearer ***",
        "x-zitadel-orgid: 123",
        "X-Request-Id: …",
        "Via: 1.1 authproxy-…",
    ]  # fmt: skip


def test_a_line_ends_with_what_it_says(explain):
    """
    Where nothing is removed there are neither blanks nor an empty colour behind what is added.
    """
    plain = explain("GET", "/kept", "--caller", "ci")
    coloured = explain("GET", "/kept", "--caller", "ci", color=True)

    assert [line for line in plain.output.splitlines() if line != line.rstrip()] == []
    assert "\x1b[31m" not in coloured.output
    assert "\x1b[32m" in coloured.output


def test_forward_mode_is_asked_for(explain):
    """
    With --forward the URL's host is the API's; without, a hint says that this may have been meant.
    """
    url = "http://acme.zitadel.cloud/management/v1/x"

    forward = explain("GET", url, "--caller", "ci", "--forward")
    nobody = explain("GET", url, "--forward")
    through = explain("CONNECT", "acme.zitadel.cloud:443", "--caller", "ci", "--forward")
    direct = explain("GET", "http://orders.example.com/base/api/v2/1", "--caller", "ci")

    assert (
        "upstream  https://acme.zitadel.cloud/management/v1/x   in forward mode" in forward.output
    )
    assert nobody.output.startswith("refused   407 caller_unauthenticated")
    assert through.output.startswith("refused   405 method_not_supported")
    assert direct.output.startswith("refused   404 no_route")
    assert "hint" not in direct.output  # `orders` names another host


def test_a_kept_authorization_is_hidden(explain):
    """
    A route that keeps the caller's own credential attaches no other, and neither is printed.
    """
    result = explain("GET", "/kept", "--caller", "ci", "-H", "Authorization: Bearer canary-mine")

    assert "Authorization: ***" in result.output
    assert "canary" not in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("GET", "/nowhere", "--caller", "ci"), "404 no_route"),
        (("GET", "/kept/%2e%2e/management/v1/x", "--caller", "ci"), "400 bad_request"),
        (("TRACE", "/kept", "--caller", "ci"), "405 method_not_supported"),
        (("CONNECT", "acme.example:443", "--caller", "ci"), "405 method_not_supported"),
        (("brew", "/kept", "--caller", "ci"), "400 bad_request"),
        (("G T", "/kept", "--caller", "ci"), "400 bad_request"),
        (("GET", "/closed"), "caller_unauthenticated"),
        (("GET", "/kept", "--caller", "ci", "-H", "Origin: http://a"), "caller_forbidden"),
    ],
    ids=[
        "no-route",
        "ambiguous",
        "trace",
        "connect",
        "small letters",
        "no method",
        "nobody",
        "page",
    ],
)
def test_a_request_that_would_be_refused_says_why(explain, arguments, words):
    """
    The code the caller would get, exit code 1, and no head: nothing would be sent.
    """
    result = explain(*arguments)

    assert result.exit_code == 1
    assert words in result.output
    assert "HTTP/1.1" not in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("GET", "nonsense"), "URL must be a path"),
        (("GET", "/kept", "--caller", "who"), "no caller 'who'"),
        (("GET", "/kept", "-H", "no colon"), "-H wants"),
        (("GET", "/ä"), "%XX"),
    ],
    ids=["url", "caller", "header", "characters"],
)
def test_a_wrong_command_line_says_what_to_write(explain, arguments, words):
    """
    Exit code 2, as for every wrong command line.
    """
    result = explain(*arguments)

    assert result.exit_code == 2
    assert words in result.output


def test_report_mode_is_told_apart(tmp_path, explain):
    """
    Whoever only report mode lets in is told what enforcing would say; nobody known is anonymous.
    """
    path = tmp_path / "proxy.yaml"
    path.write_text(path.read_text().replace("callers: [ci]}]", "callers: [ci], mode: report}]"))
    reported = explain("GET", "/kept")
    anonymous = explain("GET", "/kept", "--caller", "anonymous", "--json")
    closed = explain("GET", "/closed", "--caller", "anonymous")

    assert reported.exit_code == 0
    assert "let through by mode: report   caller_unauthenticated" in reported.output
    assert json.loads(anonymous.output)["reported"].startswith("caller_unauthenticated: ")
    assert closed.exit_code == 1
    assert "caller_unauthenticated" in closed.output


def test_authorization_that_a_listener_takes_is_not_shown_as_sent(tmp_path, explain):
    """
    It is for the proxy even on a route that keeps the caller's own.
    """
    path = tmp_path / "proxy.yaml"
    path.write_text(
        path.read_text().replace(
            "callers: [ci]}]", "callers: [ci], caller_credential: authorization}]"
        )
    )
    result = explain("GET", "/kept", "--caller", "ci", "-H", "Authorization: Bearer canary-mine")

    assert result.exit_code == 0
    assert result.output.count("    Authorization: Bearer ***") == 1
    assert "- Authorization (caller's)" in result.output
    assert "Authorization: ***" not in result.output
    assert "canary-mine" not in result.output
