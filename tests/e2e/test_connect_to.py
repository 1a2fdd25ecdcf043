from __future__ import annotations

import pytest

NAME = "login.example.test"

PLAIN = pytest.param(
    {"domains": (NAME,)}, f"http://{NAME}", {"allow_insecure": True}, id="plain name"
)
SECURE = pytest.param(
    {"domains": (NAME,), "external_secure": True}, f"https://{NAME}", {}, id="behind TLS"
)
PORT = pytest.param(
    {"domains": (NAME,)}, f"http://{NAME}:8443", {"allow_insecure": True}, id="with port"
)


@pytest.mark.parametrize(("options", "url", "more"), [PLAIN, SECURE, PORT], indirect=["options"])
async def test_an_issuer_is_dialled_elsewhere_under_its_own_name(sandbox, serve, url, more):
    """
    With connect_to only the connection goes elsewhere: aud, Host and the token endpoint stay url's.
    """

    def edit(document):
        document["issuers"]["zitadel"] = {"url": url, "connect_to": sandbox.url, **more}
        for route in document["routes"]:
            if route["upstream"] == sandbox.url:
                route.update(upstream=url, **more)

    through = await serve(edit)

    assert (await through("GET", "/orders/42")).status == 200
    assert (await through("GET", "/management/v1/orgs/me")).status == 200
    authority = url.partition("://")[2]
    ours = [hit for hit in sandbox.issuer_hits if hit.path != "/oauth/v2/introspect"]
    assert {tuple(hit.values("host")) for hit in ours} == {(authority,)}
    assert {mint.claims["aud"] for mint in sandbox.mints if mint.claims} == {url}
    api = next(hit for hit in sandbox.hits if hit.place == "api")
    assert api.values("host") == [authority]
    assert api.user == "provisioner"


@pytest.mark.parametrize("options", [{"domains": (NAME,)}], indirect=True)
async def test_an_issuer_by_another_name_than_its_own_is_refused(sandbox, serve):
    """
    A url the issuer does not know itself by ends in mint_rejected, and the log says what to change.
    """

    def edit(document):
        document["issuers"]["zitadel"] = {
            "url": "http://stranger.example.test",
            "connect_to": sandbox.url,
            "allow_insecure": True,
        }

    through = await serve(edit)

    reply = await through("GET", "/orders/42")

    assert (reply.status, reply.code) == (502, "mint_rejected")
    assert "connect_to" in (await through.log.done(reply))["error"]
