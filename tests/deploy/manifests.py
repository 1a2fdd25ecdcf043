"""
Kubernetes manifests as they would be applied: what kustomize makes of a folder, and how their parts
are found.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]


def kustomized(folder: Path) -> list[Manifest]:
    """
    Return what a kustomization of this project makes: it uses resources, namespace, images and
    config maps of files, nothing else.
    """
    said = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert said.keys() <= {
        "apiVersion", "kind", "namespace", "resources", "configMapGenerator", "generatorOptions",
        "images",
    }  # fmt: skip
    manifests = [
        manifest
        for name in said["resources"]
        for manifest in yaml.safe_load_all((folder / name).read_text())
    ]
    for made in said.get("configMapGenerator", ()):
        data = {name: (folder / name).read_text() for name in made["files"]}
        named = {"metadata": {"name": made["name"]}}
        manifests.append({"apiVersion": "v1", "kind": "ConfigMap", "data": data} | named)
    images = {
        image["name"]: f"{image['newName']}:{image['newTag']}" for image in said.get("images", ())
    }
    for manifest in manifests:
        if "namespace" in said and manifest["kind"] != "Namespace":
            manifest["metadata"]["namespace"] = said["namespace"]
        for container in containers(pod(manifest)):
            container["image"] = images.get(container["image"], container["image"])
    return manifests


def pod(manifest: Manifest) -> Manifest:
    """
    Return the pod's spec in a manifest; empty if there is none.
    """
    spec: Manifest = manifest.get("spec", {})
    if manifest["kind"] == "Pod":
        return spec
    within: Manifest = spec.get("template", {}).get("spec", {})
    return within


def containers(spec: Manifest) -> list[Manifest]:
    """
    Return a pod's containers, those that begin before it included.
    """
    return [*spec.get("initContainers", ()), *spec.get("containers", ())]


def one(manifests: Iterable[Manifest], kind: str, name: str | None = None) -> Manifest:
    """
    Return the one manifest of this kind, and of this name if there are several.
    """
    (found,) = (
        each
        for each in manifests
        if each["kind"] == kind and name in {None, each["metadata"]["name"]}
    )
    return found


def proxied(manifests: Iterable[Manifest]) -> tuple[Manifest, Manifest]:
    """
    Return the Deployment's pod and the proxy's container in it.
    """
    spec = pod(one(manifests, "Deployment"))
    (container,) = (each for each in containers(spec) if each["name"] == "authproxy")
    return spec, container


def config_of(manifests: list[Manifest]) -> str:
    """
    Return the proxy.yaml that is found in the proxy's container.
    """
    spec, container = proxied(manifests)
    (mount,) = (each for each in container["volumeMounts"] if each["mountPath"] == "/etc/authproxy")
    (volume,) = (each for each in spec["volumes"] if each["name"] == mount["name"])
    text: str = one(manifests, "ConfigMap", volume["configMap"]["name"])["data"]["proxy.yaml"]
    return text
