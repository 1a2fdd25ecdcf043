"""
curl's command line: which words are options, which their values, which URLs.

The installed curl says itself which options take a value (`curl --help all`), so that those of its
version are known and none has to be listed here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# " -d, --data <data>   HTTP POST data", "     --compressed   Request compressed response"
_LINE: Final = re.compile(r"^ *(?:-(\S), +)?--([A-Za-z0-9][\w.-]*)( <)?", re.MULTILINE)

# curl's own help takes a category or not; it is only ever the last word
_LONE: Final = frozenset(("help",))


class Word(NamedTuple):
    """
    One option with its value, or one URL.

    Attributes:
        name: The option's long name; empty for a URL.
        value: The option's value, or the URL; None for an option without.
        words: As it stood on the command line.
    """

    name: str
    value: str | None
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Options:
    """
    curl's options.

    Attributes:
        valued: Long name → whether it takes a value.
        short: Letter → long name.
    """

    valued: Mapping[str, bool] = field(default_factory=dict)
    short: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str) -> Options:
        """
        Read what `curl --help all` prints.
        """
        valued, short = {}, {}
        for letter, name, value in _LINE.findall(text):
            valued[name] = bool(value) and name not in _LONE
            if letter:
                short[letter] = name
        return cls(valued, short)

    def long(self, name: str) -> str:
        """
        Return the option that *name* stands for: itself, or the only one that begins so, which
        older curls take.
        """
        if name in self.valued:
            return name
        alike = [each for each in self.valued if each.startswith(name)]
        return alike[0] if len(alike) == 1 else name

    def split(self, arguments: Sequence[str]) -> Iterator[Word]:
        """
        Yield the options and URLs of a command line, in their order.
        """
        rest = list(arguments)
        while rest:
            word = rest.pop(0)
            if word == "--":
                yield Word("--", None, (word,))
                yield from (Word("", url, (url,)) for url in rest)
                return
            if word.startswith("--"):
                yield self._long(word, rest)
            elif word.startswith("-") and word != "-":
                yield from self._cluster(word, rest)
            else:
                yield Word("", word, (word,))

    def _long(self, word: str, rest: list[str]) -> Word:
        name = self.long(word[2:])
        if self.valued.get(name) and rest:
            value = rest.pop(0)
            return Word(name, value, (word, value))
        return Word(name, None, (word,))

    def _cluster(self, word: str, rest: list[str]) -> Iterator[Word]:
        """
        Yield the options of a word such as `-sSXPOST`.
        """
        for place, letter in enumerate(word[1:], 2):
            name = self.short.get(letter, letter)
            if not self.valued.get(name):
                yield Word(name, None, (f"-{letter}",))
                continue
            value = word[place:]
            if value:
                yield Word(name, value, (f"-{letter}{value}",))
            elif rest:
                value = rest.pop(0)
                yield Word(name, value, (f"-{letter}", value))
            else:
                yield Word(name, None, (f"-{letter}",))
            return


def method(words: Sequence[Word]) -> str:
    """
    Return the method of the requests that curl will send.
    """
    given = {word.name: word.value for word in words}
    if given.get("request"):
        return str(given["request"])
    if "head" in given:
        return "HEAD"
    if "upload-file" in given:
        return "PUT"
    sends = {name.partition("-")[0] for name in given} & {"data", "form", "json"}
    return "POST" if sends and "get" not in given else "GET"


def headers(words: Sequence[Word]) -> dict[bytes, bytes]:
    """
    Return the headers on the command line, by lower-case name.
    """
    found = {}
    for word in words:
        name, colon, value = (word.value or "").partition(":")
        if word.name == "header" and colon and word.value and word.value.isascii():
            found[name.strip().lower().encode()] = value.strip().encode()
    return found
