"""
Credentials whose files change are read anew while the proxy runs.

Theory of operation
-------------------
`look` is called every couple of seconds and goes through all service users' files in a thread
(`proxy.rotation.survey`). Files whose state is another than when they were read are read once that state
has been the same on two looks, so that a file being written in place is left alone until it
settles. What can be read and differs from what is in use goes to the keeper; what cannot be read
leaves the old in use, is complained of once and tried again at each look. Equal content is no news.
Of a user with several files, the reader decides what it can do without.

`reread` is called when an issuer or upstream has refused a credential: perhaps its successor lies
there already. It does not wait for files to settle, so what it takes is looked at once more when
they have.

Both may read the same file at once, and the older reading may arrive last. So a reading counts only
if what is in use is still what was in use when it began; else the files are read once more.

A file system that does not answer holds up its own service users alone: they are left out until
their thread comes back. Should it hang for `MOST_HUNG` of them, nobody is looked at until then.

Reading an RSA key keeps Python's lock for some fifty milliseconds, thread or not: what has not
changed is therefore not read.

State, all of it changed on the event loop only: the users in use, what was seen of their files,
what was complained of, and which threads are under way.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from proxy.core.label import label
from proxy.rotation.sight import UNSETTLED, Finding, Sight, examine, reading
from proxy.rotation.survey import Survey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from proxy.core.credential import ServiceUser
    from proxy.rotation.sight import Read, State

    Rotate: TypeAlias = Callable[[ServiceUser], None]

PATIENCE = 5.0
"""Seconds a file system has for one service user's files before it counts as hanging; ours."""

REREAD_PAUSE = 1.0
"""Seconds between two readings of one service user's files for refusals; ours."""

MOST_HUNG = 8
"""Threads of looks that may hang at once; ours."""

MOST_COMPLAINTS = 16
"""Different complaints told of one service user before its files can be read again; ours."""

HANGS = "the file system does not answer"
MEANWHILE = "the credential read before goes on being used"


@dataclass(slots=True)
class Reread:
    """
    A reading that somebody waits for.

    Attributes:
        survey: The thread.
        begun: When, by the boot clock.
        open: Whether others may come to wait for it.
    """

    survey: Survey[Finding]
    begun: float
    open: bool = True


class Rotation:
    """
    Keeps one generation's service users up with their files.

    Args:
        users: The service users as they were first read.
        read: Reads a user's files anew; blocks, and raises `CredentialInvalid`.
        files: Absolute paths of the files a user's credentials come from; asked once.
        on_event: Told of `credential.reloaded` and `credential.unreadable`: the name and its facts.
        boot: Seconds since some start, never backwards.
        seen: The files' states (`proxy.rotation.sight.state`) from before *users* were read, by user. Of
            users that are not in it, the first look takes for granted that they are up to date.
        patience: Seconds, as `PATIENCE`.
    """

    def __init__(  # noqa: PLR0913 - its whole surroundings, by keyword
        self,
        users: Iterable[ServiceUser],
        read: Read,
        files: Callable[[str], tuple[Path, ...]],
        *,
        on_event: Callable[..., None],
        boot: Callable[[], float],
        seen: Mapping[str, State] | None = None,
        patience: float = PATIENCE,
    ) -> None:
        before = seen or {}
        self._users = {user.name: user for user in users}
        self._files = {name: paths for name in self._users if (paths := tuple(files(name)))}
        self._sights = {name: Sight(before.get(name), before.get(name)) for name in self._files}
        self._complaints: dict[str, set[str]] = {name: set() for name in self._files}
        self._read = read
        self._on_event = on_event
        self._boot = boot
        self._patience = patience
        self._looking = False
        self._hung: dict[str, Survey[Finding]] = {}
        self._rereads: dict[str, Reread] = {}

    @property
    def users(self) -> tuple[ServiceUser, ...]:
        """
        All service users, those without files too, with the credentials last handed out.
        """
        return tuple(self._users.values())

    async def look(self, rotate: Rotate) -> None:
        """
        Go through all service users' files once; return at once if such a look is under way.

        Args:
            rotate: Takes a user whose credentials have changed.
        """
        self._forgive()
        pieces = [(n, self._examination(n)) for n in self._files if n not in self._hung]
        if self._looking or not pieces or len(self._hung) >= MOST_HUNG:
            return
        self._looking = True
        survey = Survey(pieces)
        try:
            await self._follow(survey, rotate)
        finally:
            survey.leave()
            self._looking = False

    async def reread(self, name: str) -> ServiceUser | None:
        """
        Read a user's files now, since what is in use has been refused; raises nothing.

        All who ask for the same user at a time share one reading. None is the answer within
        `REREAD_PAUSE` of the last reading's start, and to all if the file system hangs.

        Returns:
            The user if its credentials differ from those in use when this was called, else None.
        """
        if name not in self._files:
            return None
        user = self._users[name]
        reread = self._reread(name)
        if reread is None:
            return None
        try:
            ended = await reread.survey.ended(self._patience)
        finally:
            # Whoever leaves early may have been the last to wait: nobody gets what comes then
            reread.open = False
        if not ended:
            self._complain(name, HANGS)
        for finding in reread.survey.taken():
            self._heed(finding)
        now = self._users[name]
        return now if now.credentials != user.credentials else None

    def __repr__(self) -> str:
        return f"<Rotation of {len(self._files)} service users>"

    async def _follow(self, survey: Survey[Finding], rotate: Rotate) -> None:
        """
        Heed what the survey finds while it goes on; leave it where it hangs.
        """
        steps = -1
        while steps != survey.steps and not survey.over:
            steps = survey.steps
            _ = await survey.ended(self._patience)
            for finding in survey.taken():
                self._heed(finding, rotate)
        if not survey.over:
            self._hung[survey.at] = survey
            self._complain(survey.at, HANGS)

    def _forgive(self) -> None:
        """
        Take in again whose thread has come back.
        """
        for name in [name for name, survey in self._hung.items() if survey.over]:
            del self._hung[name]
            self._complaints[name].discard(HANGS)

    def _reread(self, name: str) -> Reread | None:
        """
        Return the reading to wait for, a new one if there may be one; None if there may not.
        """
        now = self._boot()
        last = self._rereads.get(name)
        if last is not None:
            if last.open:
                return last
            if not last.survey.over or now < last.begun + REREAD_PAUSE:
                return None
        piece = partial(reading, self._files[name], self._users[name], self._read)
        self._rereads[name] = Reread(Survey([(name, piece)]), now)
        return self._rereads[name]

    def _examination(self, name: str) -> Callable[[], Finding | None]:
        return partial(
            examine, self._files[name], self._users[name], self._read, self._sights[name]
        )

    def _heed(self, finding: Finding, rotate: Rotate | None = None) -> None:
        """
        Take over what was found: by a look, which hands it to *rotate*, or for who asked to reread.
        """
        user, new = finding.user, finding.outcome
        name = user.name
        sight = self._sights[name]
        if new is None:
            self._sights[name] = sight.moved(finding.state)
        elif isinstance(new, str):
            self._sights[name] = Sight(sight.seen or UNSETTLED)
            self._complain(name, new)
        elif user is not self._users[name]:
            self._sights[name] = Sight(UNSETTLED)  # another reading came first
        else:
            changed = new.credentials != user.credentials
            if changed:
                self._take(new, rotate)
            if rotate is not None:
                self._sights[name] = Sight(finding.state, finding.state)
            elif changed:
                self._sights[name] = Sight(UNSETTLED)  # it may have been written at that moment
            self._complaints[name].clear()

    def _take(self, new: ServiceUser, rotate: Rotate | None) -> None:
        if rotate is not None:
            rotate(new)
        self._users[new.name] = new
        self._on_event("credential.reloaded", **label(new))

    def _complain(self, name: str, reason: str) -> None:
        """
        Tell once that a user's files cannot be read for this reason, until they can.
        """
        told = self._complaints[name]
        if reason in told or len(told) >= MOST_COMPLAINTS:
            return
        told.add(reason)
        self._on_event(
            "credential.unreadable", service_user=name, reason=reason, meanwhile=MEANWHILE
        )
