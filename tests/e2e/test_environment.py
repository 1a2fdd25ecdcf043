from __future__ import annotations

import pytest

FREE = {"AUTHPROXY_LISTEN": "127.0.0.1:0", "AUTHPROXY_ADMIN": "127.0.0.1:0"}


@pytest.mark.parametrize(
    ("variables", "user", "token"),
    [
        pytest.param(
            {"AUTHPROXY_KEY_FILE": "{folder}/provisioner.json"},
            "provisioner",
            "minted",
            id="private key JWT",
        ),
        pytest.param(
            {
                "AUTHPROXY_CLIENT_ID": "reporter",
                "AUTHPROXY_CLIENT_SECRET_FILE": "{folder}/reporter.secret",
            },
            "reporter",
            "minted",
            id="client credentials, file",
        ),
        pytest.param(
            {"AUTHPROXY_CLIENT_ID": "reporter", "AUTHPROXY_CLIENT_SECRET": "{secret}"},
            "reporter",
            "minted",
            id="client credentials",
        ),
        pytest.param(
            {"AUTHPROXY_TOKEN_FILE": "{folder}/dev.pat"}, "dev", "static", id="token, file"
        ),
        pytest.param({"AUTHPROXY_TOKEN": "{pat}"}, "dev", "static", id="token"),
    ],
)
async def test_variables_alone_start_a_proxy(sandbox, config, running, variables, user, token):
    """
    Without any file, issuer, one credential and upstream in the environment give a catch-all route.
    """
    known = {
        "folder": config.parent,
        "secret": sandbox.client_secret.reveal(),
        "pat": sandbox.pat.reveal(),
    }
    given = {name: text.format(**known) for name, text in variables.items()}
    through = await running(
        AUTHPROXY_ISSUER=sandbox.url, AUTHPROXY_UPSTREAM=sandbox.url, **FREE, **given
    )

    for _ in range(2):
        assert (await through("GET", "/auth/v1/users/me")).status == 200

    assert {hit.user for hit in sandbox.hits} == {user}
    assert (await through("GET", through.admin + "/readyz")).status == 200
    line = await through.log.wait("request.done")
    assert (line["route"], line["service_user"]) == ("default", "default")
    assert line["token"] in (token, "cached")


async def test_missing_variables_are_named(sandbox, spawned):
    """
    A start with half of the variables ends with code 2 and names each that is missing.
    """
    process = await spawned("run", AUTHPROXY_ISSUER=sandbox.url)

    assert await process.end() == 2
    said = process.err.decode()
    assert "AUTHPROXY_UPSTREAM" in said
    assert "AUTHPROXY_KEY_FILE" in said
    assert "Traceback" not in said


async def test_nothing_at_all_is_explained(spawned):
    """
    A start without file and variables ends with code 2 and names ways to begin.
    """
    process = await spawned("run")

    assert await process.end() == 2
    assert b"authproxy demo" in process.err
    assert b"Traceback" not in process.err


async def test_a_variable_names_the_file(sandbox, config, running):
    """
    $AUTHPROXY_CONFIG names the file like --config does.
    """
    through = await running(AUTHPROXY_CONFIG=str(config))

    assert (await through("GET", "/orders/1")).status == 200
