from __future__ import annotations

import json
import signal
import socket
from hashlib import sha256

import pytest
import yaml

KEY = "canary-admin-key-0123456789"


@pytest.fixture
def port():
    """
    A port that was free a moment ago.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def settings(config):
    """
    Change the sandbox's proxy.yaml; returns its path.
    """

    def change(**settings):
        config.write_text(yaml.safe_dump(yaml.safe_load(config.read_text()) | settings))
        return str(config)

    return change


async def started(proxy):
    """
    Wait until a proxy listens.
    """
    assert json.loads(await proxy.line(""))["event"] == "proxy.started"


@pytest.mark.parametrize("place", ["tcp", "unix"])
async def test_revoke_and_allow_talk_to_the_running_proxy(start, settings, port, tmp_path, place):
    """
    Each says what was done, code 0; a name nobody has is code 1 and the names there are.
    """
    address = f"127.0.0.1:{port}" if place == "tcp" else f"unix:{tmp_path}/admin.sock"
    config = settings(admin=address)
    proxy = await start("run", "--config", config)
    await started(proxy)

    done = await (await start("revoke", "dev", "--config", config)).end()
    assert (done.code, done.out, done.err) == (0, "dev is revoked; 0 requests ended\n", "")
    cut = await (await start("revoke", "dev", "--cut", "--config", config)).end()
    assert cut.code == 0
    health = await (await start("health", "--config", config)).end()
    assert "[-] dev revoked: revoked by an operator" in health.out
    back = await (await start("allow", "dev", "--config", config)).end()
    assert (back.code, back.out) == (0, "dev is allowed\n")

    for verb in ("revoke", "allow"):
        nobody = await (await start(verb, "dev\x1b[2J?", "--config", config)).end()
        assert (nobody.code, nobody.out) == (1, "")
        assert nobody.err == (
            "not done (404): no such service user; there are: dev, provisioner, reporter\n"
        )
    assert (await proxy.end(signal.SIGTERM)).code == 0
    after = await (await start("revoke", "dev", "--config", config)).end()
    assert after.code == 1
    assert after.err.startswith("no answer from the admin listener ")


async def test_the_key_comes_from_a_file(start, settings, port, tmp_path):
    """
    By --key-file or the variable; without it the proxy says what it wants. The key is printed nowhere.
    """
    digest = sha256(KEY.encode()).hexdigest()
    config = settings(admin=f"127.0.0.1:{port}", admin_key_sha256=[digest, "0" * 64])
    key = tmp_path / "admin.key"
    key.write_text(KEY + "\n")
    key.chmod(0o600)
    proxy = await start("run", "--config", config)
    await started(proxy)
    words = ("revoke", "dev", "--config", config)

    without = await (await start(*words)).end()
    by_file = await (await start(*words, "--key-file", str(key))).end()
    by_variable = await (await start(*words, AUTHPROXY_ADMIN_KEY_FILE=str(key))).end()

    assert without.code == 1
    assert without.err == "not done (401): send the admin key: Authorization: Bearer KEY\n"
    assert (by_file.code, by_variable.code) == (0, 0)
    ended = await proxy.end(signal.SIGTERM)
    assert '"service_user.revoked"' in ended.out
    for text in (without, by_file, by_variable, ended):
        assert KEY not in text.out + text.err
        assert digest not in text.out + text.err


@pytest.mark.parametrize("verb", ["revoke", "allow"])
def test_a_key_file_that_cannot_be_used_is_named(call, config, tmp_path, verb):
    """
    Absent, or open to everyone: a mistake on the command line, code 2.
    """
    key = tmp_path / "admin.key"
    absent = call(verb, "dev", "--config", str(config), "--key-file", str(key))
    key.write_text(KEY)
    key.chmod(0o644)
    loose = call(verb, "dev", "--config", str(config), "--key-file", str(key))

    assert (absent.exit_code, loose.exit_code) == (2, 2)
    assert "the admin key: the file does not exist" in absent.stderr
    assert "run chmod 640" in " ".join(loose.stderr.split())
    assert KEY not in loose.stderr


def test_an_admin_listener_that_is_off_cannot_be_asked(call, config):
    """
    With admin: off there is nobody to ask: code 2.
    """
    config.write_text(config.read_text().replace('admin: "127.0.0.1:0"', 'admin: "off"'))

    result = call("revoke", "dev", "--config", str(config))

    assert result.exit_code == 2
    assert "admin: off" in result.stderr
