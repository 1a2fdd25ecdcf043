"""
Envoy with its credential_injector filter: the closest there is to this project.

It mints by client credentials and renews by itself. At its start it says that the injector's OAuth
2.0 part is work in progress. Its access log has about the facts ours has.
"""

from __future__ import annotations

import json
from typing import Any

from bench.peers import venv
from bench.peers.peer import Command, Kind, Setup
from bench.stand.machine import said_version

_TYPES = "type.googleapis.com/envoy.extensions"
_HTTP = f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager"

# Per priority; Envoy's own default of 1024 would turn into 503.
_ENOUGH = {"max_connections": 4096, "max_pending_requests": 8192, "max_requests": 8192}

# The facts of our own line that Envoy has a word for.
_FACTS = {
    "timestamp": "%START_TIME%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(:PATH)%",
    "route": "%ROUTE_NAME%",
    "upstream": "%UPSTREAM_CLUSTER%",
    "status": "%RESPONSE_CODE%",
    "error": "%RESPONSE_FLAGS%",
    "bytes_in": "%BYTES_RECEIVED%",
    "bytes_out": "%BYTES_SENT%",
    "duration_ms": "%DURATION%",
}

Json = dict[str, Any]


def configure(setup: Setup) -> Command:
    """
    Write the configuration and return the command: one worker thread.
    """
    secret = {"name": "client-secret", "generic_secret": {"secret": {"inline_string": "s3cr3t"}}}
    static = {
        "secrets": [secret],
        "listeners": [_listener(setup)],
        "clusters": [_upstream(setup), _cluster("issuer", setup.origins.issuer)],
    }
    file = setup.work / "envoy.json"
    file.write_text(json.dumps({"static_resources": static}))
    words = [venv.program("envoy"), "--concurrency", "1", "--use-dynamic-base-id"]
    return Command([*words, "--log-level", "error", "-c", str(file)])


def _listener(setup: Setup) -> Json:
    filters = [{"name": "envoy.filters.network.http_connection_manager", **_manager(setup)}]
    chain: Json = {"filters": filters}
    if setup.scene.listener_tls:
        chain["transport_socket"] = _tls(
            "DownstreamTlsContext",
            {
                "tls_certificates": [
                    {
                        "certificate_chain": {"filename": str(setup.origins.certificate)},
                        "private_key": {"filename": str(setup.origins.key)},
                    }
                ]
            },
        )
    return {"name": "in", "address": _address(setup.port), "filter_chains": [chain]}


def _manager(setup: Setup) -> Json:
    routes = [
        {
            "name": f"r{index:05d}",
            "match": {"prefix": prefix},
            "route": {"cluster": "upstream", "timeout": "0s"},
        }
        for index, prefix in enumerate(setup.scene.prefixes)
    ]
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router"},
    }
    hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    return {
        "typed_config": {
            "@type": _HTTP,
            "stat_prefix": "in",
            "generate_request_id": False,
            "stream_idle_timeout": "300s",
            "access_log": [_access_log(setup)],
            "route_config": {"virtual_hosts": hosts},
            "http_filters": [_injector(setup), router],
        }
    }


def _access_log(setup: Setup) -> Json:
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": f"{_TYPES}.access_loggers.file.v3.FileAccessLog",
            "path": str(setup.work / "access.log"),
            "log_format": {"json_format": _FACTS},
        },
    }


def _injector(setup: Setup) -> Json:
    endpoint = {"cluster": "issuer", "uri": setup.token_url, "timeout": "3s"}
    oauth2 = {
        "@type": f"{_TYPES}.http.injected_credentials.oauth2.v3.OAuth2",
        "token_endpoint": endpoint,
        "scopes": ["api"],
        "client_credentials": {
            "client_id": "envoy",
            "client_secret": {"name": "client-secret"},
            "auth_type": "BASIC_AUTH",
        },
    }
    return {
        "name": "envoy.filters.http.credential_injector",
        "typed_config": {
            "@type": f"{_TYPES}.filters.http.credential_injector.v3.CredentialInjector",
            "overwrite": True,
            "allow_request_without_credential": False,
            "credential": {
                "name": "envoy.http.injected_credentials.oauth2",
                "typed_config": oauth2,
            },
        },
    }


def _upstream(setup: Setup) -> Json:
    cluster = _cluster("upstream", setup.origins.upstream_port(setup.scene))
    cluster["circuit_breakers"] = {"thresholds": [_ENOUGH]}
    if setup.scene.upstream_tls:
        names = [{"san_type": "DNS", "matcher": {"exact": "localhost"}}]
        validation = {
            "trusted_ca": {"filename": str(setup.origins.authority)},
            "match_typed_subject_alt_names": names,
        }
        tls = _tls("UpstreamTlsContext", {"validation_context": validation})
        tls["typed_config"]["sni"] = "localhost"
        cluster["transport_socket"] = tls
    return cluster


def _cluster(name: str, port: int) -> Json:
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": _address(port)}}]}]
    return {
        "name": name,
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
    }


def _tls(context: str, common: Json) -> Json:
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_TYPES}.transport_sockets.tls.v3.{context}",
            "common_tls_context": common,
        },
    }


def _address(port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def version() -> str:
    """
    Return Envoy's version, installing it where it is missing.
    """
    return said_version(venv.program("envoy"), "--version").removeprefix("v")


KIND = Kind("envoy", configure, version)
