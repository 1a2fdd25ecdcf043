"""
YAML text → nodes with positions; what PyYAML does for us, and where it is kept from doing more.

The composer notes what this project does not read (anchors, aliases, tags) as a flaw per node
instead of carrying it out, so an alias never makes the document larger than its text. A syntax
error is a `NotYaml` in our own words: PyYAML's quote the text, and a secret might stand there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from yaml.composer import Composer
from yaml.error import MarkedYAMLError, YAMLError
from yaml.events import AliasEvent, StreamEndEvent
from yaml.nodes import Node, ScalarNode
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from proxy.config.draft import Mark

if TYPE_CHECKING:
    from collections.abc import Mapping

Flaw = tuple[str, str]
"""What is wrong, and what to write instead."""

MAX_DEPTH: Final = 32
"""Nesting cap; proxy.yaml itself needs six."""

START: Final = Mark(1, 1)

# What PyYAML says (never its excerpt), and what a person can do about it.
_SYNTAX: Final[Mapping[str, Flaw]] = {
    "mapping values are not allowed": (
        'a ":" stands where none can',
        "check the indentation, or put the text in quotes",
    ),
    "found character '\\t'": ("a tab stands where only spaces can", "indent with spaces"),
    "could not find expected ':'": ('a ":" is missing after a name', 'write "name: value"'),
    "expected <block end>": (
        "the indentation does not fit the lines above",
        "line it up with its neighbours",
    ),
    "expected ',' or": ('a "," or a closing bracket is missing', "close what was opened"),
    "found unexpected end of stream": ("a quote is opened and never closed", "close it"),
    "found unknown escape": (
        "an unknown escape stands in double quotes",
        "write it in single quotes",
    ),
}
_OTHER: Final[Flaw] = (
    "is not valid YAML from here on",
    "check quotes, brackets and indentation",
)


class NotYaml(Exception):
    """
    The text cannot be read to its end.
    """

    def __init__(self, mark: Mark, what: str, instead: str = "") -> None:
        super().__init__(what)
        self.mark = mark
        self.what = what
        self.instead = instead


def compose(text: str) -> tuple[Node | None, Mapping[int, Flaw]]:
    """
    Return the root node of the one document in *text* (None if it has none), and flaws by node id.

    Raises:
        NotYaml: Syntax error, control character, too deep, or more than one document.
    """
    loader: Any = None
    try:
        loader = _Loader(text)
        return loader.root(), loader.flaws
    except ReaderError as error:
        where = mark_at(text[: error.position])
        raise NotYaml(where, "holds a control character", "remove it") from None
    except MarkedYAMLError as error:
        where = mark_of(error.problem_mark or error.context_mark)
        said = str(error.problem)
        flaw = next((ours for start, ours in _SYNTAX.items() if said.startswith(start)), _OTHER)
        raise NotYaml(where, *flaw) from None
    except (YAMLError, ValueError, OverflowError):
        # PyYAML lets chr() and int() fail on their own for escapes and versions out of range.
        raise NotYaml(mark_of(loader.get_mark()) if loader else START, *_OTHER) from None


def mark_of(mark: Any) -> Mark:
    """
    Return one of PyYAML's marks, which count from 0, as ours.
    """
    return Mark(mark.line + 1, mark.column + 1) if mark else START


def mark_at(before: str) -> Mark:
    """
    Return the position behind the text *before*.
    """
    return Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))


class _Loader(Reader, Scanner, Parser, Composer, BaseResolver):
    """
    PyYAML up to nodes. Partly untyped, hence `Any`.
    """

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self.flaws: dict[int, Flaw] = {}
        self._events: Any = self
        self._depth = 0

    def root(self) -> Node | None:
        """
        Compose the one document there may be.
        """
        self._events.get_event()  # the stream's start
        if self.check_event(StreamEndEvent):
            return None
        node = self.compose_document()
        if not self.check_event(StreamEndEvent):
            mark = mark_of(self._events.peek_event().start_mark)
            raise NotYaml(mark, "holds more than one document", 'remove the second "---"')
        return node

    def scan_to_next_token(self) -> None:
        """
        Skip blanks, comments and line breaks; inside brackets also tabs, as JSON needs.

        Source: YAML 1.2.2 §6.2 (separation spaces); PyYAML's own skips spaces only.
        """
        if self.index == 0 and self.peek() == "\ufeff":
            self.forward()
        while True:
            while self.peek() == " " or (self.flow_level and self.peek() == "\t"):
                self.forward()
            if self.peek() == "#":
                while self.peek() not in "\0\r\n\x85\u2028\u2029":
                    self.forward()
            if not self._events.scan_line_break():
                return
            if not self.flow_level:
                self.allow_simple_key = True

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        """
        Compose one node; an alias becomes an empty scalar with a flaw.
        """
        event = self._events.peek_event()
        if isinstance(event, AliasEvent):
            self._events.get_event()
            alias = ScalarNode("", "", event.start_mark, event.end_mark)  # type: ignore[arg-type]
            self.flaws[id(alias)] = ("an alias (*) is not read", "write the settings out")
            return alias
        if self._depth >= MAX_DEPTH:
            raise NotYaml(mark_of(event.start_mark), f"is nested deeper than {MAX_DEPTH} levels")
        flaw = None
        if event.anchor is not None:
            flaw = ("an anchor (&) is not read", "write the settings out where they are needed")
            event.anchor = None
        elif event.tag is not None:
            flaw = ("a tag (!) is not read", "write the plain value")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if flaw:
            self.flaws[id(node)] = flaw
        return node
