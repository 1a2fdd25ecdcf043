"""
YAML text → plain data that still knows where each part stands.

Theory of operation
-------------------
`nodes` scans and composes; nothing is constructed by PyYAML. `_Builder` walks the nodes once: it
resolves plain scalars by the few words and numbers JSON also has (`no`, `off`, `12:30`, `010` and
dates stay text), refuses duplicate names, and remembers line and column of every place. A syntax
error ends the reading; all else is noted and the walk goes on.

Nothing of the file's content enters a message: a secret might stand there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from proxy.config.draft import Finding, Mark, Place
from proxy.config.nodes import START, Flaw, NotYaml, compose, mark_at, mark_of

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES: Final = 1024 * 1024
"""Size cap: 1 MiB holds some five thousand routes."""

# YAML 1.2.2 §10.3.2 (core schema), without octal and hexadecimal numbers and without leading zeros,
# which other readers take for octal.
_WORDS: Final[Mapping[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_FLOAT: Final = re.compile(
    r"(?=.*[.eE])[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,3})?"
)

_HALF: Final = re.compile("[\ud800-\udfff]")
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters and halves of characters, which only escapes can bring in."""


@dataclass(frozen=True, slots=True)
class Document:
    """
    What a file says.

    Attributes:
        data: Mappings as dict, sequences as list, scalars as str, int, float, bool or None.
        marks: Where each place stands: a mapping's entry at its name, a list's at its value.
        findings: What is wrong with the writing itself.
    """

    data: object
    marks: Mapping[Place, Mark]
    findings: tuple[Finding, ...] = ()


def parse(content: bytes) -> Document:
    """
    Read *content* as one YAML document; JSON is read as well.

    What is wrong is in the result's `findings`; after a syntax error `data` is None.
    """
    try:
        root, flaws = compose(_text(content))
    except NotYaml as error:
        return Document(None, {(): error.mark}, (Finding((), error.what, error.instead),))
    builder = _Builder(flaws, {(): START})
    data = builder.build(root, ())
    return Document(data, builder.marks, tuple(builder.findings))


def _text(content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise NotYaml(START, "is larger than 1 MiB", "split it among several proxies")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        mark = mark_at(content[: error.start].decode("utf-8-sig"))
    raise NotYaml(mark, "is not UTF-8 text", "save it as UTF-8")


def _whole(text: str) -> str:
    r"""
    Join the halves of a character that JSON writes as two escapes (`\ud83d\ude00`).
    """
    if not _HALF.search(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


@dataclass(slots=True)
class _Builder:
    """
    Walks nodes once; collects data, marks and findings.
    """

    flaws: Mapping[int, Flaw]
    marks: dict[Place, Mark]
    findings: list[Finding] = field(default_factory=list)

    def build(self, node: Node | None, place: Place) -> object:
        """
        Return the plain data of *node*, which stands at *place*.
        """
        if node is None:
            return None
        self.marks.setdefault(place, mark_of(node.start_mark))
        if id(node) in self.flaws:
            self.findings.append(Finding(place, *self.flaws[id(node)]))
        if isinstance(node, MappingNode):
            return self._mapping(node, place)
        if isinstance(node, SequenceNode):
            return [self.build(item, (*place, index)) for index, item in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        return self._scalar(node, place)

    def _mapping(self, node: MappingNode, place: Place) -> dict[str, object]:
        data: dict[str, object] = {}
        for key, value in node.value:
            name = self._name(key, place)
            if name is None:
                continue
            entry = (*place, name)
            if name in data:
                first = self.marks[entry].line
                self._note_at(key, entry, f"is written twice, first on line {first}", "keep one")
                continue
            self.marks[entry] = mark_of(key.start_mark)
            data[name] = self.build(value, entry)
        return data

    def _name(self, key: Node, place: Place) -> str | None:
        """
        Return a mapping entry's name as text; None, with a finding, if it has none we read.
        """
        if id(key) in self.flaws:
            self._note_at(key, (*place, "?"), *self.flaws[id(key)])
            return None
        if not isinstance(key, ScalarNode):
            self._note_at(key, (*place, "?"), "a name must be plain text", "")
            return None
        if key.value == "<<" and key.style is None:
            self._note_at(
                key, (*place, "?"), "a merge key (<<) is not read", "write the settings out"
            )
            return None
        name = _whole(key.value)
        if _CONTROL.search(name):
            self._note_at(key, (*place, "?"), "a name holds a control character", "remove it")
            return None
        return name

    def _note_at(self, node: Node, place: Place, what: str, instead: str) -> None:
        """
        Note a finding that stands at *node* itself, a name, rather than where *place* begins.
        """
        self.findings.append(Finding(place, what, instead, mark=mark_of(node.start_mark)))

    def _scalar(self, node: ScalarNode, place: Place) -> object:
        text = _whole(node.value)
        if _CONTROL.search(text):
            self.findings.append(Finding(place, "holds a control character", "remove it"))
            return None
        if node.style is not None:
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.fullmatch(text):
            return int(text)
        return float(text) if _FLOAT.fullmatch(text) else text
