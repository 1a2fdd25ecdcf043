"""
The kustomizations: valid, agreed with their own proxy.yaml, and what kubectl makes of them.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy import promises
from tests.deploy.configuration import judged, secrets
from tests.deploy.manifests import config_of, containers, kustomized, one, proxied

FOLDER = Path(__file__).parent.parent.parent / "deploy/kubernetes"
GATEWAY = kustomized(FOLDER / "gateway") + kustomized(FOLDER / "monitoring")
SIDECAR = kustomized(FOLDER / "sidecar")

shapes = pytest.mark.parametrize("manifests", [GATEWAY, SIDECAR], ids=["gateway", "sidecar"])


@shapes
def test_manifests_are_valid(manifests):
    """
    By the schemas of the oldest and the newest Kubernetes, strictly.
    """
    promises.are_valid(manifests)


@shapes
def test_pods_have_no_rights(manifests):
    """
    The application of the sidecar's example neither.
    """
    promises.have_no_rights(manifests)


@shapes
def test_the_configuration_is_accepted_and_agrees(manifests, tmp_path, key_json):
    """
    Its secrets, ports, and the time it takes to end are those of the manifests; the one warning is
    about the admin listener, which probes must reach.
    """
    text = config_of(manifests)
    found = judged(text, tmp_path, key_json)

    assert [str(problem).split()[1] for problem in found.warnings] == ["admin"]
    promises.find_their_secrets(manifests, secrets(text))
    promises.agree_on_ports(manifests, found.settings)
    promises.end_in_time(manifests, found.settings)
    promises.select_the_proxy(manifests)


def test_the_gateway_is_open_to_those_who_are_let_in_and_spares_them(tmp_path, key_json):
    """
    Network policy, updates and drains.
    """
    found = judged(config_of(GATEWAY), tmp_path, key_json)

    promises.let_through_what_is_needed(GATEWAY, found.settings)
    promises.spare_callers(GATEWAY)


def test_the_sidecar_starts_before_the_application_and_outlives_it():
    """
    It is an init container that is restarted always, and ready once service users have tokens.
    """
    spec, sidecar = proxied(SIDECAR)

    assert sidecar in spec["initContainers"]
    assert sidecar["restartPolicy"] == "Always"
    assert sidecar["startupProbe"]["httpGet"]["path"] == "/readyz"
    (application,) = spec["containers"]
    assert application["env"] == [{"name": "ZITADEL_URL", "value": "http://127.0.0.1:8080"}]


@shapes
def test_the_image_is_the_one_the_dockerfile_makes(manifests):
    """
    Tagged with the chart's version, and started as the image's command is.
    """
    _, container = proxied(manifests)
    chart = yaml.safe_load((FOLDER.parent / "helm/authproxy/Chart.yaml").read_text())

    assert container["image"] == f"authproxy:{chart['appVersion']}"
    assert container["args"] == ["run"]


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["gateway", "monitoring", "sidecar"])
def test_kubectl_makes_the_same_of_them(name):
    """
    What is tested here is what `kubectl apply -k` sends.
    """
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    made = subprocess.run(
        ["kubectl", "kustomize", FOLDER / name], capture_output=True, check=True, timeout=30
    )

    def order(manifest):
        return manifest["kind"], manifest["metadata"]["name"]

    assert sorted(yaml.safe_load_all(made.stdout), key=order) == sorted(
        kustomized(FOLDER / name), key=order
    )


def test_containers_are_told_apart():
    """
    The gateway has one container; the sidecar's pod two.
    """
    assert len(containers(proxied(GATEWAY)[0])) == 1
    assert len(containers(proxied(SIDECAR)[0])) == 2
    assert one(GATEWAY, "Namespace")["metadata"]["labels"] == {
        "pod-security.kubernetes.io/enforce": "restricted"
    }
