"""
What is seen of a service user's files: their state, and what they hold.

A file's state is what `stat` says of it, links followed: a link that is turned (Kubernetes'
`..data`), a file renamed over another and one written in place all differ from what was before.
`examine` and `reading` block: they run in a thread (`proxy.rotation.survey`) and raise nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from proxy.errors import CredentialInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from proxy.core.credential import ServiceUser

    Read: TypeAlias = Callable[[str], ServiceUser]
    """Reads a service user's files anew; raises `CredentialInvalid`."""

State: TypeAlias = tuple[tuple[int, ...], ...]
"""What `stat` says of some files: equal as long as none of them changed."""

GONE: tuple[int, ...] = ()
"""Stands in a `State` for a file that is not there."""

UNSETTLED: State = ()
"""Equal to no files' state: they are to be seen twice more before they are read."""

IS_GONE = "the file is gone"


@dataclass(frozen=True, slots=True)
class Sight:
    """
    What looks have seen of a service user's files.

    Attributes:
        seen: Their state at the last look; None before the first.
        read: Their state when they were last read well; None if they must be read.
    """

    seen: State | None = None
    read: State | None = None

    def moved(self, now: State) -> Sight:
        """
        Return this after files were seen in another state, and not read.
        """
        first = self.seen is None
        return Sight(now, now if first and present(now) else self.read)


@dataclass(frozen=True, slots=True)
class Finding:
    """
    What a thread brings back of one service user.

    Attributes:
        user: As it was in use when the thread began.
        state: The state of its files, before they were read.
        outcome: The user with what its files hold now; why they cannot be used; None if they were
            not read.
    """

    user: ServiceUser
    state: State
    outcome: ServiceUser | str | None


def state(paths: Iterable[Path]) -> State:
    """
    Return the state of the files at *paths*. Blocks; raises nothing.
    """
    return tuple(_stat(path) for path in paths)


def present(seen: State) -> bool:
    """
    Say whether all the files are there, as far as `stat` may tell.
    """
    return all(len(file) > 1 for file in seen)


def _stat(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return GONE
    except OSError as error:
        return (error.errno or -1,)
    except ValueError:  # a NUL in the path
        return (-1,)
    # The change time tells a file apart whose other times a copying tool has set back
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size, found.st_ctime_ns


def examine(paths: tuple[Path, ...], user: ServiceUser, read: Read, sight: Sight) -> Finding | None:
    """
    Return what there is to heed of a user's files, None if nothing; runs in the thread.
    """
    now = state(paths)
    if now != sight.seen:
        return Finding(user, now, None)
    return None if now == sight.read else Finding(user, now, _outcome(user, now, read))


def reading(paths: tuple[Path, ...], user: ServiceUser, read: Read) -> Finding:
    """
    Read a user's files whatever they look like; runs in the thread.
    """
    now = state(paths)
    return Finding(user, now, _outcome(user, now, read))


def _outcome(user: ServiceUser, now: State, read: Read) -> ServiceUser | str:
    if not any(now):  # of several files, the reader knows which it can do without
        return IS_GONE
    try:
        return read(user.name)
    except CredentialInvalid as error:
        return error.reason
    except Exception as error:  # noqa: BLE001 - whatever a file does to one user, the others go on
        # Not its text, which may quote the file
        return f"reading it failed ({type(error).__name__})"
