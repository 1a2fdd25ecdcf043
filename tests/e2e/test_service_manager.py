"""
A process as a service manager runs it: told of its states, listening in its stead, with credentials.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Process
from tests.supervision.manager import Manager

ACTIVATE = str(Path(ROOT) / "tests" / "supervision" / "activate.py")


@pytest.fixture
def manager(tmp_path):
    """
    A service manager that listens.
    """
    made = Manager(str(tmp_path / "notify"))
    yield made
    made.close()


@pytest.fixture
async def activated(tmp_path):
    """
    Start `authproxy run` with listening sockets, as a service manager does.
    """
    started = []

    async def start(names, sockets, *words, **environ):
        numbers = [each.fileno() for each in sockets]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, ACTIVATE, names, ",".join(map(str, numbers)), "--"),
            *(sys.executable, "-m", "proxy", "run", *words),
            pass_fds=numbers,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": ROOT, **environ},
        )
        for each in sockets:
            each.close()
        started.append(Process(process, logs=True))
        return started[-1]

    yield start
    for process in started:
        await process.kill()


async def hear(manager, word):
    """
    Return the next message that says this; signs of life come in between.
    """
    while word not in (lines := await manager.hear()):
        pass
    return lines


async def test_each_state_is_told(config, running, manager):
    """
    Ready once it serves, signs of life, reloading with its end, stopping.
    """
    through = await running(
        "--config", str(config), NOTIFY_SOCKET=manager.name, WATCHDOG_USEC="200000"
    )
    _, status = await hear(manager, "READY=1")
    assert status == f"STATUS=serving on {through.url.removeprefix('http://')}"
    await hear(manager, "WATCHDOG=1")
    await hear(manager, "WATCHDOG=1")

    through.process.signal(signal.SIGHUP)
    lines = await manager.hear()
    while "RELOADING=1" not in lines:
        assert lines == ["WATCHDOG=1"]
        lines = await manager.hear()
    assert lines[1].startswith("MONOTONIC_USEC=")
    assert (await hear(manager, "READY=1"))[1] == status

    through.process.signal(signal.SIGTERM)
    await hear(manager, "STOPPING=1")
    assert await through.process.end() == 0


async def test_a_rejected_reload_is_told_and_changes_nothing(config, running, manager, edit):
    """
    SIGHUP with a configuration that cannot be used ends as ready, with a word of it.
    """
    through = await running("--config", str(config), NOTIFY_SOCKET=manager.name)
    await hear(manager, "READY=1")
    edit(lambda document: document.update(nonsense=True))
    through.process.signal(signal.SIGHUP)
    await hear(manager, "RELOADING=1")

    assert "rejected" in (await hear(manager, "READY=1"))[1]
    assert (await through("GET", "/orders/1")).status == 200


async def test_sockets_of_a_service_manager_are_served(config, activated, session, edit, tmp_path):
    """
    A listener and the admin listener take theirs by name or address; what is left is told of.
    """
    path = tmp_path / "proxy.sock"
    web, unix, admin, left = (
        socket.create_server(("127.0.0.1", 0)),
        socket.socket(socket.AF_UNIX),
        socket.create_server(("127.0.0.1", 0)),
        socket.create_server(("127.0.0.1", 0)),
    )
    unix.bind(str(path))
    unix.listen()
    places = [each.getsockname()[1] for each in (web, admin, left)]
    edit(
        lambda document: document.update(
            listen=[{"address": f"127.0.0.1:{places[0]}"}, {"address": f"unix:{path}"}]
        )
    )
    process = await activated("web::admin:more", [web, unix, admin, left], "--config", str(config))

    first = await process.log.wait("proxy.started")
    assert first["listen"] == [f"127.0.0.1:{places[0]}", f"unix:{path}"]
    assert first["admin"] == f"127.0.0.1:{places[1]}"
    unused = await process.log.wait("socket.unused")
    assert f"more (127.0.0.1:{places[2]})" in unused["reason"]
    async with session.get(f"http://127.0.0.1:{places[0]}/orders/1") as response:
        assert response.status == 200
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(b"GET /orders/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    writer.close()
    assert await process.stop() == 0
    assert path.exists()  # it is the service manager's


async def test_sockets_for_another_process_are_left_alone(config, running):
    """
    Variables that a shell inherited are not taken for this process's.
    """
    through = await running("--config", str(config), LISTEN_PID="1", LISTEN_FDS="1")

    assert (await through("GET", "/orders/1")).status == 200
    assert not through.log.events("socket.unused")


async def test_a_hot_restart_is_told_by_who_may_tell_it(config, running, manager):
    """
    The old process names the new one: a manager that hears the main process alone knows it then.
    """
    through = await running(
        "--config", str(config), NOTIFY_SOCKET=manager.name, WATCHDOG_USEC="60000000"
    )
    await hear(manager, "READY=1")
    through.process.signal(signal.SIGUSR2)
    pid = (await through.log.wait("proxy.handed_over"))["pid"]
    try:
        said = [await hear(manager, f"MAINPID={pid}") for _ in range(2)]
        assert all("READY=1" in lines for lines in said)
    finally:
        os.kill(pid, signal.SIGTERM)
    await hear(manager, "STOPPING=1")
    assert await through.process.end() == 0


async def test_credentials_of_a_unit(config, running, edit, tmp_path):
    """
    `{credential: NAME}` is read from the folder a service manager names.
    """
    folder = tmp_path / "credentials"
    folder.mkdir(mode=0o700)

    def use(document):
        secret = document["service_users"]["reporter"]["client_secret"]
        (folder / "reporter").write_bytes((config.parent / secret["file"]).read_bytes())
        (folder / "reporter").chmod(0o400)
        document["service_users"]["reporter"]["client_secret"] = {"credential": "reporter"}

    edit(use)
    through = await running("--config", str(config), CREDENTIALS_DIRECTORY=str(folder))

    assert (await through("GET", "/orders/1")).status == 200


async def test_killed_and_started_it_serves_again_on_the_same_places(
    config, spawned, session, edit, tmp_path
):
    """
    Neither the file of its Unix socket nor connections that linger in the system are in the way.
    """
    path = tmp_path / "proxy.sock"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    edit(
        lambda document: document.update(
            listen=[{"address": f"127.0.0.1:{port}"}, {"address": f"unix:{path}"}]
        )
    )
    loop = asyncio.get_running_loop()
    took = []
    for _ in range(2):
        process = await spawned("run", "--config", str(config), logs=True)
        began = loop.time()
        await process.log.wait("proxy.started")
        took.append(loop.time() - began)
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(8):
                response = await stack.enter_async_context(
                    session.get(f"http://127.0.0.1:{port}/orders/1")
                )
                assert response.status == 200
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b"GET /orders/1 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        process.signal(signal.SIGKILL)
        await process.end()
        writer.close()
    assert min(took) < 10.0  # an idle machine needs less than one; this one may be busy
