from __future__ import annotations

import asyncio

import pytest

from proxy.supervision.notify import LONGEST, Notify, take_notify
from proxy.tasks import spawn


@pytest.fixture
def notify(manager):
    """
    The way to the manager.
    """
    made = take_notify({"NOTIFY_SOCKET": manager.name}, 7)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("say", "lines"),
    [
        (lambda notify: notify.ready("serving"), ["READY=1", "STATUS=serving"]),
        (lambda notify: notify.stopping("ending"), ["STOPPING=1", "STATUS=ending"]),
        (lambda notify: notify.status("well"), ["STATUS=well"]),
        (lambda notify: notify.successor(9), ["MAINPID=9", "READY=1"]),
        (lambda notify: notify.took_over(9, "on"), ["MAINPID=9", "READY=1", "STATUS=on"]),
    ],
    ids=["ready", "stopping", "status", "successor", "took over"],
)
async def test_each_state_is_one_message(say, lines, notify, manager):
    """
    What is said arrives whole, in one datagram.
    """
    say(notify)

    assert await manager.hear() == lines
    assert manager.silent()


async def test_a_reload_says_when_it_began(manager):
    """
    RELOADING=1 comes with the monotonic clock, without which it does not count.
    """
    notify = Notify(manager.name, now=lambda: 1234567)
    notify.reloading()

    assert (await manager.hear())[:2] == ["RELOADING=1", "MONOTONIC_USEC=1234567"]
    notify.close()


@pytest.mark.parametrize("whose", ["7", None], ids=["ours", "anybody"])
async def test_signs_of_life_come_twice_as_often_as_asked_for(whose, manager):
    """
    WATCHDOG=1 comes at half the period, if it is asked of this process.
    """
    environ = {"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "40000"}
    if whose is not None:
        environ["WATCHDOG_PID"] = whose
    notify = take_notify(environ, 7)
    assert notify.every == 0.02
    tasks: set[asyncio.Task[None]] = set()
    beating = spawn(tasks, notify.beat_forever(), name="beat")

    assert [await manager.hear() for _ in range(3)] == [["WATCHDOG=1"]] * 3
    beating.cancel()
    notify.close()


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"WATCHDOG_USEC": "40000", "WATCHDOG_PID": "8"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "-1"},
        {"WATCHDOG_USEC": "0"},
    ],
    ids=["unasked", "another's", "no number", "negative", "never"],
)
async def test_no_signs_of_life_unless_asked_for(asked, manager):
    """
    Without a period, or with one for another process, none is given.
    """
    notify = take_notify({"NOTIFY_SOCKET": manager.name, **asked}, 7)
    await notify.beat_forever()

    assert manager.silent()
    notify.close()


def test_the_variables_are_taken_out_of_the_environment():
    """
    What this process starts does not speak in its name.
    """
    environ = {
        "NOTIFY_SOCKET": "/nowhere/at/all",
        "WATCHDOG_USEC": "1",
        "WATCHDOG_PID": "1",
        "PATH": "/bin",
    }
    take_notify(environ, 7).close()

    assert environ == {"PATH": "/bin"}


@pytest.mark.parametrize(
    "address", ["", "/nowhere/at/all", "@nobody-there", "nonsense", "vsock:2:1", "/" + "x" * 300]
)
def test_a_socket_nobody_reads_does_no_harm(address):
    """
    Telling goes nowhere, without an error.
    """
    notify = take_notify({"NOTIFY_SOCKET": address}, 7)
    notify.ready("serving")
    notify.close()
    notify.ready("after the end")


async def test_a_status_is_one_short_line(notify, manager):
    """
    What stands in a status cannot become another assignment.
    """
    notify.status("well\nMAINPID=1" + "x" * 2 * LONGEST)

    (line,) = await manager.hear()
    assert line.startswith("STATUS=well MAINPID=1")
    assert len(line) == len("STATUS=") + LONGEST


def test_a_full_socket_is_not_waited_for(notify):
    """
    A service manager that reads nothing loses messages; the process goes on.
    """
    for _ in range(10_000):
        notify.status("well")
