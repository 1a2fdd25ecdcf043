from __future__ import annotations

import json
import logging

import pytest

from proxy.core.secret import Secret
from proxy.observe.log import loss_notice, make_logger


class ListSink:
    """
    Keeps what it is handed.
    """

    def __init__(self):
        self.pieces: list[bytes] = []

    def put(self, piece):
        """
        Keep a piece.
        """
        self.pieces.append(piece)

    def text(self):
        """
        Return all of it.
        """
        return b"".join(self.pieces).decode()


def fail():
    """
    Fail with a credential in a local variable.
    """
    header = b"Bearer canary"
    raise ValueError("oops" if header else "")


def failure():
    """
    Return an error with a traceback.
    """
    try:
        fail()
    except ValueError as error:
        return error


def test_events_are_redacted():
    """
    What bears a telling name, or travels as a secret, is not shown; a traceback is.
    """
    sink = ListSink()
    log = make_logger(sink, lambda: 0.0)
    log.error("internal.error", authorization="canary", value=Secret("canary"), exc_info=failure())
    line = json.loads(sink.pieces[0])

    assert "canary" not in str(line)
    assert line["event"] == "internal.error"
    assert "oops" in str(line["exception"])
    assert line["timestamp"] == "1970-01-01T00:00:00.000Z"


@pytest.mark.parametrize("console", [True, False], ids=["console", "json"])
def test_a_traceback_shows_no_locals(console):
    """
    Local variables hold callers' headers: a traceback names places, not values.
    """
    sink = ListSink()
    make_logger(sink, lambda: 0.0, style="console" if console else "json").error(
        "internal.error", exc_info=failure()
    )

    assert "oops" in sink.text()
    assert "fail" in sink.text()
    assert sink.text().count("canary") == 0


def test_json_begins_with_stamp_level_and_event():
    """
    An event begins as a request's line does; what it says follows in its order.
    """
    sink = ListSink()
    log = make_logger(sink, lambda: 0.0)
    log.warning("token.refused", service_user="u", error=None)

    assert sink.text() == (
        '{"timestamp":"1970-01-01T00:00:00.000Z","level":"warning","event":"token.refused",'
        '"service_user":"u","error":null}\n'
    )


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        ({"seconds": 0.060619519999818294}, " seconds=0.061"),
        ({"note": "", "why": None, "names": [], "facts": {}}, ""),
        ({"listen": ["127.0.0.1:1", "127.0.0.1:2"]}, " listen=127.0.0.1:1, 127.0.0.1:2"),
        ({"problem": "two words"}, ' problem="two words"'),
        ({"problem": 'a"b'}, r' problem="a\"b"'),
        ({"problem": "\x1b[2J\n\x9b"}, r' problem="\u001b[2J\n\u009b"'),
        ({"count": 0, "on": False, "off": True}, " count=0 on=false off=true"),
        ({"user": "\u00e9"}, " user=\u00e9"),
        ({"facts": {"a": 1.0, "b": None}}, " facts=a:1.000"),
        ({"value": Secret("canary")}, " value=***"),
        ({"password": "canary"}, " password=***"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else "",
)
def test_console_event_is_one_line(facts, shown):
    """
    Clock, level and event, then what it says in a person's words; nothing moves the cursor.
    """
    sink = ListSink()
    log = make_logger(sink, lambda: 27052.5, style="console", colour=False)
    log.info("token.minted", **facts)

    assert sink.text() == f"07:30:52 info token.minted{shown}\n"


@pytest.mark.parametrize(
    ("level", "code"), [(logging.INFO, 32), (logging.WARNING, 33), (logging.ERROR, 31)]
)
def test_console_event_has_its_levels_colour(level, code):
    """
    With colours the level stands out and the clock steps back.
    """
    sink = ListSink()
    make_logger(sink, lambda: 0.0, style="console", colour=True).log(level, "proxy.event", a=1)

    name = logging.getLevelName(level).lower()
    assert sink.text() == (
        f"\x1b[2m00:00:00\x1b[0m \x1b[{code}m{name}\x1b[0m proxy.event \x1b[2ma=\x1b[0m1\n"
    )


def test_console_traceback_stands_below():
    """
    The event keeps its line; the traceback follows, plain.
    """
    sink = ListSink()
    log = make_logger(sink, lambda: 0.0, style="console", colour=False)
    log.error("internal.error", request_id="i", exc_info=failure())
    lines = sink.text().splitlines()

    assert lines[0] == "00:00:00 error internal.error request_id=i"
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: oops"
    assert "\x1b" not in sink.text()


def test_notice_of_lost_lines_is_an_event():
    """
    It has the shape of every other event, in either format.
    """
    assert list(json.loads(loss_notice(lambda: 0.0)(3)).items()) == [
        ("timestamp", "1970-01-01T00:00:00.000Z"),
        ("level", "warning"),
        ("event", "log.dropped"),
        ("lines", 3),
    ]
    assert loss_notice(lambda: 0.0, style="console")(3) == b"00:00:00 warning log.dropped lines=3\n"


@pytest.mark.parametrize("console", [True, False])
@pytest.mark.parametrize(
    "text",
    [
        "bad header b'Authorization: Bearer canary-token-0123456789\\r\\n'",
        "basic Y2FuYXJ5OnNlY3JldA==",
        "eyJjYW5hcnkiOjF9.eyJjYW5hcnkiOjF9.canarycanary",
        "-----BEGIN RSA PRIVATE KEY-----\ncanary\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\ncanary",
    ],
)
def test_an_exceptions_message_shows_no_credential(text, console):
    """
    Whatever a bug quotes, in the message or in what caused it.
    """
    sink = ListSink()
    bug = RuntimeError(f"planted: {text}")
    bug.__cause__ = KeyError(text)
    make_logger(sink, lambda: 0.0, style="console" if console else "json", colour=False).error(
        "bug", exc_info=bug
    )

    shown = sink.text()
    assert "planted: " in shown
    assert "canary" not in shown
    assert "Y2FuYXJ5" not in shown
    assert "eyJj" not in shown
