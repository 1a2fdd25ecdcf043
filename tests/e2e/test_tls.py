"""
Listeners that speak TLS, and those that want to see a certificate.
"""

from __future__ import annotations

import io
import ssl

import aiohttp
import pytest
import trustme


@pytest.fixture
def trusting(authority):
    """
    A caller's TLS settings that trust the test's authority.
    """
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def listener(key_file, **more):
    """
    Return an edit that makes the listener speak TLS.
    """
    return lambda document: document.update(
        listen=[{"address": "127.0.0.1:0", "tls": {**key_file, **more}}]
    )


async def test_a_listener_speaks_tls(sandbox, serve, key_file, trusting):
    """
    A caller that trusts the listener's certificate is served as on any other.
    """
    through = await serve(listener(key_file), scheme="https")

    reply = await through("GET", "/orders/1", ssl=trusting)

    assert reply.status == 200
    assert sandbox.hits[-1].user == "reporter"


async def test_a_large_body_over_tls(sandbox, serve, key_file, trusting):
    """
    Bodies pass whole through a TLS listener, too.
    """
    through = await serve(listener(key_file), scheme="https")
    body = bytes(range(256)) * 16_384

    up = await through("POST", "/upload", data=io.BytesIO(body), ssl=trusting)
    down = await through("GET", f"/bytes/{len(body)}", ssl=trusting)

    assert up.status == 200
    assert sandbox.hits[-2].body_length == len(body)
    assert down.body == body


async def test_plain_http_on_a_tls_listener_gets_nothing(sandbox, serve, key_file):
    """
    A caller that does not speak TLS to a TLS listener is not answered.
    """
    through = await serve(listener(key_file))

    with pytest.raises(aiohttp.ClientError):
        await through("GET", "/orders/1")
    assert sandbox.hits.total == 0


async def test_a_client_certificate_is_asked_for(
    sandbox, serve, key_file, ca_file, trusting, authority
):
    """
    With client_ca_file only callers with a certificate of that authority get through.
    """
    through = await serve(listener(key_file, client_ca_file=ca_file), scheme="https")

    with pytest.raises(aiohttp.ClientError):
        await through("GET", "/orders/1", ssl=trusting)
    assert sandbox.hits.total == 0

    authority.issue_cert("app@example.test").configure_cert(trusting)
    assert (await through("GET", "/orders/1", ssl=trusting)).status == 200


async def test_a_client_certificate_of_a_stranger_is_refused(
    sandbox, serve, key_file, ca_file, trusting
):
    """
    A certificate of another authority opens nothing.
    """
    through = await serve(listener(key_file, client_ca_file=ca_file), scheme="https")
    trustme.CA().issue_cert("app@example.test").configure_cert(trusting)

    with pytest.raises(aiohttp.ClientError):
        await through("GET", "/orders/1", ssl=trusting)
    assert sandbox.hits.total == 0
