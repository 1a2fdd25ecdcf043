"""
What time it is at an issuer, and assertions that bear it: against an issuer that judges as ZITADEL.
"""

from __future__ import annotations

import time as real_time
from collections import Counter
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt

from proxy.core.clock import Clock
from proxy.core.credential import Issuer
from proxy.errors import MintRejected, TokenError
from proxy.tokens.issuer_clock import MAX_AGE, TOLERANCE, IssuerClocks

ACME = Issuer("acme", "https://acme.example")
WRONG = [0.0, 2.0, -2.0, 300.0, -300.0, 3600.0, -3600.0, 7200.0, -7200.0, 86_400.0 * 400]


@dataclass
class Judge:
    """
    Takes the place of a FakeIssuer's script: gives a token for an assertion that ZITADEL's rules
    allow by the issuer's own clock, else refuses it in the way of this *version*.
    """

    issuer: Any
    now: Any
    key: Any
    version: str = "400"
    seen: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return True

    def popleft(self):
        """
        Return what answers the next request.
        """
        return self.answer

    async def answer(self, _request) -> web.Response:
        """
        Judge the assertion that has just arrived.
        """
        assertion = self.issuer.asked[-1].form["assertion"]
        claims = jwt.decode(assertion, self.key, algorithms=["RS256"]).claims
        now = self.now()
        verdict = "ok"
        if claims["aud"] != self.issuer.url:
            verdict = "aud"
        elif claims["exp"] <= now + 1:
            verdict = "exp"
        elif claims["iat"] > now + 1:
            verdict = "iat"
        elif claims["iat"] < now - 3600:
            verdict = "old"
        self.seen.append(verdict)
        if verdict == "ok":
            token = {"access_token": "canary", "token_type": "Bearer", "expires_in": 3600}
            return web.json_response(token)
        if self.version == "500":
            said = {"error": "server_error", "error_description": "Errors.Internal"}
            return web.json_response(said, status=500)
        return web.json_response({"error": "invalid_client"}, status=400)


@pytest.fixture
def skews():
    """
    The skews told of.
    """
    return []


@pytest.fixture
def clocks(time, skews):
    """
    As the conftest's, with what it tells of skews in `skews`.
    """
    return IssuerClocks(time.clock, lambda _issuer, behind: skews.append(behind))


@pytest.fixture
def ahead():
    """
    Seconds the issuer's clock is ahead of this host's; and its Date, of the issuer's own clock.
    """
    return Counter()


@pytest.fixture
def judge(issuer, provisioner, time, ahead):
    """
    The issuer, judging; its clock is `ahead["clock"]` ahead of this host's at the start.
    """
    public = provisioner.credential.key
    key = type(public).import_key(public.as_dict(private=False))
    # The issuer's own clock runs with the boot clock, whatever this host's wall clock does
    judging = Judge(issuer, lambda: 1_700_000_000.0 + time.now + ahead["clock"], key)
    issuer.date = lambda: judging.now() + ahead["date"]
    issuer.script = judging
    return judging


def direct(user, issuer):
    """
    Return the service user with its token endpoint configured, so that no discovery teaches.
    """
    at = replace(user.issuer, token_endpoint=issuer.url + "/oauth/v2/token")
    return replace(user, issuer=at)


@pytest.mark.parametrize("version", ["400", "500"])
@pytest.mark.parametrize("wrong", WRONG)
async def test_discovery_teaches_the_time_before_the_first_assertion(
    mint, provisioner, judge, ahead, wrong, version
):
    """
    However wrong this host's clock is, the first assertion is right.
    """
    judge.version, ahead["clock"] = version, wrong

    await mint(provisioner)

    assert judge.seen == ["ok"]


@pytest.mark.parametrize("version", ["400", "500"])
@pytest.mark.parametrize("wrong", WRONG)
async def test_a_refusal_teaches_the_time_for_a_second_try(
    mint, provisioner, issuer, judge, ahead, wrong, version
):
    """
    With a configured token endpoint the first answer has the Date; the same mint tries again, and
    the next mint is right at once.
    """
    judge.version, ahead["clock"] = version, wrong
    user = direct(provisioner, issuer)

    await mint(user)
    assert judge.seen[-1] == "ok"
    assert len(judge.seen) <= 2
    await mint(user)

    assert judge.seen[-2:] == ["ok", "ok"]
    assert len(judge.seen) <= 3
    assert len({one.form["assertion"] for one in issuer.asked}) == len(judge.seen), "fresh each"


@pytest.mark.parametrize("wrong", [300.0, -300.0, 7200.0, -7200.0])
async def test_the_wrong_date_of_a_machine_between_is_found_out(
    mint, provisioner, judge, ahead, clocks, wrong
):
    """
    If the issuer refuses its Date's time and takes this host's, that is remembered.
    """
    ahead["date"] = wrong

    for _ in range(3):
        await mint(provisioner)

    assert judge.seen[-3:] == ["ok"] * 3
    assert len(judge.seen) <= 4, "one refusal in all"


async def test_a_date_that_was_wrong_and_comes_right_is_trusted_again(
    mint, provisioner, judge, ahead, time
):
    """
    The machine between is mended; later this host's clock goes wrong.
    """
    ahead["date"] = 7200.0
    await mint(provisioner)
    ahead["date"] = 0
    ahead["clock"] = -7200.0
    await mint(provisioner)
    await mint(provisioner)

    assert judge.seen[-1] == judge.seen[-2] == "ok"
    assert judge.seen.count("ok") == 3
    assert len(judge.seen) <= 5


async def test_this_hosts_wall_clock_may_jump(mint, provisioner, issuer, judge, time):
    """
    Between two mints, by an hour, either way: the boot clock carries the issuer's time.
    """
    clock = time.clock
    for leap in (3600.0, -3600.0, 7200.0, 0.0):
        object.__setattr__(clock, "wall", lambda leap=leap: 1_700_000_000.0 + time.now + leap)
        await mint(provisioner)
        time.move(100.0)

    assert judge.seen == ["ok"] * 4
    assert issuer.count("/.well-known/") == 1


async def test_a_refusal_that_is_not_about_time_is_asked_once(mint, provisioner, issuer, judge):
    """
    With clocks that agree there is nothing another assertion would say better.
    """
    judge.now = lambda: 0.0  # refuses whatever is asked
    issuer.date = lambda: 1_700_001_000.0

    with pytest.raises(MintRejected):
        await mint(provisioner)
    assert len(judge.seen) == 1


async def test_a_refusal_with_clocks_apart_is_asked_twice_and_no_more(
    mint, provisioner, issuer, judge, ahead
):
    """
    A bad key costs one more request, not a loop.
    """
    judge.now = lambda: 0.0
    issuer.date = lambda: 1_700_010_000.0

    for asked in (2, 4):
        with pytest.raises(MintRejected):
            await mint(provisioner)
        assert len(judge.seen) == asked


async def test_a_secret_bears_no_time_and_is_sent_once(mint, reporter, issuer):
    """
    Only assertions are signed anew.
    """
    issuer.date = lambda: 1_700_100_000.0
    issuer.script.append(web.json_response({"error": "invalid_client"}, status=400))

    with pytest.raises(MintRejected):
        await mint(reporter)
    assert issuer.tokens_asked == 1


async def test_a_skew_is_told_once(mint, provisioner, judge, ahead, skews, time):
    """
    Not with every answer; again only after it was put right in between.
    """
    ahead["clock"] = 300
    for _ in range(5):
        await mint(provisioner)
        time.move(10.0)
    assert skews == [pytest.approx(300, abs=1)]

    ahead["clock"] = 0
    await mint(provisioner)
    ahead["clock"] = -300
    await mint(provisioner)
    assert skews == [pytest.approx(300, abs=1), pytest.approx(-300, abs=1)]


@pytest.mark.parametrize("apart", [0.0, 1.0, -1.0, 4.0, -4.0])
def test_a_small_difference_is_rounding(clocks, time, skews, apart):
    """
    Dates have whole seconds and answers take time: this host's clock is used.
    """
    clocks.learn(ACME, formatdate(time.clock.wall() + apart, usegmt=True))

    assert clocks.now(ACME) == time.clock.wall()
    assert clocks.behind(ACME) == 0.0
    assert skews == []


def test_what_is_known_runs_with_the_boot_clock(clocks, time):
    """
    A reading an hour old is as good as a new one.
    """
    clocks.learn(ACME, formatdate(time.clock.wall() + 600, usegmt=True))
    before = clocks.now(ACME)
    time.move(3600.0)

    assert clocks.now(ACME) - before == pytest.approx(3600.0)
    assert clocks.behind(ACME) == pytest.approx(600.0, abs=1.0)


def test_issuers_have_a_clock_each(clocks, time):
    """
    What one says is not believed of another.
    """
    clocks.learn(ACME, formatdate(time.clock.wall() + 600, usegmt=True))

    assert clocks.behind(replace(ACME, url="https://other.example")) == 0.0
    assert clocks.behind(replace(ACME, name="renamed")) > TOLERANCE


@pytest.mark.parametrize(
    ("age", "counts"),
    [("600", 600), ("0", 0), ("-5", 0), ("x", 0), ("", 0), ("6e2", 0), ("٣", 0), ("9" * 13, 0)],
)
def test_an_answer_out_of_a_cache_has_aged(clocks, time, age, counts):
    """
    RFC 9111 §5.1: Date says when it was made, Age how long ago that was; an odd Age says nothing.
    """
    clocks.learn(ACME, formatdate(time.clock.wall() - counts, usegmt=True), age)

    assert clocks.behind(ACME) == 0.0


def test_an_absurd_age_is_capped(clocks, time):
    """
    RFC 9111 §1.2.2: what is larger is read as 2³¹.
    """
    clocks.learn(ACME, formatdate(time.clock.wall(), usegmt=True), "9" * 12)

    assert clocks.behind(ACME) == pytest.approx(MAX_AGE, abs=1)


GARBAGE = [
    None,
    "",
    "0",
    "now",
    "-1",
    "Tue, 14 Nov 2023",
    "Tue, 99 Nov 2023 22:30:30 GMT",
    "Tue, 14 Nov 99999 22:30:30 GMT",
    "Thu, 01 Jan 1970 00:00:00 GMT",
    "Tue, 31 Dec 2019 23:59:59 GMT",
    "Tue, 14 Nov 0000 22:30:30 GMT",
    "Tue, 14 Nov 2023 22:30:30 +99999",
    "Fri, 31 Dec 9999 23:59:59 -9999",
    "1700000000",
    "2023-11-14T22:30:30Z" * 4,
    "Tue, 14 Nov 2023 22:30:30 GMT" * 3,
    "\x00" * 10,
    "٣" * 29,
]


@pytest.mark.parametrize("date", GARBAGE)
def test_a_garbled_date_teaches_nothing(clocks, time, date):
    """
    What was known before stays known.
    """
    clocks.learn(ACME, formatdate(time.clock.wall() + 600, usegmt=True))
    clocks.learn(ACME, date)

    assert clocks.behind(ACME) == pytest.approx(600, abs=1)


@given(st.text(max_size=80), st.text(max_size=20))
def test_no_date_or_age_raises_anything(date, age):
    """
    Both are hostile text.
    """
    clocks = IssuerClocks(_still())
    clocks.learn(ACME, date, age)

    assert clocks.now(ACME) >= 0


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
@pytest.mark.parametrize(
    "date",
    [
        "Tue, 14 Nov 2023 22:30:00 GMT",
        "Tuesday, 14-Nov-23 22:30:00 GMT",
        "Tue Nov 14 22:30:00 2023",
        "Tue, 14 Nov 2023 22:30:00 -0000",
    ],
)
def test_a_date_means_utc_wherever_this_host_is(clocks, time, monkeypatch, zone, date):
    """
    RFC 9110 §5.6.7: all three forms, the one without a zone too.
    """
    monkeypatch.setenv("TZ", zone)
    real_time.tzset()
    try:
        clocks.learn(ACME, date)
    finally:
        monkeypatch.undo()
        real_time.tzset()

    assert clocks.behind(ACME) == pytest.approx(1_700_001_000 - time.clock.wall(), abs=1)


def test_what_is_known_is_bounded_and_shows_no_more_than_a_count(clocks, time):
    """
    Ever other issuers do not grow memory.
    """
    for number in range(600):
        at = Issuer("i", f"https://{number}.example")
        clocks.learn(at, formatdate(time.clock.wall() + 600, usegmt=True))

    assert len(clocks._readings) == 256
    assert len(clocks._told) <= 600
    assert repr(clocks) == "<IssuerClocks of 256 issuers>"


def test_a_verdict_on_an_issuer_never_heard_of_is_nothing(clocks, time):
    """
    There is no reading to trust or mistrust.
    """
    clocks.wrong(ACME)
    clocks.right(ACME)

    assert clocks.now(ACME) == time.clock.wall()


async def test_a_garbled_date_on_the_wire_is_no_failure(mint, provisioner, issuer):
    """
    The token is what was asked for.
    """
    for date in filter(None, GARBAGE[1:16]):
        token = {"access_token": "canary", "token_type": "Bearer", "expires_in": 60}
        answer = web.json_response(token, headers={"Date": date, "Age": date})
        issuer.script.append(answer)
        await mint(provisioner)

    assert issuer.tokens_asked == 14
    issuer.script.append(web.Response(status=418, headers={"Date": "x"}))
    with pytest.raises(TokenError):
        await mint(provisioner)


def _still():
    return Clock(wall=lambda: 1_700_000_000.0, boot=lambda: 1.0)
