"""
What lies in deploy/, read; and key pairs for its configurations.
"""

from __future__ import annotations

import pytest

from proxy.sandbox.keys import NEVER, SandboxKeys, service_account_json


@pytest.fixture(scope="session")
def keys() -> SandboxKeys:
    """
    Key pairs, made once.
    """
    return SandboxKeys.generate()


@pytest.fixture(scope="session")
def key_json(keys: SandboxKeys) -> str:
    """
    A service user's key file as ZITADEL's console lets it be downloaded.
    """
    return service_account_json("1", "2", keys.provisioner.pem(), NEVER).reveal()
