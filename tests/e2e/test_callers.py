"""
Who may call: keys on a listener or a route, and what an upstream sees of them.
"""

from __future__ import annotations

from hashlib import sha256

import aiohttp
import pytest

CI = "key-of-ci-5c0ffee"
BILLING = "key-of-billing-5eed"


@pytest.fixture
async def guarded(serve, secrets):
    """
    A listener for two callers, with routes for both, for one of them, and for everyone.
    """

    def edit(document):
        digests = {name: sha256(key.encode()).hexdigest() for name, key in KEYS.items()}
        document["callers"] = {name: {"api_key_sha256": each} for name, each in digests.items()}
        document["listen"] = [{"address": "127.0.0.1:0", "callers": ["ci", "billing"]}]
        next(each for each in document["routes"] if each["name"] == "orders")["callers"] = [
            "billing"
        ]

    through = await serve(edit)
    yield through
    assert CI.encode() not in through.log.raw
    assert BILLING.encode() not in through.log.raw


KEYS = {"ci": CI, "billing": BILLING}

WAYS = [
    pytest.param(lambda key: {"X-Api-Key": key}, id="X-Api-Key"),
    pytest.param(lambda key: {"Proxy-Authorization": f"Bearer {key}"}, id="Proxy-Authorization"),
    pytest.param(lambda key: {"proxy-authorization": f"bearer {key}"}, id="small letters"),
]


@pytest.mark.parametrize("way", WAYS)
async def test_a_known_caller_passes_and_its_key_stays_here(sandbox, guarded, way):
    """
    A caller on the list is served; the upstream gets the service user's token and no key.
    """
    reply = await guarded("GET", "/echo", headers=way(CI) | {"X-Request-Id": "known"})

    assert reply.status == 200
    hit = sandbox.hits[-1]
    assert hit.values("x-api-key") == hit.values("proxy-authorization") == []
    assert CI not in str(hit.headers)
    assert (await guarded.log.wait("request.done", request_id="known"))["caller"] == "ci"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Api-Key": "wrong"},
        {"X-Api-Key": ""},
        {"Proxy-Authorization": f"Basic {CI}"},
        {"Proxy-Authorization": "Bearer "},
        {"Authorization": f"Bearer {CI}"},
        {"X-Api-Key": sha256(CI.encode()).hexdigest()},
    ],
    ids=str,
)
async def test_an_unknown_caller_is_challenged(sandbox, guarded, headers):
    """
    Whoever is not known gets 401 with a challenge, and nothing goes up.
    """
    reply = await guarded("GET", "/echo", headers=headers)

    assert (reply.status, reply.code) == (401, "caller_unauthenticated")
    assert reply.headers["WWW-Authenticate"].startswith("Bearer")
    assert reply.headers["Proxy-Status"].startswith("authproxy; error=http_request_denied")
    assert sandbox.hits.total == 0
    assert (await guarded.log.done(reply))["caller"] is None


async def test_a_known_caller_may_not_use_every_route(sandbox, guarded):
    """
    A caller that is known but not on the route's list gets 403; the one that is gets through.
    """
    refused = await guarded("GET", "/orders/1", headers={"X-Api-Key": CI})
    served = await guarded("GET", "/orders/1", headers={"X-Api-Key": BILLING})

    assert (refused.status, refused.code) == (403, "caller_forbidden")
    assert "WWW-Authenticate" not in refused.headers
    assert served.status == 200
    assert sandbox.hits.total == 1
    assert (await guarded.log.done(refused))["caller"] == "ci"


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "HEAD"])
async def test_no_method_is_let_in_without_a_caller(sandbox, guarded, method):
    """
    The question who calls comes before anything else, by every method.
    """
    assert (await guarded(method, "/echo", data=None)).status == 401
    assert sandbox.hits.total == 0


async def test_callers_keys_never_go_up_where_nobody_asks_for_them(sandbox, through):
    """
    Also on an open listener X-Api-Key and Proxy-Authorization are not for the upstream.
    """
    headers = {"X-Api-Key": "k", "Proxy-Authorization": "Bearer k"}

    reply = await through("GET", "/echo", headers=headers)

    assert reply.status == 200
    assert sandbox.hits[-1].values("x-api-key") == []
    assert sandbox.hits[-1].values("proxy-authorization") == []


async def test_each_listener_has_its_own_callers(serve, tmp_path, session, sandbox):
    """
    A listener with callers asks for them although another one is open.
    """
    path = tmp_path / "open.sock"

    def edit(document):
        document["callers"] = {"ci": {"api_key_sha256": sha256(CI.encode()).hexdigest()}}
        document["listen"] = [
            {"address": "127.0.0.1:0", "callers": ["ci"]},
            {"address": f"unix:{path}"},
        ]

    through = await serve(edit)

    assert (await through("GET", "/echo")).code == "caller_unauthenticated"
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as local,
        local.get("http://any/echo") as response,
    ):
        assert response.status == 200


async def test_two_free_ports_keep_their_callers_apart(serve):
    """
    Two listeners on any free port each keep their own list of callers.
    """

    def edit(document):
        document["callers"] = {"ci": {"api_key_sha256": sha256(CI.encode()).hexdigest()}}
        document["listen"] = [
            {"address": "127.0.0.1:0", "callers": ["ci"]},
            {"address": "127.0.0.1:0"},
        ]

    through = await serve(edit)
    closed, opened = (f"http://{each}/echo" for each in through.runtime.addresses)

    assert (await through("GET", closed)).status == 401
    assert (await through("GET", opened)).status == 200
