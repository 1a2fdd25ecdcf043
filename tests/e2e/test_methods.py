"""
The ways to a token beside the usual three, from proxy.yaml to the upstream.
"""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from proxy.core.secret import Secret
from proxy.sandbox.exchange import TOKEN_EXCHANGE
from proxy.sandbox.files import EXCHANGER_FILE

API = "/management/v1/orgs/me"


@pytest.fixture
def put(config, secrets):
    """
    Write a secret into a file beside proxy.yaml; return its path.
    """

    def write(name, secret):
        secrets.further.append(secret)
        path = config.parent / name
        path.write_text(secret.reveal())
        path.chmod(0o600)
        return str(path)

    return write


def instead(user, /, **settings):
    """
    Return an edit that gives a service user's routes to one with these settings alone.
    """

    def edit(document):
        document["service_users"] = {user: {"issuer": "zitadel", **settings}}
        document["routes"] = [each for each in document["routes"] if each["service_user"] == user]

    return edit


def rsa_key(sandbox):
    """
    Register a further key for `reporter`; return its id and PEM.
    """
    made = json.loads(sandbox.add_key(sandbox.users["reporter"]).reveal())
    return made["keyId"], Secret(made["key"])


def ec_key(sandbox):
    """
    Register an elliptic one; return its id and PEM.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public = key.public_key().public_bytes(serialization.Encoding.PEM, form)
    sandbox.add_public_key(sandbox.users["reporter"], public.decode(), "ec-1")
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return "ec-1", Secret(text.decode())


@pytest.mark.parametrize("options", [{"client_assertions": True}], indirect=True, ids=["taken"])
@pytest.mark.parametrize(("make", "algorithm"), [(rsa_key, "RS256"), (ec_key, "ES256")])
async def test_a_client_proves_itself_by_a_key(sandbox, serve, put, make, algorithm):
    """
    Client credentials without a secret: a signed assertion, named and addressed as RFC 7523 says.
    """
    key_id, pem = make(sandbox)
    through = await serve(
        instead(
            "reporter",
            method="client_credentials",
            client_id="reporter",
            client_auth="private_key_jwt",
            key_pem_file=put("client.pem", pem),
            key_id=key_id,
            audience_projects=[sandbox.project_id],
        )
    )

    reply = await through("GET", "/orders/42")

    assert reply.status == 200
    (mint,) = sandbox.mints
    assert (mint.grant, mint.client_auth) == ("client_credentials", "assertion")
    assert (mint.header["alg"], mint.header["kid"]) == (algorithm, key_id)
    assert (mint.claims["iss"], mint.claims["aud"]) == ("reporter", sandbox.url)


async def test_a_system_user_signs_its_own_tokens(sandbox, serve, put):
    """
    The System API is served without a single token request; a refused token is signed anew.
    """
    pem = put("root.pem", sandbox.add_system_user("root"))

    def system(document):
        instead("root", method="system_jwt", user="root", key_pem_file=pem)(document)
        document["routes"] = [
            {
                "name": name,
                "match": {"path": f"/{name}/v1/"},
                "upstream": sandbox.url,
                "service_user": "root",
            }
            for name in ("system", "management")
        ]

    through = await serve(system)

    searched = await through("POST", "/system/v1/instances/_search", json={})
    managed = await through("GET", API)
    sandbox.faults.set("revoke-once")
    again = await through("POST", "/system/v1/instances/_search", json={})

    assert [each.status for each in (searched, managed, again)] == [200, 200, 200]
    assert {hit.user for hit in sandbox.hits if hit.status == 200} == {"root"}
    assert len({hit.bearer.reveal() for hit in sandbox.hits}) == 2
    assert (await through.log.done(again))["replayed"] is True
    assert sandbox.mints.requests == 0


async def test_a_token_is_had_for_another_service_users(sandbox, serve, secrets):
    """
    A token exchange mints for its subject first; the request arrives as the subject.
    """
    secrets.further.append(sandbox.exchanger.secret)

    def exchange(document):
        document["service_users"]["exchanger"] = {
            "issuer": "zitadel",
            "method": "token_exchange",
            "client_id": sandbox.exchanger.client_id,
            "client_secret": {"file": EXCHANGER_FILE},
            "subject": {"service_user": "reporter"},
            "scopes": ["openid"],
            "audience": [sandbox.project_id],
        }
        document["routes"] = [
            {**each, "service_user": "exchanger"}
            for each in document["routes"]
            if each["name"] == "orders"
        ]

    through = await serve(exchange)

    reply = await through("GET", "/orders/42")

    assert reply.status == 200
    assert sandbox.hits[-1].user == "reporter"
    exchanged = sandbox.mints[-1]
    assert (exchanged.grant, exchanged.user, exchanged.ok) == (TOKEN_EXCHANGE, "reporter", True)
    assert exchanged.audience == (sandbox.project_id,)
    assert sandbox.mints.count(ok=False) == 0
    assert (await through.log.done(reply))["service_user"] == "exchanger"


async def test_audience_and_resource_arrive_at_the_issuer(sandbox, serve):
    """
    Each value is a parameter of its own, in the order of the file.
    """
    audience, resource = ["https://one.example", "two"], ["https://api.example/v1?a=b", "urn:x:y"]

    def ask(document):
        document["service_users"]["reporter"] |= {"audience": audience, "resource": resource}

    through = await serve(ask)

    assert (await through("GET", "/orders/42")).status == 200
    (mint,) = [each for each in sandbox.mints if each.user == "reporter"]
    assert (mint.audience, mint.resource) == (tuple(audience), tuple(resource))


@pytest.mark.parametrize("path", [API, "/orders/42"])
async def test_an_issuer_with_oauth_metadata_alone_is_enough(sandbox, serve, path):
    """
    Where there is no openid-configuration, RFC 8414's document leads to the token endpoint.
    """
    sandbox.faults.set("discovery-404")
    through = await serve()

    assert (await through("GET", path)).status == 200
    assert sandbox.mints.count(ok=False) == 0
