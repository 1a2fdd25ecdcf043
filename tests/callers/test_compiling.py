from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from proxy.callers.client import introspection_clients
from proxy.callers.compiling import Way, compile_registry, ways
from proxy.callers.evidence import Evidence
from proxy.callers.registry import Identity
from proxy.callers.verifier import PENDING
from proxy.config.model import Settings
from proxy.core.clock import Clock
from proxy.core.credential import ClientKey, ClientSecret
from proxy.errors import CallerCheckUnavailable, CredentialInvalid
from proxy.wire.peer import Peer

CLOCK = Clock(lambda: 0.0, lambda: 0.0)


def settings(callers, **issuer):
    """
    Return settings with these callers.
    """
    return Settings.model_validate(
        {
            "version": 1,
            "issuers": {
                "z": {"url": "https://z.example", **issuer},
                "y": {"url": "https://y.example"},
            },
            "service_users": {
                "u": {"issuer": "z", "method": "personal_access_token", "token": {"env": "X"}}
            },
            "callers": callers,
            "routes": [{"name": "r", "upstream": "https://a.example", "service_user": "u"}],
        }
    )


def whose(registry, **peer):
    """
    Return whose such a connection is.
    """
    found = registry.identify(Evidence(Peer(**peer)))
    assert isinstance(found, Identity)
    return found.name


def test_every_way_to_be_known_is_compiled():
    """
    Names, ids below a path, users before groups, networks that suffice: the longest first.
    """
    registry = compile_registry(
        settings(
            {
                "all": {"mtls_san": "spiffe://c/*"},
                "space": {"mtls_san": ["spiffe://c/ns/*", "A.example"]},
                "group": {"unix": {"gid": [5]}},
                "user": {"unix": {"uid": [1]}},
                "wide": {"networks": ["10.0.0.0/8"]},
                "narrow": {"networks": ["10.1.0.0/16"]},
                "both": {"mtls_san": "b.example", "networks": ["10.2.0.0/16"]},
            }
        ),
        {},
        CLOCK,
    )
    inside = Evidence(Peer(address=None, names=(("DNS", "b.example"),)))

    assert whose(registry, names=(("URI", "spiffe://c/ns/x"),)) == "space"
    assert whose(registry, names=(("URI", "spiffe://c/x"),)) == "all"
    assert whose(registry, names=(("DNS", "a.example"),)) == "space"
    assert whose(registry, uid=1, gid=5) == "user"
    assert whose(registry, uid=2, gid=5) == "group"
    assert [name for _, name in registry.connections.networks] == ["narrow", "wide"]
    assert registry.identify(inside) == Identity(None)


TOKENS = {
    "b": {"introspection": {"issuer": "z"}},
    "a": {"jwt": {"issuer": "z", "audience": "one"}},
    "c": {"jwt": {"issuer": "z", "audience": "two", "claims": {"role": "x"}}},
    "d": {"jwt": {"issuer": "y", "audience": "two"}},
}


def test_each_issuer_vouches_in_each_way_once():
    """
    By its keys before by asking it; of its callers the one that asks the most comes first.
    """
    given = settings(TOKENS)
    registry = compile_registry(given, {}, CLOCK)

    assert ways(given) == (Way("jwt", "z"), Way("jwt", "y"), Way("introspection", "z"))
    assert [[each.caller for each in vouched.callers] for vouched in registry.vouched] == [
        ["c", "a"],
        ["d"],
        ["b"],
    ]


async def test_without_a_verifier_nobody_is_let_in_by_a_token():
    """
    Where nothing verifies, the answer is that it cannot be checked, and never yes.
    """
    registry = compile_registry(settings(TOKENS), {}, CLOCK)

    assert registry.identify(Evidence(credential=b"token")) is PENDING
    with pytest.raises(CallerCheckUnavailable):
        await registry.find_out(Evidence(credential=b"token"))


def test_an_issuer_is_asked_as_the_client_that_is_set(tmp_path):
    """
    By a secret in the way that is set, or by an application's own key; others are not asked at all.
    """
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    path = tmp_path / "application.json"
    path.write_text(
        json.dumps({"type": "application", "keyId": "k", "key": pem, "appId": "1", "clientId": "c"})
    )
    path.chmod(0o600)
    by_secret = {"client_id": "a", "client_secret": {"env": "S"}, "client_auth": "post"}

    one = introspection_clients(settings({}, introspection=by_secret), tmp_path, {"S": "s3cret"})
    two = introspection_clients(
        settings({}, introspection={"key_file": "application.json"}), tmp_path, {}
    )

    assert list(one) == list(two) == ["z"]
    assert isinstance(one["z"].credential, ClientSecret)
    assert (one["z"].client_id, one["z"].credential.auth) == ("a", "post")
    assert isinstance(two["z"].credential, ClientKey)
    assert (two["z"].client_id, two["z"].credential.key.key_id) == ("c", "k")
    assert two["z"].issuer.url == "https://z.example"
    assert "s3cret" not in repr(one)
    with pytest.raises(CredentialInvalid):
        introspection_clients(settings({}, introspection=by_secret), tmp_path, {})
