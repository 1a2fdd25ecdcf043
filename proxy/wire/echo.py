"""
Bytes that must not come back: found in what an upstream answers, and blotted out.

Theory of operation
-------------------
What is looked for, the words, is said by the exchange (`watched`); what they are is nothing to this
file. A word is blotted out by as many `*`, so lengths and sizes that are told elsewhere stay true.

A head, a trailer section or a body that is there whole is looked through at once (`blot`). A body
that comes in pieces goes through a `Sieve`: where a piece ends with the beginning of a word, that
beginning is held back until the next bytes show whether the word goes on, and nothing else is ever
held back. The first `SHOWN` bytes of a word are not held back either: they tell nothing, and a
piece that happens to end with one of them is not to be kept from a caller who waits for it. If the
word does go on, the rest of it is blotted out. What is held back when a body breaks off is lost with
the rest of it.

Only the very bytes are found: not a word that is encoded, compressed, encrypted or cut in two by
ranges. State: one sieve belongs to one body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SHOWN = 4
"""Bytes of a word that may be seen. Every JWT begins with the same."""

TRIES = 32
"""Places tried by comparison before the word's beginnings are searched for in one pass."""


def blot(words: Iterable[bytes], data: bytes) -> bytes:
    """
    Return *data* with the words blotted out; the very same object if there are none.
    """
    for word in words:
        if word in data:
            data = data.replace(word, b"*" * len(word))
    return data


class Sieve:
    """
    What gets through of one body that comes in pieces.

    Args:
        words: What does not; each longer than `SHOWN`.

    Attributes:
        found: A word was blotted out in the last piece.
    """

    __slots__ = ("_heads", "_held", "_sent", "_words", "found")

    def __init__(self, words: tuple[bytes, ...]) -> None:
        self._words = words
        self._heads = tuple(word[:size] for word in words for size in range(1, SHOWN + 1))
        self._held = b""  # the end of what came, if it begins a word
        self._sent = 0  # how many of its bytes have gone through
        self.found = False

    def take(self, data: bytes) -> bytes:
        """
        Take a piece; return what gets through now.
        """
        self.found = False
        sent = self._sent
        if self._held:
            data = self._held + data
            self._held = b""
            self._sent = 0
        clean = blot(self._words, data)
        if clean is not data:
            self.found = True
        begun = self._begun(clean)
        if not begun:
            return clean[sent:] if sent else clean
        start = len(clean) - begun
        self._held = clean[start:]
        if begun <= SHOWN:
            self._sent = begun
            return clean[sent:] if sent else clean
        self._sent = max(sent - start, 0)
        return clean[sent:start]

    def rest(self) -> bytes:
        """
        Return what is still held back: the body has ended.
        """
        held, sent = self._held, self._sent
        self._held = b""
        self._sent = 0
        return held[sent:]

    def _begun(self, data: bytes) -> int:
        """
        Return with how many bytes of a word's beginning *data* ends.
        """
        longest = max(longest_beginning(word, data) for word in self._words)
        if longest or not data.endswith(self._heads):
            return longest
        return max(len(head) for head in self._heads if data.endswith(head))


def longest_beginning(word: bytes, data: bytes) -> int:
    """
    Return with how many bytes of *word*'s beginning *data* ends: more than `SHOWN` and less than
    all, or 0.
    """
    head = word[: SHOWN + 1]
    at = data.find(head, max(len(data) - len(word) + 1, 0))
    for _ in range(TRIES):
        if at < 0:
            return 0
        if word.startswith(data[at:]):
            return len(data) - at
        at = data.find(head, at + 1)
    if at < 0:
        return 0
    size = _follow(word, data[at:])
    return size if size > SHOWN else 0


def _follow(word: bytes, data: bytes) -> int:
    """
    Return with how many bytes of *word*'s beginning *data* ends, however often it begins in there.

    Source: Knuth, Morris, Pratt, "Fast pattern matching in strings" (1977).

    Args:
        word: The word.
        data: Less than it.
    """
    falls = [0] * len(data)  # how much of the word its beginning of this length also ends with
    size = 0
    for at in range(1, len(data)):
        while size and word[at] != word[size]:
            size = falls[size - 1]
        size += word[at] == word[size]
        falls[at] = size
    size = 0
    for byte in data:
        while size and byte != word[size]:
            size = falls[size - 1]
        size += byte == word[size]
    return size
