from __future__ import annotations

import pytest

OPENID = "/.well-known/openid-configuration"
OAUTH = "/.well-known/oauth-authorization-server"


async def test_both_documents_say_the_same(issuer):
    """
    RFC 8414's place has OpenID Connect's document.
    """
    assert (await issuer("GET", OAUTH)).json == (await issuer("GET", OPENID)).json


async def test_without_openid_connect_there_is_the_other_document(sandbox, issuer):
    """
    A client may fall back.
    """
    sandbox.faults.set("discovery-404")

    assert (await issuer("GET", OPENID)).status == 404
    assert (await issuer("GET", OAUTH)).json["issuer"] == sandbox.url


@pytest.mark.parametrize("path", [OPENID, OAUTH])
@pytest.mark.parametrize(
    ("fault", "content_type", "start"),
    [
        ("discovery-html", "text/html", b"<!doctype html>"),
        ("discovery-garbage", "application/json", b'{"issuer": \xff'),
    ],
)
async def test_discovery_can_be_nonsense(sandbox, issuer, path, fault, content_type, start):
    """
    Status 200 and no document in it.
    """
    sandbox.faults.set(fault, times=1)

    reply = await issuer("GET", path)

    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith(content_type)
    assert reply.body.startswith(start)
    assert (await issuer("GET", path)).json["issuer"] == sandbox.url


@pytest.mark.parametrize("value", [None, "http://127.0.0.1:1/trap"])
async def test_discovery_can_send_credentials_elsewhere(sandbox, issuer, value):
    """
    The token endpoint is at another origin, everything else is right.
    """
    sandbox.faults.set("discovery-foreign-endpoint", value=value)

    document = (await issuer("GET", OPENID)).json

    assert document["token_endpoint"] == (value or "https://elsewhere.invalid/token")
    assert document["issuer"] == sandbox.url


@pytest.mark.parametrize(
    ("options", "exchange", "algorithms"),
    [
        ({}, True, ["RS256"]),
        (
            {"client_assertions": True, "token_exchange": False},
            False,
            ["RS256", "PS256", "ES256"],
        ),
    ],
    indirect=["options"],
    ids=["as ZITADEL", "other"],
)
async def test_discovery_lists_what_is_there(issuer, options, exchange, algorithms):
    """
    Grants and algorithms follow the sandbox's options.
    """
    document = (await issuer("GET", OPENID)).json

    grant = "urn:ietf:params:oauth:grant-type:token-exchange"
    assert (grant in document["grant_types_supported"]) is exchange
    assert document["token_endpoint_auth_signing_alg_values_supported"] == algorithms
