"""
What a running proxy leaves lying about of its secrets.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")


def core_limit(pid: int) -> tuple[str, str]:
    """
    Return a process's soft and hard limit on core dumps.
    """
    limits = Path(f"/proc/{pid}/limits").read_text()
    line = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    soft, hard = line.split()[4:6]
    return soft, hard


def owner(pid: int) -> int:
    """
    Return whose a process's environment is to read.
    """
    return Path(f"/proc/{pid}/environ").stat().st_uid


@LINUX
@pytest.mark.parametrize("wanted", [False, True])
async def test_no_core_dump_holds_the_secrets(running, config, wanted):
    """
    Neither for the process nor, by its limits, for what it might start; unless asked for.
    """
    environ = {"AUTHPROXY_COREDUMPS": "1"} if wanted else {}
    through = await running("--config", str(config), **environ)
    pid = through.process.pid

    assert core_limit(pid) == (core_limit(os.getpid()) if wanted else ("0", "0"))
    if os.geteuid() != 0:  # what is not dumpable is the superuser's in /proc: its environment, too
        assert (owner(pid) == 0) is not wanted
    assert (await through("GET", through.admin + "/metrics")).status == 200


async def test_secrets_from_variables_work_on_once_they_are_taken_out(
    running, edit, sandbox, secrets
):
    """
    A service user whose secret is in a variable mints, and mints again after a revocation.
    """
    source = {"env": "REPORTER_SECRET"}
    config = edit(lambda it: it["service_users"]["reporter"].update(client_secret=source))
    through = await running("--config", str(config), REPORTER_SECRET=sandbox.client_secret.reveal())
    assert (await through("GET", "/orders/42")).status == 200
    for what in ("revoke", "allow"):
        url = f"{through.admin}/service-users/reporter/{what}"
        assert (await through("POST", url)).status == 200
    assert (await through("GET", "/orders/42")).status == 200


async def test_a_refused_secret_is_read_again_from_where_it_was(running, edit, sandbox):
    """
    The issuer says no: the variable is looked at once more, though it has left the environment.
    """
    source = {"env": "REPORTER_SECRET"}
    config = edit(lambda it: it["service_users"]["reporter"].update(client_secret=source))
    through = await running("--config", str(config), REPORTER_SECRET="not-the-secret")

    assert (await through("GET", "/orders/42")).code == "mint_rejected"
    failed = await through.log.wait("token.mint_failed", service_user="reporter")
    assert "variable is not set" not in failed["reason"]


async def test_a_folder_everybody_may_change_is_refused_at_check(spawned, config, tmp_path):
    """
    Who could put another file in the secret's place could choose it; a group that may change the
    file is remarked on.
    """
    (config.parent / "reporter.secret").chmod(0o660)
    doubtful = await spawned("check", "--config", str(config))
    assert await doubtful.end() == 0
    said = doubtful.err.decode()
    assert "client_secret  every member of the file's group may change it; run chmod g-w" in said
    assert said.count("chmod") == 1

    config.parent.chmod(0o777)
    process = await spawned("check", "--config", str(config))
    assert await process.end() == 2
    assert "client_secret  every user of this machine may replace the file" in process.err.decode()
    config.parent.chmod(0o1777)
    sticky = await spawned("check", "--config", str(config))
    assert await sticky.end() == 0
