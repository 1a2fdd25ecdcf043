"""
One attempt after the other to read the configuration again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest

from proxy.config.load import load
from proxy.errors import ConfigError
from proxy.observe.metrics import Metrics
from proxy.problem import Problem
from proxy.reload import Reloader
from proxy.tasks import spawn

FILE = """\
version: 1
issuers:
  z: {url: "https://acme.zitadel.cloud"}
service_users:
  u: {issuer: z, method: personal_access_token, token: {env: PAT}}
routes:
  - {name: one, upstream: "https://a.example", service_user: u}
"""
OTHER = FILE.replace("a.example", "b.example")
CANARY = "canary-0c4a7e"


class Log:
    """
    Keeps what it is told.
    """

    def __init__(self):
        self.told = defaultdict(list)

    def __getattr__(self, level):
        def write(event, **facts):
            self.told[event].append({"level": level, **facts})

        return write


class Proxy:
    """
    Takes configurations over, or not.

    Attributes:
        taken: What it took over.
        refuses: What it raises instead.
        open: It takes nothing while this is not set.
    """

    def __init__(self):
        self.taken = []
        self.refuses: Exception | None = None
        self.open = asyncio.Event()
        self.open.set()
        self.asked = asyncio.Event()
        self.at_once = self.most_at_once = 0

    async def change(self, loaded):
        """
        Take it over.
        """
        self.asked.set()
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.open.wait()
        finally:
            self.at_once -= 1
        if self.refuses is not None:
            raise self.refuses
        self.taken.append(loaded)
        return ()


@pytest.fixture
def file(tmp_path):
    """
    The configuration's file.
    """
    path = tmp_path / "proxy.yaml"
    path.write_text(FILE)
    return path


@pytest.fixture
def proxy():
    """
    Takes configurations over.
    """
    return Proxy()


@pytest.fixture
def log():
    """
    A log.
    """
    return Log()


@pytest.fixture
def make(file, proxy, log):
    """
    Make a reloader of what a source says.
    """

    def make(source=file, environ=None, stdin=None):
        environ = {"PAT": CANARY} if environ is None else environ
        loaded = load(source, environ, now=0.0, stdin=stdin)
        return Reloader(loaded, environ, lambda: 7.0, log, Metrics(), proxy.change)

    return make


@pytest.fixture
def reloader(make):
    """
    A reloader of that file.
    """
    return make()


def well(reloader):
    """
    Return what the metrics say of the last attempt.
    """
    return reloader._metrics.reload_successful


async def test_what_says_the_same_changes_nothing(reloader, proxy, log):
    """
    An unchanged file is no new generation; the file's watch does not even tell of it.
    """
    done = await reloader.reload("signal")
    await reloader.reload("file")

    assert (done.outcome, done.generation) == ("unchanged", 1)
    assert proxy.taken == []
    assert [each["trigger"] for each in log.told["config.unchanged"]] == ["signal"]
    assert reloader.last.outcome == "started"
    assert reloader._metrics.reloads["unchanged"] == 2


async def test_lines_that_moved_are_known_from_then_on(reloader, proxy, file):
    """
    A comment above changes nothing but where everything stands.
    """
    before = reloader.loaded.where(("routes", 0))
    file.write_text("# a comment\n" + FILE)

    assert (await reloader.reload("request")).outcome == "unchanged"
    assert proxy.taken == []
    assert reloader.loaded.where(("routes", 0)) != before


async def test_a_change_is_taken_over_and_told(reloader, proxy, log, file):
    """
    What serves is the new one, its number is one more, and what it changed is named.
    """
    file.write_text(OTHER)
    done = await reloader.reload("signal")

    assert (done.outcome, done.generation, done.at) == ("reloaded", 2, 7.0)
    assert done.changes == ("routes: changed one (upstream)",)
    assert proxy.taken == [reloader.loaded]
    assert reloader.last is done
    metrics = reloader._metrics
    assert (metrics.generation, metrics.reload_successful, metrics.reloaded_at) == (2, True, 7.0)
    assert CANARY not in str(log.told)


async def test_a_bad_one_is_refused_until_it_is_mended(reloader, proxy, log, file):
    """
    All that is wrong is kept for whoever asks; mended, nothing is left of it, though nothing changed.
    """
    file.write_text(FILE + "nonsense: 1\nlimits: {head: never}\n")
    done = await reloader.reload("file")
    again = await reloader.reload("file")

    assert done.outcome == again.outcome == "rejected"
    assert len(done.problems) == 2
    assert reloader.last.problems == done.problems
    assert not well(reloader)
    assert reloader._metrics.reloads["rejected"] == 2
    assert len(log.told["config.rejected"]) == 1  # the watch tries again and says so once
    assert proxy.taken == []

    file.write_text(FILE)
    await reloader.reload("file")
    assert reloader.last.problems == ()
    assert well(reloader)
    assert reloader._metrics.generation == 1


async def test_what_cannot_be_put_in_service_is_refused(reloader, proxy, file):
    """
    The same goes for what is wrong with the world rather than with the file; it is tried again.
    """
    served = reloader.loaded
    file.write_text(OTHER)
    proxy.refuses = ConfigError([Problem("listen[0]", "in use", file="proxy.yaml")])
    done = await reloader.reload("request")

    assert done.outcome == "rejected"
    assert "in use" in done.problems[0]
    assert reloader.loaded is served
    proxy.refuses = None
    assert (await reloader.reload("request")).outcome == "reloaded"


async def test_a_bug_refuses_and_is_told_apart(reloader, proxy, log, file):
    """
    It ends neither the proxy nor reloading, and its text, which nobody has looked at, is not shown.
    """
    file.write_text(OTHER)
    proxy.refuses = RuntimeError(CANARY)
    done = await reloader.reload("request")

    assert done.outcome == "rejected"
    assert CANARY not in str(done)
    assert log.told["internal.error"][0]["exc_info"] is proxy.refuses
    proxy.refuses = None
    assert (await reloader.reload("request")).outcome == "reloaded"


async def test_one_at_a_time_and_whoever_waits_shares(reloader, proxy, file):
    """
    While one is under way the next waits; all who ask meanwhile get that one.
    """
    proxy.open.clear()
    file.write_text(OTHER)
    first = spawn(set(), reloader.reload("request"), name="caller")
    await proxy.asked.wait()
    file.write_text(FILE)
    rest = [spawn(set(), reloader.reload("request"), name="caller") for _ in range(20)]
    await asyncio.sleep(0)
    proxy.open.set()
    found = [await each for each in rest]

    assert (await first).outcome == "reloaded"
    assert all(each is found[0] for each in found)
    assert found[0].outcome == "reloaded"
    assert proxy.most_at_once == 1
    assert len(proxy.taken) == 2


async def test_an_attempt_belongs_to_nobody(reloader, proxy, file):
    """
    Whoever asked may leave; it goes on.
    """
    proxy.open.clear()
    file.write_text(OTHER)
    leaver = spawn(set(), reloader.reload("request"), name="caller")
    await proxy.asked.wait()
    leaver.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaver
    proxy.open.set()

    assert (await reloader.reload("signal")).generation == 2
    assert len(proxy.taken) == 1


async def test_the_end_stops_what_is_under_way(reloader, proxy, file):
    """
    Who waits is told so, and nothing begins after it.
    """
    proxy.open.clear()
    file.write_text(OTHER)
    waiting = spawn(set(), reloader.reload("request"), name="caller")
    await proxy.asked.wait()
    await reloader.close()

    assert (await waiting).problems == ("the proxy is stopping",)
    assert (await reloader.reload("signal")).problems == ("the proxy is stopping",)
    assert proxy.taken == []


async def test_standard_input_cannot_be_read_twice(make, tmp_path):
    """
    It has ended; what to do instead is said.
    """
    text = tmp_path / "stdin"
    text.write_text(FILE)
    with text.open("rb") as stdin:
        reloader = make("-", stdin=stdin)
    done = await reloader.reload("signal")

    assert done.outcome == "rejected"
    assert "restart" in done.problems[0]
    assert list(reloader.paths()) == []


async def test_files_beside_it_count_by_what_they_hold(make, proxy, file, tmp_path):
    """
    Other authorities are another generation, though the file says the same; a copy of them is not.
    """
    import trustme

    authority = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(authority)
    file.write_text(FILE.replace("service_user: u}", "service_user: u, ca_file: ca.pem}"))
    reloader = make()
    assert authority in list(reloader.paths())
    authority.write_bytes(authority.read_bytes())
    assert (await reloader.reload("file")).outcome == "unchanged"

    trustme.CA().cert_pem.write_to_path(authority)
    done = await reloader.reload("file")

    assert done.outcome == "reloaded"
    assert done.changes == ("the files it names",)
    assert len(proxy.taken) == 1
