from __future__ import annotations

from dataclasses import replace

import pytest
from aiohttp import web

from proxy.core.secret import Secret
from proxy.core.token import static_token
from proxy.tokens.knock import Knock
from proxy.tokens.standing import Standing


@pytest.mark.parametrize(
    ("status", "well"),
    [(200, True), (302, True), (404, True), (401, True), (429, False), (500, False), (503, False)],
)
async def test_an_issuer_is_up_if_it_answers_and_is_not_in_trouble(
    line, reporter, issuer, status, well
):
    """
    Anything it says but that it fails or throttles.
    """
    issuer.document = web.Response(status=status)

    assert await Knock(line)(reporter.issuer) is well
    assert issuer.asked[0].path == "/.well-known/openid-configuration"
    assert "authorization" not in issuer.asked[0].headers


async def test_a_knock_is_no_token_request(line, reporter, issuer):
    """
    Where an endpoint is configured its host is asked, not the endpoint; 404 is an answer.
    """
    issuer.script.append(web.Response(status=404))
    at = replace(reporter.issuer, token_endpoint=issuer.url + "/oauth/v2/token")

    assert await Knock(line)(at)
    assert [(one.method, one.path, one.body) for one in issuer.asked] == [("GET", "/", b"")]


async def test_nobody_there_is_not_up(line, reporter):
    """
    A refused connection is no answer.
    """
    assert not await Knock(line)(replace(reporter.issuer, url="http://127.0.0.1:1"))


@pytest.mark.parametrize(
    ("status", "alive"), [(200, True), (401, False), (403, None), (404, None), (500, None)]
)
async def test_a_token_is_alive_if_its_issuer_says_so(
    line, discovery, reporter, issuer, status, alive
):
    """
    Userinfo answers 200 for a live token and 401 for a dead one; anything else says nothing.
    """
    issuer.document = {
        "issuer": issuer.url,
        "token_endpoint": issuer.url + "/oauth/v2/token",
        "userinfo_endpoint": issuer.url + "/oidc/v1/userinfo",
    }
    issuer.script.append(web.Response(status=status))
    token = static_token(Secret("canary-pat"), born=0.0)

    assert await Standing(line, discovery)(reporter.issuer, token) is alive
    assert issuer.asked[-1].headers["authorization"] == "Bearer canary-pat"
    assert issuer.asked[-1].path == "/oidc/v1/userinfo"


@pytest.mark.parametrize("endpoint", [None, "http://evil.example/userinfo", "", 5])
async def test_a_token_is_shown_to_its_issuer_alone(line, discovery, reporter, issuer, endpoint):
    """
    A document that names another place gets no token sent there.
    """
    issuer.document = {
        "issuer": issuer.url,
        "token_endpoint": issuer.url + "/oauth/v2/token",
        "userinfo_endpoint": endpoint,
    }
    token = static_token(Secret("canary-pat"), born=0.0)

    assert await Standing(line, discovery)(reporter.issuer, token) is None
    assert len(issuer.asked) == 1
