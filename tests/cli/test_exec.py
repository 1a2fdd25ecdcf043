from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from proxy.cli.child import run_child, warn_of_others
from proxy.cli.exec import environment
from proxy.private.opening import Private

PRIVATE = Private(Path("/tmp/p"), Path("/tmp/p/proxy.sock"), "http://127.0.0.1:4000")

SHOW = "import json, os; print(json.dumps(dict(os.environ)))"

ASK = """
import http.client, os, sys
base = os.environ["AUTHPROXY_URL"].removeprefix("http://")
for target in sys.argv[1:]:
    client = http.client.HTTPConnection(base)
    client.request("GET", target)
    print(client.getresponse().read().decode())
"""

# Takes away what lets the superuser look into everything (PR_CAPBSET_DROP, linux/capability.h)
UNPRIVILEGED = """
import ctypes, os, sys
for number in range(64):
    ctypes.CDLL(None).prctl(24, number, 0, 0, 0)
os.execv(sys.executable, [sys.executable, "-m", "proxy", *sys.argv[1:]])
"""

WAIT = """
import os, signal, sys
def tell(number, _):
    os.write(1, b"got %d\\n" % number)
    if number == signal.SIGTERM:
        os._exit(3)
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, tell)
os.write(1, b"waits\\n")
while True:
    signal.pause()
"""


def test_the_program_is_told_where_its_proxy_is():
    """
    The base URL in its own variables and in those asked for; plain HTTP goes there too, but not
    what is on this machine.
    """
    told = environment(
        PRIVATE,
        (("BASE", ""), ("API", "/management/v1")),
        {"HOME": "/h", "no_proxy": "x.example,localhost", "http_proxy": "http://other"},
        forward=True,
    )

    assert told["HOME"] == "/h"
    assert told["AUTHPROXY_URL"] == told["BASE"] == told["http_proxy"] == told["HTTP_PROXY"]
    assert told["BASE"] == "http://127.0.0.1:4000"
    assert told["API"] == "http://127.0.0.1:4000/management/v1"
    assert told["AUTHPROXY_SOCKET"] == "/tmp/p/proxy.sock"
    assert told["no_proxy"] == told["NO_PROXY"] == "x.example,localhost,127.0.0.1,::1"


def test_other_variables_can_be_left_alone():
    """
    A program that talks plain HTTP with others keeps its way to them.
    """
    told = environment(PRIVATE, (), {"http_proxy": "http://other"}, forward=False)

    assert told["http_proxy"] == "http://other"
    assert "no_proxy" not in told
    assert told["AUTHPROXY_URL"] == "http://127.0.0.1:4000"


async def test_a_program_calls_apis_without_a_credential(start, sandbox, config):
    """
    By the base URL, and by an upstream's URL in forward mode; what no route is for is explained.
    """
    targets = ("/orders/1", f"{sandbox.url}/management/v1/orgs/me", "http://other.example/orders/1")
    words = ("--config", str(config), "--", sys.executable, "-c", ASK, *targets)

    ended = await (await start("exec", *words)).end()

    order, org, other = map(json.loads, ended.out.splitlines())
    assert ended.code == 0
    assert order["service_user"] == "reporter"
    assert org["org"]["name"] == "Sandbox"
    assert 400 <= other["status"] < 500
    assert ended.err.startswith("authproxy: GET ")
    assert len(ended.err.splitlines()) == 1


async def test_secrets_are_not_handed_down_and_nothing_is_left(start, sandbox, config):
    """
    A variable the configuration reads a secret from is gone, the others are there; the proxy ends
    with the program.
    """
    text = config.read_text().replace(
        f'{{file: "{config.parent}/reporter.secret"}}', "{env: CANARY}"
    )
    config.write_text(text)
    secret = sandbox.client_secret.reveal()
    words = ("--config", str(config), "--set", "API=/orders/", "--", sys.executable, "-c", SHOW)

    ended = await (await start("exec", *words, CANARY=secret, KEPT="1")).end()

    told = json.loads(ended.out)
    assert (ended.code, told["KEPT"]) == (0, "1")
    assert told["API"] == told["AUTHPROXY_URL"] + "/orders/"
    assert "CANARY" not in told
    assert secret not in ended.out
    assert not Path(told["AUTHPROXY_SOCKET"]).parent.exists()  # the proxy has ended
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", int(told["AUTHPROXY_URL"].rpartition(":")[2]))


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/PID/environ is Linux's")
@pytest.mark.parametrize("debugged", ["", "1"], ids=["kept", "debugged"])
async def test_the_program_cannot_look_up_what_its_proxy_was_started_with(
    environ, sandbox, config, debugged
):
    """
    The secret that was taken out of its environment is not to be had from the parent's either; but
    for a debugger.
    """
    look = ("sh", "-c", "cat /proc/$PPID/environ")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", UNPRIVILEGED, "exec", "--config", str(config), "--", *look),
        env={**environ, "CANARY": "hunter2", "AUTHPROXY_COREDUMPS": debugged},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()

    assert (b"hunter2" in out, process.returncode) == ((True, 0) if debugged else (False, 1))
    assert (b"Permission denied" in err) is not bool(debugged)


@pytest.mark.parametrize(("guarded", "said"), [(True, ""), (False, PRIVATE.url)])
def test_a_port_that_others_can_use_is_told(capsys, guarded, said):
    """
    Where the system does not tell whose a connection is.
    """
    warn_of_others(replace(PRIVATE, guarded=guarded))

    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert bool(err) is not guarded


async def test_signals_reach_the_program(start, sandbox, config, monkeypatch):
    """
    It ends by them as it likes, and its code is ours.
    """
    alone = partial(asyncio.create_subprocess_exec, start_new_session=True)
    monkeypatch.setattr(asyncio, "create_subprocess_exec", alone)  # no terminal has a say in it
    running = await start("exec", "--config", str(config), "--", sys.executable, "-c", WAIT)
    await running.line("waits")

    for number in (signal.SIGHUP, signal.SIGINT):
        running._process.send_signal(number)
        assert await running.line("got") == str(int(number))
    ended = await running.end(signal.SIGTERM)

    assert (ended.code, ended.out) == (3, f"got {int(signal.SIGTERM)}\n")


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (("sh", "-c", "exit 7"), 7, ""),
        (("sh", "-c", "kill -9 $$"), 137, ""),
        (("no-such\tprogram",), 127, "authproxy: no-such?program: there is no such program\n"),
        (("/",), 126, "authproxy: /: Permission denied\n"),
    ],
    ids=["its own", "killed", "absent", "no program"],
)
async def test_the_exit_code_is_the_programs(capsys, command, code, said):
    """
    As a shell has it: 128 and the signal, 127 for nothing found, 126 for what cannot run.
    """
    assert await run_child(command, os.environ) == code
    assert capsys.readouterr() == ("", said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Missing argument"),
        (("--set", "9x", "ls"), "'9x' is no variable's name"),
        (("--set", "API=v1", "ls"), "does not start with /"),
    ],
    ids=["nothing to run", "a bad name", "a bad path"],
)
def test_a_slip_is_named(call, words, said):
    """
    Code 2, and nothing runs.
    """
    result = call("exec", *words)

    assert result.exit_code == 2
    assert said in result.stderr
