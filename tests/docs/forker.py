"""
Runs `authproxy` for the pages' commands without starting Python for each: everything is imported
once, and every command is a fork of this process.

`python forker.py SOCKET` serves. A client (`authproxy.py` beside this file) hands over its arguments,
environment, folder, and the three standard files; it gets back the fork's process id, then its exit
code.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import traceback
from importlib import import_module
from typing import Any, NoReturn

import proxy.runtime  # noqa: F401 - imported once, for all forks
from proxy.cli.command import VERBS, main


def serve(path: str) -> None:
    """
    Take commands until the process is killed; a byte on standard output says that it is ready.
    """
    for module in VERBS.values():
        import_module(f"proxy.cli.{module}")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody here waits for forks
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        os.write(1, b"+")
        while True:
            connection, _ = listener.accept()
            with connection:
                message, files, _, _ = socket.recv_fds(connection, 1 << 20, 3)
                if os.fork() == 0:
                    listener.close()
                    work(connection, json.loads(message), files)
                for file in files:
                    os.close(file)


def work(connection: socket.socket, asked: dict[str, Any], files: list[int]) -> NoReturn:
    """
    Be the command, in the fork.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    connection.sendall(b"%d\n" % os.getpid())
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environ"])
    code: Any = 1
    try:
        main.main(asked["arguments"], prog_name="authproxy")
    except SystemExit as end:
        code = end.code or 0
    except Exception:  # noqa: BLE001 - whatever it is, os._exit would say nothing of it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        connection.sendall(b"%d\n" % (code if isinstance(code, int) else 1))
        os._exit(0)


if __name__ == "__main__":
    serve(sys.argv[1])
