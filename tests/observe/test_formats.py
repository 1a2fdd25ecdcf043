"""
The forms of the log: one event is one line, whatever it says, and reads back as what it said.
"""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import ConfigError
from proxy.observe import combined, ecs, logfmt
from proxy.observe.access import no_request
from proxy.observe.formats import CHOICES, VARIABLE, choose, event_form, open_access
from proxy.observe.log import loss_notice, make_logger

WALL = 1_700_000_000.0625
STAMP = "2023-11-14T22:13:20.062Z"
RECORD = {
    "request_id": "i-1",
    "trace_id": "0af7651916cd43dd8448eb211c80319c",
    "client": "192.0.2.7:51234",
    "caller": "ci",
    "method": "GET",
    "path": "/orders/42",
    "route": "orders",
    "service_user": "reporter",
    "upstream": "https://orders.example",
    "status": 200,
    "upstream_status": 200,
    "error": None,
    "token": "cached",
    "replayed": False,
    "bytes_in": 3,
    "bytes_out": 512,
    "duration_ms": 1.5,
    "token_ms": 0.0,
    "upstream_ms": 1.25,
}

# Apache's documentation, mod_log_config: "%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-agent}i\""
COMBINED = re.compile(
    r'(\S+) (\S+) (\S+) \[([^\]]+)\] "((?:\\.|[^"\\])*)" (\d{3}) (\d+) "([^"]*)" "([^"]*)"\Z'
)
PAIR = re.compile(r'([^\s="]+)=("(?:\\.|[^"\\])*"|[^\s"=\\]*)(?: |\Z)')

hostile = st.text(
    st.one_of(st.sampled_from("\n\r\t \"'\\=[]\x00\x1b\x7f\x85\u2028\u202e,{}"), st.characters()),
    max_size=30,
)


class ListSink:
    """
    Keeps what it is handed.
    """

    def __init__(self):
        self.raw = b""

    def put(self, piece):
        """
        Keep a piece.
        """
        self.raw += piece


def pairs(line):
    """
    Read a logfmt line.
    """
    found = {}
    at = 0
    while at < len(line):
        match = PAIR.match(line, at)
        assert match, line[at:]
        key, value = match[1], match[2]
        assert key not in found
        found[key] = json.loads(value) if value.startswith('"') else value
        at = match.end()
    return found


async def written(style, record, requests="all"):
    """
    Return the bytes a request's line is.
    """
    sink = ListSink()
    loop = asyncio.get_running_loop()
    log = open_access(style, sink, lambda: WALL, loop, requests=requests, colour=False)
    log.write(record)
    log.flush()
    return sink.raw


def one_line(raw):
    """
    Return the one line there is, by anybody's idea of lines.
    """
    text = raw.decode()
    assert text.endswith("\n")
    assert len(text.splitlines()) == 1
    return text[:-1]


# Requests


async def test_ecs_names_what_the_schema_has_names_for():
    """
    Fields of the Elastic Common Schema first; what it does not know is under `authproxy`.
    """
    line = json.loads(one_line(await written("ecs", {**RECORD, "later": 1})))

    assert list(line)[:3] == ["@timestamp", "log.level", "message"]
    assert line == {
        "@timestamp": STAMP,
        "log.level": "info",
        "message": "GET /orders/42 200",
        "ecs.version": ecs.VERSION,
        "service.name": "authproxy",
        "event.action": "request.done",
        "event.category": ["web"],
        "event.duration": 1_500_000,
        "http.request.id": "i-1",
        "trace.id": RECORD["trace_id"],
        "source.address": "192.0.2.7:51234",
        "source.ip": "192.0.2.7",
        "source.port": 51234,
        "user.name": "ci",
        "http.request.method": "GET",
        "url.path": "/orders/42",
        "http.response.status_code": 200,
        "http.request.body.bytes": 3,
        "http.response.body.bytes": 512,
        "authproxy.route": "orders",
        "authproxy.service_user": "reporter",
        "authproxy.upstream": "https://orders.example",
        "authproxy.upstream_status": 200,
        "authproxy.token": "cached",
        "authproxy.replayed": False,
        "authproxy.token_ms": 0.0,
        "authproxy.upstream_ms": 1.25,
        "authproxy.later": 1,
    }


async def test_ecs_splits_an_error_into_code_and_words():
    """
    `code: words` of the JSON log are two fields.
    """
    record = {**RECORD, "status": 502, "error": "upstream_connect: refused: by all"}
    line = json.loads(one_line(await written("ecs", record)))

    assert line["error.code"] == "upstream_connect"
    assert line["error.message"] == "refused: by all"


@pytest.mark.parametrize(
    ("client", "told"),
    [
        pytest.param("::1:80", {"source.ip": "::1", "source.port": 80}, id="IPv6"),
        pytest.param("unix", {}, id="Unix socket"),
    ],
)
async def test_ecs_tells_address_and_port_where_there_are_any(client, told):
    """
    A Unix socket has neither.
    """
    line = json.loads(one_line(await written("ecs", {**RECORD, "client": client})))

    assert line["source.address"] == client
    assert {key: line[key] for key in ("source.ip", "source.port") if key in line} == told


async def test_combined_is_what_apache_writes():
    """
    Address, caller, time, request line, status, bytes; no Referer, no User-Agent.
    """
    assert one_line(await written("combined", RECORD)) == (
        '192.0.2.7 - ci [14/Nov/2023:22:13:20 +0000] "GET /orders/42 HTTP/1.1" 200 512 "-" "-"'
    )


async def test_logfmt_is_pairs():
    """
    The JSON log's keys in its order, without what is left open.
    """
    line = one_line(await written("logfmt", RECORD))

    assert line.startswith(
        f"timestamp={STAMP} level=info event=request.done request_id=i-1 trace_id={RECORD['trace_id']}"
        " client=192.0.2.7:51234 caller=ci method=GET path=/orders/42 route=orders"
    )
    assert " replayed=false bytes_in=3 bytes_out=512 duration_ms=1.5 " in line
    assert "error" not in line


@pytest.mark.parametrize("style", CHOICES[1:])
@pytest.mark.parametrize(
    "record",
    [
        no_request("i", client="unix", status=400, error='bad_request: "'),
        {**RECORD, "path": None, "route": None, "caller": None, "trace_id": None},
    ],
    ids=["no request", "no path"],
)
async def test_every_form_writes_what_is_half_known(style, record):
    """
    Something that never became a request, and a target that must not be shown, are a line too.
    """
    line = one_line(await written(style, record))

    assert style == "json" or "null" not in line
    assert "None" not in line or style == "console"


@pytest.mark.parametrize("style", ["json", "ecs", "logfmt", "combined", "console"])
@settings(max_examples=150, deadline=None)
@given(path=hostile, caller=hostile, error=hostile)
async def test_no_request_forges_a_line_or_a_field(style, path, caller, error):
    """
    Whatever stands in a path, a name or an error: one line, which reads back.
    """
    path, caller, error = (
        text.encode("utf-8", "replace").decode() for text in (path, caller, error)
    )
    record = {**RECORD, "path": path, "caller": caller, "error": error}
    raw = await written(style, record)

    assert raw.count(b"\n") == 1
    if style in {"logfmt", "combined", "console"}:
        assert not set(raw[:-1]) & {*range(32), 127}
    if style == "json":
        assert (
            json.loads(raw)
            == {"timestamp": STAMP, "level": "info", "event": "request.done"} | record
        )
    elif style == "ecs":
        line = json.loads(raw)
        assert line["url.path"] == path
        assert line["user.name"] == caller
        assert line["http.response.status_code"] == 200
    elif style == "logfmt":
        found = pairs(one_line(raw))
        assert (found["path"], found["caller"], found["error"]) == (path, caller, error)
        assert found["status"] == "200"
    elif style == "combined":
        match = COMBINED.match(one_line(raw))
        assert match is not None
        assert (match[1], match[6], match[7]) == ("192.0.2.7", "200", "512")
        assert len(match[5].split(" ")) == 3
        told = re.sub(r"\\x(..)", lambda hexed: chr(int(hexed[1], 16)), match[5].split(" ")[1])
        assert told.encode("latin-1").decode() == (path or "-")


# Other events


@pytest.mark.parametrize("style", CHOICES[1:])
@settings(max_examples=100, deadline=None)
@given(reason=hostile, causes=st.lists(hostile, max_size=3), name=hostile)
def test_no_event_forges_a_line_or_a_field(style, reason, causes, name):
    """
    Whatever an issuer says of a mint that failed: one line, which reads back.
    """
    reason, name = (text.encode("utf-8", "replace").decode() for text in (reason, name))
    causes = [text.encode("utf-8", "replace").decode() for text in causes]
    sink = ListSink()
    log = make_logger(sink, lambda: WALL, style=style, colour=False)
    log.warning("token.mint_failed", reason=reason, likely=tuple(causes), user={"name": name})

    assert sink.raw.count(b"\n") == 1
    if style == "json":
        line = json.loads(sink.raw)
        assert (line["reason"], line["likely"], line["user"]) == (reason, causes, {"name": name})
    elif style == "ecs":
        line = json.loads(sink.raw)
        assert (line["authproxy.reason"], line["authproxy.likely"]) == (reason, causes)
        assert line["log.level"] == "warning"
        assert line["message"] == line["event.action"] == "token.mint_failed"
    else:
        line = one_line(sink.raw)
        assert line.isprintable()
        if style != "console":
            found = pairs(line)
            assert (found["reason"], found["user.name"]) == (reason, name)
            assert json.loads(found["likely"]) == causes


@pytest.mark.parametrize("style", CHOICES[1:])
def test_a_traceback_is_told_without_credentials(style):
    """
    In every form, and in all but the console's on the event's own line.
    """
    sink = ListSink()
    try:
        _ = dict[str, str]()["Bearer canary-0123456789"]
    except KeyError as error:
        make_logger(sink, lambda: WALL, style=style, colour=False).error("bug", exc_info=error)

    assert b"KeyError" in sink.raw
    assert b"canary" not in sink.raw
    assert style == "console" or sink.raw.count(b"\n") == 1


@pytest.mark.parametrize("style", CHOICES[1:])
@pytest.mark.parametrize(
    "odd",
    ["/etc/\udcff.yaml", 2**70, {1: "one"}, float("nan")],
    ids=["no text", "large", "key", "no number"],
)
def test_no_fact_is_too_odd_to_be_told(style, odd):
    """
    A line comes of every event: a name that is no text must not end what it is told of.
    """
    told = {"timestamp": STAMP, "level": "error", "event": "config.rejected", "fact": odd}
    line = event_form(style, colour=False)(told)
    assert b"config.rejected" in line
    assert b"\n" not in line
    if style in ("json", "ecs"):
        assert "fact" in " ".join(json.loads(line))


@pytest.mark.parametrize("style", CHOICES[1:])
def test_lost_lines_are_told_in_the_same_form(style):
    """
    The notice of a gap is an event like any other.
    """
    expected = event_form(style, colour=False)(
        {"timestamp": STAMP, "level": "warning", "event": "log.dropped", "lines": 3}
    )
    assert loss_notice(lambda: WALL, style=style)(3) == expected + b"\n"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("plain-1.0/x:y", "plain-1.0/x:y"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "hi"', '"say \\"hi\\""'),
        ("C:\\", '"C:\\\\"'),
        ("é", '"é"'),
        ("\x7f", '"\\u007f"'),
        ("a\nb", '"a\\nb"'),
        (True, "true"),
        (1.5, "1.5"),
    ],
)
def test_logfmt_quotes_what_is_not_plain(value, told):
    """
    As JSON quotes a text; a key keeps only what cannot end it.
    """
    assert logfmt.line({"a b=": value, "none": None}).decode() == f"a_b_={told}"


def test_combined_knows_english_months():
    """
    Whatever the locale, and in UTC.
    """
    assert combined.stamp(0) == "01/Jan/1970:00:00:00 +0000"


# Which form, and which requests


@pytest.mark.parametrize(
    ("flag", "variable", "setting", "terminal", "chosen"),
    [
        pytest.param("json", "ecs", "logfmt", True, "json", id="the flag before all"),
        pytest.param("auto", "ecs", "logfmt", True, "console", id="also if it is auto"),
        pytest.param(None, "ecs", "logfmt", False, "ecs", id="then the environment"),
        pytest.param(None, "", "logfmt", True, "logfmt", id="then the file"),
        pytest.param(None, "", "auto", True, "console", id="a person at a terminal"),
        pytest.param(None, "", "auto", False, "json", id="a machine"),
    ],
)
def test_the_nearest_word_decides_the_form(flag, variable, setting, terminal, chosen):
    """
    Command line, environment, proxy.yaml; in the end, who reads.
    """
    assert choose(flag, {VARIABLE: variable}, setting, terminal=terminal) == chosen


def test_a_form_there_is_not_is_refused():
    """
    The environment is not checked by click.
    """
    with pytest.raises(ConfigError, match=r"AUTHPROXY_LOG_FORMAT  is no log format; write one of"):
        choose(None, {VARIABLE: "xml"}, "auto")


@pytest.mark.parametrize(
    ("requests", "change", "lines"),
    [
        ("all", {}, 1),
        ("errors", {}, 0),
        ("errors", {"status": 404}, 1),
        ("errors", {"error": "caller_left"}, 1),
        ("off", {"status": 500}, 0),
    ],
)
@pytest.mark.parametrize("style", ["json", "ecs"])
async def test_only_the_requests_asked_for_have_a_line(style, requests, change, lines):
    """
    All, those that went wrong, or none.
    """
    assert (await written(style, {**RECORD, **change}, requests)).count(b"\n") == lines
