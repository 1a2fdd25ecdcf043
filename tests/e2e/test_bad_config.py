"""
Credentials and settings that cannot work: said at the start, all at once, with their place.
"""

# ruff: noqa: D103 - each name says what it breaks
from __future__ import annotations

import os
import re

import pytest
from click.testing import CliRunner

from proxy.cli.command import main


def application_key(sandbox, folder, _edit):
    (folder / "provisioner.json").write_text(sandbox.add_application_key().reveal())


def cut_key(_sandbox, folder, _edit):
    path = folder / "provisioner.json"
    path.write_text(path.read_text()[:400])


def bare_pem(sandbox, folder, _edit):
    pem = sandbox.key_json.reveal().split('"key"')[1].split('"')[1].replace("\\n", "\n")
    (folder / "provisioner.json").write_text(pem)


def missing(_sandbox, folder, _edit):
    (folder / "provisioner.json").unlink()


def a_folder(_sandbox, folder, _edit):
    (folder / "provisioner.json").unlink()
    (folder / "provisioner.json").mkdir()


def world_readable(_sandbox, folder, _edit):
    (folder / "reporter.secret").chmod(0o644)


def unreadable(_sandbox, folder, _edit):
    (folder / "reporter.secret").chmod(0)


def empty_secret(_sandbox, folder, _edit):
    (folder / "reporter.secret").write_text("\n")


def two_line_secret(sandbox, folder, _edit):
    secret = sandbox.client_secret.reveal()
    (folder / "reporter.secret").write_text(f"{secret}\n{secret}\n")


def bearer_in_pat(sandbox, folder, _edit):
    (folder / "dev.pat").write_text(f"Bearer {sandbox.pat.reveal()}")


def scope_with_spaces(_sandbox, _folder, edit):
    edit(lambda document: document["service_users"]["reporter"].update(scopes=["openid profile"]))


def scope_with_quotes(_sandbox, _folder, edit):
    edit(lambda document: document["service_users"]["reporter"].update(scopes=['openid"']))


AS_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")

BROKEN = [
    pytest.param(application_key, "provisioner.key_file", "application's key"),
    pytest.param(cut_key, "provisioner.key_file", "no key JSON"),
    pytest.param(bare_pem, "provisioner.key_file", "key_pem_file"),
    pytest.param(missing, "provisioner.key_file", "does not exist"),
    pytest.param(a_folder, "provisioner.key_file", "a folder"),
    pytest.param(world_readable, "reporter.client_secret", "chmod 640"),
    pytest.param(unreadable, "reporter.client_secret", "may not be read", marks=AS_ROOT),
    pytest.param(empty_secret, "reporter.client_secret", "empty"),
    pytest.param(two_line_secret, "reporter.client_secret", "one line"),
    pytest.param(bearer_in_pat, "dev.token", "bare token"),
    pytest.param(scope_with_spaces, "reporter.scopes.0", "holds a space"),
    pytest.param(scope_with_quotes, "reporter.scopes.0", "is no scope"),
]


@pytest.mark.parametrize(("breaks", "where", "what"), BROKEN)
async def test_a_credential_that_cannot_work_ends_the_start(
    sandbox, config, edit, secrets, breaks, where, what
):
    """
    `run` ends with code 2, says file, line, column, setting and what to do, and shows no secret.
    """
    breaks(sandbox, config.parent, edit)

    result = CliRunner().invoke(main, ["run", "--config", str(config)], catch_exceptions=False)

    assert result.exit_code == 2
    assert re.search(rf"^{re.escape(str(config))}:\d+:\d+  service_users\.", result.stderr)
    assert re.sub(r"\[(\d+)\]", r".\1", result.stderr).count(where) == 1
    assert what in result.stderr
    assert result.stdout == ""
    assert secrets.absent_from(result.output.encode())


async def test_all_problems_are_said_at_once(sandbox, config, edit, spawned, secrets):
    """
    Every problem has its line; nobody fixes one to be told the next.
    """
    for breaks in (application_key, world_readable, bearer_in_pat):
        breaks(sandbox, config.parent, edit)
    edit(lambda document: document["routes"][0].update(service_user="provisoner"))

    process = await spawned("run", "--config", str(config))

    assert await process.end() == 2
    lines = process.err.decode().splitlines()
    assert len(lines) == 4
    assert any('did you mean "provisioner"?' in line for line in lines)
    assert secrets.absent_from(process.err)


async def test_an_address_in_use_is_named(sandbox, config, edit, spawned, relay):
    """
    A listener that cannot be had ends `run` with code 2, the setting and the address.
    """
    await relay.open(sandbox.url)
    edit(lambda document: document.update(listen=f"127.0.0.1:{relay.port}"))

    process = await spawned("run", "--config", str(config))

    assert await process.end() == 2
    assert f"listen  cannot listen on 127.0.0.1:{relay.port}" in process.err.decode()
    assert "Traceback" not in process.err.decode()
