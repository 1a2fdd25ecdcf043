"""
One mistake in a configuration, as its author reads it.
"""

from __future__ import annotations


class Problem:
    """
    One thing wrong with a configuration: where, what, and what to write instead.

    Args:
        path: Dotted path of the setting, such as `service_users.reporter.key_file`.
        what: What is wrong; never the value of a secret.
        instead: What to write instead; empty if `what` already says it.
        file: The file's name as the user gave it.
        line: Line from 1; 0 if the setting did not come from a file.
        column: Column from 1; 0 likewise.
    """

    __slots__ = ("column", "file", "instead", "line", "path", "what")

    def __init__(
        self,
        path: str,
        what: str,
        *,
        instead: str = "",
        file: str = "proxy.yaml",
        line: int = 0,
        column: int = 0,
    ) -> None:
        self.path = path
        self.what = what
        self.instead = instead
        self.file = file
        self.line = line
        self.column = column

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        fix = f"; {self.instead}" if self.instead else ""
        return f"{where}  {self.path}  {self.what}{fix}"

    def __repr__(self) -> str:
        return f"<Problem {self}>"
