"""
HTTP/1.1 messages read by the letter of RFC 9112: the judge of what this project's wire reads.

Written for plainness, not speed, and without a look at the wire's own code or parser. Where the RFC
leaves a choice to recipients (bare LF, folded lines, several Content-Lengths, obs-text in requests),
the strict side is taken: whatever the wire forwards must be a request here too, and the same one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # RFC 9110 §5.6.2
# RFC 9112 §3, which lets recipients take more than one space, as the parser does
REQUEST_LINE = re.compile(rb"(%b) +([!-~]+) +HTTP/1\.([01])\Z" % TOKEN)
# RFC 9112 §4; a reason with control bytes is not judged here, as the wire does not pass it on
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: ([^\r\n]*))?\Z")
REQUEST_FIELD = re.compile(rb"(%b):[ \t]*((?:[!-~](?:[\t -~]*[!-~])?)?)[ \t]*\Z" % TOKEN)
# RFC 9110 §5.5: obs-text is data to whoever relays a response
RESPONSE_FIELD = re.compile(
    rb"(%b):[ \t]*((?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?)[ \t]*\Z" % TOKEN
)
# RFC 9112 §7.1; an extension's own form is not judged here, as extensions are not passed on
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]+)(?:;[\t -~\x80-\xff]*)?\Z")
DIGITS = re.compile(rb"[0-9]+\Z")


class Malformed(Exception):
    """
    Not a message by the letter.
    """


class Incomplete(Exception):
    """
    More bytes may make a message of it.
    """


@dataclass
class Message:
    """
    One message as it stands on the wire.

    Attributes:
        line: The start line without its end.
        raw: The head as it stood there, its empty line included.
        fields: Name as spelt and value without white space around it, in order.
        body: The body, chunks joined.
        trailers: As `fields`; behind a chunked body only.
        chunked: The body came in chunks.
        complete: All of it came.
        until_close: Only the connection's end ends the body.
    """

    line: bytes
    fields: list[tuple[bytes, bytes]]
    raw: bytes = b""
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    chunked: bool = False
    complete: bool = False
    until_close: bool = False

    @property
    def method(self) -> bytes:
        """
        A request's method.
        """
        return self.line.split()[0]

    @property
    def target(self) -> bytes:
        """
        A request's target.
        """
        return self.line.split()[1]

    @property
    def status(self) -> int:
        """
        A response's status.
        """
        return int(self.line.split(b" ", 2)[1])

    @property
    def reason(self) -> bytes:
        """
        A response's reason phrase.
        """
        return b"".join(self.line.split(b" ", 2)[2:])

    def values(self, name: bytes) -> list[bytes]:
        """
        Return the values of a field, by lower-case name.
        """
        return [value for each, value in self.fields if each.lower() == name]


@dataclass
class Stream:
    """
    What a sequence of bytes holds.

    Attributes:
        messages: Those that are whole, in order; interim responses among them.
        partial: The head, and the body so far, of one that is not; None if its head is not whole.
        rest: Bytes of a head that is not whole.
        fault: Why the next bytes are no message; empty if they are, or may become one.
    """

    messages: list[Message] = field(default_factory=list)
    partial: Message | None = None
    rest: bytes = b""
    fault: str = ""


class Cursor:
    """
    A place in a sequence of bytes.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def line(self) -> bytes:
        """
        Take a line; its CRLF goes with it and is not returned.
        """
        end = self.data.find(b"\r\n", self.at)
        seen = self.data[self.at : end if end >= 0 else len(self.data)]
        if b"\n" in seen or b"\r" in seen[: None if end >= 0 else -1]:
            raise Malformed("bare CR or LF")
        if end < 0:
            raise Incomplete
        self.at = end + 2
        return seen

    def fields(self, grammar: re.Pattern[bytes]) -> list[tuple[bytes, bytes]]:
        """
        Take field lines and the empty line behind them.
        """
        found = []
        while line := self.line():
            match = grammar.match(line)
            if match is None:
                raise Malformed("field line")
            found.append((match[1], match[2]))
        return found

    def take(self, size: int) -> bytes:
        """
        Take at most so many bytes.
        """
        taken = self.data[self.at : self.at + size]
        self.at += len(taken)
        return taken


def read_requests(data: bytes) -> Stream:
    """
    Read what a client sent.
    """
    return _read(data, _request_head)


def read_responses(data: bytes, methods: list[bytes], *, ended: bool) -> Stream:
    """
    Read what a server sent.

    Args:
        data: The bytes.
        methods: Of the requests it answers, in order.
        ended: Whether the server closed the connection behind them, in order.
    """
    waiting = list(methods)

    def head(cursor: Cursor) -> tuple[Message, int | None]:
        return _response_head(cursor, waiting)

    stream = _read(data, head)
    partial = stream.partial
    if ended and partial is not None and partial.until_close:
        partial.complete = True
        stream.messages.append(partial)
        stream.partial = None
    return stream


def _read(data: bytes, head) -> Stream:
    """
    Read messages. Line ends before a start line are skipped (RFC 9112 §2.2), of whatever sort, also
    in responses: the parser does so too, and nothing can come of it.
    """
    stream = Stream()
    cursor = Cursor(data)
    while cursor.at < len(data):
        if data[cursor.at] in b"\r\n":
            cursor.at += 1
            continue
        begin = cursor.at
        try:
            message, length = head(cursor)
        except Incomplete:
            stream.rest = data[begin:]
            return stream
        except Malformed as fault:
            stream.fault = str(fault)
            return stream
        message.raw = data[begin : cursor.at]
        try:
            _read_body(cursor, message, length)
        except Malformed as fault:
            stream.fault = str(fault)
        except Incomplete:
            pass
        if not message.complete:
            stream.partial = message
            return stream
        stream.messages.append(message)
    return stream


def _request_head(cursor: Cursor) -> tuple[Message, int | None]:
    line = cursor.line()
    match = REQUEST_LINE.match(line)
    if match is None:
        raise Malformed("request line")
    message = Message(line, cursor.fields(REQUEST_FIELD))
    hosts = len(message.values(b"host"))
    if hosts > 1 or (not hosts and match[3] == b"1"):
        raise Malformed("Host")
    length = _framing(message, http10=match[3] == b"0")
    return message, length or 0


def _response_head(cursor: Cursor, waiting: list[bytes]) -> tuple[Message, int | None]:
    line = cursor.line()
    match = STATUS_LINE.match(line)
    if match is None:
        raise Malformed("status line")
    message = Message(line, cursor.fields(RESPONSE_FIELD))
    length = _framing(message, http10=match[1] == b"0")
    if message.status < 200:
        message.chunked = False
        return message, 0
    if not waiting:
        raise Malformed("a response nobody asked for")
    if waiting.pop(0) == b"HEAD" or message.status in (204, 304):
        message.chunked = False
        return message, 0
    message.until_close = length is None and not message.chunked
    return message, length


def _framing(message: Message, *, http10: bool) -> int | None:
    """
    Return the Content-Length, having seen whether the body is chunked.
    """
    codings, lengths = message.values(b"transfer-encoding"), message.values(b"content-length")
    if codings:
        if lengths or http10 or [coding.lower() for coding in codings] != [b"chunked"]:
            raise Malformed("Transfer-Encoding")
        message.chunked = True
        return None
    if not lengths:
        return None
    if len(lengths) > 1 or DIGITS.match(lengths[0]) is None:
        raise Malformed("Content-Length")
    return int(lengths[0])


def _read_body(cursor: Cursor, message: Message, length: int | None) -> None:
    if message.chunked:
        _read_chunks(cursor, message)
    elif length is None:
        message.body = cursor.take(len(cursor.data))
    else:
        message.body = cursor.take(length)
        message.complete = len(message.body) == length


def _read_chunks(cursor: Cursor, message: Message) -> None:
    while True:
        match = CHUNK_LINE.match(cursor.line())
        if match is None:
            raise Malformed("chunk size")
        size = int(match[1], 16)
        if not size:
            break
        piece = cursor.take(size)
        message.body += piece
        if len(piece) < size or len(cursor.data) < cursor.at + 2:
            raise Incomplete
        if cursor.take(2) != b"\r\n":
            raise Malformed("chunk end")
    message.trailers = cursor.fields(RESPONSE_FIELD)
    message.complete = True
