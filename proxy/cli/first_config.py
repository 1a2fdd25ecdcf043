"""
The first proxy.yaml: its text, and how it comes to lie in a folder, whole or not at all.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.config.load import load
from proxy.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.config.load import Loaded

TEXT = """\
# Made by authproxy init. What else can be said here: authproxy schema
version: 1

listen: {listen}          # applications call this address without any credential
admin: {admin}           # health, metrics, status page

issuers:
  zitadel:
    url: {issuer}

service_users:
  {user}:
    issuer: zitadel
{credential}
routes:
  - name: {route}
    match: {{path: /}}               # every request; several routes share out paths and hosts
    upstream: {upstream}
    service_user: {user}
"""


@dataclass(frozen=True, slots=True)
class Answers:
    """
    What was asked for.

    Attributes:
        issuer: The issuer's URL.
        upstream: Where requests go.
        method: The service user's method.
        file: With its credential.
        client_id: With client credentials.
        scopes: To ask for; none for a personal access token.
        projects: Ids of projects the token is for.
        listen: Where callers connect.
        admin: Where operators do, or `off`.
    """

    issuer: str
    upstream: str
    method: str
    file: Path
    client_id: str = ""
    scopes: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    listen: str = "127.0.0.1:8080"
    admin: str = "127.0.0.1:9090"

    def text(self, folder: Path) -> str:
        """
        Return the file's text.

        Args:
            folder: Where it will lie: a credential's path starts there if it is below it.
        """
        own = self.upstream.rstrip("/") == self.issuer
        return TEXT.format(
            listen=quoted(self.listen),
            admin=quoted(self.admin),
            issuer=quoted(self.issuer),
            upstream=quoted(self.upstream),
            user="default",
            route="zitadel" if own else "default",
            credential="".join(f"    {each}\n" for each in self._credential(folder)),
        )

    def _credential(self, folder: Path) -> list[str]:
        path = self.file.absolute()
        file = quoted(str(path.relative_to(folder) if path.is_relative_to(folder) else path))
        lines = [f"method: {self.method}"]
        match self.method:
            case "private_key_jwt":
                lines.append(f"key_file: {file}")
            case "client_credentials":
                lines += [
                    f"client_id: {quoted(self.client_id)}",
                    f"client_secret: {{file: {file}}}",
                ]
            case _:
                lines += [
                    f"token: {{file: {file}}}",
                    "# expires: 2027-01-31   # to be warned before",
                ]
        if self.scopes:
            lines.append(f"scopes: [{', '.join(map(quoted, self.scopes))}]")
        if self.projects:
            lines.append(f"audience_projects: [{', '.join(map(quoted, self.projects))}]")
        return lines


def quoted(text: str) -> str:
    """
    Return *text* as YAML writes it in double quotes, which is as JSON does.
    """
    return json.dumps(text)


def write(path: Path, text: str, environ: Mapping[str, str], *, now: float, force: bool) -> Loaded:
    """
    Check a configuration and put it there, readable by its owner alone. If it cannot be used, or
    anything stops this in between, nothing is left of it.

    Args:
        path: Where.
        text: The configuration.
        environ: The environment.
        now: Seconds since the epoch.
        force: Whether it may take the place of another file.

    Raises:
        ConfigError: It cannot be used.
        FileExistsError: There is a file, and it may not.
        OSError: The folder cannot be written to.
    """
    handle, name = tempfile.mkstemp(prefix=".proxy-", suffix=".yaml", dir=path.parent)
    made = Path(name)  # with mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        _checked(made, path, environ, now)
        if force:
            made.replace(path)
        else:
            _moved(made, path)
    finally:
        with suppress(FileNotFoundError):
            made.unlink()
    return load(path, environ, now=now)


def _moved(made: Path, path: Path) -> None:
    """
    Move a file to where there must be none.
    """
    try:
        path.hardlink_to(made)  # unlike a rename it fails where there is a file
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if path.exists():
            raise
        made.replace(path)


def _checked(made: Path, path: Path, environ: Mapping[str, str], now: float) -> None:
    try:
        load(made, environ, now=now)
    except ConfigError as error:
        for each in error.problems:
            each.file = str(path)  # not the file that is gone when this is read
        raise
