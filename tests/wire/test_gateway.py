from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace

import pytest

from proxy.core.clock import Clock
from proxy.core.credential import ClientSecret, Issuer, ServiceUser
from proxy.core.secret import Secret
from proxy.core.token import Minted, Token
from proxy.errors import CredentialInvalid, MintRejected, MintTimeout, MintUnavailable
from proxy.tokens.keeper import Keeper
from proxy.tokens.means import Means
from proxy.tokens.store import MemoryStore
from proxy.wire.limits import PoolLimits

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NO = b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer error=x\r\nContent-Length: 5\r\n\r\nstale"


async def renewing(proxy):
    """
    Wait until a refused token is being replaced.
    """
    async with asyncio.timeout(5):
        await proxy.keeper.asked.get()


@pytest.mark.parametrize(
    ("method", "body"), [(b"GET", b""), (b"PUT", b"hi"), (b"DELETE", b"x" * 65536)]
)
async def test_refused_token_is_renewed_and_the_request_replayed(
    method, body, upstream, call, proxy, both_loops
):
    """
    The 401 is held, one new token had, and the same request sent once more with it.
    """
    caller = await call(
        b"%b /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (method, len(body)) + body
    )
    peer = await upstream.accept()
    first = await peer.message()
    peer.send(NO)
    await renewing(proxy)
    proxy.keeper.land("tok-2")
    second = await peer.message()
    peer.send(OK)
    answer = await caller.message()
    record = await proxy.record()

    assert second == (first[0].replace(b"tok-1", b"tok-2"), first[1])
    assert second[1] == body
    assert answer[1] == b"ok"
    assert [token.value.reveal() for token in proxy.keeper.renewed] == ["tok-1"]
    assert (record["replayed"], record["token"], record["status"]) == (True, "minted", 200)


async def test_second_401_passes(upstream, call, proxy):
    """
    No request is replayed twice: the second 401 is the caller's.
    """
    caller = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    peer.send(NO)
    await renewing(proxy)
    proxy.keeper.land("tok-2")
    await peer.head()
    peer.send(NO)

    assert (await caller.message())[1] == b"stale"
    assert len(proxy.keeper.renewed) == 1


async def test_without_another_token_the_original_401_passes(upstream, call, proxy):
    """
    The upstream's own answer goes down whole when the keeper holds the token for right; the log says so.
    """
    caller = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    peer.send(NO)
    await renewing(proxy)
    proxy.keeper.land(None)
    head, body = await caller.message()
    record = await proxy.record()
    caller.send(GET)

    assert record["error"].startswith("token_refused")
    assert head.startswith(b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer error=x\r\n")
    assert body == b"stale"
    assert (record["status"], record["upstream_status"], record["replayed"]) == (401, 401, False)
    assert await peer.head()


@pytest.mark.parametrize(
    ("outcome", "status"), [(MintRejected("no"), 502), (MintUnavailable("down"), 503)]
)
async def test_a_mint_that_fails_is_no_401(outcome, status, upstream, call, proxy):
    """
    The upstream's 401 came of our own token trouble: the caller, who would log in, gets our answer.
    """
    caller = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    peer.send(NO)
    await renewing(proxy)
    proxy.keeper.land(outcome)
    head, _ = await caller.message()
    record = await proxy.record()

    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"application/problem+json" in head
    assert (record["status"], record["upstream_status"]) == (status, 401)


async def test_held_401_with_a_long_body_comes_down_whole(upstream, call, proxy):
    """
    A held response is not read on; let go, it is.
    """
    caller = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    peer.send(b"HTTP/1.1 401 No\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 9_000_000)
    await renewing(proxy)
    proxy.keeper.land(None)

    assert len((await caller.message())[1]) == 9_000_000


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_held_401_whose_connection_is_lost(end, upstream, call, proxy):
    """
    What came is passed on although its connection is gone.
    """
    caller = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    peer.send(NO)
    await renewing(proxy)
    getattr(peer, end)()
    proxy.keeper.land(None)

    assert (await caller.message())[1] == b"stale"


@pytest.mark.parametrize(
    ("policy", "request_bytes", "own_api", "replays"),
    [
        ("auto", GET, False, True),
        ("auto", POST, False, False),
        ("auto", POST, True, True),
        ("always", POST, False, True),
        ("never", GET, True, False),
    ],
)
async def test_replay_follows_the_policy(
    policy, request_bytes, own_api, replays, upstream, call, proxy
):
    """
    `auto` replays what is idempotent, or goes to the issuer itself; a token is not renewed by `never`.
    """
    issuer = upstream.url if own_api else "http://127.0.0.1:9"
    await proxy.start([{"name": "api", "replay": policy}], issuer=issuer)
    caller = await call(request_bytes)
    peer = await upstream.accept()
    await peer.message()
    peer.send(NO)
    if replays:
        await renewing(proxy)
        proxy.keeper.land("tok-2")
        assert b"tok-2" in (await peer.message())[0]
    else:
        assert (await caller.message())[1] == b"stale"
        await asyncio.sleep(0)
        assert len(proxy.keeper.renewed) == (policy != "never")


async def test_large_body_is_not_replayed(upstream, call, proxy):
    """
    Beyond the replay buffer the 401 passes, but the keeper is told.
    """
    caller = await call(
        b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n" + b"x" * 65537
    )
    peer = await upstream.accept()
    await peer.message()
    peer.send(NO)

    assert (await caller.message())[1] == b"stale"
    await renewing(proxy)


async def test_refused_personal_access_token_passes_and_is_reported(upstream, call, proxy):
    """
    The keeper is asked, since a file may hold another; if there is none the 401 goes down.
    """
    proxy.keeper.kind = "static"
    caller = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    peer.send(NO)
    await renewing(proxy)
    proxy.keeper.land(None)

    assert (await caller.message())[1] == b"stale"
    assert (await proxy.record())["token"] == "static"


async def test_callers_own_token_is_not_replaced(upstream, call, proxy):
    """
    Where the caller's Authorization went up, its 401 is nobody else's business.
    """
    await proxy.start([{"name": "api", "authorization": "keep", "replay": "always"}])
    caller = await call(b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer own\r\n\r\n")
    peer = await upstream.accept()
    await peer.head()
    peer.send(NO)

    assert (await caller.message())[1] == b"stale"
    assert not proxy.keeper.renewed


async def test_callers_own_token_waits_for_no_mint(upstream, call, proxy):
    """
    It goes up at once, and the log says that no token of ours was used.
    """
    proxy.keeper.slots.clear()
    proxy.keeper.value = ""
    await proxy.start([{"name": "api", "authorization": "keep"}])
    await call(b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer own\r\n\r\n")
    peer = await upstream.accept()
    head = await peer.head()
    peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")

    assert b"Authorization: Bearer own\r\n" in head
    assert (await proxy.record())["token"] is None


async def test_403_never_renews(upstream, call, proxy):
    """
    Forbidden is no question of the token's age.
    """
    caller = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    peer.send(NO.replace(b"401", b"403"))

    assert (await caller.message())[1] == b"stale"
    assert not proxy.keeper.renewed


async def test_caller_who_leaves_while_renewing(upstream, call, proxy):
    """
    Nothing is replayed for nobody.
    """
    caller = await call(GET)
    peer = await upstream.accept()
    await peer.head()
    peer.send(NO)
    await renewing(proxy)
    caller.close()
    await proxy.left()
    record = await proxy.record()
    proxy.keeper.land("tok-2")
    await proxy.quiet()
    proxy.generation.retire()

    assert record["status"] == 499
    assert await peer.gone()


async def test_upload_that_goes_on_while_renewing_is_replayed_whole(upstream, call, proxy):
    """
    A body that is still coming when its 401 does goes up again from its first byte.
    """
    caller = await call(
        b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    )
    peer = await upstream.accept()
    await peer.head()
    await peer.read(8)
    peer.send(NO)
    await renewing(proxy)
    caller.send(b"2\r\nde\r\n")
    await peer.read(7)
    proxy.keeper.land("tok-2")
    second = await upstream.accept()
    head = await second.head()
    caller.send(b"1\r\nf\r\n0\r\n\r\n")
    body = await second.body(head)
    second.send(OK)

    assert b"tok-2" in head
    assert body == b"3\r\nabc\r\n2\r\nde\r\n1\r\nf\r\n0\r\n\r\n"
    assert (await caller.message())[1] == b"ok"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (MintRejected("no"), 502, b"mint_rejected"),
        (MintUnavailable("down", retry_after=7.2), 503, b"mint_unavailable"),
        (MintTimeout("slow"), 504, b"mint_timeout"),
        (CredentialInvalid("dead"), 503, b"credential_invalid"),
    ],
)
async def test_without_a_token_nothing_goes_upstream(error, status, code, upstream, call, proxy):
    """
    Token trouble has a status of its own, never 401, and no byte goes up.
    """
    proxy.keeper.value = ""
    caller = await call(POST)
    await renewing(proxy)
    proxy.keeper.land(error)
    head, body = await caller.message()
    caller.send(GET)
    await renewing(proxy)

    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b'"code": "%b"' % code in body
    assert (b"Retry-After: " in head) == (status == 503)
    assert (b"Retry-After: 7\r\n" in head) == (code == b"mint_unavailable")
    assert not upstream.connections


async def test_upload_waits_for_the_token_in_little_memory(upstream, call, proxy):
    """
    While a token is awaited only so much of a body is read; then all of it goes up.
    """
    proxy.keeper.value = ""
    size = 20_000_000
    caller = await call(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
    caller.send(b"x" * size)
    await renewing(proxy)
    (connection,) = proxy.connections
    await proxy.until(lambda: connection.held)
    held = sum(map(len, connection.exchange.pending))
    proxy.keeper.land("tok-2")
    peer = await upstream.accept()
    await peer.head()

    assert held < 1 << 20
    assert await peer.read(size) == b"x" * size


async def test_expired_token_is_not_sent(upstream, call, proxy):
    """
    A token past its end is not handed out, even if the request was queued while it ended.
    """
    await proxy.start()
    slot = proxy.keeper.slots["u"]
    slot.token = Token(Secret("short"), 1000.0, 100.0, "minted")
    caller = await call(GET * 2)
    peer = await upstream.accept()
    assert b"Bearer short" in await peer.head()
    proxy.clock.seconds += 100
    peer.send(OK)
    await renewing(proxy)
    proxy.keeper.land("tok-2")
    assert b"Bearer tok-2" in await peer.head()
    caller.close()


async def test_two_hundred_cold_callers_cause_one_mint(upstream, call, proxy):
    """
    All who wait get the token of one mint.
    """
    minted, release = [], asyncio.Event()

    async def mint(user):
        minted.append(user.name)
        await release.wait()
        return Minted(Token(Secret("tok-9"), proxy.clock(), 3600.0, "minted"))

    user = ServiceUser(
        "u", Issuer("z", "http://127.0.0.1:9"), ClientSecret("u", Secret("s")), ("openid",)
    )
    clock = Clock(lambda: 0.0, proxy.clock)
    store = MemoryStore(proxy.clock)
    means = Means(mint, store, clock, lambda: 0.5, lambda *_args, **_facts: None)
    proxy.keeper = Keeper((user,), means)
    upstream.answer = OK
    callers = [await call(GET) for _ in range(200)]
    await proxy.until(lambda: not (len(proxy.gateway.tasks) < 200))
    release.set()
    answers = [await caller.message() for caller in callers]

    assert minted == ["u"]
    assert all(body == b"ok" for _, body in answers)
    assert all(b"Bearer tok-9\r\n" in seen for seen in upstream.seen)


KEY = b"canary-caller-key"
CALLERS = {
    "ci": {"api_key_sha256": hashlib.sha256(KEY).hexdigest()},
    "billing": {"api_key_sha256": hashlib.sha256(b"other-key").hexdigest()},
}
LISTEN = [{"address": "127.0.0.1:8080", "callers": ["ci", "billing"]}]


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (b"", 401),
        (b"X-Api-Key: wrong\r\n", 401),
        (b"X-Api-Key: " + KEY + b"\r\n", 200),
        (b"X-Api-Key: " + KEY + b" \r\n", 200),
        (b"Proxy-Authorization: bearer " + KEY + b"\r\n", 200),
        (b"Proxy-Authorization: Basic " + KEY + b"\r\n", 401),
        (b"Authorization: Bearer " + KEY + b"\r\n", 401),
        (b"X-Api-Key: " + KEY + b"\r\nX-Api-Key: " + KEY + b"\r\n", 401),
        (b"X-Api-Key: other-key\r\n", 403),
    ],
)
async def test_callers_prove_themselves(lines, status, upstream, call, proxy):
    """
    Listener and route both ask; the key goes no further, and a refusal reaches no upstream.
    """
    upstream.answer = OK
    await proxy.start([{"name": "api", "callers": ["ci"]}], callers=CALLERS, listen=LISTEN)
    caller = await call(b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n")
    head, body = await caller.message()
    record = await proxy.record()

    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert (b"WWW-Authenticate: " in head) == (status == 401)
    assert len(upstream.seen) == (status == 200)
    assert KEY not in b"".join(upstream.seen) + head + body
    assert record["caller"] == {401: None, 403: "billing", 200: "ci"}[status]


async def test_listener_without_a_list_serves_whom_the_route_lets(upstream, call, proxy):
    """
    A route may ask although its listener does not.
    """
    upstream.answer = OK
    await proxy.start(
        [{"name": "open", "match": {"path": "/open"}},
         {"name": "shut", "match": {"path": "/shut"}, "callers": ["ci"]}],
        callers=CALLERS,
    )  # fmt: skip
    caller = await call(
        b"GET /open HTTP/1.1\r\nHost: a\r\n\r\nGET /shut HTTP/1.1\r\nHost: a\r\n\r\n"
    )

    assert [(await caller.message())[0].split()[1] for _ in range(2)] == [b"200", b"401"]


async def test_account_of_a_request(upstream, call, proxy):
    """
    The record holds the contract's keys, no query and no credential.
    """
    upstream.answer = OK
    caller = await call(
        b"POST /a%20b?secret=1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer canary\r\n"
        b"Content-Length: 3\r\n\r\nabc"
    )
    await caller.message()
    record = await proxy.record()
    times = {key: record.pop(key) for key in ("duration_ms", "token_ms", "upstream_ms", "client")}

    assert record == {
        "request_id": "id-1", "trace_id": None, "caller": None, "method": "POST",
        "path": "/a%20b", "route": "api", "service_user": "u", "upstream": upstream.url,
        "status": 200, "upstream_status": 200, "error": None, "token": "cached",
        "replayed": False, "bytes_in": 3, "bytes_out": 2,
    }  # fmt: skip
    assert times["client"].startswith("127.0.0.1:")
    assert times["duration_ms"] == 0.0


async def test_bug_is_a_500_and_logged(call, proxy):
    """
    What cannot happen is answered, and its traceback is logged under the same id.
    """
    await proxy.start()
    proxy.gateway.generation = replace(proxy.generation, table=None)
    caller = await call(GET)
    head, _ = await caller.message()

    assert head.startswith(b"HTTP/1.1 500 ")
    assert b"internal.error" in proxy.events[0]
    assert b"id-1" in proxy.events[0]
    proxy.gateway.generation = proxy.generation


async def test_keeper_that_fails_unexpectedly_is_a_500(call, proxy):
    """
    An error without a name while waiting does not leave the caller waiting.
    """
    proxy.keeper.value = ""
    caller = await call(GET)
    await renewing(proxy)
    proxy.keeper.land(ZeroDivisionError())

    assert (await caller.head()).startswith(b"HTTP/1.1 500 ")


async def test_overloaded_pool_is_a_503(upstream, call, proxy):
    """
    At the cap no connection is opened; the caller is told when to come back.
    """
    await proxy.start()
    pool = proxy.generation.pools[0]
    pool.limits = PoolLimits(connections=0, queue=0)
    caller = await call(GET)
    head, body = await caller.message()
    pool.limits = PoolLimits()

    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 1\r\n" in head
    assert b'"overloaded"' in body
