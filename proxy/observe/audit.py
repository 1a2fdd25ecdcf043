"""
The record of credential use: one `credential.used` for each request that took a token upstream.

A line names the token by a fingerprint that says nothing to whoever lacks the key: HMAC-SHA256 of
the token, 16 hex digits. It is made once for each token. Who has both the key and a token that leaked
finds where it was used:

    printf %s TOKEN | openssl dgst -sha256 -hmac "$(cat KEYFILE)" | grep -o '[0-9a-f]*$' | cut -c 1-16

Lines go to the log's sink or to one of their own (`observe.file.FileSink`), in batches as the access
log's do; nothing here waits for a disk.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

from proxy.observe.access import BATCH, PATIENCE, AccessLog, timestamp
from proxy.observe.formats import event_form

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from proxy.core.secret import Secret
    from proxy.core.token import Token
    from proxy.observe.file import FileSink
    from proxy.observe.formats import LogFormat
    from proxy.observe.sink import LineSink

EVENT = "credential.used"

MARKS = 4096
"""Fingerprints remembered at once; a proxy has one token in use for each service user."""


class AuditLog(AccessLog):
    """
    Writes the `credential.used` lines.

    Args:
        sink: Where they go.
        wall: Seconds since the epoch.
        loop: Whose timer flushes a batch that stays small.
        key: Of the fingerprints.
        style: The form of lines.
        file: The sink, if it is this record's alone.
    """

    def __init__(
        self,
        sink: LineSink,
        wall: Callable[[], float],
        loop: asyncio.AbstractEventLoop,
        key: Secret,
        *,
        style: LogFormat = "json",
        file: FileSink | None = None,
    ) -> None:
        super().__init__(sink, wall, loop)
        self._file = file
        self._key = key
        self._marks: dict[str, str] = {}
        self._form = event_form(style)

    @property
    def dropped(self) -> int:
        """
        Lines lost, of a file; among the log's lines they are counted there.
        """
        return 0 if self._file is None else self._file.dropped

    def reopen(self) -> None:
        """
        Open the file anew, if there is one.
        """
        if self._file is not None:
            self.flush()
            self._file.reopen()

    def mark(self, token: Token) -> str:
        """
        Return the token's fingerprint.
        """
        known = self._marks.get(token.fingerprint)
        if known is not None:
            return known
        if len(self._marks) >= MARKS:
            self._marks.clear()
        made = fingerprint(self._key, token.value)
        self._marks[token.fingerprint] = made
        return made

    def write(self, record: dict[str, Any]) -> None:
        """
        Add a line; `timestamp`, `level` and `event` are put in front.
        """
        first = {"timestamp": timestamp(self._wall()), "level": "info", "event": EVENT}
        self._lines.append(self._form({**first, **record}))
        if len(self._lines) >= BATCH:
            self.flush()
        elif self._timer is None:
            self._timer = self._loop.call_later(PATIENCE, self.flush)


def fingerprint(key: Secret, token: Secret) -> str:
    """
    Return 16 hex digits that only who has the key can make of the token.
    """
    made = hmac.digest(key.reveal().encode(), token.reveal().encode(), "sha256")
    return made.hex()[:16]
