"""
What every deployment in a cluster keeps, however its manifests were made.

Each function takes the manifests and raises AssertionError.
"""

from __future__ import annotations

from typing import Any

import jsonschema  # type: ignore[import-untyped]
import kubernetes_validate  # type: ignore[import-untyped]

from proxy.config.model import Settings
from proxy.config.network import TcpAddress
from tests.deploy.manifests import Manifest, containers, one, pod, proxied

VERSIONS = ("1.29", "1.37")
"""The first Kubernetes with native sidecars switched on, and the newest the schemas are there for."""

PROBED = {
    "startupProbe": {"/livez", "/readyz"},
    "livenessProbe": {"/livez"},
    "readinessProbe": {"/readyz"},
}
"""What each probe may ask: one that restarts must not depend on an issuer."""
PROBES = PROBED.keys()

LABELS = {"type": "object", "additionalProperties": {"type": "string"}}
SERVICE_MONITOR = {
    "type": "object",
    "additionalProperties": False,
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "monitoring.coreos.com/v1"},
        "kind": {"const": "ServiceMonitor"},
        "metadata": {"type": "object"},
        "spec": {
            "type": "object",
            "additionalProperties": False,
            "required": ["selector", "endpoints"],
            "properties": {
                "jobLabel": {"type": "string"},
                "selector": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"matchLabels": LABELS},
                },
                "endpoints": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "properties": {
                            "port": {"type": "string"},
                            "path": {"type": "string"},
                            "interval": {"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"},
                        },
                    },
                },
            },
        },
    },
}
"""What is used of the Prometheus operator's resource; Kubernetes' own schemas do not have it."""


def are_valid(manifests: list[Manifest]) -> None:
    """
    Every manifest is what its kind's schema says, without a field it does not know.
    """
    for manifest in manifests:
        if manifest["kind"] == "ServiceMonitor":
            jsonschema.validate(manifest, SERVICE_MONITOR)
            continue
        for version in VERSIONS:
            kubernetes_validate.validate(manifest, version, strict=True)


def have_no_rights(manifests: list[Manifest]) -> None:
    """
    Pods meet the restricted pod security standard, write nowhere, and have no key to the cluster.
    """
    for spec in filter(None, map(pod, manifests)):
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(spec):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def find_their_secrets(manifests: list[Manifest], named: set[str]) -> None:
    """
    The secrets' files that the configuration names are in mounted folders, readable for the image's
    user and not for all.
    """
    spec, container = proxied(manifests)
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
    assert not [mount for mount in container["volumeMounts"] if "subPath" in mount]
    assert named
    for name in named:
        assert mounts[name.rpartition("/")[0]]["secret"]["defaultMode"] == 0o440
    context = spec["securityContext"]
    assert {context[each] for each in ("runAsUser", "runAsGroup", "fsGroup")} == {65532}


def agree_on_ports(manifests: list[Manifest], settings: Settings) -> None:
    """
    Probes and services lead to where the configuration listens.
    """
    spec, container = proxied(manifests)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert isinstance(settings.admin, TcpAddress)
    assert ports["admin"] == settings.admin.port
    assert not settings.admin.loopback  # probes come from outside of the pod
    listening = {
        each.address.port: each.address.loopback
        for each in settings.listen
        if isinstance(each.address, TcpAddress)
    }
    if "http" in ports:
        assert listening[ports["http"]] is False
    else:
        assert set(listening.values()) == {True}
    for each in containers(spec):
        for probe in PROBES & each.keys():
            asked = each[probe]["httpGet"]
            assert asked["port"] == "admin"
            assert asked["path"] in PROBED[probe]
    for service in (each for each in manifests if each["kind"] == "Service"):
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports.keys()


def end_in_time(manifests: list[Manifest], settings: Settings) -> None:
    """
    The kubelet waits longer than the proxy takes to end.
    """
    spec, _ = proxied(manifests)
    ending = settings.shutdown
    assert spec["terminationGracePeriodSeconds"] >= ending.delay + ending.grace + 5


def select_the_proxy(manifests: list[Manifest]) -> None:
    """
    Whatever selects pods selects the Deployment's; a monitor selects a service that has its port.
    """
    deployment = one(manifests, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    selectors: list[dict[str, Any]] = [deployment["spec"]["selector"]["matchLabels"]]
    services = [each for each in manifests if each["kind"] == "Service"]
    for manifest in manifests:
        spec = manifest.get("spec", {})
        if manifest["kind"] == "Service":
            selectors.append(spec["selector"])
        elif manifest["kind"] == "NetworkPolicy":
            selectors.append(spec["podSelector"]["matchLabels"])
        elif manifest["kind"] == "PodDisruptionBudget":
            selectors.append(spec["selector"]["matchLabels"])
        elif manifest["kind"] == "ServiceMonitor":
            wanted = spec["selector"]["matchLabels"].items()
            (service,) = (each for each in services if wanted <= each["metadata"]["labels"].items())
            ports = {port["name"] for port in service["spec"]["ports"]}
            job = service["metadata"]["labels"][spec["jobLabel"]]
            assert job == "authproxy"  # as the alert rules have it
            assert {endpoint["port"] for endpoint in spec["endpoints"]} <= ports
            assert {endpoint["path"] for endpoint in spec["endpoints"]} == {"/metrics"}
    assert all(selector.items() <= labels for selector in selectors)


def let_through_what_is_needed(manifests: list[Manifest], settings: Settings) -> None:
    """
    The network policy opens the listeners' ports, names, and the ports of issuers and upstreams.
    """
    policy = one(manifests, "NetworkPolicy")["spec"]
    opened = [{port["port"] for port in rule["ports"]} for rule in policy["ingress"]]
    assert isinstance(settings.admin, TcpAddress)
    (listener,) = (each.address for each in settings.listen)
    assert isinstance(listener, TcpAddress)
    assert opened == [{listener.port}, {settings.admin.port}]
    assert all(rule["from"] for rule in policy["ingress"])
    names, rest = policy["egress"]
    assert {(port["protocol"], port["port"]) for port in names["ports"]} == {
        ("UDP", 53),
        ("TCP", 53),
    }
    assert {port["port"] for port in rest["ports"]} == {443}
    urls = [issuer.url for issuer in settings.issuers.values()]
    urls += [route.upstream for route in settings.routes]
    assert {(url.scheme, url.port) for url in urls} == {("https", 443)}
    assert rest["to"][0]["ipBlock"]["except"] == ["169.254.0.0/16"]


def spare_callers(manifests: list[Manifest]) -> None:
    """
    An update takes no pod away before its successor is ready, and a drain one at a time.
    """
    spec = one(manifests, "Deployment")["spec"]
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert spec.get("replicas", 2) > 1
    assert one(manifests, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
