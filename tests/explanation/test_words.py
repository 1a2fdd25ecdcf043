"""
The story of a request in rows for people.
"""

from __future__ import annotations

import pytest

from proxy.config.load import load
from proxy.explanation.question import ask
from proxy.explanation.story import tell
from proxy.explanation.words import MOST_LOST, facts, rows, text

CONFIG = """\
version: 1
listen: 127.0.0.1:8080
admin: "off"
issuers: {zitadel: {url: "https://acme.zitadel.cloud"}}
service_users:
  dev: {issuer: zitadel, method: personal_access_token, token: canary-token}
routes:
  - {name: api, match: {path: /api/}, upstream: "https://api.acme.com", service_user: dev}
"""

MORE = '  - {{name: r{0}, match: {{path: /r{0}/}}, upstream: "https://api.acme.com", service_user: dev}}\n'


@pytest.fixture
def told(tmp_path):
    """
    Explains a request by the configuration above, with more routes where a test wants them.
    """

    def explain(method, url, *headers, more=0, key_id=None, forward=False):
        path = tmp_path / "proxy.yaml"
        path.write_text(CONFIG + "".join(MORE.format(number) for number in range(more)))
        loaded = load(path, {}, now=0.0)
        return facts(tell(loaded, ask(method, url, headers, None, forward=forward)), loaded, key_id)

    return explain


def test_a_request_is_told_in_rows(told):
    """
    Route with its place, service user with its method and key, upstream, headers added and removed.
    """
    answer = told("GET", "/api/x?y=1", "X-Api-Key: k", "Accept: a", key_id="100512345678329")
    answer["token"] = {"condition": "ready", "expires_in": 312.2, "renews_in": 252.4}

    found = {row.label: row for row in rows(answer)}

    assert list(found) == ["route", "user", "token", "upstream", "headers"]
    assert found["route"].aside.endswith("proxy.yaml:8")
    assert found["user"].aside == "personal_access_token at zitadel, key 1005…8329"
    assert found["token"][1:3] == ("ready", "expires in 312 s, replaced in 252 s")
    assert found["upstream"].main == "https://api.acme.com/api/x?y=1"
    assert found["headers"].main.startswith("+ Authorization: Bearer ***, X-Request-Id: …, Via: ")
    assert found["headers"].aside == "- X-Api-Key (caller's)"


def test_many_routes_that_lost_are_counted(told):
    """
    A person reads the first few; JSON has them all.
    """
    answer = told("GET", "/api", more=MOST_LOST + 3)
    route = next(row for row in rows(answer) if row.label == "route")

    assert route.aside.endswith("r4 (path differs), and 3 more")
    assert len(answer["lost"]) == MOST_LOST + 3


def test_a_refusal_comes_first(told):
    """
    With status, code and reason; and which routes were tried.
    """
    lines = text(told("GET", "/nowhere")).splitlines()

    assert lines[0].split(maxsplit=3)[:3] == ["refused", "404", "no_route"]
    assert lines[1] == "route     none   tried: api (path differs)"


def test_forward_mode_is_told_apart(told):
    """
    The URL's host is the API's there, and routes for other upstreams say so.
    """
    forward = told("GET", "http://api.acme.com/api/x", forward=True)
    elsewhere = told("GET", "http://api.acme.org/api/x", forward=True)

    assert (forward["forward"], forward["url"]) == (True, "https://api.acme.com/api/x")
    upstream = next(row for row in rows(forward) if row.label == "upstream")
    assert upstream.aside == "in forward mode"
    assert elsewhere["refused"]["reason"] == "no route is for api.acme.org:80 in forward mode"
    assert elsewhere["lost"] == [{"route": "api", "why": "its upstream has another address"}]


def test_a_url_that_only_forward_mode_takes_hints_at_it(told):
    """
    The host is none this listener answers to; through `http_proxy` it would have been served.
    """
    answer = told("GET", "http://api.acme.com:443/api/x")
    hinted = told("GET", "http://api.acme.com/nowhere")
    lines = text(told("GET", "http://api.acme.com/api/x", "Host: evil.com")).splitlines()

    assert answer["hint"] is None
    assert hinted["hint"] is None
    assert lines[0].startswith("refused   403 caller_forbidden")
    assert "it takes the route api: ask with --forward" in lines[1]


def test_what_the_proxy_answers_by_itself_is_told(told):
    """
    OPTIONS that asks about the proxy goes nowhere.
    """
    assert text(told("OPTIONS", "*")).startswith("answered  204 No Content")


def test_the_keys_are_always_the_same(told):
    """
    Whoever reads the JSON need not ask whether one is there.
    """
    well, refused = told("GET", "/api"), told("GET", "/nowhere")

    assert list(well) == list(refused)
    assert refused["refused"]["status"] == 404
    assert well["refused"] is None
    assert "canary" not in str(well)
