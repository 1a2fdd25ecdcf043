from __future__ import annotations

import asyncio
import json
import os
import pty
import sys
from asyncio import to_thread
from datetime import UTC, datetime

import pytest


def fetched(words, config):
    """
    Return the command line for these words.
    """
    return ("token", *words, "--config", str(config))


@pytest.mark.parametrize("user", ["provisioner", "reporter", "dev"])
async def test_a_usable_token_and_nothing_else_is_printed(start, sandbox, config, user):
    """
    `token USER` prints one line: a token the issuer takes for that user.
    """
    ended = await (await start(*fetched((user,), config))).end()

    assert (ended.code, ended.err) == (0, "")
    token = ended.out.removesuffix("\n")
    alive = sandbox.instance.alive(token)
    assert alive is not None
    assert alive.user.name == user


async def test_a_header_line_for_curl(start, sandbox, config):
    """
    --header prints the whole header, ready for curl -H.
    """
    ended = await (await start(*fetched(("dev", "--header"), config))).end()

    assert ended.code == 0
    assert ended.out == f"Authorization: Bearer {sandbox.pat.reveal()}\n"


@pytest.mark.parametrize(
    ("user", "method"),
    [("dev", "personal_access_token"), ("provisioner", "private_key_jwt")],
)
async def test_facts_without_the_token(start, sandbox, config, user, method):
    """
    --json tells about the token and does not hold it.
    """
    ended = await (await start(*fetched((user, "--json"), config))).end()

    assert ended.code == 0
    facts = json.loads(ended.out)
    assert (facts["service_user"], facts["method"], facts["format"]) == (user, method, "opaque")
    assert facts["expires_in"] is None if user == "dev" else facts["expires_in"] > 40_000
    assert facts["age"] is None if user == "dev" else facts["age"] in range(10)
    assert sandbox.pat.reveal() not in ended.out


async def test_claims_of_a_jwt(start, sandbox, config):
    """
    Of a JWT --json shows the claims, and no part of the token itself.
    """
    sandbox.users["reporter"].jwt = True

    ended = await (await start(*fetched(("reporter", "--json"), config))).end()

    facts = json.loads(ended.out)
    assert facts["format"] == "jwt"
    assert facts["claims"]["sub"] == sandbox.users["reporter"].user_id
    assert "eyJ" not in ended.out


async def test_only_the_user_asked_for_is_minted(start, sandbox, config):
    """
    Nobody else's credential is used, or even read.
    """
    (config.parent / "dev.pat").chmod(0o600)

    ended = await (await start(*fetched(("reporter",), config))).end()

    assert ended.code == 0
    assert sandbox.mints.requests == 1
    assert sandbox.mints[0].user == "reporter"


async def test_an_unknown_user_is_named(start, sandbox, config):
    """
    A user that is not there ends with code 2, and those that are there are listed.
    """
    ended = await (await start(*fetched(("nobody",), config))).end()

    assert (ended.code, ended.out) == (2, "")
    assert "no service user nobody; there are: provisioner, reporter, dev\n" in ended.err
    assert sandbox.mints.requests == 0


@pytest.mark.parametrize(
    ("fault", "code"),
    [("token-500", "mint_unavailable"), ("discovery-wrong-issuer", "mint_rejected")],
)
async def test_an_issuer_that_gives_none_is_code_1(start, sandbox, config, fault, code):
    """
    No token: code 1, the error's code and reason on standard error, nothing on standard output.
    """
    sandbox.faults.set(fault)

    ended = await (await start(*fetched(("reporter",), config))).end()

    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(f"{code}: ")
    assert "Traceback" not in ended.err
    assert sandbox.client_secret.reveal() not in ended.err


async def test_a_credential_for_kubectl(call, sandbox, config):
    """
    --exec-credential prints the token and when it ends, as far as that is known.
    """
    minted = await to_thread(call, *fetched(("reporter", "--exec-credential"), config))
    fixed = await to_thread(call, *fetched(("dev", "--exec-credential"), config))

    told = json.loads(minted.stdout)
    assert (told["apiVersion"], told["kind"]) == (
        "client.authentication.k8s.io/v1",
        "ExecCredential",
    )
    assert sandbox.instance.alive(told["status"]["token"]).user.name == "reporter"
    ends = datetime.strptime(told["status"]["expirationTimestamp"], "%Y-%m-%dT%H:%M:%S%z")
    assert 42_000 < (ends - datetime.now(UTC)).total_seconds() <= 43_200
    assert json.loads(fixed.stdout)["status"] == {"token": sandbox.pat.reveal()}


@pytest.mark.parametrize("colour", [True, False])
async def test_a_person_is_told_about_the_token(environ, sandbox, config, colour):
    """
    At a terminal a second line, on standard error, says how long it lives and what it is for; in
    colour unless NO_COLOR is set.
    """
    sandbox.users["reporter"].jwt = True
    ours, theirs = pty.openpty()
    words = (sys.executable, "-m", "proxy", *fetched(("reporter",), config))
    more = {} if colour else {"NO_COLOR": "1"}
    process = await asyncio.create_subprocess_exec(
        *words, stdout=theirs, stderr=theirs, env=environ | more | {"PYTHONIOENCODING": "utf-8"}
    )
    try:
        assert await asyncio.wait_for(process.wait(), 20) == 0
        token, hint = os.read(ours, 65_536).decode().splitlines()
    finally:
        os.close(ours)
        os.close(theirs)

    assert sandbox.instance.alive(token).user.name == "reporter"
    assert ("\x1b" in hint) == colour
    told = "# reporter, client_credentials, jwt  ████████ ends in 1"
    assert hint.removeprefix("\x1b[2m").startswith(told)
    assert "  scopes openid profile urn:zitadel:iam:org:project:id:" in hint
    assert "  aud " in hint
    assert "eyJ" not in hint


@pytest.mark.parametrize("other", ["--header", "--exec-credential"])
def test_the_token_and_not_the_token_cannot_both_be_printed(call, other):
    """
    --json with a way to print the token is a mistake on the command line.
    """
    result = call("token", "dev", "--json", other)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "use one of them" in result.stderr
