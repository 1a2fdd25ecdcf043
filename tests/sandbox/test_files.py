from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
import yaml

from proxy.config.load import load
from proxy.sandbox.scopes import ZITADEL_AUD


def mode(path: Path) -> int:
    """
    Return a file's permission bits.
    """
    return stat.S_IMODE(path.stat().st_mode)


async def test_everything_written_is_private(sandbox, tmp_path):
    """
    Files are 0600 and the directory 0700, over older files with other modes too.
    """
    directory = tmp_path / "new" / "sandbox"
    config = sandbox.write(directory)
    (directory / "dev.pat").chmod(0o644)
    sandbox.write(directory)

    assert config == directory / "proxy.yaml"
    assert mode(directory) == 0o700
    assert {path.name: mode(path) for path in directory.iterdir()} == dict.fromkeys(
        ["proxy.yaml", "provisioner.json", "reporter.secret", "dev.pat", "exchanger.secret"], 0o600
    )


async def test_the_files_hold_what_a_user_would_hold(sandbox, tmp_path):
    """
    Credential files are as ZITADEL hands them out, with a newline at the end.
    """
    sandbox.write(tmp_path)

    key = json.loads((tmp_path / "provisioner.json").read_text())
    assert list(key) == ["type", "keyId", "key", "expirationDate", "userId"]
    assert (key["type"], key["expirationDate"]) == ("serviceaccount", "9999-12-31T23:59:59Z")
    assert key["key"].startswith("-----BEGIN RSA PRIVATE KEY-----\n")
    assert (tmp_path / "reporter.secret").read_text() == sandbox.client_secret.reveal() + "\n"
    assert (tmp_path / "dev.pat").read_text() == sandbox.pat.reveal() + "\n"
    secret = sandbox.exchanger.secret.reveal()
    assert (tmp_path / "exchanger.secret").read_text() == secret + "\n"


async def test_the_configuration_is_whole(sandbox, tmp_path):
    """
    All three methods are there, every reference resolves, and no secret stands in it.
    """
    directory = tmp_path / 'odd "name": #1'
    path = sandbox.write(directory, listen="127.0.0.1:1", admin="off")
    config = yaml.safe_load(path.read_text())

    users = config["service_users"]
    assert config["listen"] == [{"address": "127.0.0.1:1"}]
    assert config["admin"] == "off"
    assert config["issuers"] == {"zitadel": {"url": sandbox.url}}
    assert [user["method"] for user in users.values()] == [
        "private_key_jwt",
        "client_credentials",
        "personal_access_token",
    ]
    assert users["provisioner"]["scopes"] == ["openid", ZITADEL_AUD]
    assert users["reporter"]["audience_projects"] == [sandbox.project_id]
    assert users["provisioner"]["key_file"] == str(directory / "provisioner.json")
    assert all(route["service_user"] in users for route in config["routes"])
    assert {route["upstream"] for route in config["routes"]} == {sandbox.url, sandbox.backend_url}
    assert len({route["name"] for route in config["routes"]}) == len(config["routes"])
    for secret in (sandbox.pat, sandbox.client_secret, sandbox.exchanger.secret):
        assert secret.reveal() not in path.read_text()


async def test_the_configuration_is_accepted(sandbox, tmp_path, clock):
    """
    The program's own loader finds nothing wrong with it and nothing to warn about.
    """
    loaded = load(sandbox.write(tmp_path), {}, now=clock.now)

    assert len(loaded.settings.routes) == 12
    assert list(loaded.warnings) == []


async def test_a_link_in_the_way_is_not_followed(sandbox, tmp_path):
    """
    A credential is not written through a symbolic link somebody left there.
    """
    target = tmp_path / "elsewhere"
    (tmp_path / "dev.pat").symlink_to(target)

    with pytest.raises(OSError, match=r"dev\.pat"):
        sandbox.write(tmp_path)

    assert not target.exists()
