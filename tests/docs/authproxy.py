"""
The command `authproxy` as the pages' commands find it: asks the forker beside this file.

DOCS_FORKER names its socket. `start VERB …` as the name of the command starts one that goes
on, with its output in VERB.log, and returns once it is ready; an earlier one of the same verb ends.
"""

# It starts a hundred times, and pathlib would take as long as all the rest:
# ruff: noqa: PTH109, PTH110, PTH123
from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import time

READY = {"run": b"proxy.started", "sandbox": b"Ctrl-C ends it", "demo": b"Ctrl-C"}
PATIENCE = 20.0


def ask(arguments: list[str], files: tuple[int, int, int]) -> tuple[socket.socket, int]:
    """
    Have a command started; return where its exit code will come, and its process id.
    """
    environ = dict(os.environ)
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(environ.pop("DOCS_FORKER"))
    asked = {"arguments": arguments, "environ": environ, "cwd": os.getcwd()}
    socket.send_fds(connection, [json.dumps(asked).encode()], files)
    return connection, int(_line(connection))


def _line(connection: socket.socket) -> str:
    text = b""
    while not text.endswith(b"\n"):
        piece = connection.recv(1)
        if not piece:
            return "1"
        text += piece
    return text.decode()


def call(arguments: list[str]) -> int:
    """
    Run a command to its end; signals are passed on to it.
    """
    connection, pid = ask(arguments, (0, 1, 2))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda got, _: os.kill(pid, got))
    return int(_line(connection))


def start(arguments: list[str]) -> int:
    """
    Start a command that goes on.
    """
    verb = arguments[0]
    folder = os.environ["DOCS_FOLDER"]
    note, log = f"{folder}/{verb}.pid", f"{folder}/{verb}.log"
    if os.path.exists(note):
        with open(note) as file:
            end(int(file.read()))
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    connection, pid = ask(arguments, (nothing, output, output))
    with open(note, "w") as file:
        file.write(str(pid))
    until = time.monotonic() + PATIENCE
    connection.settimeout(0.02)
    said = b""
    while time.monotonic() < until:
        with open(log, "rb") as file:
            said = file.read()
        if READY[verb] in said:
            await_tokens(said, until)
            return 0
        try:
            connection.recv(1)
        except TimeoutError:
            continue
        break
    sys.stdout.buffer.write(said)
    return 1


def await_tokens(said: bytes, until: float) -> None:
    """
    Wait for what a reader is slower than: that a proxy has its tokens, or will have none.
    """
    from http.client import HTTPConnection  # a fifth of a second, needed here alone

    found = re.search(rb'"proxy.started".*"admin":"(127\.0\.0\.1:\d+)"', said)
    if found is None:
        return
    until = min(until, time.monotonic() + 3.0)
    while time.monotonic() < until:
        asking = HTTPConnection(found[1].decode(), timeout=1.0)
        asking.request("GET", "/readyz")
        if asking.getresponse().status == 200:
            return
        time.sleep(0.05)  # noqa: TID251 - nobody tells


def end(pid: int) -> None:
    """
    End an earlier one, and wait until it is gone.
    """
    until = time.monotonic() + PATIENCE
    try:
        os.kill(pid, signal.SIGTERM)
        while time.monotonic() < until:
            os.kill(pid, 0)
            time.sleep(0.02)  # noqa: TID251 - nobody tells
    except ProcessLookupError:
        return


if __name__ == "__main__":
    name, *rest = sys.argv[1:]
    sys.exit(start(rest) if name == "start" else call(rest))
