"""
The audit trail of the real process: which token went where, for whom.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import resource
import signal

import pytest

KEY = "canary-audit-key-0123456789"
KEYS = {
    "timestamp", "level", "event", "request_id", "caller", "client", "listener", "service_user",
    "route", "method", "path", "upstream", "status", "token", "replayed",
}  # fmt: skip


@pytest.fixture
def trail(config):
    """
    The file the trail goes to.
    """
    return config.parent / "audit.jsonl"


async def records(path, count):
    """
    Return the trail's lines once there are so many.
    """
    async with asyncio.timeout(20):
        while not path.exists() or path.read_bytes().count(b"\n") < count:  # noqa: ASYNC110 - another process writes
            await asyncio.sleep(0.02)
    lines = path.read_text().splitlines()
    assert len(lines) == count
    return [json.loads(line) for line in lines]


@pytest.fixture
async def through(running, edit, config, trail):
    """
    The real process with a trail in a file beside its configuration, fingerprints by a known key.
    """
    key = config.parent / "audit.key"
    key.write_text(KEY + "\n")
    key.chmod(0o600)
    path = edit(lambda it: it.update(audit={"to": "audit.jsonl", "hmac_key": {"file": str(key)}}))
    return await running("--config", str(path))


async def test_each_use_of_a_token_is_one_line(through, sandbox, trail, secrets):
    """
    Who, as whom, where, with which token: what went upstream, without the query and any secret.
    """
    assert (await through("GET", "/orders/42?access_token=canary-query")).status == 200
    assert (await through("GET", "/dev/auth/v1/users/me")).status == 200
    assert (await through("GET", "/nowhere")).status == 404  # no token was used

    one, two = await records(trail, 2)

    assert set(one) == set(two) == KEYS
    assert one["event"] == "credential.used"
    assert (one["service_user"], two["service_user"]) == ("reporter", "dev")
    assert (one["route"], one["method"], one["path"]) == ("orders", "GET", "/orders/42")
    assert (one["status"], one["replayed"], one["caller"]) == (200, False, None)
    assert one["listener"] == through.url.removeprefix("http://")
    assert one["client"].startswith("127.0.0.1:")
    for line, hit in zip((one, two), sandbox.hits, strict=True):
        sent = hit.bearer.reveal().encode()
        assert line["token"] == hmac.new(KEY.encode(), sent, "sha256").hexdigest()[:16]
    done = await through.log.wait("request.done", path="/orders/42")
    assert done["request_id"] == one["request_id"]
    assert trail.stat().st_mode & 0o777 == 0o600
    for what in (trail.read_bytes(), through.process.out):
        assert secrets.absent_from(what)
        assert KEY.encode() not in what
        assert b"canary-query" not in what


async def test_a_token_that_could_not_be_sent_was_not_used(running, edit, trail, relay):
    """
    An upstream nobody can connect to got no token; what is replayed is one line.
    """
    dead = {
        "name": "dead",
        "match": {"path": "/dead"},
        "upstream": relay.url,
        "service_user": "dev",
    }

    def change(it):
        it["routes"].append(dead)
        it["audit"] = {"to": str(trail)}

    through = await running("--config", str(edit(change)))

    assert (await through("GET", "/dead")).code == "upstream_connect"
    assert (await through("GET", "/orders/42")).status == 200
    (line,) = await records(trail, 1)

    assert line["route"] == "orders"


async def test_a_replay_is_told(through, sandbox, trail):
    """
    A token the upstream refuses and its successor are one request: the line names the last.
    """
    assert (await through("GET", "/orders/42")).status == 200
    sandbox.faults.set("revoke-once")
    assert (await through("GET", "/orders/42")).status == 200

    first, second = await records(trail, 2)

    assert (first["replayed"], second["replayed"]) == (False, True)
    assert first["token"] != second["token"]


@pytest.mark.parametrize("hangup", [False, True], ids=["noticed", "SIGHUP"])
async def test_the_file_may_be_rotated(through, trail, hangup):
    """
    Renamed away, with a SIGHUP or without, the next line begins a new file.
    """
    assert (await through("GET", "/orders/1")).status == 200
    await records(trail, 1)
    old = trail.rename(trail.with_suffix(".1"))
    if hangup:
        through.process.signal(signal.SIGHUP)
        await through.log.wait("config.unchanged")
    assert (await through("GET", "/orders/2")).status == 200

    (line,) = await records(trail, 1)
    assert line["path"] == "/orders/2"
    (line,) = await records(old, 1)
    assert line["path"] == "/orders/1"
    assert trail.stat().st_mode & 0o777 == 0o600


async def test_a_disk_that_is_full_holds_up_nobody(running, edit):
    """
    Requests are answered; what is lost is counted and told on standard error.
    """
    through = await running(
        "--config", str(edit(lambda it: it.update(audit={"to": "audit.jsonl"})))
    )
    _, hard = resource.prlimit(through.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(through.process.pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        for _ in range(10):
            assert (await through("GET", "/orders/42")).status == 200
        async with asyncio.timeout(20):
            lost = b"authproxy_audit_lines_dropped_total 10.0"
            while lost not in (await through("GET", f"{through.admin}/metrics")).body:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.05)
    finally:
        resource.prlimit(through.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
    assert await through.process.stop() == 0
    assert through.process.err.startswith(b"authproxy: audit lines are being lost: ")
    through.process.err = b""  # nothing else was said, which the fixture sees to


async def test_it_can_stand_among_the_logs_lines(running, edit, sandbox, secrets):
    """
    With stdout, beside the request's own line, under the same id.
    """
    through = await running("--config", str(edit(lambda it: it.update(audit={"to": "stdout"}))))
    reply = await through("GET", "/orders/42")

    used = await through.log.wait("credential.used")

    assert used["request_id"] == reply.headers["X-Request-Id"]
    assert len(used["token"]) == 16


async def test_off_is_the_default(running, config):
    """
    No line and no file unless somebody asks for them.
    """
    through = await running("--config", str(config))
    await through.log.done(await through("GET", "/orders/42"))

    assert not through.log.events("credential.used")


@pytest.mark.parametrize(
    ("audit", "said"),
    [
        (
            {"to": "absent/audit.jsonl"},
            "audit.to  cannot be appended to: No such file or directory",
        ),
        ({"to": "a", "hmac_key": {"env": "NOT_THERE"}}, "audit.hmac_key  the environment variable"),
        ({"to": ["a"]}, "audit.to  is a list"),
        ({"file": "a"}, "audit.file  unknown setting"),
    ],
    ids=["no folder", "no key", "a list", "unknown"],
)
async def test_a_trail_that_cannot_be_kept_stops_the_start(spawned, edit, audit, said):
    """
    Rather than to serve without it: code 2, and what is wrong.
    """
    config = edit(lambda it: it.update(audit=audit))

    process = await spawned("run", "--config", str(config))

    assert await process.end() == 2
    assert said in process.err.decode()
