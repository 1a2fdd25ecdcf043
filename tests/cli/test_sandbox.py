from __future__ import annotations

import signal
from pathlib import Path

import aiohttp
import pytest

from proxy.config.load import load
from proxy.sandbox.fault_list import FAULTS


def test_the_faults_are_listed(call):
    """
    --list-faults prints each fault with what it does.
    """
    result = call("sandbox", "--list-faults")

    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == len(FAULTS)
    for name, text in FAULTS.items():
        assert f"{name} " in result.stdout
        assert text in result.stdout


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("token-501", "no fault 'token-501'; perhaps token-50"),
        ("zzz", "no fault 'zzz'; --list-faults shows all"),
        ("", "no fault ''"),
        ("token-500=1", "token-500: takes no value"),
        ("token-slow=soon", "token-slow: write a number of seconds from 0 to 3600"),
        ("token-429=soon", "token-429: write whole seconds, or a date"),
        ("token-body", "token-body: needs a value"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(call, fault, said):
    """
    Before anything starts: code 2, the option, and what to write.
    """
    result = call("sandbox", "--fault", fault)

    assert result.exit_code == 2
    assert "'--fault'" in result.stderr
    assert said in " ".join(result.stderr.split())


async def test_faults_have_values_from_the_start(start):
    """
    Each fault that is on is shown with its value, as one line, and is on.
    """
    body = '{"access_token":\n"x=y"}'
    sandbox = await start(
        "sandbox",
        "--fault",
        "short-lived=5",
        "--fault",
        f"token-body={body}",
        "--client-assertions",
    )
    issuer = await sandbox.line("issuer")
    assert await sandbox.line("on") == "short-lived=5"
    assert await sandbox.line("on") == r'token-body={"access_token":\n"x=y"}'
    await sandbox.line("Ctrl-C")

    async with aiohttp.ClientSession() as session:
        async with session.get(f"{issuer}/sandbox/faults") as reply:
            faults = (await reply.json())["faults"]
        async with session.get(f"{issuer}/.well-known/openid-configuration") as reply:
            signing = (await reply.json())["token_endpoint_auth_signing_alg_values_supported"]

    assert (faults["short-lived"]["value"], faults["token-body"]["value"]) == (5.0, body)
    assert "ES256" in signing
    assert (await sandbox.end(signal.SIGTERM)).code == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_sandbox_writes_usable_files_and_ends_when_told(start, tmp_path, number):
    """
    What it writes is a configuration without a warning; it serves until a signal; then code 0.
    """
    made = tmp_path / "made"
    sandbox = await start("sandbox", "--directory", str(made), "--fault", "token-500")
    issuer = await sandbox.line("issuer")
    config = await sandbox.line("config")
    await sandbox.line("Ctrl-C")

    loaded = load(made / "proxy.yaml", {}, now=0.0)
    assert config == str(made / "proxy.yaml")
    assert loaded.warnings == ()
    assert loaded.settings.issuers["zitadel"].url.text == issuer
    assert {path.stat().st_mode & 0o777 for path in made.iterdir()} == {0o600}
    async with aiohttp.ClientSession() as session, session.get(f"{issuer}/sandbox/state") as state:
        assert (await state.json())["faults"] == ["token-500"]

    ended = await sandbox.end(number)
    assert (ended.code, ended.err) == (0, "")


async def test_without_a_directory_nothing_is_left(start):
    """
    The temporary folder of a sandbox is gone when it has ended.
    """
    sandbox = await start("sandbox")
    config = Path(await sandbox.line("config"))
    assert config.exists()  # noqa: ASYNC240 - a look at one local file
    await sandbox.line("Ctrl-C")

    assert (await sandbox.end(signal.SIGTERM)).code == 0
    assert not config.parent.exists()


async def test_a_port_in_use_is_said(start, sandbox):
    """
    A port that is taken ends with code 1 and no traceback.
    """
    port = sandbox.url.rpartition(":")[2]

    ended = await (await start("sandbox", "--port", port)).end()

    assert ended.code == 1
    assert "cannot listen" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--port", "70000", "not in the range"),
        ("--backend-port", "-1", "not in the range"),
        ("--token-lifetime", "0", "not in the range"),
        ("--token-lifetime", "inf", "not in the range"),
        ("--token-lifetime", "nan", "write seconds"),
        ("--listen", "nope", "is no address; write host:port"),
        ("--listen", "off", "is no address; write host:port"),
        ("--admin", ":9090", "names no host; write 127.0.0.1:PORT"),
    ],
)
def test_an_option_that_cannot_be_is_refused(call, option, value, said):
    """
    Before anything starts: code 2, the option, and what to write.
    """
    result = call("sandbox", option, value)

    assert result.exit_code == 2
    assert f"'{option}'" in result.stderr
    assert said in result.stderr


async def test_a_directory_that_cannot_be_made_is_said(start, tmp_path):
    """
    It is not taken for a port that is in use.
    """
    (tmp_path / "file").touch()
    directory = tmp_path / "file" / "made"

    ended = await (await start("sandbox", "--directory", str(directory))).end()

    assert ended.code == 1
    assert ended.err == f"Error: cannot write to {directory}: Not a directory\n"
