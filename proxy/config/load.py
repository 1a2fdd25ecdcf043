"""
From a file, standard input or the environment to settings that can be trusted.

Theory of operation
-------------------
Reading gives a `Draft`. All checks then run, whatever the others find: shape (pydantic, all of
it, a misspelt method taken for the one meant), references (on the raw data), rules between entries
and files (on each entry whose own shape is right, validated one by one). A finding below a place that reading already refused is an echo and
dropped. Any finding left refuses the whole; otherwise warnings are gathered.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter, ValidationError

from proxy.config import environment, files, method, rules
from proxy.config.audit import Audit
from proxy.config.caller import Caller
from proxy.config.draft import Draft, Finding, Mark, Place
from proxy.config.ending import endings
from proxy.config.lint import lint
from proxy.config.model import Issuer, Listener, Settings
from proxy.config.route import Route
from proxy.config.rules import Entries
from proxy.config.secret_source import SecretEnv, SecretFile
from proxy.config.service_user import ServiceUser
from proxy.config.source import Source, read
from proxy.config.words import translate
from proxy.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import BinaryIO

    from proxy.problem import Problem

VARIABLE: Final = "AUTHPROXY_CONFIG"
SYSTEM_FILE: Final = Path("/etc/authproxy/proxy.yaml")

_ADAPTERS: Final[Mapping[str, TypeAdapter[Any]]] = {
    "audit": TypeAdapter(Audit),
    "listen": TypeAdapter(Listener),
    "issuers": TypeAdapter(Issuer),
    "service_users": TypeAdapter(ServiceUser),
    "callers": TypeAdapter(Caller),
    "routes": TypeAdapter(Route),
}


@dataclass(frozen=True, slots=True)
class Loaded:
    """
    A configuration that passed every check.

    Attributes:
        settings: The settings.
        origin: What the source is called: the file as given, `stdin` or `environment`.
        base: Absolute folder that relative paths in the settings start from.
        files: Absolute path of every file the configuration was made of, itself included.
        warnings: What is allowed but doubtful, in the order of the file.
        marks: Where each place stands; empty if it came from the environment.
        source: Where it was read, to read it again; None if it came from the environment.
    """

    settings: Settings
    origin: str
    base: Path
    files: tuple[Path, ...]
    warnings: tuple[Problem, ...]
    marks: Mapping[Place, Mark]
    source: Source | None = None

    def where(self, place: Place) -> str:
        """
        Return `file:line` of *place*; the origin alone if it has no lines.
        """
        mark = Draft({}, self.origin, self.base, self.marks).mark(place)
        return f"{self.origin}:{mark.line}" if mark else self.origin


def find(explicit: str | None, environ: Mapping[str, str], cwd: Path) -> Source | None:
    """
    Return where the configuration is: the first of `--config`, $AUTHPROXY_CONFIG, ./proxy.yaml,
    /etc/authproxy/proxy.yaml; None if there is no file, for a start from the environment.

    Args:
        explicit: What `--config` said; None if it was not used. `-` is standard input.
        environ: The environment.
        cwd: The folder to look in, also `Path()`.
    """
    named = explicit or environ.get(VARIABLE)
    if named:
        return "-" if named == "-" else Path(named)
    return next((path for path in (cwd / "proxy.yaml", SYSTEM_FILE) if _there(path)), None)


def _there(path: Path) -> bool:
    """
    Tell whether there is such a file; a folder that may not be looked into counts as having it, so
    that it is said rather than passed over.
    """
    try:
        return path.exists()
    except OSError:
        return True


def load(
    source: Source | None,
    environ: Mapping[str, str],
    *,
    now: float,
    stdin: BinaryIO | None = None,
) -> Loaded:
    """
    Read and check a configuration.

    Args:
        source: A file, `-` for standard input, or None for the environment.
        environ: The environment; secrets may come from it.
        now: Seconds since the epoch, to tell whether a credential has ended.
        stdin: Read instead of standard input.

    Raises:
        ConfigError: It cannot be used; every problem is in it, in the order of the file.
    """
    draft = environment.draft(environ, Path.cwd()) if source is None else read(source, stdin)
    if not draft.data:
        raise ConfigError(draft.problems(draft.findings))
    return _judge(draft, source, environ, now)


def _judge(draft: Draft, source: Source | None, environ: Mapping[str, str], now: float) -> Loaded:
    settings: Settings | None = None
    data, found = method.assume(draft.data)
    try:
        settings = Settings.model_validate(data)
    except ValidationError as error:
        found.extend(translate(error, data))
    entries = _entries(data)
    found.extend(rules.check(data, entries))
    start = "the configuration file's folder"
    if not isinstance(source, Path):
        start = "the folder authproxy was started in"
    ends: dict[Place, float] = {}
    found.extend(files.check(entries, draft.base, start, environ, ends))
    refused = {finding.place for finding in draft.findings}
    found = [each for each in found if not _below(each.place, refused)]
    if settings is None or found or draft.findings:
        raise ConfigError(draft.problems([*draft.findings, *found]))
    return Loaded(
        settings,
        draft.origin,
        draft.base,
        tuple(_paths(source, draft.base, entries)),
        draft.problems(
            [
                *lint(settings),
                *endings(settings, ends, now),
                *files.doubts(entries, draft.base, environ),
                *_ignored(source, environ),
                *environment.misspelt(environ, _variables(entries)),
            ]
        ),
        draft.marks,
        source,
    )


def _entries(data: Mapping[str, object]) -> Entries:
    listen = data.get("listen", "127.0.0.1:8080")
    listeners = [{"address": listen}] if isinstance(listen, str) else listen
    return Entries(
        listeners=_valid("listen", listeners),
        issuers=_valid("issuers", data.get("issuers")),
        service_users=_valid("service_users", data.get("service_users")),
        callers=_valid("callers", data.get("callers")),
        routes=_valid("routes", data.get("routes")),
        audit=_valid("audit", {"audit": data.get("audit", {})}),
    )


def _valid(section: str, raw: object) -> dict[Any, Any]:
    """
    Return those entries of a section that are right by themselves.
    """
    pairs: Iterable[tuple[object, object]] = ()
    if isinstance(raw, dict):
        pairs = raw.items()
    elif isinstance(raw, list):
        pairs = enumerate(raw)
    valid = {}
    for key, value in pairs:
        try:
            valid[key] = _ADAPTERS[section].validate_python(value)
        except ValidationError:
            continue  # the whole document's validation has said why
    return valid


def _below(place: Place, refused: set[Place]) -> bool:
    return any(place[:length] in refused for length in range(1, len(place) + 1))


def _paths(source: Source | None, base: Path, entries: Entries) -> Iterator[Path]:
    if isinstance(source, Path):
        yield base / source.name
    for thing in files.outside(entries):
        if isinstance(thing.source, SecretFile):
            yield base / thing.source.path


def _variables(entries: Entries) -> frozenset[str]:
    """
    Return the variables that settings name.
    """
    sources = (thing.source for thing in files.outside(entries))
    return frozenset(source.name for source in sources if isinstance(source, SecretEnv))


def _ignored(source: Source | None, environ: Mapping[str, str]) -> Iterator[Finding]:
    if source is not None:
        for name in environment.VARIABLES:
            if environ.get(name):
                yield Finding((), f"{name} is set and not used, since there is a file", "unset it")
