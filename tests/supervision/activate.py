"""
Starts a command with file descriptors from 3 on, as a service manager does.

    python activate.py NAMES FDS [NAME=VALUE …] -- COMMAND …

NAMES are parted by colons, FDS by commas. A NAME=VALUE is added to the environment; without a
VALUE the name is taken out.
"""

from __future__ import annotations

import fcntl
import os
import sys

FIRST = 3


def main(words: list[str]) -> None:
    """
    Arrange the file descriptors and become the command.
    """
    at = words.index("--")
    names, numbers, *changes = words[:at]
    given = [int(number) for number in numbers.split(",") if number]
    environ = dict(os.environ)
    environ["LISTEN_PID"] = str(os.getpid())
    environ["LISTEN_FDS"] = str(len(given))
    environ["LISTEN_FDNAMES"] = names
    for change in changes:
        name, _, value = change.partition("=")
        environ[name] = value
        if not value:
            del environ[name]
    aside = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 100) for number in given]
    for place, number in enumerate(aside):
        os.dup2(number, FIRST + place)
    command = words[at + 1 :]
    os.execve(command[0], command, environ)


main(sys.argv[1:])
