from __future__ import annotations

import asyncio
from hashlib import sha256

import aiohttp
import pytest

from proxy.core.secret import Secret
from proxy.sandbox.backend import block_bytes
from proxy.tasks import spawn


@pytest.fixture
def good(sandbox):
    """
    A token for the backend.
    """
    return sandbox.issue(sandbox.users["reporter"], sandbox.backend_scopes)


async def test_a_good_token_is_introspected_each_time(sandbox, backend, bearer, good):
    """
    Nothing is cached: every request asks the issuer, so a revocation shows at once.
    """
    first = await backend("GET", "/orders/7", headers=bearer(good))
    sandbox.revoke()
    second = await backend("GET", "/orders/7", headers=bearer(good))

    assert (first.status, first.json) == (200, {"id": "7", "service_user": "reporter"})
    assert second.status == 401
    assert [hit.path for hit in sandbox.issuer_hits] == ["/oauth/v2/introspect"] * 2
    assert [(hit.place, hit.user, hit.status) for hit in sandbox.hits] == [
        ("backend", "reporter", 200),
        ("backend", None, 401),
    ]


async def test_without_a_token_there_is_a_challenge(backend, bearer):
    """
    Absent and inactive tokens have challenges of their own (RFC 6750 §3).
    """
    absent = await backend("GET", "/orders/")
    inactive = await backend("POST", "/upload", headers=bearer(Secret("x")), data=b"abc")

    assert (absent.status, absent.headers["WWW-Authenticate"]) == (401, 'Bearer realm="sandbox"')
    assert inactive.status == 401
    assert 'error="invalid_token"' in inactive.headers["WWW-Authenticate"]


async def test_a_token_for_the_apis_only_is_refused(sandbox, backend, bearer):
    """
    The backend wants its own project in the audience.
    """
    token = sandbox.issue(sandbox.users["provisioner"], sandbox.zitadel_scopes)

    assert (await backend("GET", "/orders/", headers=bearer(token))).status == 401


async def test_a_failing_issuer_is_503(sandbox, backend, bearer, good):
    """
    The backend does not call a token bad because it could not ask.
    """
    sandbox.faults.set("introspection-500")

    assert (await backend("GET", "/orders/", headers=bearer(good))).status == 503


async def test_orders_are_listed(backend, bearer, good):
    """
    There are sample orders to look at.
    """
    reply = await backend("GET", "/orders/", headers=bearer(good))

    assert [order["id"] for order in reply.json["orders"]] == ["1001", "1002"]


async def test_echo_tells_what_arrived_without_the_token(sandbox, backend, bearer, good):
    """
    Method, raw path, headers and body are shown; the token only as a fingerprint.
    """
    headers = bearer(good) | {"X-Odd": "a  b"}

    reply = await backend("PATCH", "/echo/a%2Fb/../c?q=%41&r", headers=headers, data=b"body")

    assert reply.json["method"] == "PATCH"
    assert reply.json["path"] == "/echo/a%2Fb/../c?q=%41&r"
    assert reply.json["service_user"] == "reporter"
    assert reply.json["body"] == {"length": 4, "sha256": sha256(b"body").hexdigest()}
    assert ["Authorization", f"Bearer *** {good.fingerprint()}"] in reply.json["headers"]
    assert ["X-Odd", "a  b"] in reply.json["headers"]
    assert good.reveal() not in reply.text


@pytest.mark.parametrize("count", [0, 1, 65_536, 200_001])
@pytest.mark.parametrize("query", ["", "?chunked"])
async def test_bytes_sends_that_many(backend, bearer, good, count, query):
    """
    The content is the same every time, with a length or in chunks.
    """
    reply = await backend("GET", f"/bytes/{count}{query}", headers=bearer(good))

    assert reply.body == block_bytes(count)
    assert ("Content-Length" in reply.headers) is (query == "")


@pytest.mark.parametrize("number", ["x", "-1", "1" * 16, "%C2%B2"])
async def test_bytes_wants_a_number(backend, bearer, good, number):
    """
    What is no number of bytes is 400.
    """
    assert (await backend("GET", f"/bytes/{number}", headers=bearer(good))).status == 400


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_an_upload_is_counted_and_hashed(backend, bearer, good, method):
    """
    A body of any size and framing is read through, larger than what is kept.
    """
    chunk = block_bytes(100_000)

    async def body():
        for _ in range(30):
            yield chunk

    reply = await backend(method, "/upload", headers=bearer(good), data=body())

    assert reply.json == {"length": 3_000_000, "sha256": sha256(chunk * 30).hexdigest()}


async def test_a_compressed_upload_is_counted_as_sent(backend, bearer, good):
    """
    The body is not decompressed, whatever its headers say.
    """
    headers = bearer(good) | {"Content-Encoding": "gzip"}

    reply = await backend("PUT", "/upload", headers=headers, data=b"not gzip at all")

    assert reply.json["length"] == 15


async def test_events_come_as_a_stream(backend, bearer, good):
    """
    As many events come as were asked for.
    """
    reply = await backend("GET", "/sse?count=3&interval=0", headers=bearer(good))

    assert reply.headers["Content-Type"] == "text/event-stream"
    assert reply.text.count("event: tick\n") == 3
    assert '"service_user": "reporter"' in reply.text


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/status/200", 200),
        ("/status/204", 204),
        ("/status/418", 418),
        ("/status/599", 599),
        ("/status/101", 400),
        ("/status/600", 400),
        ("/status/x", 400),
        ("/slow?seconds=0", 200),
        ("/sse?count=0&interval=x", 200),
        ("/nothing", 404),
        ("/healthz", 200),
    ],
)
async def test_what_it_answers(backend, bearer, good, target, status):
    """
    A status can be asked for; unknown paths are 404.
    """
    headers = bearer(good) if target != "/healthz" else {}

    assert (await backend("GET", target, headers=headers)).status == status


async def test_the_backend_can_be_held(sandbox, backend, bearer, good):
    """
    A held request has passed introspection and waits for its answer.
    """
    sandbox.faults.set("backend-slow")
    tasks: set[asyncio.Task[object]] = set()

    asking = spawn(tasks, backend("GET", "/orders/", headers=bearer(good)), name="backend")
    await sandbox.hits.until(1)
    sandbox.faults.clear()

    assert (await asking).status == 200


async def test_the_backend_can_close(sandbox, backend, bearer, good):
    """
    The connection ends without an answer.
    """
    sandbox.faults.set("backend-close", times=1)

    with pytest.raises(aiohttp.ClientError):
        await backend("POST", "/upload", headers=bearer(good), data=b"x")


async def test_the_next_token_shown_is_revoked_once(sandbox, backend, bearer, good):
    """
    The fault strikes through introspection as well.
    """
    sandbox.faults.set("revoke-once")
    fresh = sandbox.issue(sandbox.users["reporter"], sandbox.backend_scopes)

    statuses = [
        (await backend("GET", "/orders/", headers=bearer(token))).status for token in (good, fresh)
    ]

    assert statuses == [401, 200]


async def test_a_caller_that_leaves_a_download_breaks_nothing(sandbox, backend, good, caplog):
    """
    The end of a connection in the middle of an answer is no error of the backend.
    """
    host, _, port = sandbox.backend_url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    target = "/bytes/1000000000"
    writer.write(
        f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {good.reveal()}\r\n\r\n".encode()
    )
    await reader.readexactly(100_000)
    writer.transport.abort()

    assert (await backend("GET", "/healthz")).status == 200
    assert caplog.records == []
