"""
A sandbox, its proxy.yaml to be edited, and the checkup of it.
"""

from __future__ import annotations

import json
import secrets
import time

import pytest
import yaml

from proxy.checkup.course import Checkup
from proxy.checkup.verdict import Step
from proxy.config.load import load
from proxy.core.clock import Clock
from proxy.credentials import compile_users
from proxy.sandbox.keys import SandboxKeys
from proxy.sandbox.options import SandboxOptions
from proxy.sandbox.server import Sandbox
from proxy.tokens.issuers import Issuers


class Desk:
    """
    A sandbox's proxy.yaml, edited, and what a checkup finds of it.
    """

    def __init__(self, sandbox, folder):
        self.sandbox = sandbox
        self.folder = folder
        self.path = sandbox.write(folder, listen="127.0.0.1:0", admin="off")
        self.document = yaml.safe_load(self.path.read_text())
        self.wall = 0.0
        self.paused = []

    @property
    def issuer(self):
        """
        The settings of its issuer.
        """
        return self.document["issuers"]["zitadel"]

    def user(self, name):
        """
        Return the settings of a service user.
        """
        return self.document["service_users"][name]

    def only(self, *names):
        """
        Keep these service users and their routes.
        """
        users = self.document["service_users"]
        self.document["service_users"] = {name: users[name] for name in names}
        routes = self.document["routes"]
        self.document["routes"] = [each for each in routes if each["service_user"] in names]

    def keep(self, name, text):
        """
        Write a secret to a file and return its path.
        """
        path = self.folder / name
        path.write_text(text if isinstance(text, str) else text.reveal())
        path.chmod(0o600)
        return str(path)

    async def run(self, tell=lambda _: None, *, patience=10.0, budget=120.0):
        """
        Return the steps by name, of each service user by name; of several credentials a list.
        """
        # A JSON text is a YAML text, and has no anchors for what is in it twice
        self.path.write_text(json.dumps(self.document))
        loaded = load(self.path, {}, now=time.time())  # noqa: TID251 - credentials end by it
        users = compile_users(loaded.settings, loaded.base, {})
        clock = Clock(lambda: time.time() + self.wall, time.monotonic)  # noqa: TID251 - likewise
        found: dict[str, list[dict[str, Step]]] = {}

        async def pause(seconds):
            self.paused.append(seconds)

        async with (
            Issuers(
                clock,
                lambda: 0.0,
                lambda: secrets.token_hex(8),
                lambda *_, **__: None,
                timeout=patience,
            ) as issuers,
            Checkup(issuers, users, loaded.settings, clock, budget=budget, pause=pause) as checkup,
        ):
            for user in users:
                for credential in user.credentials:
                    steps = await checkup.examine(user.acting_with(credential), tell)
                    found.setdefault(user.name, []).append({step.name: step for step in steps})
        return {name: rows[0] if len(rows) == 1 else rows for name, rows in found.items()}

    def asked(self, path="/.well-known/openid-configuration"):
        """
        Return how often the issuer was asked for a path.
        """
        return sum(hit.path == path for hit in self.sandbox.issuer_hits)


@pytest.fixture(scope="session")
def keys():
    """
    The key pairs of every sandbox here, made once.
    """
    return SandboxKeys.generate()


@pytest.fixture
async def sandbox(keys):
    """
    A running sandbox.
    """
    async with Sandbox(SandboxOptions(keys=keys)) as sandbox:
        yield sandbox


@pytest.fixture
def desk(sandbox, tmp_path):
    """
    The sandbox, its proxy.yaml and a checkup.
    """
    return Desk(sandbox, tmp_path / "config")


@pytest.fixture(scope="session")
def desk_of():
    """
    Make such a desk for another sandbox.
    """
    return Desk
