from __future__ import annotations

import asyncio

import aiohttp
import pytest

from proxy.tasks import spawn


@pytest.mark.parametrize(
    ("fault", "status", "content_type", "start"),
    [
        ("token-500", 500, "application/json", '{"error": "server_error"'),
        ("token-503", 503, "text/plain", "Service Unavailable"),
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
