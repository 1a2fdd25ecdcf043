"""
nginx with a fixed Authorization header: no minting, no renewal; the floor of what a proxy costs.
"""

from __future__ import annotations

import os

from bench.peers.peer import Command, Kind, Setup
from bench.stand.machine import need, said_version, which

# Each buffer folder below nginx's prefix, which it must be able to write to.
FOLDERS = "".join(
    f"  {name}_temp_path {name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
)

HEAD = f"""\
worker_processes 1;
daemon off;
pid nginx.pid;
error_log nginx.err warn;
{"user root;" if os.geteuid() == 0 else ""}
events {{ worker_connections 8192; }}
"""
"""How every nginx here begins: one worker, in the foreground, files below its prefix."""

_LINE = (
    '{"timestamp":"$time_iso8601","client":"$remote_addr","method":"$request_method",'
    '"path":"$uri","status":$status,"upstream_status":"$upstream_status",'
    '"bytes_in":$request_length,"bytes_out":$bytes_sent,"duration_s":$request_time}'
)


def configure(setup: Setup) -> Command:
    """
    Write the configuration and return the command.
    """
    (setup.work / "nginx.conf").write_text(_text(setup))
    return Command(command(str(setup.work)))


def command(prefix: str) -> list[str]:
    """
    Return the command for the `nginx.conf` in a folder.
    """
    return [which("nginx") or "nginx", "-p", prefix, "-e", "nginx.err", "-c", "nginx.conf"]


def _text(setup: Setup) -> str:
    origins, scene = setup.origins, setup.scene
    tls = " ssl" if scene.listener_tls else ""
    certificate = (
        f"ssl_certificate {origins.certificate}; ssl_certificate_key {origins.key};" if tls else ""
    )
    verify = (
        f"proxy_ssl_verify on; proxy_ssl_name localhost; "
        f"proxy_ssl_trusted_certificate {origins.authority};"
        if scene.upstream_tls
        else ""
    )
    scheme = "https" if scene.upstream_tls else "http"
    locations = "\n".join(
        f"    location {prefix} {{ proxy_pass {scheme}://up; }}" for prefix in scene.prefixes
    )
    return f"""{HEAD}
http {{
{FOLDERS}
  log_format line escape=json '{_LINE}';
  access_log access.log line;
  tcp_nodelay on;
  keepalive_timeout 300;
  keepalive_requests 100000000;
  client_max_body_size 0;
  upstream up {{
    server 127.0.0.1:{origins.upstream_port(scene)};
    keepalive 256;
    keepalive_requests 100000000;
  }}
  server {{
    listen 127.0.0.1:{setup.port}{tls} backlog=4096;
    {certificate}
    {verify}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Authorization "Bearer a-fixed-token";
    proxy_request_buffering off;
    proxy_max_temp_file_size 0;
{locations}
  }}
}}
"""


def version() -> str:
    """
    Return nginx's version.
    """
    need("nginx")
    return said_version("nginx", "-v")


KIND = Kind("nginx", configure, version)
