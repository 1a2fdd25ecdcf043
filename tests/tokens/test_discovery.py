from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from aiohttp import web

from proxy.core.credential import Issuer
from proxy.errors import MintRejected, MintUnavailable
from proxy.tokens.discovery import FRESH, RETRY


@pytest.fixture
def zitadel(issuer) -> Issuer:
    """
    The running issuer, found by discovery.
    """
    return Issuer("zitadel", issuer.url)


async def test_the_endpoint_is_what_the_issuer_says(discovery, zitadel, issuer):
    """
    Paths are an operator's choice; the document knows them.
    """
    issuer.document = {"issuer": issuer.url, "token_endpoint": issuer.url + "/custom/token"}

    assert await discovery.token_endpoint(zitadel) == issuer.url + "/custom/token"


async def test_a_configured_endpoint_is_taken_as_it_is(discovery, zitadel, issuer):
    """
    Then nothing is asked.
    """
    explicit = replace(zitadel, token_endpoint="https://elsewhere.example/token")

    assert await discovery.token_endpoint(explicit) == "https://elsewhere.example/token"
    assert issuer.asked == []


async def test_an_issuer_with_a_final_slash_keeps_it(discovery, issuer):
    """
    The well-known path is appended once, and the identifier compared as it was written.
    """
    issuer.document = {"issuer": issuer.url + "/", "token_endpoint": issuer.url + "/token"}

    endpoint = await discovery.token_endpoint(Issuer("i", issuer.url + "/"))

    assert endpoint == issuer.url + "/token"
    assert issuer.asked[0].path == "/.well-known/openid-configuration"


async def test_the_document_is_asked_for_once_by_all(discovery, zitadel, issuer):
    """
    Fifty service users of one issuer cause one request, and none for an hour.
    """
    endpoints = await asyncio.gather(*(discovery.token_endpoint(zitadel) for _ in range(50)))
    await discovery.token_endpoint(zitadel)

    assert set(endpoints) == {issuer.url + "/oauth/v2/token"}
    assert len(issuer.asked) == 1


async def test_the_document_is_asked_for_again_after_an_hour(discovery, zitadel, issuer, time):
    """
    A changed path is noticed.
    """
    await discovery.token_endpoint(zitadel)
    issuer.document = {"issuer": issuer.url, "token_endpoint": issuer.url + "/new"}
    time.move(FRESH + 1)

    assert await discovery.token_endpoint(zitadel) == issuer.url + "/new"


async def test_what_was_known_is_kept_when_asking_again_fails(discovery, zitadel, issuer, time):
    """
    A document that cannot be had does not stop minting, and is asked for once a minute.
    """
    known = await discovery.token_endpoint(zitadel)
    issuer.document = web.Response(status=503)
    time.move(FRESH + 1)

    assert await discovery.token_endpoint(zitadel) == known
    assert await discovery.token_endpoint(zitadel) == known
    assert len(issuer.asked) == 2

    issuer.document = {"issuer": issuer.url, "token_endpoint": issuer.url + "/new"}
    time.move(RETRY + 1)
    assert await discovery.token_endpoint(zitadel) == issuer.url + "/new"


async def test_a_first_failure_is_not_remembered(discovery, zitadel, issuer):
    """
    How long to leave an issuer alone is the backoff's to say.
    """
    issuer.document = web.Response(status=503, headers={"Retry-After": "9"})
    with pytest.raises(MintUnavailable) as caught:
        await discovery.token_endpoint(zitadel)
    issuer.document = None

    assert caught.value.retry_after == 9.0
    assert await discovery.token_endpoint(zitadel) == issuer.url + "/oauth/v2/token"


DOCUMENTS = {
    "other issuer": ({"issuer": "https://evil.example"}, MintRejected, "calls itself https://evil"),
    "final slash": (lambda url: {"issuer": url + "/"}, MintRejected, "byte for byte"),
    "no issuer": ({}, MintRejected, "calls itself nothing"),
    "issuer no text": ({"issuer": ["x"]}, MintRejected, "calls itself nothing"),
    "no endpoint": (lambda url: {"issuer": url}, MintRejected, "names no token endpoint"),
    "endpoint elsewhere": (
        lambda url: {"issuer": url, "token_endpoint": "https://evil.example/token"},
        MintRejected,
        r"own address \(https://evil.example/token\); if that is meant, write it",
    ),
    "other port": (
        lambda url: {"issuer": url, "token_endpoint": "http://127.0.0.1:1/token"},
        MintRejected,
        "names no token endpoint at its own address",
    ),
    "relative": (
        lambda url: {"issuer": url, "token_endpoint": "/token"},
        MintRejected,
        "names no token endpoint at its own address",
    ),
    "not a url": (
        lambda url: {"issuer": url, "token_endpoint": "http://[::1"},
        MintRejected,
        "names no token endpoint at its own address",
    ),
    "html": (web.Response, MintUnavailable, "is empty"),
    "redirect": (
        lambda _: web.Response(status=302, headers={"Location": "/"}),
        MintRejected,
        "no discovery document .*answered 302",
    ),
    "missing": (lambda _: web.Response(status=404), MintRejected, "check url, or write token_end"),
    "wrong host": (
        lambda _: web.Response(status=404, text="unable to set instance using origin x"),
        MintRejected,
        "connect_to where to dial",
    ),
    "throttled": (lambda _: web.Response(status=429), MintUnavailable, "answered 429"),
}


@pytest.mark.parametrize(("document", "kind", "words"), DOCUMENTS.values(), ids=DOCUMENTS.keys())
async def test_a_document_is_believed_only_about_itself(
    discovery, zitadel, issuer, document, kind, words
):
    """
    OpenID Connect Discovery §4.3: another issuer's document, or an endpoint elsewhere, is refused.
    """
    if document is web.Response:
        issuer.document = web.Response(text="")
    else:
        issuer.document = document(issuer.url) if callable(document) else document

    with pytest.raises(kind, match=words):
        await discovery.token_endpoint(zitadel)


async def test_a_leaver_does_not_stop_the_look_up(discovery, zitadel, issuer):
    """
    Whoever still waits gets the endpoint.
    """
    issuer.open.clear()
    async with asyncio.TaskGroup() as group:
        leaver = group.create_task(discovery.token_endpoint(zitadel))
        stayer = group.create_task(discovery.token_endpoint(zitadel))
        await issuer.arrived(1, "/.well-known/")
        leaver.cancel()
        issuer.open.set()

    assert stayer.result() == issuer.url + "/oauth/v2/token"


async def test_endpoints_for_checking_callers_are_believed_at_home_only(discovery, zitadel, issuer):
    """
    `jwks_uri` and `introspection_endpoint` elsewhere are as good as not there.
    """
    plain = {"issuer": issuer.url, "token_endpoint": issuer.url + "/oauth/v2/token"}
    issuer.document = plain | {
        "jwks_uri": issuer.url + "/oauth/v2/keys",
        "introspection_endpoint": "https://evil.example/introspect",
    }
    found = await discovery.metadata(zitadel)

    assert found.jwks_uri == issuer.url + "/oauth/v2/keys"
    assert found.introspection_endpoint is None
