"""
The Helm chart: its values and their schema, and what is rendered of them.
"""

from __future__ import annotations

import json

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from tests.deploy import promises
from tests.deploy.chart import CHART, Renderer, RenderFailed, helm, ours
from tests.deploy.configuration import judged, secrets
from tests.deploy.manifests import config_of, one, proxied

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())

CONFIG = {
    "listen": [{"address": "0.0.0.0:8080", "callers": ["orders"]}],
    "issuers": {"zitadel": {"url": "https://acme.zitadel.cloud"}},
    "service_users": {
        "provisioner": {
            "issuer": "zitadel",
            "method": "private_key_jwt",
            "key_file": "/run/secrets/authproxy-credentials/provisioner.json",
        }
    },
    "callers": {"orders": {"api_key_sha256": "0123456789abcdef" * 4}},
    "routes": [
        {"name": "api", "upstream": "https://acme.zitadel.cloud", "service_user": "provisioner"}
    ],
}
LEAST = {"config": CONFIG, "credentials": ["authproxy-credentials"]}
MOST = LEAST | {
    "fullnameOverride": "outbound",
    "image": {"repository": "apps/authproxy", "tag": "1", "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "pull"}],
    "credentials": ["authproxy-credentials", "others"],
    "restartOnConfigChange": True,
    "env": [{"name": "TZ", "value": "UTC"}],
    "service": {"type": "LoadBalancer", "port": 80, "annotations": {"internal": "true"}},
    "serviceAccount": {"create": True, "name": "caller", "annotations": {"a": "b"}},
    "serviceMonitor": {"enabled": True, "interval": "15s", "labels": {"release": "prometheus"}},
    "autoscaling": {"enabled": True, "minReplicas": 3},
    "podAnnotations": {"a": "b"},
    "podLabels": {"team": "platform"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
}
CLOSED = LEAST | {
    "replicas": 1,
    "networkPolicy": {"enabled": False},
    "serviceAccount": {"create": False},
}


def overlaid(defaults, values):
    """
    Return values over the chart's own, as Helm lays them.
    """
    both = dict(defaults)
    for key, value in values.items():
        under = defaults.get(key)
        both[key] = (
            overlaid(under, value) if isinstance(under, dict) and value is not None else value
        )
    return both


@pytest.mark.parametrize(
    "values", [{}, LEAST, MOST, CLOSED], ids=["own", "least", "most", "closed"]
)
def test_the_schema_takes_what_makes_sense(values):
    """
    The chart's own values, and those rendered here.
    """
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.validate(overlaid(VALUES, values), SCHEMA, jsonschema.Draft7Validator)


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"replica": 3}, []),
        ({"replicas": "3"}, ["replicas"]),
        ({"image": {"name": "x"}}, ["image"]),
        ({"image": {"pullPolicy": "Sometimes"}}, ["image", "pullPolicy"]),
        ({"ports": {"http": 0}}, ["ports", "http"]),
        ({"credentials": ["not a name"]}, ["credentials", 0]),
        ({"credentials": ["twice", "twice"]}, ["credentials"]),
        ({"config": {"version": 2}}, ["config", "version"]),
        ({"config": {"listen": []}}, ["config", "listen"]),
        ({"service": {"type": "ExternalName"}}, ["service", "type"]),
        ({"networkPolicy": {"egressPorts": ["https"]}}, ["networkPolicy", "egressPorts", 0]),
        ({"serviceMonitor": {"interval": "often"}}, ["serviceMonitor", "interval"]),
        ({"autoscaling": {"maxReplicas": 0}}, ["autoscaling", "maxReplicas"]),
    ],
    ids=str,
)
def test_the_schema_refuses_what_does_not(wrong, where):
    """
    With the place of the mistake.
    """
    with pytest.raises(jsonschema.ValidationError) as caught:
        jsonschema.validate(overlaid(VALUES, wrong), SCHEMA, jsonschema.Draft7Validator)

    assert list(caught.value.absolute_path) == where


def test_every_value_is_in_the_schema_and_the_other_way_round():
    """
    Those that only rename things have no default.
    """
    nameless = {"global", "nameOverride", "fullnameOverride"}

    assert SCHEMA["properties"].keys() - nameless == VALUES.keys()
    for name, said in SCHEMA["properties"].items():
        if name != "config" and "properties" in said:
            assert said["additionalProperties"] is False
            assert said["properties"].keys() == VALUES[name].keys(), name


def test_the_chart_is_of_this_version():
    """
    Its version and the program's are one.
    """
    said = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = (CHART.parent.parent.parent / "pyproject.toml").read_text()

    assert f'version = "{said["version"]}"' in project
    assert said["appVersion"] == said["version"]


@pytest.fixture(scope="module")
def render(tmp_path_factory) -> Renderer:
    """
    Helm where it is installed, else our stand-in.
    """
    return helm() or ours(tmp_path_factory.mktemp("render"))


@pytest.mark.heavy
@pytest.mark.parametrize("values", [LEAST, MOST, CLOSED], ids=["least", "most", "closed"])
def test_what_is_rendered_keeps_the_promises(render, values, tmp_path, key_json):
    """
    Valid, without rights, and agreed with the configuration in it.
    """
    manifests = render(values, tmp_path)
    text = config_of(manifests)
    found = judged(text, tmp_path, key_json)

    promises.are_valid(manifests)
    promises.have_no_rights(manifests)
    promises.find_their_secrets(manifests, secrets(text))
    promises.agree_on_ports(manifests, found.settings)
    promises.end_in_time(manifests, found.settings)
    promises.select_the_proxy(manifests)


@pytest.mark.heavy
def test_the_switches_switch(render, tmp_path):
    """
    Each resource is there if it was asked for.
    """
    kinds = {
        name: {each["kind"] for each in render(values, tmp_path)}
        for name, values in (("least", LEAST), ("most", MOST), ("closed", CLOSED))
    }
    always = {"ConfigMap", "Deployment", "Service", "Pod"}
    guards = {"ServiceAccount", "NetworkPolicy", "PodDisruptionBudget"}

    assert kinds["least"] == always | guards
    assert kinds["most"] == always | guards | {"ServiceMonitor", "HorizontalPodAutoscaler"}
    assert kinds["closed"] == always


@pytest.mark.heavy
def test_the_gateway_is_open_to_those_who_are_let_in_and_spares_them(render, tmp_path, key_json):
    """
    Network policy, updates and drains, as in the kustomization; `helm test` may ask too.
    """
    manifests = render(LEAST, tmp_path)
    found = judged(config_of(manifests), tmp_path, key_json)

    promises.let_through_what_is_needed(manifests, found.settings)
    promises.spare_callers(manifests)
    asking = one(manifests, "Pod")["metadata"]["labels"]
    rule = one(manifests, "NetworkPolicy")["spec"]["ingress"][1]
    assert {"podSelector": {"matchLabels": asking}} in rule["from"]


@pytest.mark.heavy
def test_values_arrive_where_they_belong(render, tmp_path):
    """
    What was set is in the pod; a changed configuration changes it only if that was asked for.
    """
    manifests = render(MOST, tmp_path)
    spec, container = proxied(manifests)
    template = one(manifests, "Deployment")["spec"]["template"]

    assert container["image"] == "apps/authproxy:1"
    assert container["env"] == MOST["env"]
    assert spec["serviceAccountName"] == "caller"
    assert {each["mountPath"] for each in container["volumeMounts"]} == {
        "/etc/authproxy", "/run/secrets/authproxy-credentials", "/run/secrets/others",
    }  # fmt: skip
    assert template["metadata"]["labels"]["team"] == "platform"
    assert one(manifests, "Service", "outbound")["spec"]["type"] == "LoadBalancer"
    assert one(manifests, "Service", "outbound-admin")["spec"].get("type") is None
    assert "checksum/config" in template["metadata"]["annotations"]
    plain = one(render(LEAST, tmp_path), "Deployment")["spec"]["template"]
    assert "annotations" not in plain["metadata"]


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"admin": "0.0.0.0:9091"}, "config.admin is not at the port of ports.admin"),
        ({"listen": ["0.0.0.0:8081"]}, "config.listen has no address with the port of ports.http"),
        ({"routes": []}, "config.routes is empty"),
    ],
    ids=["admin", "listen", "routes"],
)
def test_what_could_not_serve_is_said(render, change, words, tmp_path):
    """
    A listener nobody could reach, or nothing to serve, is refused before it is installed.
    """
    with pytest.raises(RenderFailed, match=words):
        render(LEAST | {"config": CONFIG | change}, tmp_path)
