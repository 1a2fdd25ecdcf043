"""
What a process that holds secrets does so that they do not lie about.

Secrets from variables are taken out of the environment once the configuration is read: what is
started by this process does not inherit them, and nothing that prints an environment shows them.
They are kept aside, for credentials are read again while the proxy runs.

This reaches the environment as the C library has it. The block the process was started with, which
/proc/PID/environ shows, stays as it was: overwriting it is possible on few systems and safe on
fewer. On Linux `keep_to_itself` leaves it readable to the superuser alone. A secret in a file, or
among systemd's credentials, is never there.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import BaseModel

from proxy.config import environment
from proxy.config.secret_source import SecretEnv
from proxy.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from proxy.config.model import Settings

COREDUMPS = "AUTHPROXY_COREDUMPS"
"""Set it to 1 to leave core dumps and debuggers on."""

OWN = frozenset((environment.CLIENT_SECRET, environment.TOKEN))
"""This program's own variables that hold a secret."""

# linux/prctl.h
PR_SET_DUMPABLE = 4


class Environment(Mapping[str, str]):
    """
    The environment as it was at start; prints no values.
    """

    def __init__(self, values: Mapping[str, str], secret: frozenset[str]) -> None:
        self._plain = {name: text for name, text in values.items() if name not in secret}
        self._secret = {name: Secret(values[name]) for name in secret if name in values}

    def __getitem__(self, name: str) -> str:
        secret = self._secret.get(name)
        return self._plain[name] if secret is None else secret.reveal()

    def __iter__(self) -> Iterator[str]:
        yield from self._plain
        yield from self._secret

    def __len__(self) -> int:
        return len(self._plain) + len(self._secret)

    def __repr__(self) -> str:
        return f"<Environment of {len(self)} variables, {len(self._secret)} of them secret>"


def take_secrets(environ: MutableMapping[str, str], settings: Settings) -> Environment:
    """
    Take the variables that hold secrets out of *environ*; return all as they were.
    """
    names = OWN | frozenset(_variables(settings))
    taken = Environment(environ, names)
    for name in names:
        environ.pop(name, None)
    return taken


def _variables(value: object) -> Iterator[str]:
    """
    Yield the variables that settings name as a secret's source, wherever they do.
    """
    match value:
        case SecretEnv(name):
            yield name
        case BaseModel():
            for _, inner in value:
                yield from _variables(inner)
        case Mapping():
            for inner in value.values():
                yield from _variables(inner)
        case tuple() | list():
            for inner in value:
                yield from _variables(inner)
        case _:
            pass


def forbid_core_dumps() -> str:
    """
    Have no core written if this process crashes: it would hold every secret.

    On Linux, other processes of the same user may not look into this one either.

    Returns:
        What could not be done; empty if all was.
    """
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError) as error:
        return str(error) or type(error).__name__
    return keep_to_itself()


def keep_to_itself() -> str:
    """
    On Linux, let no other process of the same user look into this one: not at its memory, not at
    its initial environment, nor at a core of it (PR_SET_DUMPABLE, prctl(2)).

    It ends at execve: programs this process starts are as they ever were. The limit on cores, which
    they would inherit, is left alone.

    Returns:
        What could not be done; empty if all was, or there is nothing to do.
    """
    try:
        if sys.platform == "linux":
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0):
                return os.strerror(ctypes.get_errno())
    except (AttributeError, OSError) as error:
        return str(error) or type(error).__name__
    return ""
