"""
environment.md: every AUTHPROXY_ variable.
"""

from __future__ import annotations

from typing import Final

from tools.reference.page import page, table

INTRO: Final = """\
The first group makes a configuration where there is no `proxy.yaml`, with one issuer, one service user (`default`) and one route (`default`) that takes every
request. With a file it is not used, and `check` says so. The others count with and without a file. An empty variable is taken for one that is not set; relative
paths start in the folder the command was started in.

`authproxy run` takes variables that hold a secret out of its environment once they are read."""

ALONE: Final = {
    "AUTHPROXY_ISSUER": "The issuer's URL, such as `https://acme.zitadel.cloud`; no slash at the end. Needed.",
    "AUTHPROXY_UPSTREAM": "Where requests go, such as `https://api.example.com`. Needed.",
    "AUTHPROXY_KEY_FILE": "ZITADEL's key JSON as downloaded: the service user signs a JWT (`private_key_jwt`). This, a client id or a token is needed.",
    "AUTHPROXY_CLIENT_ID": "Client id of the service user (`client_credentials`), with one of the next two.",
    "AUTHPROXY_CLIENT_SECRET_FILE": "File that holds the client secret.",
    "AUTHPROXY_CLIENT_SECRET": "The client secret itself; a file is safer.",
    "AUTHPROXY_TOKEN_FILE": "File that holds a personal access token.",
    "AUTHPROXY_TOKEN": "The personal access token itself; a file is safer.",
    "AUTHPROXY_SCOPES": "Scopes to ask for, separated by spaces. Default: `openid urn:zitadel:iam:org:project:id:zitadel:aud`, what ZITADEL's own APIs need.",
    "AUTHPROXY_LISTEN": "Where callers connect. Default: `127.0.0.1:8080`.",
    "AUTHPROXY_CALLERS": "`anonymous`, which lets everybody in who can connect; needed if `AUTHPROXY_LISTEN` is neither loopback nor a Unix socket.",
    "AUTHPROXY_ADMIN": "Where health and state are, or `off`. Default: `127.0.0.1:9090`.",
}

ALWAYS: Final = {
    "AUTHPROXY_CONFIG": "The configuration's file, if `--config` is not used; `-` is standard input.",
    "AUTHPROXY_LOG_FORMAT": "The form of the log's lines, as [`log.format`](configuration.md#log-format), which it goes before; `--log-format` goes before both.",
    "AUTHPROXY_ADMIN_KEY_FILE": "File with the admin key, for the verbs that ask a running proxy, if `--key-file` is not used.",
    "AUTHPROXY_COREDUMPS": "`1` leaves core dumps and debuggers on; without it `run` forbids them, and on Linux `exec` and `curl` let nobody look into them, for memory holds secrets.",
}

SET: Final = {
    "AUTHPROXY_URL": "The base URL of the proxy that `authproxy exec` has started for a command; the command reads it.",
    "AUTHPROXY_SOCKET": "The same as a Unix socket.",
    "AUTHPROXY_HANDOVER": "Set by a proxy for the process that takes its place (SIGUSR2); nobody else's business.",
    "AUTHPROXY_REVOKED": "Set with it: the service users that are revoked, who stay so.",
}

OTHERS: Final = {
    "CREDENTIALS_DIRECTORY": "Where systemd has put the service's credentials, for `{credential: NAME}`.",
    "LISTEN_FDS": "Listening sockets passed on by systemd, with `LISTEN_PID` and `LISTEN_FDNAMES`.",
    "NOTIFY_SOCKET": "Where systemd is told that the proxy is ready, reloading, stopping; with `WATCHDOG_USEC` that it is alive.",
    "NO_COLOR": "Anything: no colours at a terminal.",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "Where spans are sent, if [`traces`](configuration.md#traces-otlp_endpoint) says nothing; else `OTEL_EXPORTER_OTLP_ENDPOINT`.",
    "OTEL_SERVICE_NAME": "What this proxy is called in traces, if `traces.service_name` says nothing. `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_EXPORTER` (`none`) and `OTEL_SDK_DISABLED` are read as well.",
}
"""Variables that other programs' standards name."""


def render() -> str:
    """
    Return the page.
    """
    parts = [INTRO]
    groups = {
        "Without a file": ALONE,
        "Always": ALWAYS,
        "Set by authproxy": SET,
        "Of other programs": OTHERS,
    }
    for title, group in groups.items():
        rows = [(f'<a id="{name}"></a>`{name}`', said) for name, said in group.items()]
        parts += [f"## {title}", table(("variable", "meaning"), rows)]
    return page("Environment", *parts)
