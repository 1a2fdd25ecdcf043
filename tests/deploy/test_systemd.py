"""
The systemd unit: what systemd says to it, what it agrees with, and its command with a service
manager that only listens.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from proxy.sandbox.options import SandboxOptions
from proxy.sandbox.server import Sandbox
from tests.deploy.configuration import judged, secrets
from tests.deploy.process import OWN, PATIENCE, ROOT, running

FOLDER = Path(__file__).parent.parent.parent / "deploy/systemd"
UNIT = (FOLDER / "authproxy.service").read_text()
CONFIG = (FOLDER / "proxy.yaml").read_text()

MEMORY_DENY_WRITE_EXECUTE = """
import ctypes, os, sys
# PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN: what MemoryDenyWriteExecute= does, since Linux 6.3
ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def directives(text):
    """
    Return a unit's directives, each with all its values.
    """
    found = defaultdict(list)
    for line in text.splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found[name].append(value)
    return found


SAID = directives(UNIT)


def test_the_configuration_is_accepted_and_agrees(tmp_path, key_json):
    """
    Its secrets are those the unit loads, and systemd waits longer than the proxy takes to end.
    """
    found = judged(CONFIG, tmp_path, key_json)
    loaded = {each.partition(":")[0] for each in SAID["LoadCredential"]}
    ending = found.settings.shutdown

    assert found.warnings == ()
    assert secrets(CONFIG) == {f"/run/credentials/authproxy.service/{each}" for each in loaded}
    assert float(SAID["TimeoutStopSec"][0].removesuffix("s")) >= ending.delay + ending.grace + 5
    assert SAID["RuntimeDirectory"] == ["authproxy"]


def test_the_socket_is_where_the_configuration_listens():
    """
    A listener takes the socket that is bound to its address.
    """
    socket_unit = directives((FOLDER / "authproxy.socket").read_text())

    assert socket_unit["ListenStream"] == [yaml.safe_load(CONFIG)["listen"]]


@pytest.fixture
def ours(tmp_path):
    """
    The unit with a program that this machine has; of an older systemd's type where it is one.
    """
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    said = subprocess.run(
        ["systemd-analyze", "--version"], capture_output=True, text=True, check=True
    )
    version = int(re.findall(r"systemd (\d+)", said.stdout)[0])
    text = UNIT.replace("/opt/authproxy/bin/authproxy", sys.executable)
    if version < 253:
        text = text.replace("Type=notify-reload", "Type=notify")
    unit = tmp_path / "authproxy.service"
    unit.write_text(text)
    (tmp_path / "authproxy.socket").write_text((FOLDER / "authproxy.socket").read_text())
    return unit


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["authproxy.service", "authproxy.socket"])
def test_systemd_has_nothing_to_complain_of(ours, name):
    """
    Every directive exists and has a value that makes sense.
    """
    made = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", ours.with_name(name)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert (made.returncode, made.stderr) == (0, "")


@pytest.mark.heavy
def test_the_service_is_shut_in(ours):
    """
    By systemd's own reckoning, 0 to 10, where 10 is a service that may do all.
    """
    words = ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", ours]

    made = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
    assert made.returncode == 0, made.stdout + made.stderr


async def test_the_command_tells_the_service_manager(tmp_path, keys):
    """
    It is ready once it serves, gives signs of life, reloads on SIGHUP and says that it stops; with
    no memory that is writable and executable.
    """
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.setblocking(False)
    manager.bind(str(tmp_path / "notify"))
    program, *words = SAID["ExecStart"][0].split()
    assert program == "/opt/authproxy/bin/authproxy"
    async with Sandbox(SandboxOptions(keys=keys)) as sandbox:
        config = sandbox.write(tmp_path / "config", listen="127.0.0.1:0", admin="127.0.0.1:0")
        words = [word.replace("/etc/authproxy/proxy.yaml", str(config)) for word in words]
        environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": ROOT,
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "WATCHDOG_USEC": "200000",
        }
        shut_in = ("-c", MEMORY_DENY_WRITE_EXECUTE, sys.executable)
        async with running(*shut_in, *OWN, *words, environ=environ) as service:
            assert "READY=1" in await told(manager, "READY=1")
            await told(manager, "WATCHDOG=1")
            service.process.send_signal(signal.SIGHUP)
            assert "MONOTONIC_USEC=" in await told(manager, "RELOADING=1")
            await told(manager, "READY=1")
            async with asyncio.TaskGroup() as group:
                stopping = group.create_task(service.stop())
                await told(manager, "STOPPING=1")
            assert stopping.result() == 0
    manager.close()


async def told(manager: socket.socket, line: str) -> str:
    """
    Return the next message with this line.
    """
    async with asyncio.timeout(PATIENCE):
        while True:
            message = (await asyncio.get_running_loop().sock_recv(manager, 4096)).decode()
            if line in message.splitlines():
                return message
