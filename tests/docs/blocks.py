"""
The fenced blocks of a page, each with the marks in HTML comments right before it.

Marks:
    <!-- not run: REASON -->   a sh block that cannot be run here (Docker, a real ZITADEL)
    <!-- fails: REASON -->     a sh block that must end with an error
    <!-- file: NAME -->        a block that the reader writes to a file of that name
    <!-- foreign: WHAT -->     YAML of another program: parsed only, a proxy.yaml inside is loaded
    <!-- prints -->            a text block: what the sh block before it prints; … stands for anything
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.config.document import parse
from proxy.config.model import Settings

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
MARK = re.compile(r"<!-- (not run|fails|file|foreign|prints)(?:: (.+?))? -->")
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """
    One fenced block.

    Attributes:
        page: Its page, from the root.
        line: Where it begins.
        language: What stands behind the fence.
        text: What is in it, without the indentation of a list.
        marks: What the comments before it say.
    """

    page: str
    line: int
    language: str
    text: str
    marks: dict[str, str]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def data(self) -> Any:
        """
        A proxy.yaml, or a part of one, as the program reads it.
        """
        document = parse(self.text.encode())
        assert not document.findings, (str(self), document.findings)
        return document.data

    @property
    def whole(self) -> bool:
        """
        Whether this is a whole proxy.yaml.
        """
        if self.language != "yaml" or "foreign" in self.marks:
            return False
        return isinstance(self.data, dict) and "version" in self.data

    @property
    def fragment(self) -> bool:
        """
        Whether this is a part of a proxy.yaml.
        """
        if self.language != "yaml" or "foreign" in self.marks or self.whole:
            return False
        return isinstance(self.data, dict) and set(self.data) <= set(Settings.model_fields)


def blocks(path: Path) -> list[Block]:
    """
    Return a page's blocks, in their order.
    """
    text = path.read_text()
    found = []
    for match in FENCE.finditer(text):
        indent, language, body = match.groups()
        before = text[: match.start()].rstrip()
        marks = {}
        while (last := before.rpartition("\n")[2].strip()) and (mark := MARK.fullmatch(last)):
            marks[mark[1]] = mark[2] or ""
            before = before[: -len(last)].rstrip()
        lines = [line.removeprefix(indent) for line in body.splitlines()]
        name = str(path.relative_to(ROOT))
        where = text.count("\n", 0, match.start()) + 1
        found.append(Block(name, where, language, "\n".join(lines), marks))
    return found


ALL = [block for path in PAGES for block in blocks(path)]
