"""
Token answers that are nearly right: a real token is minted, then its answer is spoiled.
"""

from __future__ import annotations

import codecs
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.sandbox.faults import Faults

# Levels of nesting: more than most recursive parsers go, in few bytes.
DEPTH = 10_000

# Would be a header of its own if a client wrote the token into a request as it is.
INJECTED = "\r\nX-Injected: yes"


def odd_answer(faults: Faults, answer: dict[str, object]) -> bytes:
    """
    Return a token answer as it is sent, spoiled by the faults that are on.
    """
    _spoil_members(faults, answer)
    body = json.dumps(answer).encode()
    if faults.take("token-deep"):
        body = _with_member(body, b'"deep": ' + b"[" * DEPTH + b"]" * DEPTH)
    if faults.take("token-not-utf8"):
        body = _with_member(body, b'"note": "\xe9t\xe9"')  # latin-1
    if faults.take("token-duplicate"):
        first = {name: f"first {name}" for name in answer}
        body = json.dumps(first).encode()[:-1] + b", " + body[1:]
    if faults.take("token-bom"):
        body = codecs.BOM_UTF8 + body
    return body


def _spoil_members(faults: Faults, answer: dict[str, object]) -> None:
    if faults.take("token-type"):
        answer["token_type"] = faults.text("token-type")
    if faults.take("token-newline"):
        answer["access_token"] = f"{answer['access_token']}{INJECTED}"
    if faults.take("no-access-token"):
        del answer["access_token"]
    if faults.take("no-expires-in"):
        answer.pop("expires_in", None)
    if faults.take("odd-expires-in"):
        answer["expires_in"] = faults.value("odd-expires-in")


def _with_member(body: bytes, member: bytes) -> bytes:
    return body[:-1] + b", " + member + b"}"
