from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import re
import signal
import sys
import termios

import click
import pytest

from proxy.checkup.verdict import Step
from proxy.cli.online import Checked, Sheet, facts, sum_up
from proxy.core.credential import FixedToken, Issuer, ServiceUser
from proxy.core.secret import Secret

DEV = ServiceUser("dev", Issuer("zitadel", "https://acme.example"), FixedToken(Secret("x"), 0.0))
STEPS = (
    Step("discovery", ok=True, said="it answers", took=0.0125),
    Step("clock", ok=True, said="off", instead="set it right", warns=True),
    Step("mint", ok=True, said="opaque", instead="right for some"),
    Step("userinfo", ok=False, said="no", instead="make a new one"),
    Step("api", ok=None, said="not tried"),
)


async def online(start, config, *words, **environ):
    """
    Run `check --online` as a process and wait for its end.
    """
    return await (
        await start("check", "--online", *words, "--config", str(config), **environ)
    ).end()


async def test_all_is_well(start, config):
    """
    Code 0; a line for each step of each service user, in the file's order, without colours.
    """
    ended = await online(start, config)

    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0].startswith(f"ok  {config}: 1 listener")
    heads = [line.split()[0] for line in lines[1:] if line and not line.startswith(" ")]
    assert heads == ["provisioner", "reporter", "dev", "ok"]
    assert lines[-1] == "ok  3 service users checked with the issuers"
    marks = [line[2] for line in lines if line.startswith("  ") and line[2] != " "]
    assert "".join(marks) == "✓✓✓✓✓✓✓✓✓✓✓·✓✓"
    assert "\x1b" not in ended.out


async def test_a_finding_of_the_network_is_code_1(start, config, sandbox):
    """
    What failed is said with what to do, the rest is not tried, and the others are checked.
    """
    sandbox.faults.set("secret-wrong")

    ended = await online(start, config)

    assert ended.code == 1
    assert "  ✗ mint       the client secret is wrong" in ended.out
    assert "               → was it rotated?" in ended.out
    assert "  · userinfo   not tried" in ended.out
    assert ended.out.endswith("\nfailed  reporter\n")


async def test_an_issuers_trouble_is_explained_once(start, config, sandbox):
    """
    The second service user of an issuer that fails refers to the first.
    """
    sandbox.faults.set("discovery-500")

    ended = await online(start, config)

    assert ended.code == 1
    assert ended.out.count("(answered 500)") == 1
    assert ended.out.count("as for provisioner, above") == 2


async def test_as_json(start, config, sandbox):
    """
    --json prints one document: each service user with its steps; code 1 if one failed.
    """
    sandbox.faults.set("secret-wrong")

    ended = await online(start, config, "--json")

    assert ended.code == 1
    found = json.loads(ended.out)
    assert found["ok"] is False
    assert found["problems"] == found["warnings"] == []
    assert [each["service_user"] for each in found["online"]] == ["provisioner", "reporter", "dev"]
    assert [each["ok"] for each in found["online"]] == [True, False, True]
    first, reporter, dev = found["online"]
    assert first["issuer"] == "zitadel"
    assert first["method"] == "private_key_jwt"
    assert first["credential"] == "1 of 1"
    assert first["key_id"].isdigit()
    names = ["discovery", "clock", "mint", "userinfo", "api"]
    assert [step["name"] for step in first["steps"]] == names
    keys = {"name", "ok", "took_ms", "said", "instead", "warning"}
    assert all(step.keys() == keys for step in first["steps"])
    assert first["steps"][2]["took_ms"] > 0
    assert [step["ok"] for step in reporter["steps"]] == [True, True, False, None]
    assert dev["steps"][2]["took_ms"] is None


async def test_the_end_of_a_credential_is_told(start, config):
    """
    A known end stands beside the service user, as a date and in days.
    """
    config.write_text(
        config.read_text().replace("token: {file", "expires: 2999-01-31\n    token: {file")
    )

    told = await online(start, config)
    facts = json.loads((await online(start, config, "--json")).out)["online"][2]

    assert "dev  personal_access_token at zitadel, ends 2999-01-31 (in " in told.out
    assert facts["ends"] == "2999-01-31"
    assert facts["days_left"] > 300_000


@pytest.mark.parametrize("words", [(), ("--json",)], ids=["text", "json"])
async def test_a_configuration_problem_is_code_2(start, config, sandbox, words):
    """
    A key file others can read is a problem as ever, and no issuer is asked.
    """
    (config.parent / "provisioner.json").chmod(0o644)

    ended = await online(start, config, *words)

    assert ended.code == 2
    assert "service_users.provisioner.key_file" in ended.out + ended.err
    assert sandbox.issuer_hits.total == 0


async def test_without_the_option_nobody_is_asked(start, config, sandbox):
    """
    `check` alone sends nothing, and its JSON is as before.
    """
    ended = await (await start("check", "--json", "--config", str(config))).end()

    assert ended.code == 0
    assert json.loads(ended.out).keys() == {"ok", "problems", "warnings"}
    assert sandbox.issuer_hits.total == 0


async def test_an_output_without_such_characters(start, config):
    """
    Where marks cannot be written they are ASCII.
    """
    ended = await online(start, config, PYTHONIOENCODING="ascii")

    assert ended.code == 0
    assert "  + discovery  the issuer answers" in ended.out
    assert ended.out.isascii()


async def test_ctrl_c_ends_it(start, config, sandbox):
    """
    Ctrl-C in the middle of a mint ends the command at once, without a traceback.
    """
    sandbox.faults.set("token-slow", value=60)
    command = await start("check", "--online", "--config", str(config))
    await sandbox.mints.until(1)

    ended = await command.end(signal.SIGINT)

    assert ended.code == 1
    assert "Traceback" not in ended.err
    assert ended.err.strip() == "Aborted!"


async def test_no_secret_is_printed(start, config, sandbox):
    """
    Neither text nor JSON holds a secret, a token or a key, whatever the issuer says.
    """
    sandbox.faults.set("token-error-in-200")
    bad = await online(start, config)
    sandbox.faults.clear()
    good = [await online(start, config), await online(start, config, "--json")]

    text = "".join(each.out + each.err for each in (bad, *good))
    hidden = [sandbox.pat, sandbox.client_secret]
    hidden += [hit.bearer for hit in sandbox.issuer_hits if hit.bearer]
    assert len(hidden) > 5
    assert not [each for each in hidden if each.reveal() in text]
    assert "PRIVATE" not in text


async def test_a_narrow_terminal(config, sandbox, environ, folder):
    """
    On a terminal lines are coloured, and wrapped under what they belong to.
    """
    sandbox.faults.set("secret-wrong")
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 60))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "check", "--online", "--config", str(config)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=theirs,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        env=environ | {"TERM": "xterm"},
    )
    os.close(theirs)
    await process.communicate()
    shown = read_all(ours)

    assert "\x1b[32m" in shown
    plain = re.sub(r"\x1b\[\d*m", "", shown).replace("\r\n", "\n")
    told = plain.partition("\n\n")[2]
    assert max(map(len, told.splitlines())) <= 60
    assert (
        "\n               → was it rotated? A new secret ends the old\n                 one" in told
    )


def read_all(descriptor):
    """
    Return what was written to a pseudo-terminal whose other end is closed.
    """
    pieces = []
    with contextlib.suppress(OSError):  # Linux says so that nobody can write any more
        while piece := os.read(descriptor, 65_536):
            pieces.append(piece)
    os.close(descriptor)
    return b"".join(pieces).decode()


def test_how_steps_look(capsys):
    """
    Each step has its mark, its time if it asked somebody, and below it what to do.
    """
    sheet = Sheet(None, plain=True)
    sheet.begin(Checked(DEV, "2 of 2", -1.0))
    for step in STEPS:
        sheet.tell(step)

    assert capsys.readouterr().out.splitlines() == [
        "",
        "dev  personal_access_token at zitadel, credential 2 of 2, ended 1970-01-01",
        "  + discovery  it answers (12 ms)",
        "  ! clock      off",
        "               -> set it right",
        "  + mint       opaque",
        "               -> right for some",
        "  x userinfo   no",
        "               -> make a new one",
        "  - api        not tried",
    ]


def test_the_last_line_names_the_credential():
    """
    Of several credentials the one that failed is named; a warning fails nothing.
    """
    bad = Checked(DEV, "2 of 2", None, STEPS)
    good = Checked(DEV, "1 of 2", None, STEPS[:3])

    assert click.unstyle(sum_up([good, bad])) == "failed  dev (credential 2 of 2)"
    assert click.unstyle(sum_up([good])) == "ok  1 service user checked with the issuers"
    assert facts(good)["ok"]
    assert not facts(bad)["ok"]
