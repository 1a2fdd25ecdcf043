"""
A file or standard input → a draft.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from proxy.config import document
from proxy.config.draft import Draft, Finding, Place
from proxy.errors import ConfigError
from proxy.problem import Problem

if TYPE_CHECKING:
    from typing import BinaryIO

Source = Path | Literal["-"]
"""A file, or `-` for standard input."""


def read(source: Source, stdin: BinaryIO | None) -> Draft:
    """
    Return what *source* says as a draft; what is wrong with its writing is in the findings.

    Args:
        source: A file, or `-` for standard input.
        stdin: Read instead of standard input; None for the real one.

    Raises:
        ConfigError: The file cannot be read at all.
    """
    base = Path.cwd()
    if source == "-":
        origin = "stdin"
        content = (stdin or sys.stdin.buffer).read(document.MAX_BYTES + 1)
    else:
        origin, base = str(source), Path(os.path.abspath(source)).parent  # noqa: PTH100 - resolve() would follow links
        try:
            content = _content(source)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            what, instead = f"cannot be read: {reason}", _instead(error)
            raise ConfigError([Problem("file", what, instead=instead, file=origin)]) from error
    read = document.parse(content)
    findings = list(read.findings)
    if not isinstance(read.data, dict):
        if not findings:
            findings = [Finding((), "holds no settings", 'start with "version: 1"')]
        return Draft({}, origin, base, read.marks, findings=tuple(findings))
    data: dict[str, object] = {}
    empty: list[Place] = []
    for name, value in read.data.items():
        kept = _without_nulls(value, (name,), empty)
        if kept is not None:
            data[name] = kept
    said = {finding.place for finding in findings}
    findings.extend(
        Finding(place, "is empty", "give it a value, or remove the line")
        for place in empty
        if place not in said
    )
    if not data and not findings:
        findings.append(Finding((), "is empty", 'start with "version: 1"'))
    return Draft(data, origin, base, read.marks, findings=tuple(findings))


def _instead(error: OSError | ValueError) -> str:
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return "write the path of a proxy.yaml that exists, or - for standard input"
        case IsADirectoryError():
            return "write the path of the file in it"
        case PermissionError():
            return "give the user authproxy runs as, or its group, the right to read it"
        case _:
            return "write the path of a text file, or - for standard input"


def _content(path: Path) -> bytes:
    if path.is_dir():
        raise IsADirectoryError(0, "it is a folder")
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # no wait for a FIFO
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is not a regular file")
        return file.read(document.MAX_BYTES + 1)


def _without_nulls(value: object, place: Place, empty: list[Place]) -> object:
    """
    Return *value* without its empty settings, and add their places to *empty*: each is refused,
    since `callers:` with nothing behind it must not quietly mean everyone.
    """
    if value is None:
        empty.append(place)
        return None
    if isinstance(value, dict):
        kept = {key: _without_nulls(each, (*place, key), empty) for key, each in value.items()}
        return {key: each for key, each in kept.items() if each is not None}
    if isinstance(value, list):
        items = [_without_nulls(each, (*place, at), empty) for at, each in enumerate(value)]
        return ["" if each is None else each for each in items]
    return value
