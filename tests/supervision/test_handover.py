from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from proxy.supervision import handover
from proxy.supervision.handover import HandOverFailed, hand_over, own_command
from proxy.supervision.inheritance import HANDOVER
from proxy.tasks import spawn

ROOT = str(Path(__file__).parent.parent.parent)

SERVES = """
import json, os, sys
from proxy.supervision.inheritance import inherit
def is_open(number):
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
found = inherit(os.environ, os.getpid())
names = [name for name, _ in found._sockets]
ports = [each.getsockname()[1] for _, each in found._sockets]
fds = [number for number in map(int, os.listdir("/proc/self/fd")) if is_open(number)]
with open(sys.argv[1], "w") as file:
    json.dump({"names": names, "ports": ports, "problems": found.problems, "fds": fds,
               "environ": dict(os.environ)}, file)
found.serving()
"""


@pytest.fixture
def sockets():
    """
    Three listening sockets with the names of listeners.
    """
    made = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    yield list(zip(("127.0.0.1:8080", "unix:/run/a b.sock", "admin"), made, strict=True))
    for each in made:
        each.close()


def python(script, *words):
    """
    Return a command that runs this script.
    """
    return (sys.executable, "-c", script, *words)


def environ(**more):
    """
    Return an environment in which this package is found.
    """
    return {"PATH": os.environ["PATH"], "PYTHONPATH": ROOT, **more}


def numbers():
    """
    Return the file descriptors this process has open, and the one this is read from.
    """
    return [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]


def inheritable():
    """
    Return those that whatever is started gets: the test runner's own affair.
    """
    found = set()
    for number in numbers():
        with contextlib.suppress(OSError):
            if os.get_inheritable(number):
                found.add(number)
    return found


def ended(pid):
    """
    Wait for the end of a process that is about to end, and return its code.
    """
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def gone(pid):
    """
    Say whether there is no such process, nor a trace of it.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_the_new_process_has_the_sockets_and_the_whole_environment(sockets, tmp_path):
    """
    Each arrives under its name; what was meant for this process alone does not, nor any other file.
    """
    told = tmp_path / "told"
    given = environ(
        SECRET="s3cret",
        WATCHDOG_USEC="40",
        WATCHDOG_PID="1",
        LISTEN_PID="1",
        NOTIFY_SOCKET="/run/n",
    )
    pid = await hand_over(python(SERVES, str(told)), given, sockets)
    assert ended(pid) == 0

    found = json.loads(told.read_text())
    assert found["names"] == [name for name, _ in sockets]
    assert found["ports"] == [each.getsockname()[1] for _, each in sockets]
    assert found["problems"] == []
    assert set(found["fds"]) == {0, 1, 2, 3, 4, 5, 6} | inheritable()
    assert found["environ"]["SECRET"] == "s3cret"
    assert found["environ"]["NOTIFY_SOCKET"] == "/run/n"
    assert found["environ"]["WATCHDOG_USEC"] == "40"
    assert not {"WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", HANDOVER} & set(found["environ"])


async def test_sockets_that_stand_in_each_other_s_place(tmp_path):
    """
    File descriptors are moved without one overwriting another, whatever their numbers are.
    """
    told = tmp_path / "told"
    made = [socket.create_server(("127.0.0.1", 0)) for _ in range(8)]
    backwards = sorted(made, key=lambda each: -each.fileno())
    pid = await hand_over(python(SERVES, str(told)), environ(), [("x", each) for each in backwards])
    ended(pid)

    ports = json.loads(told.read_text())["ports"]
    assert ports == [each.getsockname()[1] for each in backwards]
    for each in made:
        each.close()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("raise SystemExit(2)", "cannot use its configuration"),
        ("raise SystemExit(3)", "ended with code 3"),
        ("pass", "ended with code 0"),
        ("import os; os.kill(os.getpid(), 9)", "ended by signal 9"),
        ("import os; os.write(6, b'what?')", "ended with code 0"),
    ],
    ids=["configuration", "error", "too soon", "killed", "babble"],
)
async def test_a_new_process_that_does_not_serve_is_a_failure_in_words(script, words, sockets):
    """
    Whatever it does but say that it serves, this process goes on, with its sockets open.
    """
    with pytest.raises(HandOverFailed, match=words):
        await hand_over(python(script), environ(), sockets)

    for _, each in sockets:
        socket.create_connection(each.getsockname()).close()


@pytest.mark.parametrize("deaf", [False, True], ids=["listens", "deaf"])
async def test_a_new_process_that_takes_too_long_is_ended(deaf, sockets, tmp_path, monkeypatch):
    """
    After the bound it is asked to end, and killed if it does not.
    """
    monkeypatch.setattr(handover, "PATIENCE", 0.3)
    told = tmp_path / "pid"
    ignore = "import signal; signal.signal(15, signal.SIG_IGN)" if deaf else ""
    script = f"""
import os, sys, time
{ignore}
open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(60)
"""
    with pytest.raises(HandOverFailed, match=r"did not serve within 1\.5 s"):
        await hand_over(python(script, str(told)), environ(), sockets, bound=1.5)

    assert gone(int(told.read_text()))


async def test_called_off_it_ends_what_it_has_started(sockets, tmp_path):
    """
    A hand-over that is cancelled leaves no process behind.
    """
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    script = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"
    tasks: set[asyncio.Task[int]] = set()
    handing = spawn(tasks, hand_over(python(script, str(fifo)), environ(), sockets), name="hand")
    pid = int(await asyncio.to_thread(fifo.read_text))
    handing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handing

    assert gone(pid)


async def test_a_program_that_is_gone_cannot_be_started(sockets):
    """
    An upgrade that has removed the program is said so, and this process goes on.
    """
    with pytest.raises(HandOverFailed, match="cannot be started: No such file"):
        await hand_over(("/nowhere/at/all",), environ(), sockets)


def test_its_own_command_is_the_one_it_was_started_by():
    """
    The interpreter's options belong to it.
    """
    command = own_command()

    assert command[0] == sys.executable
    assert command[1:] == tuple(sys.orig_argv[1:])


def test_nothing_is_left_open(sockets):
    """
    A hand-over that failed leaves no file descriptor behind.
    """

    async def often():
        for _ in range(3):
            with pytest.raises(HandOverFailed):
                await hand_over(("/bin/false",), environ(), sockets)

    asyncio.run(often())
    before = len(numbers())
    asyncio.run(often())
    assert len(numbers()) == before
    assert signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL
