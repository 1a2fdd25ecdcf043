from __future__ import annotations

import asyncio
import json
import ssl

import aiohttp
import pytest
import trustme
from joserfc.jwk import RSAKey

from proxy.sandbox.instance import real_clock
from proxy.sandbox.options import SandboxOptions
from proxy.sandbox.server import Sandbox
from proxy.tasks import spawn


async def test_it_starts_by_itself():
    """
    Without options it makes its keys, takes free ports and uses the machine's clock.
    """
    async with Sandbox() as sandbox, Sandbox() as other:
        assert len({sandbox.url, sandbox.backend_url, other.url, other.backend_url}) == 4
        assert sandbox.url.startswith("http://127.0.0.1:")
        assert repr(sandbox) == f"<Sandbox {sandbox.url}>"
        assert sandbox.instance.now() == pytest.approx(real_clock().wall(), abs=5)
    assert repr(Sandbox()) == "<Sandbox not started>"


async def test_a_port_that_is_taken_is_an_error(options, sandbox, keys):
    """
    A port in use fails the start, and what had started is stopped.
    """
    taken = int(sandbox.url.rpartition(":")[2])

    with pytest.raises(OSError, match="address already in use"):
        async with Sandbox(SandboxOptions(keys=keys, backend_port=taken)):
            pass


async def test_stopping_lets_held_requests_go(options, clock, session):
    """
    A slow fault does not keep a stopping sandbox.
    """
    tasks: set[asyncio.Task[object]] = set()
    async with Sandbox(options, clock=clock.clock()) as sandbox:
        sandbox.faults.set("discovery-slow", value=3600)
        url = sandbox.url + "/.well-known/openid-configuration"
        asking = spawn(tasks, session.get(url), name="discovery")
        await sandbox.issuer_hits.until(1)

    assert (await asking).status == 200


async def test_it_serves_tls(keys):
    """
    With TLS contexts both servers speak https, the issuer is https, and introspection works.
    """
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async with (
        Sandbox(SandboxOptions(keys=keys, tls=context, backend_tls=context)) as sandbox,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting)) as session,
    ):
        async with session.get(sandbox.url + "/.well-known/openid-configuration") as metadata:
            assert (await metadata.json())["issuer"] == sandbox.url
        headers = {"Authorization": f"Bearer {sandbox.pat.reveal()}"}
        async with session.get(sandbox.backend_url + "/orders/1", headers=headers) as order:
            assert order.status == 200
        assert sandbox.url.startswith("https://")


async def test_keys_come_in_both_pem_forms(sandbox, spare):
    """
    ZITADEL writes PKCS#1; a key brought along may be PKCS#8, and an expiry shows in the file.
    """
    user = sandbox.users["provisioner"]
    one = json.loads(sandbox.add_key(user, pair=spare, expires=1_800_000_000.0).reveal())
    eight = json.loads(sandbox.add_key(user, pair=spare, pkcs8=True).reveal())
    app = json.loads(sandbox.add_application_key(pair=spare).reveal())

    assert one["expirationDate"] == "2027-01-15T08:00:00Z"
    assert one["key"].startswith("-----BEGIN RSA PRIVATE KEY-----")
    assert eight["key"].startswith("-----BEGIN PRIVATE KEY-----")
    assert (
        RSAKey.import_key(one["key"]).thumbprint() == RSAKey.import_key(eight["key"]).thumbprint()
    )
    assert list(app) == ["type", "keyId", "key", "appId", "clientId"]
    assert "PRIVATE" not in repr(user)


async def test_user_names_are_unique(sandbox):
    """
    A second user of the same name is a mistake.
    """
    with pytest.raises(ValueError, match="'dev' already"):
        sandbox.add_user("dev")
    assert len(sandbox.users) == 3


async def test_credentials_look_like_zitadels(sandbox):
    """
    Secrets are 64 letters and digits; opaque tokens are longer than PATs; ids have 18 digits.
    """
    token = sandbox.issue(sandbox.users["provisioner"], sandbox.zitadel_scopes).reveal()

    assert len(sandbox.client_secret.reveal()) == 64
    assert sandbox.client_secret.reveal().isalnum()
    assert len(token) > len(sandbox.pat.reveal()) == 71
    assert all(len(user.user_id) == 18 and user.user_id.isdigit() for user in sandbox.users)
