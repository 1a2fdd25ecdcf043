"""
What callers see: a listener's certificates, exchanged when their files change.

Theory of operation
-------------------
The server is given one context for good, a `Door`. It serves no connection itself: each new one is
made by the context of the day behind it, so that a new certificate, key or client authority takes
one assignment, and connections that stand keep what they began with. Session tickets are sealed
with keys of the context of the day: with it, old tickets and whom they once proved go too.

`look` compares the files' state with the one last seen (links followed, so that a link that is
turned counts) and reads them anew when it differs. What cannot be used leaves the old in place and
is complained of at the next look, if the files are still the same by then: whoever is about to
write the second of two files is not disturbed.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from proxy.errors import CredentialInvalid
from proxy.tls.certificate import NAMES
from proxy.tls.reading import Reading, Refused, read_listener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from proxy.config.model import ListenerTls
    from proxy.tls.certificate import Certificate

SHUTDOWN_TIME = 5.0
"""Seconds for what is unsent and the caller's farewell once a connection closes."""

DAY = 24 * 3600.0

WARNINGS = (30, 14, 3, 1)
"""Days before a certificate's end at which that is said, once each."""


class Door(ssl.SSLContext):
    """
    What a server is given: each connection is made by the context of the day.

    Attributes:
        today: That context.
    """

    today: ssl.SSLContext

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002 - ssl's own signature
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """
        Return a connection by the context of the day.
        """
        return self.today.wrap_bio(incoming, outgoing, server_side, server_hostname, session)


class ListenerCertificates:
    """
    The certificates of one listener.

    Args:
        settings: Which files.
        base: Folder that relative paths start from.
        address: What the listener is called in events.
        on_event: Told of what happens: the event's name and its facts.

    Attributes:
        door: What the server is given.

    Raises:
        CredentialInvalid: They cannot be used.
    """

    def __init__(
        self, settings: ListenerTls, base: Path, address: str, on_event: Callable[..., None]
    ) -> None:
        self._settings = settings
        self._base = base
        self._address = address
        self._on_event = on_event
        self._doubt: Refused | None = None
        self._warned: dict[bytes, int] = {}
        self._seen = self._state()
        try:
            self._reading = read_listener(settings, base)
        except Refused as refused:
            raise CredentialInvalid(refused.reason) from None
        self.door = Door(ssl.PROTOCOL_TLS_SERVER)
        self.door.today = self._reading.context

    def look(self, now: float) -> None:
        """
        Take over what has changed, and say which certificate is about to end.

        Args:
            now: Seconds since the epoch.
        """
        state = self._state()
        if state != self._seen:
            self._seen = state
            self._doubt = None
            try:
                self._exchange(read_listener(self._settings, self._base), now)
            except Refused as refused:
                self._doubt = refused
        elif self._doubt is not None:
            self._tell("certificate.rejected", self._doubt.file, reason=self._doubt.reason)
            self._doubt = None
        for certificate in self._reading.certificates:
            self._warn(certificate, now)

    def _exchange(self, new: Reading, now: float) -> None:
        known = {certificate.fingerprint for certificate in self._reading.certificates}
        changed = [each for each in new.certificates if each.fingerprint not in known]
        for certificate in changed:
            if certificate.ends <= now:
                ended = f"the certificate ended on {_day(certificate)}; put a valid one there"
                raise Refused(certificate.file, ended)
        self._reading = new
        self.door.today = new.context
        current = {certificate.fingerprint for certificate in new.certificates}
        self._warned = {mark: days for mark, days in self._warned.items() if mark in current}
        for certificate in changed or new.certificates[:1]:
            self._tell(
                "certificate.reloaded",
                certificate.file,
                names=certificate.names[:NAMES],
                not_after=_day(certificate),
            )

    def _warn(self, certificate: Certificate, now: float) -> None:
        left = (certificate.ends - now) / DAY
        due = 0 if left <= 0 else min((days for days in WARNINGS if left <= days), default=None)
        if due is None or due >= self._warned.get(certificate.fingerprint, WARNINGS[0] + 1):
            return
        self._warned[certificate.fingerprint] = due
        self._tell(
            "certificate.expiring" if due else "certificate.expired",
            certificate.file,
            names=certificate.names[:NAMES],
            not_after=_day(certificate),
            days=max(0, int(left)),
        )

    def _tell(self, event: str, file: Path, **facts: object) -> None:
        self._on_event(event, listener=self._address, file=str(file), **facts)

    def _state(self) -> tuple[object, ...]:
        return tuple(_stat(self._base / path) for path in _files(self._settings))


def _files(settings: ListenerTls) -> Iterator[Path]:
    for pair in (settings, *settings.certificates):
        yield pair.cert_file
        yield pair.key_file
    if settings.client_ca_file is not None:
        yield settings.client_ca_file


def _stat(path: Path) -> tuple[int, ...]:
    """
    Return what differs once a file is another, or may be read where it could not; empty if gone.
    """
    try:
        found = path.stat()
    except (OSError, ValueError):
        return ()
    return found.st_mtime_ns, found.st_ino, found.st_size, found.st_ctime_ns


def _day(certificate: Certificate) -> str:
    return datetime.fromtimestamp(certificate.ends, UTC).isoformat(timespec="seconds")
