"""
The compose files: valid, agreed with their configurations, and the same topology as processes.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from importlib.resources import files
from pathlib import Path

import aiohttp
import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from proxy.config.network import TcpAddress
from tests.deploy.configuration import judged, secrets
from tests.deploy.process import OWN, PATIENCE, running

FOLDER = Path(__file__).parent.parent.parent / "deploy/compose"
SANDBOX = yaml.safe_load((FOLDER / "compose.yaml").read_text())
ZITADEL = yaml.safe_load((FOLDER / "compose.zitadel.yaml").read_text())

both = pytest.mark.parametrize(
    ("file", "name"), [(SANDBOX, "sandbox"), (ZITADEL, "zitadel")], ids=["sandbox", "zitadel"]
)


@both
def test_the_file_is_valid(file, name):
    """
    By the schema of the Compose specification.
    """
    schema = files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json"

    jsonschema.validate(file, json.loads(schema.read_text()))


@both
def test_the_configuration_is_accepted_and_agrees(file, name, tmp_path, key_json):
    """
    It listens where ports are published, its secrets are there, and it has the time to end.
    """
    text = (FOLDER / name / "proxy.yaml").read_text()
    found = judged(text, tmp_path, key_json)
    service = file["services"]["authproxy"]
    owner = file["services"].get("sandbox", service)  # of the network, and so of its ports

    assert found.warnings == ()
    assert f"./{name}:/etc/authproxy:ro" in service["volumes"]
    (address,) = (each.address for each in found.settings.listen)
    assert isinstance(address, TcpAddress)
    assert not address.loopback
    assert owner["ports"] == [f"127.0.0.1:8080:{address.port}"]
    given = {f"/run/secrets/{each}" for each in service.get("secrets", ())}
    for secret in secrets(text):
        assert secret in given or secret.rpartition("/")[0] == "/run/sandbox"
    ending = found.settings.shutdown
    assert int(service["stop_grace_period"].removesuffix("s")) >= ending.delay + ending.grace + 5


@both
def test_services_of_the_image_may_do_nothing_more_than_they_need(file, name):
    """
    No capabilities, nothing to write to.
    """
    for service in file["services"].values():
        if service["image"] == "authproxy":
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]
            if "build" in service:
                assert (FOLDER / service["build"] / "Dockerfile").exists()


def free_port() -> int:
    """
    Return a port that was free a moment ago.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_the_same_as_processes_answers_the_client(tmp_path):
    """
    The services' own command lines, with ports and folders of this machine in place of theirs.
    """
    places = {port: str(free_port()) for port in ("8080", "8081", "8082", "9090")}
    places |= {"/run/sandbox": str(tmp_path / "sandbox"), "0.0.0.0": "127.0.0.1"}

    def here(text: str) -> str:
        return re.sub("|".join(map(re.escape, places)), lambda found: places[found[0]], text)

    services = SANDBOX["services"]
    config = tmp_path / "proxy.yaml"
    config.write_text(here((FOLDER / "sandbox/proxy.yaml").read_text()))
    sandbox = [here(word) for word in services["sandbox"]["command"]]
    url = here(services["client"]["command"][-1].replace("//authproxy:", "//127.0.0.1:"))
    async with running(*OWN, *sandbox) as behind:
        await behind.line("Ctrl-C")
        await asyncio.to_thread(Path(here("/run/sandbox/proxy.yaml")).stat)  # its health check
        async with running(*OWN, "run", "--config", str(config)) as before:
            await before.line("proxy.started")
            async with asyncio.timeout(PATIENCE), aiohttp.ClientSession() as session:
                async with session.get(url) as response:
                    assert response.status == 200
                paths = ("/management/v1/orgs/me", "/auth/v1/users/me")
                for path in paths:
                    async with session.get(f"{url.rpartition('/orders')[0]}{path}") as response:
                        assert response.status == 200


def test_names_by_which_services_reach_each_other_are_theirs():
    """
    The client asks a name that the network's owner has.
    """
    services = SANDBOX["services"]
    host = services["client"]["command"][-1].split("/")[2].partition(":")[0]

    assert services["sandbox"]["networks"]["default"]["aliases"] == [host]
    assert services["authproxy"]["network_mode"] == "service:sandbox"
    assert services["client"]["depends_on"] == {"authproxy": {"condition": "service_healthy"}}
