"""
What becomes of a request's head, all by one proxy with the sandbox's configuration as it is.
"""

from __future__ import annotations

import asyncio

import pytest
from yarl import URL

pytestmark = pytest.mark.asyncio(loop_scope="module")

USERS = [
    pytest.param("/management/v1/orgs/me", "provisioner", id="private key JWT"),
    pytest.param("/orders/42", "reporter", id="client credentials"),
    pytest.param("/dev/auth/v1/users/me", "dev", id="personal access token"),
]


@pytest.fixture
def sandbox(standing):
    """
    The module's sandbox, its record empty.
    """
    standing[0].hits.clear()
    return standing[0]


@pytest.fixture
def through(standing):
    """
    The module's proxy.
    """
    return standing[1]


async def raw(proxy, request: bytes) -> bytes:
    """
    Send bytes as they are and return all that comes back.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(request)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(("path", "user"), USERS)
async def test_each_method_gets_its_users_token(sandbox, through, path, user):
    """
    A request without any credential arrives with its route's service user's token, once.
    """
    reply = await through("GET", path, headers={"X-Request-Id": f"mine-{user}"})

    assert reply.status == 200
    assert sandbox.hits[-1].user == user
    assert len(sandbox.hits[-1].authorizations) == 1
    assert sandbox.hits[-1].values("x-request-id") == [f"mine-{user}"]
    line = await through.log.wait("request.done", request_id=f"mine-{user}")
    assert (line["service_user"], line["status"], line["upstream_status"]) == (user, 200, 200)
    assert line["path"] == path


@pytest.mark.parametrize(("path", "user"), USERS)
@pytest.mark.parametrize("scheme", ["Bearer mine", "Basic bWU6bWU=", "bearer a, Bearer b", ""])
async def test_the_callers_authorization_is_replaced(sandbox, through, path, user, scheme):
    """
    What the caller sends as Authorization never arrives, whatever it is.
    """
    reply = await through("GET", path, headers={"Authorization": scheme})

    assert reply.status == 200
    assert sandbox.hits[-1].user == user
    assert len(sandbox.hits[-1].authorizations) == 1


async def test_several_authorizations_are_all_replaced(sandbox, through):
    """
    Not one of several Authorization lines survives, in any spelling.
    """
    answer = await raw(
        through,
        b"GET /echo HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer one\r\nAUTHORIZATION: Bearer two\r\n"
        b"authorization: Basic dGhyZWU=\r\nConnection: close\r\n\r\n",
    )

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert len(sandbox.hits[-1].authorizations) == 1
    assert sandbox.hits[-1].user == "reporter"


@pytest.mark.parametrize(
    "target",
    [
        "/echo/a%2Fb%2fc",
        "/echo/%e4%F6?q=%7f&a=1&&a=2&=",
        "/echo//double///slashes/",
        "/echo/~tilde!$&'()*+,;=:@",
        "/echo?",
        "/echo/?a=b?c=d/../e",
        "/echo/plus+and%20space?plus+and%20space",
        "/echo/...",
        "/echo/%C3%A4",
    ],
)
async def test_path_and_query_arrive_byte_for_byte(sandbox, through, target):
    """
    Nothing in path or query is decoded, encoded, sorted or shortened on the way.
    """
    request = f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    answer = await raw(through, request.encode())

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert sandbox.hits[-1].target == target


async def test_the_upstream_sees_its_own_host(sandbox, through):
    """
    Host is the upstream's, whatever the caller calls the proxy.
    """
    reply = await through("GET", "/echo", headers={"Host": "evil.example"})

    assert reply.status == 200
    assert sandbox.hits[-1].values("host") == [URL(sandbox.backend_url).authority]


@pytest.mark.parametrize(
    "name",
    [
        "X-Forwarded-Host",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Anything",
        "Forwarded",
        "X-Zitadel-Instance-Host",
        "X-Zitadel-Public-Host",
        "X-Zitadel-Forwarded",
        "X_Forwarded_Host",
        "X-Original-Host",
        "X-Real-IP",
    ],
)
async def test_where_a_request_came_from_is_not_passed_on(sandbox, through, name):
    """
    A forwarding header from a caller would pick another instance; it does not travel.
    """
    headers = {name: "host=evil.example;proto=https"}

    reply = await through("GET", "/management/v1/orgs/me", headers=headers)

    assert reply.status == 200
    assert sandbox.hits[-1].values(name) == []
    assert "evil" not in str(sandbox.hits[-1].headers)


async def test_the_organisation_header_passes(sandbox, through):
    """
    x-zitadel-orgid says on whose behalf; ours is accepted and another one is refused upstream.
    """
    path = "/management/v1/orgs/me"

    own = await through("GET", path, headers={"x-zitadel-orgid": sandbox.org_id})
    assert own.status == 200
    assert sandbox.hits[-1].values("x-zitadel-orgid") == [sandbox.org_id]

    other = await through("GET", path, headers={"x-zitadel-orgid": "1"})
    assert other.status in (403, 404)
    assert other.code is None


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "no_route"),
        ("GET", "/ordersish", 404, "no_route"),
        ("TRACE", "/orders/1", 405, "method_not_supported"),
        ("GET", "/orders/%2e%2e/echo", 400, "bad_request"),
        ("GET", "/orders/" + "a" * 9000, 414, "uri_too_long"),
    ],
)
async def test_what_no_route_takes_is_refused(sandbox, through, method, path, status, code):
    """
    A request no route takes gets the contract's code and goes nowhere.
    """
    reply = await through(method, path)

    assert (reply.status, reply.code) == (status, code)
    assert len(sandbox.hits) == 0


async def test_upstream_status_and_body_come_back_unchanged(through):
    """
    An upstream's own errors are its own: status, body, no Proxy-Status of ours.
    """
    for status in (204, 302, 400, 403, 404, 418, 500, 503):
        reply = await through("GET", f"/status/{status}")
        assert reply.status == status
        assert reply.code is None
        assert "Proxy-Status" not in reply.headers
