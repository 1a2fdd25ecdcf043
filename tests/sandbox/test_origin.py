from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.sandbox.origin import Origin, origin_of


@pytest.mark.parametrize(
    ("headers", "secure", "issuer"),
    [
        pytest.param({}, False, "http://a.example", id="host"),
        pytest.param({"Host": "a.example:443"}, True, "https://a.example:443", id="port-stays"),
        pytest.param({"X-Forwarded-Host": "b"}, False, "http://b", id="x-forwarded-host"),
        pytest.param({"X-Forwarded-Host": "b, c"}, False, "http://b", id="first-of-several"),
        pytest.param({"X-Forwarded-For": "10.0.0.1"}, False, "http://a.example", id="address-only"),
        pytest.param({"X-Forwarded-For": "host=b"}, False, "http://b", id="x-forwarded-for"),
        pytest.param(
            {"Forwarded": 'for=x;host="b:1";proto=https'}, False, "https://b:1", id="forwarded"
        ),
        pytest.param(
            {"x-zitadel-forwarded": "host=b"}, False, "http://b", id="x-zitadel-forwarded"
        ),
        pytest.param(
            {"x-zitadel-instance-host": "b", "Forwarded": "host=c"}, False, "http://b", id="order"
        ),
        pytest.param({"X-Forwarded-Proto": "https"}, False, "https://a.example", id="proto"),
        pytest.param({"X-Forwarded-Proto": "http"}, True, "https://a.example", id="secure-wins"),
        pytest.param({"x-zitadel-public-host": "p"}, False, "http://p", id="public-host"),
    ],
)
def test_the_issuer_is_computed_from_the_request(headers, secure, issuer):
    """
    The issuer follows the headers, in ZITADEL's order.
    """
    merged = CIMultiDictProxy(CIMultiDict({"Host": "a.example"} | headers))

    assert origin_of(merged, secure=secure).issuer == issuer


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (Origin("http", "A.example:1"), True),
        (Origin("http", "b.example"), False),
        (Origin("http", ""), False),
        (Origin("http", "[::1]:80"), True),
        (Origin("http", "a.example", "t.example"), True),
        (Origin("http", "a.example", "u.example"), False),
        (Origin("http", "t.example"), False),
    ],
    ids=str,
)
def test_the_host_without_port_picks_the_instance(origin, expected):
    """
    A public host must be trusted, and a trusted one alone does not pick the instance.
    """
    assert origin.within(["a.example", "[::1]"], ["t.example"]) is expected


LEAKS = [
    {"Host": "other.example"},
    {"X-Forwarded-Host": "other.example"},
    {"Forwarded": "host=other.example"},
    {"x-zitadel-instance-host": "other.example"},
    {"x-zitadel-public-host": "other.example"},
]


@pytest.mark.parametrize("headers", LEAKS, ids=lambda headers: next(iter(headers)))
async def test_a_leaked_host_gets_another_instances_answer(issuer, mint, sandbox, bearer, headers):
    """
    A wrong instance is 404: text on OpenID Connect paths, JSON with code 5 on the APIs.
    """
    oidc = await issuer("GET", "/.well-known/openid-configuration", headers=headers)
    api = await issuer("GET", "/auth/v1/users/me", headers=headers | bearer(sandbox.pat))

    assert (oidc.status, oidc.headers["Content-Type"]) == (404, "text/plain; charset=utf-8")
    assert oidc.text.startswith("unable to set instance using origin")
    assert (api.status, api.json["code"]) == (404, 5)
    assert api.json["message"].startswith("unable to set instance using origin")


async def test_a_leaked_scheme_or_port_makes_another_issuer(issuer, sandbox, sign):
    """
    With the right instance and a wrong scheme, every assertion's audience is wrong.
    """
    leak = {"X-Forwarded-Proto": "https"}
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "assertion": sign(),
        "scope": "openid",
    }

    metadata = await issuer("GET", "/.well-known/openid-configuration", headers=leak)
    refused = await issuer("POST", "/oauth/v2/token", headers=leak, data=form)
    form["assertion"] = sign(aud=metadata.json["issuer"])
    accepted = await issuer("POST", "/oauth/v2/token", headers=leak, data=form)

    assert metadata.json["issuer"] == sandbox.url.replace("http:", "https:")
    assert sandbox.mints[0].reason == "aud does not contain the issuer byte for byte"
    assert (refused.status, accepted.status) == (400, 200)


@pytest.mark.parametrize(
    "options", [{"domains": ("id.example",), "external_secure": True}], indirect=True
)
async def test_an_instance_may_have_names_of_its_own(issuer, sandbox, sign):
    """
    Dialled by address under its outer name, the instance is the issuer of that name.
    """
    outer = {"Host": "id.example"}

    metadata = await issuer("GET", "/.well-known/openid-configuration", headers=outer)
    reply = await issuer(
        "POST",
        "/oauth/v2/token",
        headers=outer,
        data={
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion": sign(aud="https://id.example"),
            "scope": "openid",
        },
    )

    assert metadata.json["issuer"] == "https://id.example"
    assert metadata.json["token_endpoint"] == "https://id.example/oauth/v2/token"
    assert reply.status == 200
