"""
Reading the configuration again: all or nothing.

Theory of operation
-------------------
One attempt at a time. The file is read and checked in a thread of its own (a file system may hang,
and a large file takes its time); if it says what serves already, nothing happens. Otherwise
everything it needs is prepared while the old one serves on: a problem anywhere refuses the whole,
with all that was found. Only then it is put in service (`runtime` does both).

An attempt belongs to nobody: who asked for it may leave. Whoever asks while one waits for its turn
shares it: it has read nothing yet. A file system that does not answer holds one thread, and every
attempt is refused until that comes back.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeAlias

from proxy.admin.reloads import Outcome, Reload
from proxy.config.difference import differences
from proxy.config.load import load
from proxy.config.secrets import path_of
from proxy.errors import ConfigError
from proxy.problem import Problem
from proxy.rotation.survey import Survey
from proxy.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from proxy.admin.reloads import Trigger
    from proxy.config.load import Loaded
    from proxy.observe.metrics import Metrics

    Read: TypeAlias = tuple[Loaded, Mapping[str, bytes]]
    """A configuration, and what tells the files beside it from what they were."""

PATIENCE = 30.0
"""Seconds that reading the files may take."""

MOST = 100
"""Problems that are logged and kept of one attempt."""

STOPPING = ("the proxy is stopping",)


class Reloader:
    """
    Reloads the configuration; an `admin.reloads.Reloads`.

    Args:
        loaded: What serves.
        environ: The environment secrets may come from.
        wall: Seconds since the epoch.
        log: Told of each attempt.
        metrics: Likewise.
        change: Puts another configuration in service; returns the service users without a token, and
            raises `ConfigError` if it cannot be.

    Attributes:
        loaded: What serves.
        last: The last attempt that changed anything or failed.
        origin: What the configuration's source is called.
    """

    def __init__(
        self,
        loaded: Loaded,
        environ: Mapping[str, str],
        wall: Callable[[], float],
        log: FilteringBoundLogger,
        metrics: Metrics,
        change: Callable[[Loaded], Awaitable[tuple[str, ...]]],
    ) -> None:
        self.loaded = loaded
        self.origin = loaded.origin
        self._environ = environ
        self._wall = wall
        self._log = log
        self._metrics = metrics
        self._change = change
        self._marks: Mapping[str, bytes] = _marks(loaded, environ)
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._waiting: dict[Trigger, asyncio.Task[Reload]] = {}  # for their turn
        self._survey: Survey[Read | Exception] | None = None  # one that has not come back
        self._closed = False
        self.last = Reload(1, wall(), "start", "started", warnings=_lines(loaded.warnings))
        self._note(self.last)

    async def reload(self, trigger: Trigger) -> Reload:
        """
        Read the configuration again, and serve by it if it can be used. Raises nothing.
        """
        work = self._waiting.get(trigger)
        if work is None:
            work = spawn(self._tasks, self._attempt(trigger), name="reload")
            self._waiting[trigger] = work
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            if not work.cancelled():
                raise
            return self._rejected(trigger, STOPPING)

    async def close(self) -> None:
        """
        Let an attempt that is under way come to nothing, or to its end.
        """
        self._closed = True
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def paths(self) -> Iterator[Path]:
        """
        Yield the files whose change calls for an attempt: itself, and those that are read with it
        and not watched by anybody else.
        """
        if self.loaded.source not in (None, "-"):
            yield self.loaded.files[0]
        yield from _beside(self.loaded, self._environ)

    async def _attempt(self, trigger: Trigger) -> Reload:
        async with self._lock:
            self._waiting.pop(trigger, None)
            try:
                return await self._tried(trigger)
            except ConfigError as error:
                return self._rejected(trigger, _lines(error.problems))
            except Exception as bug:  # noqa: BLE001 - what serves goes on
                self._log.error("internal.error", message="reload", exc_info=bug)
                return self._rejected(trigger, ("a bug; see internal.error in the log",))

    async def _tried(self, trigger: Trigger) -> Reload:
        if self._closed:
            return self._rejected(trigger, STOPPING)
        loaded, marks = await self._read()
        if loaded.settings == self.loaded.settings and marks == self._marks:
            self.loaded = loaded  # lines may have moved
            return self._unchanged(trigger, loaded)
        changes = differences(self.loaded.settings, loaded.settings)
        without = await self._change(loaded)
        self.loaded, self._marks = loaded, marks
        changes = changes or ("the files it names",)
        done = self._made(trigger, "reloaded", changes=changes, warnings=_lines(loaded.warnings))
        done = replace(done, generation=done.generation + 1)
        self._note(done)
        self.last = done
        self._log.info(
            "config.reloaded",
            trigger=trigger,
            generation=done.generation,
            changes=done.changes,
            without_token=without,
        )
        for problem in done.warnings:
            self._log.warning("config.warning", problem=problem)
        return done

    async def _read(self) -> Read:
        """
        Read and check the configuration, in a thread.

        Raises:
            ConfigError: It cannot be used.
        """
        source = self.loaded.source
        if source == "-" or (source is None and self.origin != "environment"):
            raise _unreadable(self.origin, "was read from standard input, which has ended")
        if self._survey is not None and not self._survey.over:
            raise _unreadable(self.origin, "its file system does not answer")

        def piece() -> Read | Exception:
            try:
                loaded = load(source, self._environ, now=self._wall())
                return loaded, _marks(loaded, self._environ)
            except Exception as error:  # noqa: BLE001 - a survey's piece must not raise
                return error

        survey: Survey[Read | Exception] = Survey([("configuration", piece)])
        self._survey = survey
        await survey.ended(PATIENCE)
        for found in survey.taken():
            if isinstance(found, Exception):
                raise found
            return found
        raise _unreadable(self.origin, f"could not be read within {PATIENCE:g} s")

    def _unchanged(self, trigger: Trigger, loaded: Loaded) -> Reload:
        done = self._made(trigger, "unchanged", warnings=_lines(loaded.warnings))
        if self.last.outcome == "rejected":
            self.last = done  # what was refused is gone from the file
        self._note(done)
        if trigger != "file":
            self._log.info("config.unchanged", trigger=trigger, generation=done.generation)
        return done

    def _rejected(self, trigger: Trigger, problems: tuple[str, ...]) -> Reload:
        again = self.last.outcome == "rejected" and self.last.problems == problems
        done = self._made(trigger, "rejected", problems=problems)
        self.last = replace(done, warnings=self.last.warnings)
        self._note(done)
        if not again or trigger != "file":
            self._log.error(
                "config.rejected",
                trigger=trigger,
                generation=done.generation,
                problems=problems,
                reason="what served before goes on",
            )
        return done

    def _made(self, trigger: Trigger, outcome: Outcome, **facts: tuple[str, ...]) -> Reload:
        return Reload(self.last.generation, self._wall(), trigger, outcome, **facts)

    def _note(self, done: Reload) -> None:
        """
        Count an attempt.
        """
        metrics = self._metrics
        metrics.generation = done.generation
        metrics.reload_successful = done.outcome != "rejected"
        if done.outcome in {"started", "reloaded"}:
            metrics.reloaded_at = done.at
        if done.outcome != "started":
            metrics.reloads[done.outcome] += 1


def _lines(problems: Any) -> tuple[str, ...]:
    return tuple(str(problem) for problem in problems[:MOST])


def _unreadable(origin: str, what: str) -> ConfigError:
    return ConfigError([Problem("file", what, instead="restart to change it", file=origin)])


def _beside(loaded: Loaded, environ: Mapping[str, str]) -> Iterator[Path]:
    """
    Yield the files that a generation reads when it is made, and nobody after that: certificates, and
    what issuers are asked about callers' tokens with.
    """
    for issuer in loaded.settings.issuers.values():
        asked = issuer.introspection
        own = (issuer.ca_file, None if asked is None else asked.key_file)
        yield from (loaded.base / path for path in own if path is not None)
        secret = None if asked is None else asked.client_secret
        if secret is not None and (found := path_of(secret, loaded.base, environ)) is not None:
            yield found
    for route in loaded.settings.routes:
        for path in (route.ca_file, route.client_cert_file, route.client_key_file):
            if path is not None:
                yield loaded.base / path


def _marks(loaded: Loaded, environ: Mapping[str, str]) -> dict[str, bytes]:
    """
    Return what tells the files beside the configuration from what they were.
    """
    marks = {}
    for path in _beside(loaded, environ):
        try:
            marks[str(path)] = sha256(path.read_bytes()).digest()
        except OSError:
            marks[str(path)] = b""  # whoever needs it says what is wrong
    return marks
