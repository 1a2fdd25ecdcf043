from __future__ import annotations

import asyncio
import codecs
import gzip
import json

import aiohttp
import pytest
from yarl import URL

from proxy.tasks import spawn


async def exchanged(url: str) -> bytes:
    """
    Send a token request by hand and return all bytes that come until the connection ends.
    """
    target = URL(url)
    reader, writer = await asyncio.open_connection(target.host, target.port)
    writer.write(
        f"POST /oauth/v2/token HTTP/1.1\r\nHost: {target.authority}\r\n"
        "Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
    )
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("fault", "status", "content_type", "start"),
    [
        ("token-500", 500, "application/json", '{"error": "server_error"'),
        ("token-503", 503, "text/plain", "Service Unavailable"),
        ("token-504", 504, "text/plain", "Gateway Timeout"),
        ("token-400-text", 400, "text/plain", "Bad Request"),
        ("token-error-in-200", 200, "application/json", '{"error": "invalid_grant"'),
        ("token-invalid-client", 400, "application/json", '{"error": "invalid_client"'),
        ("token-invalid-grant", 400, "application/json", '{"error": "invalid_grant"'),
        ("token-unauthorized-client", 400, "application/json", '{"error": "unauthorized_client"'),
        ("token-invalid-scope", 400, "application/json", '{"error": "invalid_scope"'),
        ("token-not-active", 400, "application/json", '{"error": "invalid_request"'),
        ("token-429", 429, "text/plain", "Your ZITADEL instance is blocked."),
        ("token-html", 200, "text/html", "<!doctype html>"),
        ("token-empty", 200, "", ""),
        ("token-huge", 200, "application/json", '{"access_token": "xxx'),
        ("token-redirect", 307, "", ""),
    ],
)
async def test_a_broken_answer(sandbox, mint, fault, status, content_type, start):
    """
    Each fault of the token endpoint answers what it says, once, and is on record.
    """
    sandbox.faults.set(fault, times=1)

    reply = await mint.by_key()

    assert (reply.status, reply.headers.get("Content-Type", "").partition(";")[0]) == (
        status,
        content_type,
    )
    assert reply.text.startswith(start)
    assert (sandbox.mints[-1].error, sandbox.mints[-1].user) == (fault, "provisioner")
    assert (await mint.by_key()).status == 200


async def test_garbage_is_not_json(sandbox, mint):
    """
    The garbage answer calls itself JSON and is neither JSON nor UTF-8.
    """
    sandbox.faults.set("token-garbage")

    reply = await mint.by_key()

    assert reply.headers["Content-Type"].startswith("application/json")
    with pytest.raises(ValueError, match="codec"):
        _ = reply.json


async def test_the_quota_answer_has_its_cookie_and_no_retry_after(sandbox, mint):
    """
    A blocked instance says so by cookie, and never says for how long.
    """
    sandbox.faults.set("token-429")

    reply = await mint.by_key()

    assert any(
        value.startswith("zitadel.quota.exhausted=") for value in reply.headers.getall("Set-Cookie")
    )
    assert "Retry-After" not in reply.headers


@pytest.mark.parametrize("value", ["7", "Fri, 15 Jan 2027 08:00:30 GMT"])
@pytest.mark.parametrize("fault", ["token-429", "token-503"])
async def test_a_refusal_may_say_when_to_come_back(sandbox, mint, fault, value):
    """
    With a value the answer has a Retry-After, in either form; without one it has none.
    """
    sandbox.faults.set(fault, value=value, times=1)
    assert (await mint.by_key()).headers["Retry-After"] == value

    sandbox.faults.set(fault)
    assert "Retry-After" not in (await mint.by_key()).headers


async def test_any_body_can_be_answered(sandbox, mint):
    """
    A body of one's own comes with status 200, byte for byte.
    """
    body = '{"access_token": "café", "x": [1, '
    sandbox.faults.set("token-body", value=body)

    reply = await mint.by_key()

    assert (reply.status, reply.text) == (200, body)


async def test_a_truncated_answer_is_whole_json_that_is_too_short(sandbox, mint):
    """
    Only the length tells: who does not count takes the token for a real one.
    """
    sandbox.faults.set("token-truncated")

    with pytest.raises(aiohttp.ClientPayloadError):
        await mint.by_key()
    head, _, body = (await exchanged(sandbox.url)).partition(b"\r\n\r\n")

    length = int(head.lower().partition(b"content-length: ")[2].split()[0])
    assert json.loads(body)["access_token"] == "cut-off"
    assert len(body) < length
    assert sandbox.mints[-1].error == "token-truncated"


async def test_a_cut_gzip_stream_has_right_framing(sandbox, mint):
    """
    All promised bytes come, but they do not decompress to the end.
    """
    sandbox.faults.set("token-truncated-gzip")

    head, _, body = (await exchanged(sandbox.url)).partition(b"\r\n\r\n")

    assert b"content-encoding: gzip" in head.lower()
    assert f"content-length: {len(body)}".encode() in head.lower()
    with pytest.raises(EOFError):
        gzip.decompress(body)


async def test_a_dripping_answer_ends_when_the_fault_is_cleared(sandbox, session):
    """
    Bytes go on coming, each after its time, until the fault is cleared.
    """
    sandbox.faults.set("token-drip", value=0.005)
    async with session.post(f"{sandbox.url}/oauth/v2/token", data={}) as response:
        first = await response.content.readexactly(40)
        sandbox.faults.clear("token-drip")
        rest = await response.content.read()

    assert (first + rest).startswith(b'{"access_token": "xxxxxxxxxx')
    assert not (first + rest).endswith(b"}")


async def test_a_dripping_answer_ends_when_the_client_leaves(sandbox, session):
    """
    The record of the request is closed once nobody reads any more.
    """
    sandbox.faults.set("token-drip", value=0.001)
    async with session.post(f"{sandbox.url}/oauth/v2/token", data={}) as response:
        await response.content.readexactly(20)
        response.close()
    sandbox.faults.set("token-500")
    async with asyncio.timeout(10):
        await session.post(f"{sandbox.url}/oauth/v2/token", data={})
        await sandbox.mints.until_ended(2)

    assert {mint.error for mint in sandbox.mints} == {"token-drip", "token-500"}


async def test_the_connection_closes_without_an_answer(sandbox, mint):
    """
    A client sees the end of the connection instead of a status line.
    """
    sandbox.faults.set("token-close")

    with pytest.raises(aiohttp.ClientError):
        await mint.by_key()

    assert sandbox.mints[-1].error == "token-close"
    assert not sandbox.mints[-1].ok


@pytest.mark.parametrize(
    ("fault", "value", "field", "expected"),
    [
        ("no-access-token", None, "access_token", None),
        ("no-expires-in", None, "expires_in", None),
        ("odd-expires-in", None, "expires_in", "soon"),
        ("odd-expires-in", -1, "expires_in", -1),
        ("odd-expires-in", 0, "expires_in", 0),
        ("odd-expires-in", '"60"', "expires_in", "60"),
        ("odd-expires-in", "1e12", "expires_in", 1e12),
        ("odd-expires-in", "null", "expires_in", None),
        ("token-type", None, "token_type", "DPoP"),
        ("token-type", "", "token_type", ""),
    ],
)
async def test_an_odd_answer(sandbox, mint, fault, value, field, expected):
    """
    A fault may leave a field out or put nonsense into it.
    """
    sandbox.faults.set(fault, value=value)

    reply = await mint.by_key()

    assert reply.status == 200
    assert reply.json.get(field) == expected


async def test_a_token_may_hold_a_header_line(sandbox, mint):
    """
    The token ends in CR LF and what would be a header of its own.
    """
    sandbox.faults.set("token-newline")

    reply = await mint.by_key()

    assert reply.json["access_token"].endswith("\r\nX-Injected: yes")


async def test_a_deep_answer_breaks_recursive_parsers(sandbox, mint):
    """
    The real members stand beside one that nests too deeply.
    """
    sandbox.faults.set("token-deep")

    reply = await mint.by_key()

    assert reply.text.count("[") == 10_000 == reply.text.count("]")
    with pytest.raises(RecursionError):
        _ = reply.json


async def test_repeated_members_tell_two_readers_two_things(sandbox, mint):
    """
    Who takes the last one of a name has a token that works, who takes the first has none.
    """
    sandbox.faults.set("token-duplicate")

    reply = await mint.by_key()

    pairs = json.loads(reply.body, object_pairs_hook=list)
    assert dict(reversed(pairs))["access_token"] == "first access_token"
    assert sandbox.instance.alive(reply.json["access_token"]) is not None


@pytest.mark.parametrize(
    ("fault", "error"),
    [("token-bom", json.JSONDecodeError), ("token-not-utf8", UnicodeDecodeError)],
)
async def test_an_answer_in_no_proper_encoding(sandbox, mint, fault, error):
    """
    RFC 8259 §8.1: UTF-8 without a byte order mark; without the fault's bytes it is right.
    """
    sandbox.faults.set(fault)

    reply = await mint.by_key()

    with pytest.raises(error):
        json.loads(reply.body.decode())
    mended = reply.body.removeprefix(codecs.BOM_UTF8).decode("latin-1")
    assert sandbox.instance.alive(json.loads(mended)["access_token"]) is not None


async def test_a_held_answer_comes_when_the_fault_is_cleared(sandbox, mint):
    """
    A slow fault needs no sleep: wait for the request, then clear the fault.
    """
    sandbox.faults.set("token-slow", times=1)
    tasks: set[asyncio.Task[object]] = set()

    asking = spawn(tasks, mint.by_key(), name="mint")
    await sandbox.mints.until(1)
    assert (await mint.by_key()).status == 200  # the second one is not held
    assert not asking.done()
    sandbox.faults.clear("token-slow")

    assert (await asking).status == 200


async def test_a_held_answer_comes_by_itself_in_the_end(sandbox, mint):
    """
    A slow fault's value says for how many seconds it holds.
    """
    sandbox.faults.set("token-slow", value=0.01)

    assert (await mint.by_key()).status == 200
