"""
The type every credential travels in, from the file it is read from to the header it ends in.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import NoReturn


class Secret:
    """
    A text that only `reveal()` shows.

    `repr`, `str`, format and tracebacks show `***`; `==` takes the same time whatever differs;
    pickling is refused.
    """

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        self.__text = text

    def reveal(self) -> str:
        """
        Return the text itself. Every call site is a place where a secret may leave: keep them few.
        """
        return self.__text

    def fingerprint(self) -> str:
        """
        Return 16 hex digits that tell two secrets apart and say nothing else of them.

        Long random secrets only (keys, tokens): a guessable text could be found by trying.
        """
        return sha256(self.__text.encode()).hexdigest()[:16]

    def __repr__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __bool__(self) -> bool:
        return bool(self.__text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.__text.encode(), other.reveal().encode())

    def __hash__(self) -> int:
        return hash((Secret, self.__text))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")
