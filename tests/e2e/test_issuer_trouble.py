"""
Token trouble as a caller and an operator see it: code, headers, reason in the log, recovery.
"""

from __future__ import annotations

import asyncio
import json

import pytest

from proxy.core.problem import PROXY_STATUS

KEY = ("/management/v1/orgs/me", "provisioner")
SECRET = ("/orders/42", "reporter")


def assert_ours(reply, status, code):
    """
    Assert that an answer is the contract's problem document for this code.
    """
    assert (reply.status, reply.code) == (status, code)
    assert reply.json == {
        "type": f"urn:zitadel-authproxy:problem:{code}",
        "title": reply.json["title"],
        "status": status,
        "detail": reply.json["detail"],
        "code": code,
        "request_id": reply.headers["X-Request-Id"],
    }
    assert reply.json["title"]
    assert reply.json["detail"]
    said = f'authproxy; error={PROXY_STATUS[code]}; details="{code}"'
    assert reply.headers["Proxy-Status"] == said
    assert reply.headers["Cache-Control"] == "no-store"
    if status == 503:
        assert int(reply.headers["Retry-After"]) >= 1


FAULTS = [
    ("token-500", SECRET, 503, "mint_unavailable", "in trouble"),
    ("token-500", KEY, 503, "mint_unavailable", "internal error"),
    ("token-503", KEY, 503, "mint_unavailable", "answered 503"),
    ("token-429", KEY, 503, "mint_unavailable", "throttles"),
    ("token-html", KEY, 503, "mint_unavailable", "not JSON"),
    ("token-empty", KEY, 503, "mint_unavailable", "empty"),
    ("token-garbage", KEY, 503, "mint_unavailable", "not UTF-8"),
    ("token-huge", KEY, 503, "mint_unavailable", "more than 262144 bytes"),
    ("token-redirect", KEY, 502, "mint_rejected", "redirects"),
    ("token-close", KEY, 503, "mint_unavailable", ""),
    ("no-access-token", KEY, 503, "mint_unavailable", "no access_token"),
    ("discovery-500", KEY, 503, "mint_unavailable", "discovery"),
    ("discovery-wrong-issuer", KEY, 502, "mint_rejected", "wrong-issuer.invalid"),
]


@pytest.mark.parametrize(
    ("fault", "asked", "status", "code", "why"),
    FAULTS,
    ids=[f"{row[0]} {row[1][1]}" for row in FAULTS],
)
async def test_a_failing_issuer_is_never_the_callers_fault(
    sandbox, serve, fault, asked, status, code, why
):
    """
    Each failure has its code and a reason in the log; nothing goes up without a token.
    """
    path, user = asked
    sandbox.faults.set(fault)
    through = await serve()

    reply = await through("GET", path)

    assert_ours(reply, status, code)
    assert sandbox.hits.total == 0
    line = await through.log.done(reply)
    assert line["error"].startswith(f"{code}: ")
    assert why in line["error"]
    assert (line["service_user"], line["status"], line["token"]) == (user, status, None)
    failed = await through.log.wait("token.mint_failed", service_user=user)
    assert (failed["code"], failed["level"]) == (code, "warning")
    assert (await through("GET", "/dev/auth/v1/users/me")).status == 200


@pytest.mark.parametrize("fault", ["token-500", "token-close", "discovery-500", "token-garbage"])
async def test_a_passing_failure_is_over_when_it_is_over(sandbox, serve, fault):
    """
    As soon as the issuer is well again tokens are minted and requests served, without a restart.
    """
    sandbox.faults.set(fault)
    through = await serve()
    assert (await through("GET", "/orders/42")).code == "mint_unavailable"

    sandbox.faults.clear()
    async with asyncio.timeout(20):
        while sandbox.mints.count(ok=True) < 2:  # both users'
            await sandbox.mints.until(sandbox.mints.requests + 1)

    assert (await through("GET", "/orders/42")).status == 200


async def test_an_issuer_that_is_slow_but_answers_is_waited_for(sandbox, serve):
    """
    A request waits for a mint that takes its time.
    """
    sandbox.faults.set("token-slow")
    through = await serve()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        asked = group.create_task(through("GET", "/orders/42"))
        await sandbox.mints.until(2)  # both users'
        sandbox.faults.clear()

    assert asked.result().status == 200


async def test_a_caller_that_leaves_does_not_cancel_the_mint(sandbox, serve):
    """
    A mint under way belongs to nobody: who leaves is logged as 499, who stays is served.
    """
    sandbox.faults.set("token-slow")
    through = await serve()
    async with asyncio.timeout(20):
        await sandbox.mints.until(2)
        async with asyncio.TaskGroup() as group:
            leaver = group.create_task(through("GET", "/orders/1"))
            stayer = group.create_task(through("GET", "/orders/2"))
            await through.waiting(2)
            leaver.cancel()
            await through.log.wait("request.done", path="/orders/1", status=499)
            sandbox.faults.clear()

    assert stayer.result().status == 200
    assert sandbox.mints.requests == 2
    assert [hit.target for hit in sandbox.hits] == ["/orders/2"]


async def test_a_wrong_client_secret_is_rejected_in_words(sandbox, serve):
    """
    A refused secret is mint_rejected, says likely causes, and does not hammer the issuer.
    """
    sandbox.add_secret(sandbox.users["reporter"])  # what is on disk is dead from now on
    through = await serve()

    for _ in range(10):
        assert_ours(await through("GET", "/orders/42"), 502, "mint_rejected")

    assert sandbox.mints.count(user="reporter", ok=False) <= 2
    failed = await through.log.wait("token.mint_failed", service_user="reporter")
    assert "the client secret is wrong" in failed["reason"]


async def test_an_unknown_key_is_rejected_in_words(sandbox, serve):
    """
    A key the issuer does not know is mint_rejected with the likely causes.
    """
    sandbox.users["provisioner"].keys.clear()
    through = await serve()

    reply = await through("GET", "/management/v1/orgs/me")

    assert_ours(reply, 502, "mint_rejected")
    assert "key" in (await through.log.done(reply))["error"]


@pytest.mark.parametrize("options", [{"era": "500"}], indirect=True)
async def test_an_older_issuers_500_for_a_bad_key_names_the_likely_causes(sandbox, serve):
    """
    Where the issuer hides a refusal behind 500, the log says what it may be.
    """
    sandbox.users["provisioner"].keys.clear()
    through = await serve()

    reply = await through("GET", "/management/v1/orgs/me")

    assert_ours(reply, 503, "mint_unavailable")
    assert "unknown key id" in (await through.log.done(reply))["error"]


async def test_an_unreachable_issuer_does_not_stop_the_start(
    sandbox, running, config, relay, session
):
    """
    The process starts without its issuer, says so, and serves as soon as that comes up.
    """
    text = config.read_text()
    issuer = f"    url: {json.dumps(sandbox.url)}\n"
    assert issuer in text
    config.write_text(text.replace(issuer, f"{issuer}    connect_to: {relay.url}\n"))
    through = await running("--config", str(config))

    reply = await through("GET", "/orders/42")
    assert_ours(reply, 503, "mint_unavailable")
    line = await through.log.done(reply)
    assert "connect" in line["error"]
    assert (await through("GET", through.admin + "/readyz")).status == 503
    assert (await through("GET", through.admin + "/livez")).status == 200
    assert (await through("GET", "/upload")).status == 200  # the fixed token needs no issuer

    await relay.open(sandbox.url)
    async with asyncio.timeout(20):
        await sandbox.mints.until(2)

    assert (await through("GET", "/orders/42")).status == 200
    await through.log.wait("token.minted", service_user="provisioner")
    assert (await through("GET", through.admin + "/readyz")).status == 200


async def test_a_token_at_hand_outlives_the_issuer(sandbox, through):
    """
    While a token is good the issuer may be gone: requests go on.
    """
    assert (await through("GET", "/management/v1/orgs/me")).status == 200
    sandbox.faults.set("token-500")
    sandbox.faults.set("discovery-500")

    for _ in range(20):
        assert (await through("GET", "/management/v1/orgs/me")).status == 200
