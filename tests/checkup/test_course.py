from __future__ import annotations

import base64
import json

import pytest
from aiohttp import web

from proxy.sandbox.options import SandboxOptions
from proxy.sandbox.server import Sandbox
from proxy.tokens.refusals import YOUNG


def oks(steps):
    """
    Return how the steps ended, in a word each.
    """
    words = {True: "ok", False: "failed", None: "-"}
    return " ".join(f"{name}:{words[step.ok]}" for name, step in steps.items())


async def test_all_is_well(desk):
    """
    Whatever the method, each step says the fact a person wants to see.
    """
    found = await desk.run()

    assert oks(found["provisioner"]) == "discovery:ok clock:ok mint:ok userinfo:ok api:ok"
    assert oks(found["reporter"]) == "discovery:ok clock:ok mint:ok userinfo:ok"
    assert oks(found["dev"]) == "discovery:ok clock:ok mint:- userinfo:ok api:ok"
    steps = found["provisioner"]
    assert steps["discovery"].said == f"the issuer answers and calls itself {desk.sandbox.url}"
    assert steps["mint"].said == "new token: lives 12 h, opaque"
    assert steps["mint"].instead == ""
    provisioner = desk.sandbox.users["provisioner"]
    assert steps["userinfo"].said == f"it is user {provisioner.user_id}"
    assert "zitadel-api" in steps["api"].said
    assert "(reporter)" in found["reporter"]["userinfo"].said
    assert "never minted" in found["dev"]["mint"].said
    assert steps["mint"].took > 0
    assert steps["clock"].took is None
    assert desk.paused == []


async def test_an_issuer_is_asked_for_discovery_once(desk):
    """
    Three service users of one issuer cost one request for its document, whether it is had or not.
    """
    await desk.run()
    assert desk.asked() == 1

    desk.sandbox.faults.set("discovery-500")
    await desk.run()
    assert desk.asked() == 2


async def test_each_step_is_told_as_it_ends(desk):
    """
    Nobody has to wait for the last step to hear of the first.
    """
    desk.only("reporter")
    seen = []

    await desk.run(lambda step: seen.append((step.name, len(list(desk.sandbox.mints)))))

    assert seen == [("discovery", 0), ("clock", 0), ("mint", 1), ("userinfo", 1)]


async def test_an_issuer_that_stays_silent_costs_its_time_once(desk):
    """
    All service users of an issuer that lets the time pass share one wait.
    """
    desk.sandbox.faults.set("silent")

    found = await desk.run(patience=0.2)

    assert {steps["discovery"].ok for steps in found.values()} == {False}
    assert "did not answer within 0.2 s" in found["dev"]["discovery"].said
    assert "firewall" in found["dev"]["discovery"].instead
    assert desk.sandbox.issuer_hits.total == 1


async def test_all_issuers_are_asked_at_the_same_time(desk, keys):
    """
    A silent issuer does not keep the next one from being asked.
    """
    async with Sandbox(SandboxOptions(keys=keys)) as other:
        desk.document["issuers"]["other"] = {"url": other.url}
        desk.user("dev")["issuer"] = "other"
        desk.sandbox.faults.set("silent")
        seen = []
        found = await desk.run(lambda _: seen.append(other.issuer_hits.total), patience=0.3)

    assert seen[0] == 1
    assert found["provisioner"]["discovery"].ok is False
    assert found["dev"]["discovery"].ok is True


@pytest.mark.parametrize(
    ("by", "said"),
    [(-300.0, "5 min behind the issuer's"), (4000.0, "67 min ahead of the issuer's")],
    ids=["behind", "ahead"],
)
async def test_a_clock_that_is_off(desk, by, said):
    """
    It says by how much and which way, warns, and the mint works all the same.
    """
    desk.only("provisioner", "reporter")
    desk.wall = by

    found = await desk.run()

    clock = found["provisioner"]["clock"]
    assert clock.warns
    assert clock.ok
    assert said in clock.said
    assert "the proxy allows for it" in clock.said
    assert "NTP" in clock.instead
    assert "allows" not in found["reporter"]["clock"].said
    assert found["provisioner"]["mint"].ok


async def test_an_issuer_slow_over_mints_is_not_asked_for_the_next(desk):
    """
    One mint that lets its time pass is enough; a personal access token is checked all the same.
    """
    desk.sandbox.faults.set("token-slow", value=60)

    found = await desk.run(patience=0.3)

    assert "did not give a token within 0.3 s" in found["provisioner"]["mint"].said
    assert "it is the mint that is slow" in found["provisioner"]["mint"].instead
    assert 'when "provisioner" asked' in found["reporter"]["mint"].said
    assert found["reporter"]["mint"].ok is False
    assert desk.sandbox.mints.requests == 1
    assert found["dev"]["userinfo"].ok is True


async def test_the_whole_is_bounded(desk):
    """
    What is under way when the time for all is over fails and says so; nothing hangs.
    """
    desk.sandbox.faults.set("api-slow", value=60)

    found = await desk.run(budget=0.4)

    assert "the whole check has taken 0.4 s" in found["provisioner"]["api"].said
    assert found["dev"]["userinfo"].ok is False


async def test_a_configured_token_endpoint(desk):
    """
    Discovery and userinfo are skipped with the reason; the clock is judged by the mint's answer.
    """
    desk.issuer["token_endpoint"] = f"{desk.sandbox.url}/oauth/v2/token"
    desk.wall = 60.0

    found = await desk.run()

    assert oks(found["provisioner"]) == "discovery:- mint:ok clock:ok userinfo:- api:ok"
    assert "token_endpoint is configured" in found["provisioner"]["discovery"].said
    assert "60 s ahead" in found["provisioner"]["clock"].said
    assert "discovery" in found["provisioner"]["userinfo"].said
    assert desk.asked() == 0


async def test_where_no_route_leads_to_the_apis_none_is_asked(desk):
    """
    Only routes make the APIs interesting.
    """
    desk.document["routes"] = [r for r in desk.document["routes"] if r["name"] == "orders"]

    found = await desk.run()

    assert "api" not in found["provisioner"]
    assert desk.sandbox.hits.total == 0


async def test_a_fresh_token_may_be_refused_for_a_moment(desk):
    """
    Userinfo's 401 for a token just minted counts only when it is repeated a second later.
    """
    desk.only("provisioner")
    desk.sandbox.faults.set("userinfo-401", times=1)
    once = (await desk.run())["provisioner"]
    assert once["userinfo"].ok
    assert desk.paused == [YOUNG]

    desk.sandbox.faults.set("userinfo-401")
    twice = (await desk.run())["provisioner"]
    assert twice["userinfo"].ok is False
    assert "it has just given" in twice["userinfo"].said


async def test_what_a_jwt_shows(desk):
    """
    A JWT's audience is shown, and no hint about opaque tokens.
    """
    desk.sandbox.users["reporter"].jwt = True

    mint = (await desk.run())["reporter"]["mint"]

    assert mint.said == f"new token: lives 12 h, JWT for {desk.sandbox.project_id}"
    assert mint.instead == ""


async def test_an_opaque_token_for_a_backend_is_a_hint_only(desk):
    """
    Where a route leads elsewhere than the issuer, an opaque token is well and explained.
    """
    mint = (await desk.run())["reporter"]["mint"]

    assert mint.ok
    assert not mint.warns
    assert "orders, echo, bytes and 3 more" in mint.instead


async def test_a_lifetime_that_makes_no_sense_is_warned_about(desk):
    """
    What is odd about a token answer is a warning.
    """
    desk.only("reporter")
    desk.sandbox.faults.set("odd-expires-in")

    mint = (await desk.run())["reporter"]["mint"]

    assert mint.ok
    assert mint.warns
    assert "expires_in" in mint.said


async def test_each_of_several_credentials_is_checked(desk):
    """
    A key that is refused does not hide behind one that works.
    """
    gone = desk.sandbox.add_user("gone")
    first = desk.keep("gone.json", desk.sandbox.add_key(gone))
    desk.sandbox.users.remove("gone")
    desk.only("provisioner")
    desk.user("provisioner")["key_file"] = [first, desk.user("provisioner")["key_file"]]

    refused, taken = (await desk.run())["provisioner"]

    assert oks(refused) == "discovery:ok clock:ok mint:failed userinfo:- api:-"
    assert oks(taken) == "discovery:ok clock:ok mint:ok userinfo:ok api:ok"


def system_user(desk):
    """
    Have one service user only, of the System API.
    """
    text = desk.keep("ops.pem", desk.sandbox.add_system_user("ops"))
    desk.document["service_users"] = {
        "ops": {
            "issuer": "zitadel",
            "method": "system_jwt",
            "user": "ops",
            "key_pem_file": text,
        }
    }
    desk.document["routes"] = [
        {
            "name": "system",
            "match": {"path": "/system/v1/"},
            "upstream": desk.sandbox.url,
            "service_user": "ops",
        }
    ]


async def test_a_system_user(desk):
    """
    Nothing is minted for a system user: an API is asked what its own JWT is worth.
    """
    system_user(desk)
    well = (await desk.run())["ops"]
    desk.sandbox.users.system.clear()
    unknown = (await desk.run())["ops"]

    assert oks(well) == "discovery:ok clock:ok mint:- userinfo:- api:ok"
    assert "signed here" in well["mint"].said
    assert unknown["api"].ok is False
    assert 'system user "ops"' in unknown["api"].instead
    assert desk.sandbox.url in unknown["api"].instead


def exchange(desk, subject):
    """
    Add a service user that exchanges *subject*'s token.
    """
    desk.document["service_users"]["swap"] = {
        "issuer": "zitadel",
        "method": "token_exchange",
        "client_id": desk.sandbox.exchanger.client_id,
        "client_secret": {"file": desk.keep("swap", desk.sandbox.exchanger.secret)},
        "subject": {"service_user": subject},
    }


@pytest.mark.parametrize("first", [False, True], ids=["checked before", "checked after"])
async def test_a_token_exchange(desk, first):
    """
    It is tried with the subject's token, wherever in the file the subject stands.
    """
    exchange(desk, "reporter")
    users = desk.document["service_users"]
    if first:
        desk.document["service_users"] = {"swap": users["swap"], **users}

    assert oks((await desk.run())["swap"]) == "discovery:ok clock:ok mint:ok userinfo:ok"


async def test_an_exchange_whose_subject_has_no_token(desk):
    """
    The subject's trouble is told at the subject.
    """
    exchange(desk, "reporter")
    desk.sandbox.faults.set("secret-wrong")

    found = await desk.run()

    assert found["swap"]["mint"].said == "no token to exchange"
    assert "reporter must get its own first" in found["swap"]["mint"].instead


async def test_no_secret_is_in_any_step(desk):
    """
    Whatever goes well or wrong, no step holds a key, a secret or a token.
    """
    exchange(desk, "reporter")
    every = [await desk.run()]
    for name in ("token-error-in-200", "secret-wrong", "key-unknown", "userinfo-401", "api-401"):
        desk.sandbox.faults.set(name)
        every.append(await desk.run())
        desk.sandbox.faults.clear()

    text = repr(every)
    hidden = [desk.sandbox.pat, desk.sandbox.client_secret, desk.sandbox.exchanger.secret]
    hidden += [hit.bearer for hit in desk.sandbox.hits if hit.bearer]
    hidden += [hit.bearer for hit in desk.sandbox.issuer_hits if hit.bearer]
    assert len(hidden) > 8
    assert not [each for each in hidden if each.reveal() in text]


@pytest.fixture
async def bare(desk):
    """
    An OAuth issuer that is not ZITADEL: no userinfo, JWTs with a scope claim; already configured.
    """
    claims = base64.urlsafe_b64encode(json.dumps({"aud": "api", "scope": "read"}).encode())
    answer = {
        "access_token": f"e30.{claims.decode().rstrip('=')}.c2ln",
        "token_type": "Bearer",
        "expires_in": 600,
    }

    async def serve(request):
        if request.path == "/.well-known/oauth-authorization-server":
            return web.json_response({"issuer": url, "token_endpoint": f"{url}/token"})
        if request.path == "/token":
            return web.json_response(answer)
        return web.Response(status=404)

    runner = web.AppRunner(web.Application(), access_log=None)
    runner.app.router.add_route("*", "/{path:.*}", serve)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    desk.only("reporter")
    desk.issuer["url"] = url
    desk.user("reporter")["scopes"] = ["openid", "read", "write"]
    del desk.user("reporter")["audience_projects"]
    desk.document["routes"] = [{"name": "all", "upstream": url, "service_user": "reporter"}]
    yield desk
    await runner.cleanup()


async def test_an_issuer_that_is_not_zitadel(bare):
    """
    What it does not have is skipped with the reason; a scope it dropped is warned about.
    """
    steps = (await bare.run())["reporter"]

    assert oks(steps) == "discovery:ok clock:ok mint:ok userinfo:- api:-"
    assert "names no userinfo endpoint" in steps["userinfo"].said
    assert "not ZITADEL's APIs" in steps["api"].said
    assert steps["mint"].warns
    assert "JWT for api; the issuer has dropped write without a word" in steps["mint"].said


@pytest.mark.parametrize(
    ("after", "failing"), [("mint", "userinfo"), ("userinfo", "api")], ids=["userinfo", "api"]
)
async def test_an_issuer_that_goes_away_in_the_middle(desk, after, failing):
    """
    A step whose answer does not come fails with what the network said.
    """
    desk.only("provisioner")

    def tell(step):
        if step.name == after:
            desk.sandbox.faults.set("down")

    steps = (await desk.run(tell))["provisioner"]

    assert steps[failing].ok is False
    assert "closed the connection without an answer" in steps[failing].said


async def test_an_exchange_of_a_fixed_token(desk):
    """
    A personal access token is exchanged as it is.
    """
    exchange(desk, "dev")
    users = desk.document["service_users"]
    desk.document["service_users"] = {"swap": users["swap"], **users}

    assert (await desk.run())["swap"]["mint"].ok


async def test_an_exchange_of_a_token_from_a_file(desk):
    """
    A subject that is no service user brings its own token.
    """
    exchange(desk, "dev")
    kept = desk.keep("theirs", desk.sandbox.pat)
    desk.document["service_users"]["swap"]["subject"] = {
        "token": {"file": kept},
        "type": "access_token",
    }
    desk.only("swap", "provisioner")

    assert (await desk.run())["swap"]["mint"].ok
