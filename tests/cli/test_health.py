from __future__ import annotations

import json
import signal
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import yaml


@pytest.fixture
def port():
    """
    A port that was free a moment ago.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(params=["tcp", "unix"])
def reachable(request, config, port, tmp_path):
    """
    The configuration with an admin listener whose address is known beforehand.
    """
    address = f"127.0.0.1:{port}" if request.param == "tcp" else f"unix:{tmp_path}/admin.sock"
    document = yaml.safe_load(config.read_text()) | {"admin": address}
    config.write_text(yaml.safe_dump(document))
    return str(config)


async def test_health_follows_the_proxy(start, sandbox, reachable):
    """
    Not started: code 1 and where nobody answered. Not ready: 1 and why. Ready: 0. Stopped: 1.
    """
    before = await (await start("health", "--config", reachable)).end()
    assert (before.code, before.out) == (1, "")
    assert before.err.startswith("no answer from the admin listener ")
    assert "Traceback" not in before.err

    sandbox.faults.set("token-500")
    proxy = await start("run", "--config", reachable)
    first = json.loads(await proxy.line(""))
    assert first["event"] == "proxy.started"
    waiting = {"provisioner", "reporter"}
    while waiting:
        failed = json.loads(await proxy.line(""))
        if failed["event"] == "token.mint_failed":
            waiting.discard(failed["service_user"])

    while True:  # an attempt is told before what follows from it is drawn
        unready = await (await start("health", "--config", reachable)).end()
        assert unready.code == 1
        if "reporter cold" not in unready.out:
            break
    assert "[-] reporter failing: " in unready.out
    assert unready.out.endswith("not ready\n")
    live = await (await start("health", "--live", "--config", reachable)).end()
    assert (live.code, live.out) == (0, "ok\n")

    sandbox.faults.clear()
    waiting = {"provisioner", "reporter"}
    while waiting:
        told = json.loads(await proxy.line(""))
        if told["event"] == "token.minted":
            waiting.discard(told["service_user"])
    ready = await (await start("health", "--config", reachable)).end()
    assert (ready.code, ready.err) == (0, "")
    assert "[+] reporter ready" in ready.out

    assert (await proxy.end(signal.SIGTERM)).code == 0
    after = await (await start("health", "--config", reachable)).end()
    assert after.code == 1


def test_an_admin_listener_that_is_off_cannot_be_asked(call, config):
    """
    With admin: off there is nobody to ask: a mistake on the command line, code 2.
    """
    config.write_text(config.read_text().replace('admin: "127.0.0.1:0"', 'admin: "off"'))

    result = call("health", "--config", str(config))

    assert result.exit_code == 2
    assert "admin: off" in result.stderr


class Hostile(BaseHTTPRequestHandler):
    """
    Answers with what a terminal would obey.
    """

    def do_GET(self):
        """
        Answer.
        """
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"[+] a\x1b[2J ready\nok\n")

    def log_message(self, *_):
        """
        Say nothing.
        """


def test_what_is_answered_reaches_no_terminal_as_it_came(call, config):
    """
    Whoever listens there, its lines are printed with what is not printable escaped.
    """
    with HTTPServer(("127.0.0.1", 0), Hostile) as server:
        place = f'admin: "127.0.0.1:{server.server_port}"'
        config.write_text(config.read_text().replace('admin: "127.0.0.1:0"', place))
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        result = call("health", "--config", str(config))
        thread.join()

    assert (result.exit_code, result.stdout) == (0, "[+] a\\x1b[2J ready\nok\n")
