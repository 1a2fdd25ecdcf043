from __future__ import annotations

import asyncio
import dataclasses
from hashlib import sha256

import pytest

from proxy.sandbox.server import Sandbox


async def raw(url: str, request: bytes) -> bytes:
    """
    Send bytes as they are and read until the server closes.
    """
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_a_request_is_recorded_as_it_was_sent(sandbox):
    """
    Target and headers keep their bytes, spelling, order and repetition.
    """
    target = b"/orders/%2e%2E/a%2Fb//c;d?x=%zz&y=%C3%a9&z"
    head = [
        (b"hOsT", b"127.0.0.1"),
        (b"X-Twice", b"1"),
        (b"Authorization", b"Bearer s3cret-value"),
        (b"x-twice", b"caf\xe9"),
        (b"Connection", b"close"),
        (b"Content-Length", b"3"),
    ]
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in head)

    await raw(sandbox.backend_url, b"POST " + target + b" HTTP/1.1\r\n" + lines + b"\r\nabc")

    hit = sandbox.hits[-1]
    assert hit.method == "POST"
    assert hit.target == target.decode("latin-1")
    assert hit.path == target.partition(b"?")[0].decode("latin-1")
    assert [name for name, _ in hit.headers] == [name.decode() for name, _ in head]
    assert hit.values("X-Twice") == ["1", "caf\xe9"]
    assert (hit.body_length, hit.body_sha256) == (3, sha256(b"abc").hexdigest())
    assert hit.complete
    assert hit.status == 401
    assert hit.bearer is not None
    assert hit.bearer.reveal() == "s3cret-value"


async def test_a_record_does_not_show_credentials(sandbox, issuer):
    """
    Masked headers and secrets keep tokens out of whatever prints a hit.
    """
    headers = {"Authorization": "Bearer s3cret", "Proxy-Authorization": "s3cret"}
    await issuer("GET", "/auth/v1/users/me", headers=headers)

    assert "s3cret" not in repr(sandbox.hits[-1])
    assert sandbox.hits[-1].values("proxy-authorization") == ["***"]


async def test_only_the_latest_hits_are_kept(options, clock, issuer):
    """
    The record is bounded; the total counts on.
    """
    few = dataclasses.replace(options, hit_limit=2)
    async with Sandbox(few, clock=clock.clock()) as sandbox:
        for number in range(3):
            await issuer("GET", f"{sandbox.backend_url}/{number}")

        assert [hit.target for hit in sandbox.hits] == ["/1", "/2"]
        assert (len(sandbox.hits), sandbox.hits.total) == (2, 3)
        sandbox.hits.clear()
        assert (len(sandbox.hits), sandbox.hits.total) == (0, 3)


async def test_a_caller_that_leaves_in_its_body_is_on_record(sandbox, backend):
    """
    A body that stops short is recorded as incomplete and breaks nothing.
    """
    host, _, port = sandbox.backend_url.removeprefix("http://").partition(":")
    token = sandbox.pat.reveal()
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"PUT /upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        "Content-Length: 10\r\n\r\nabc".encode()
    )
    await sandbox.issuer_hits.until(1)
    writer.close()
    await writer.wait_closed()

    assert (await backend("GET", "/healthz")).status == 200
    assert (sandbox.hits[0].complete, sandbox.hits[0].status) == (False, 0)


@pytest.mark.parametrize("total", [0, 1, 2])
async def test_waiting_for_arrivals(sandbox, issuer, total):
    """
    One can wait for a number of requests, those of the past included.
    """
    waiting = asyncio.gather(sandbox.hits.until(total), sandbox.hits.until(2))
    for _ in range(2):
        await issuer("GET", "/nothing")

    await waiting

    assert sandbox.hits.total == 2
