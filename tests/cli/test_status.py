from __future__ import annotations

import json
import signal
import threading
from asyncio import to_thread
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import click
import pytest
import yaml

from proxy.cli.status import picture
from proxy.cli.table import bar, narrowed, rows, span

TOLD = {
    "ready": True,
    "draining": False,
    "version": "0.1.0",
    "at": 1000.0,
    "config": {
        "origin": "proxy.yaml",
        "generation": 3,
        "last": {"at": 880.0, "outcome": "rejected", "generation": 3},
    },
    "service_users": [
        {
            "name": "reporter",
            "condition": "ready",
            "fingerprint": "ab",
            "age": 10_800.0,
            "expires_in": 32_400.0,
            "renews_in": 25_000.0,
            "mints": 2,
            "last_error": "",
        },
        {"name": "dev", "condition": "ready", "fingerprint": "cd", "expires_in": None, "mints": 0},
        {"name": "late", "condition": "failing", "renews_in": -3.0, "mints": 0, "last_error": "no"},
    ],
    "routes": [
        {
            "name": "orders",
            "match": "/orders",
            "service_user": "reporter",
            "requests": 9,
            "rate": 1.5,
            "error_share": 0.25,
            "p50": 0.0042,
            "p90": 0.1,
            "p99": None,
        },
        {"name": "quiet", "match": "/q", "service_user": "dev", "requests": 0},
    ],
    "troubles": ["The configuration is refused.\x1b[2J"],
    "summary": "Ready.",
}


def shown(told):
    """
    Return the picture of what a proxy tells, without colours.
    """
    return click.unstyle("\n".join(picture(told)))


def test_the_picture_of_a_proxy():
    """
    State, configuration, what is wrong, tokens by what is left of them, routes with requests.
    """
    assert shown(TOLD).splitlines() == [
        "authproxy 0.1.0  ready",
        "proxy.yaml: generation 3, rejected 2m ago",
        "! The configuration is refused.[2J",
        "",
        "SERVICE USER  CONDITION  TOKEN             RENEWS     MINTS",
        "reporter      ready      ██████░░  9h      in 6h 56m      2",
        "dev           ready                no end                 0",
        "late          failing              none    now            0",
        "",
        "ROUTE   MATCHES  AS         RATE  ERRORS     P50       P90  P99",
        "orders  /orders  reporter  1.5/s   25.0%  4.2 ms  100.0 ms",
        "and 1 more without requests",
    ]


def test_a_token_that_nobody_uses_is_renewed_once_used():
    """
    An empty place would read as if it were never renewed; one that has no token has no renewal.
    """
    user = {"name": "a", "condition": "ready", "fingerprint": "ab", "expires_in": 60.0}

    assert shown({"service_users": [user]}).splitlines()[3].split()[3:] == ["once", "used"]
    assert "once" not in shown({"service_users": [user | {"condition": "failing"}]})


def test_a_proxy_that_tells_less_is_shown_as_far_as_it_does():
    """
    One of another version: what is missing is left out, what is odd is no trouble.
    """
    user = {"name": "a", "condition": "failing", "last_error": "refused"}
    old = {"ready": False, "draining": False, "service_users": [user]}

    assert shown(old).splitlines()[:2] == ["not ready", "! a: refused"]
    assert shown({"draining": True}) == "shutting down"
    odd = {
        "ready": 1,
        "config": [],
        "service_users": [3],
        "routes": {},
        "troubles": None,
        "at": "x",
    }
    assert shown(odd).startswith("ready")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1.0, "0s"),
        (0.4, "0s"),
        (45.0, "45s"),
        (60.0, "1m"),
        (310.0, "5m 10s"),
        (43_199.0, "11h 59m"),
        (7200.0, "2h"),
        (86_400.0 * 3 + 7300, "3d 2h"),
    ],
)
def test_lengths_of_time(seconds, text):
    """
    The two largest units, the second one left out if it is none.
    """
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("share", "drawn"), [(0.0, "░░░░"), (0.5, "██░░"), (1.0, "████"), (7.0, "████"), (-1.0, "░░░░")]
)
def test_bars(share, drawn):
    """
    Never shorter than nothing, nor longer than all.
    """
    assert bar(share, 4) == drawn


def test_a_table_is_cut_to_the_terminal_where_one_column_allows():
    """
    The other columns stay whole; what fits stays as it is, and a bit is always left.
    """
    head, body = ("A", "MATCHES", "B"), [("a", "/management/v1", "b" * 6), ("a", "/v2", "b")]

    assert narrowed(head, body, 1, 40) == body
    assert narrowed(head, body, 1, 23) == [("a", "/management…", "b" * 6), body[1]]
    assert narrowed(head, body, 1, 5) == [("a", "/manageme…", "b" * 6), body[1]]


def test_colours_do_not_shift_a_table():
    """
    A column is as wide as what is seen of its cells.
    """
    table = rows(("A", "B"), [(click.style("x", fg="red"), "1"), ("long", "22")], right=(1,))

    assert click.unstyle(table) == "A      B\nx      1\nlong  22"


class Standing(ThreadingHTTPServer):
    """
    Stands where an admin listener should be.
    """

    asked: list[tuple[str, str, str | None]]
    answer: tuple[int, bytes]


class Answering(BaseHTTPRequestHandler):
    """
    Answers every request alike, and remembers it.
    """

    def do_GET(self):
        """
        Answer.
        """
        assert isinstance(self.server, Standing)
        self.server.asked.append((self.command, self.path, self.headers.get("Authorization")))
        status, body = self.server.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """
        Say nothing.
        """


@pytest.fixture
def admin():
    """
    Something that answers where an admin listener should be.
    """
    with Standing(("127.0.0.1", 0), Answering) as server:
        server.asked = []
        server.answer = 200, json.dumps(TOLD).encode()
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def reachable(admin, config):
    """
    A configuration whose admin listener that is.
    """
    document = yaml.safe_load(config.read_text())
    document["admin"] = f"127.0.0.1:{admin.server_address[1]}"
    config.write_text(yaml.safe_dump(document))
    return config


async def test_status_asks_with_the_key(call, admin, reachable, tmp_path):
    """
    The key comes from a file; --json is what the proxy told.
    """
    key = tmp_path / "admin.key"
    key.write_text("canary-key\n")
    key.chmod(0o600)

    plain = call("status", "--config", str(reachable))
    as_json = call("status", "--json", "--config", str(reachable), "--key-file", str(key))

    assert plain.exit_code == as_json.exit_code == 0
    assert "reporter      ready" in plain.stdout
    assert "\x1b" not in plain.stdout
    assert json.loads(as_json.stdout) == TOLD
    assert admin.asked == [
        ("GET", "/status.json", None),
        ("GET", "/status.json", "Bearer canary-key"),
    ]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((401, b"send the admin key\n"), "no status (401): send the admin key; write --key-file\n"),
        ((200, b"<html>\x1b[2J"), "no status (200): <html>[2J\n"),
        ((404, b""), "no status (404): \n"),
    ],
    ids=["no key", "no JSON", "somebody else"],
)
async def test_what_is_no_status_is_said(call, admin, reachable, answer, said):
    """
    Code 1, in one line.
    """
    admin.answer = answer

    result = call("status", "--config", str(reachable))

    assert (result.exit_code, result.stdout, result.stderr) == (1, "", said)


async def test_a_broken_configuration_is_good_enough_to_find_the_proxy(call, reachable):
    """
    The proxy runs by an earlier one, and now of all times somebody wants to look.
    """
    reachable.write_text(reachable.read_text() + "bad: 1\n")

    assert call("status", "--config", str(reachable)).exit_code == 0
    reachable.write_text("admin: nonsense\n")
    lost = call("status", "--config", str(reachable))
    assert lost.exit_code == 2
    assert "admin" in lost.stderr


async def test_a_proxy_is_watched_over_a_unix_socket(start, call, sandbox, config, tmp_path):
    """
    Status and reload of a real proxy: what it tells is what is drawn; nobody there is code 1.
    """
    document = yaml.safe_load(config.read_text()) | {"admin": f"unix:{tmp_path}/admin.sock"}
    config.write_text(yaml.safe_dump(document))
    proxy = await start("run", "--config", str(config))
    await proxy.line("")

    status = await to_thread(call, "status", "--config", str(config))
    document["routes"][0]["name"] = "renamed"
    config.write_text(yaml.safe_dump(document))
    reloaded = await to_thread(call, "reload", "--config", str(config))
    config.write_text(config.read_text() + "bad: 1\n")
    refused = await to_thread(call, "reload", "--config", str(config))
    await proxy.end(signal.SIGTERM)
    gone = call("status", "--config", str(config))

    assert status.exit_code == 0
    for name in ("provisioner", "reporter", "dev"):
        assert f"\n{name} " in status.stdout
    assert reloaded.exit_code == 0
    assert "generation 2" in reloaded.stdout
    assert refused.exit_code == 1
    assert "bad  unknown setting" in refused.stderr
    assert refused.stderr.splitlines()[-1] == "refused: generation 2 goes on serving"
    assert gone.exit_code == 1
    assert gone.stderr.startswith("no answer from the admin listener unix:")


def test_json_is_not_drawn_again(call):
    """
    --json with --watch is a mistake on the command line.
    """
    assert call("status", "--json", "--watch").exit_code == 2
