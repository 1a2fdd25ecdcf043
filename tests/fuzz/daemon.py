"""
nginx and HAProxy, started and ended by a test, on free ports and in a folder of its own.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PATIENCE = 20.0
"""Seconds after which what a daemon should have done it will not do."""

# How the two write bytes that could break a line of their logs
ESCAPED = re.compile(rb"(?:#|\\x)([0-9A-F]{2})")

NGINX = """
daemon off;
master_process off;
pid nginx.pid;
error_log nginx.err crit;
{user}
events {{ worker_connections 512; }}
http {{
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  log_format line '$remote_port $request_method $request_uri $upstream_status';
  access_log off;
  merge_slashes off;
  underscores_in_headers on;
  ignore_invalid_headers off;
  large_client_header_buffers 4 32k;
  client_header_timeout 300ms; client_body_timeout 300ms; keepalive_timeout 300ms;
  server {{
    listen 127.0.0.1:{origin};
    location / {{ add_header X-Echo "$request_method $request_uri" always; return 200 ""; }}
  }}
  upstream us {{ server 127.0.0.1:{us}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{front};
    access_log front.log line;
    location / {{
      proxy_pass http://us;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-Case $remote_port;
      proxy_request_buffering off;
      proxy_read_timeout 500ms;
    }}
  }}
}}
"""

HAPROXY = """
global
  log stdout format raw local0
defaults
  mode http
  timeout connect 1s
  timeout client 300ms
  timeout server 500ms
  timeout http-request 300ms
frontend origin
  bind 127.0.0.1:{origin}
  default_backend echo
backend echo
  http-reuse always
  server nginx 127.0.0.1:{nginx}
frontend front
  bind 127.0.0.1:{front}
  log global
  log-format "front %cp %HM %HU %ST"
  http-request set-header X-Case %[src_port]
  default_backend us
backend us
  http-reuse always
  server us 127.0.0.1:{us}
"""


@dataclass
class Daemon:
    """
    A running nginx or HAProxy.

    Attributes:
        name: Which.
        origin: Port where it answers itself and echoes what it read.
        front: Port where it forwards to `us`.
        us: Port where it expects us.
        log: File that says what it forwarded.
    """

    name: str
    origin: int
    front: int
    us: int
    log: Path

    def forwarded(self, *statuses: bytes) -> dict[int, list[bytes]]:
        """
        Return what it forwarded that ended with one of these statuses, by default 200: caller's
        port → method and target.
        """
        found: dict[int, list[bytes]] = {}
        for line in self.lines():
            port, *words, status = line.split(b" ")
            if status in (statuses or (b"200",)):
                # both write bytes that could break a line in hexadecimal, each in its own way
                words = [
                    ESCAPED.sub(lambda code: bytes.fromhex(code[1].decode()), b" ".join(words))
                ]
                found.setdefault(int(port), []).append(words[0])
        return found

    def lines(self) -> list[bytes]:
        """
        Return what it wrote down: caller's port, method, target and the status from behind.
        """
        lines = [line.removeprefix(b"front ") for line in self.log.read_bytes().splitlines()]
        return [line for line in lines if line.split(b" ")[0].isdigit()]


def free_port() -> int:
    """
    Return a loopback port nobody listens on now.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def program(name: str) -> str:
    """
    Return a daemon's path; skip where it is missing.
    """
    path = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


@contextlib.contextmanager
def running(words: list[str], ports: tuple[int, ...], out: Path) -> Iterator[None]:
    """
    Run a program until the block ends.
    """
    with out.open("wb") as output:
        process = subprocess.Popen(words, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        try:
            for port in ports:
                wait_for(port, process, out)
            yield
        finally:
            process.terminate()
            process.wait(10)


def wait_for(port: int, process: subprocess.Popen[bytes], out: Path) -> None:
    """
    Wait until something listens.
    """
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=0.05).close()
            return
    pytest.fail(f"{process.args!r} does not listen:\n{out.read_text()}")


@contextlib.contextmanager
def nginx(folder: Path) -> Iterator[Daemon]:
    """
    An nginx of our own.
    """
    found, (origin, front, us) = program("nginx"), (free_port(), free_port(), free_port())
    user = "user root;" if os.geteuid() == 0 else ""
    file = folder / "nginx.conf"
    file.write_text(NGINX.format(user=user, origin=origin, front=front, us=us))
    words = [found, "-p", str(folder), "-e", "nginx.err", "-c", "nginx.conf"]
    with running(words, (origin, front), folder / "nginx.out"):
        yield Daemon("nginx", origin, front, us, folder / "front.log")


@contextlib.contextmanager
def haproxy(folder: Path) -> Iterator[Daemon]:
    """
    A HAProxy of our own; as origin it stands before an nginx, so that two readers are asked.
    """
    found = program("haproxy")
    with nginx(folder) as behind:
        origin, front, us = free_port(), free_port(), free_port()
        file = folder / "haproxy.cfg"
        file.write_text(HAPROXY.format(origin=origin, front=front, us=us, nginx=behind.origin))
        out = folder / "haproxy.out"
        with running([found, "-db", "-f", str(file)], (origin, front), out):
            yield Daemon("haproxy", origin, front, us, out)
