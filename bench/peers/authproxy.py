"""
This project as its users run it: `authproxy run` on a proxy.yaml.
"""

from __future__ import annotations

import hashlib
import json
import sys
from functools import partial
from pathlib import Path

from bench.peers.peer import ADMIN, Command, Kind, Setup
from bench.stand.machine import PROJECT, package_version
from bench.stand.scene import CALLER_KEY


def configure(setup: Setup, *, silent: bool) -> Command:
    """
    Write proxy.yaml and return the command; *silent* sends the log to /dev/null.
    """
    secret = setup.work / "secret"
    secret.write_text("s3cr3t-of-the-bench")
    secret.chmod(0o600)
    file = setup.work / "proxy.yaml"
    file.write_text("\n".join([*_head(setup), "routes:", *_routes(setup), ""]))
    installed = Path(sys.executable).with_name("authproxy")
    words = [str(installed)] if installed.exists() else [sys.executable, "-m", "proxy"]
    return Command(
        [*words, "run", "--config", str(file), "--log-format", "json"],
        output=Path("/dev/null") if silent else setup.work / "access.log",
        environ={"PYTHONPATH": str(PROJECT)},
    )


def _head(setup: Setup) -> list[str]:
    """
    Return the lines before the routes; each value is JSON, which is YAML too.
    """
    origins, scene = setup.origins, setup.scene
    listener: dict[str, object] = {"address": f"127.0.0.1:{setup.port}"}
    callers: dict[str, object] = {}
    if scene.listener_tls:
        listener["tls"] = {"cert_file": str(origins.certificate), "key_file": str(origins.key)}
    if scene.caller_keys:
        listener["callers"] = ["bench"]
        callers["bench"] = {"api_key_sha256": hashlib.sha256(CALLER_KEY.encode()).hexdigest()}
    issuer = {"url": f"http://127.0.0.1:{origins.issuer}", "token_endpoint": setup.token_url}
    if scene.outages:
        issuer = {"url": setup.token_url}
    user = {
        "issuer": "toy",
        "method": "client_credentials",
        "client_id": "authproxy",
        "client_secret": {"file": "secret"},
        "scopes": ["api"],
    }
    parts = {
        "version": 1,
        "listen": [listener],
        "admin": f"unix:{setup.work / ADMIN}" if scene.outages else "off",
        "issuers": {"toy": issuer},
        "service_users": {"bench": user},
        "callers": callers,
    }
    return [f"{name}: {json.dumps(value)}" for name, value in parts.items()]


def _routes(setup: Setup) -> list[str]:
    """
    Return a line per route, short: ten thousand of them have to fit into the file's 1 MiB.
    """
    trust = f", ca_file: {setup.origins.authority}" if setup.scene.upstream_tls else ""
    return [
        f'- {{name: r{index:05d}, match: {{path: {prefix}}}, upstream: "{setup.upstream}", '
        f"service_user: bench{trust}}}"
        for index, prefix in enumerate(setup.scene.prefixes)
    ]


def version() -> str:
    """
    Return this project's version.
    """
    found = package_version("zitadel-authproxy")
    return "this source tree" if found == "not installed" else found


LOGGING = Kind("authproxy", partial(configure, silent=False), version)
SILENT = Kind("authproxy-null", partial(configure, silent=True), version)
