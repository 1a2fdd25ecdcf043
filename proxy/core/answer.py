"""
What an issuer answers is hostile data: it is read strictly and quoted with care.

`read_object` takes a JSON object or nothing. `quoted` makes a piece of an answer fit for a log
line: short, printable, and without what was sent (an issuer may echo an assertion or a secret).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.core.secret import Secret

# Ours: a token answer is below 16 KiB even with a large JWT, a discovery document below 8 KiB.
MAX_ANSWER = 262_144

# Ours: the longest description ZITADEL sends is below 100 characters.
MAX_QUOTE = 160

# Runs that look like a token, an assertion's part or key material: base64url or hex, no dot, no
# colon, longer than any word of an error description.
_TOKENLIKE = re.compile(r"[A-Za-z0-9_~+/=-]{33,}")


def read_object(body: bytes) -> dict[str, Any]:
    """
    Return the JSON object in *body*.

    Duplicate names, NaN and Infinity, a byte order mark, another encoding than UTF-8 and bodies
    above `MAX_ANSWER` bytes are refused: two readers could understand them differently
    (RFC 8259 §4, §6, §8.1).

    Raises:
        ValueError: In words that continue "the answer …" and hold nothing of the body.
    """
    value, complaint = _parsed(body)
    # Raised here, outside any `except`: a JSONDecodeError carries the whole text it read.
    if complaint:
        raise ValueError(complaint)
    if not isinstance(value, dict):
        raise ValueError("is not a JSON object")  # noqa: TRY004 - wrong data, not a wrong argument
    return value


def quoted(text: object, *, hide: Iterable[Secret] = (), limit: int = MAX_QUOTE) -> str:
    """
    Return *text* as one short printable line, or an empty string if it is no text.

    Args:
        text: Something out of an answer.
        hide: Secrets that were sent with the request; replaced by `***` wherever they stand.
        limit: The most characters to return.
    """
    if not isinstance(text, str):
        return ""
    for secret in hide:
        if secret:
            text = text.replace(secret.reveal(), "***")
    line = "".join(c if c.isprintable() else " " for c in text[: 8 * limit])
    line = _TOKENLIKE.sub("***", " ".join(line.split()))
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _parsed(body: bytes) -> tuple[Any, str]:
    """
    Return the value in *body* and an empty complaint, or None and what is wrong with it.
    """
    if len(body) > MAX_ANSWER:
        return None, f"is larger than {MAX_ANSWER} bytes"
    value: Any = None
    complaint = ""
    try:
        value = json.loads(body.decode(), object_pairs_hook=_once, parse_constant=_refuse)
    except _OddJsonError as exc:
        complaint = str(exc)
    except UnicodeDecodeError:
        complaint = "is not UTF-8"
    except RecursionError:
        complaint = "nests too deeply"
    except ValueError:  # also a byte order mark, and a number of more digits than Python converts
        complaint = "is not JSON" if body.strip() else "is empty"
    return value, complaint


class _OddJsonError(ValueError):
    """
    Text the json module reads and this file does not.
    """


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise _OddJsonError("repeats a name")
    return names


def _refuse(_constant: str) -> None:
    raise _OddJsonError("holds a number JSON does not have (NaN or Infinity)")
