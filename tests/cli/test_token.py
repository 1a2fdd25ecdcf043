from __future__ import annotations

import json

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


def test_the_token_and_not_the_token_cannot_both_be_printed(call):
    """
    --json with --header is a mistake on the command line.
    """
    result = call("token", "dev", "--json", "--header")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "use one of them" in result.stderr
