"""
What rules look at: the settings, when keys end, and who may read and change the files.

All asking of the file system is done here, once; rules are pure. A file that has gone since the
configuration was checked is left out: its next start will say so.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.config.files import outside
from proxy.config.rules import Entries
from proxy.config.secret_source import SecretFile
from proxy.config.secrets import path_of, read_file
from proxy.core.keyfile import parse_key_json
from proxy.errors import CredentialInvalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from proxy.config.draft import Place
    from proxy.config.files import Outside
    from proxy.config.load import Loaded
    from proxy.config.model import Settings

STDIN = "stdin"


@dataclass(frozen=True, slots=True)
class FileFact:
    """
    A file the configuration is made of.

    Attributes:
        place: The setting that names it; empty for the configuration file itself.
        private: It holds a secret and nothing else.
        mode: Its permission bits, links followed.
        folder: Those of the folder it is in.
        in_work_tree: It lies in a git work tree.
    """

    place: Place
    private: bool
    mode: int
    folder: int
    in_work_tree: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """
    What there is to know about one configuration without asking anybody.

    Attributes:
        settings: The checked settings.
        now: Seconds since the epoch.
        ends: Per key file when its key ends, in seconds since the epoch; None if it never does.
        files: The files, the configuration file first.
        things: All that the settings point at: where each secret comes from.
    """

    settings: Settings
    now: float
    ends: Mapping[Place, float | None]
    files: tuple[FileFact, ...]
    things: tuple[Outside, ...]


def gather(loaded: Loaded, environ: Mapping[str, str], now: float) -> Evidence:
    """
    Return the evidence on a configuration.

    Args:
        loaded: The configuration.
        environ: The environment, which says where systemd's credentials are.
        now: Seconds since the epoch.
    """
    things = tuple(outside(_entries(loaded.settings)))
    facts = []
    if loaded.marks and loaded.origin != STDIN:
        facts.append(_fact((), loaded.files[0], private=False))
    for thing in things:
        path = path_of(thing.source, loaded.base, environ)
        if path is not None:
            facts.append(_fact(thing.place, path, private=thing.kind != "certificates"))
    files = tuple(fact for fact in facts if fact is not None)
    return Evidence(loaded.settings, now, dict(_ends(things, loaded.base)), files, things)


def _entries(settings: Settings) -> Entries:
    return Entries(
        dict(enumerate(settings.listen)),
        settings.issuers,
        settings.service_users,
        settings.callers,
        dict(enumerate(settings.routes)),
        {"audit": settings.audit},
    )


def _fact(place: Place, path: Path, *, private: bool) -> FileFact | None:
    try:
        mode, folder = path.stat().st_mode, path.parent.stat().st_mode
    except OSError:
        return None
    return FileFact(place, private, mode, folder, _in_work_tree(path))


def _in_work_tree(path: Path) -> bool:
    """
    Tell whether a folder above has a `.git`: a folder, or a file in a linked work tree.
    """
    # Unlike Path.exists this says no where nobody may look.
    return any(os.path.exists(folder / ".git") for folder in path.parents)  # noqa: PTH110


def _ends(things: Iterable[Outside], base: Path) -> Iterator[tuple[Place, float | None]]:
    for thing in things:
        if thing.kind == "key_json" and isinstance(thing.source, SecretFile):
            with suppress(CredentialInvalid):
                yield thing.place, parse_key_json(read_file(thing.source.path, base)).expires
