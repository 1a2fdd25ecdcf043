from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from proxy.cli.command import SUMMARIES, VERBS


def test_help_lists_the_verbs(call):
    """
    --help and -h say what the program does and name its verbs.
    """
    for word in ("--help", "-h"):
        result = call(word)
        assert result.exit_code == 0
        for verb in ("run", "check", "token", "health", "schema", "sandbox", "demo"):
            assert f"\n  {verb} " in result.stdout
        assert "..." not in result.stdout.partition("Commands:")[2]
        assert max(map(len, result.stdout.splitlines())) <= 80


@pytest.mark.parametrize("verb", ["run", "check", "token", "health", "schema", "sandbox", "demo"])
def test_each_verb_explains_itself(call, verb):
    """
    A verb's --help has its usage, and each option says something.
    """
    result = call(verb, "--help")

    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: authproxy {verb} ")


def test_each_verb_has_a_summary_that_fits():
    """
    One line of help each, also at 80 columns.
    """
    assert list(SUMMARIES) == list(VERBS)
    widest = max(map(len, VERBS))
    assert [verb for verb, said in SUMMARIES.items() if len(said) > 80 - 4 - widest] == []


@pytest.mark.parametrize("asked", ["help", "completion"])
def test_listing_the_verbs_imports_none(asked):
    """
    Help and the shell's completion of verbs need neither the proxy nor its libraries.
    """
    script = (
        "import sys; from proxy.cli.command import main\n"
        f"try: main({['--help'] if asked == 'help' else []}, prog_name='authproxy')\n"
        "except SystemExit: pass\n"
        "print(sorted({'aiohttp', 'pydantic', 'proxy.runtime', 'proxy.cli.serve'} & set(sys.modules)))"
    )
    shell = {
        "_AUTHPROXY_COMPLETE": "bash_complete",
        "COMP_WORDS": "authproxy re",
        "COMP_CWORD": "1",
    }
    environ = {**os.environ, **(shell if asked == "completion" else {})}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True
    )

    assert done.stdout.endswith("\n[]\n")
    assert "plain,reload\n" in done.stdout or "  reload " in done.stdout


def test_the_version_names_the_libraries(call):
    """
    --version says which libraries are at work, for reports.
    """
    result = call("--version")

    assert result.exit_code == 0
    assert result.stdout.startswith("authproxy ")
    assert "aiohttp" in result.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("serve",), "no verb 'serve'; there are: run, check"),
        (("statu",), "no verb 'statu'; did you mean status? there are: run, check"),
        (("run", "--confg", "x"), "No such option '--confg'"),
        (("run", "--log-format", "xml"), "'xml' is not one of"),
        (("check", "extra"), "unexpected extra argument"),
        (("token",), "Missing argument 'USER'"),
        (("sandbox", "--fault", "token-501"), "token-501"),
        (("sandbox", "--port", "many"), "'many' is not a valid integer"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_slip_on_the_command_line_is_named(call, words, said):
    """
    An unknown verb, option or value ends with code 2 and says what there is.
    """
    result = call(*words)

    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


async def test_the_module_is_the_command(start):
    """
    `python -m proxy` is `authproxy`, by that name.
    """
    ended = await (await start("--help")).end()

    assert ended.code == 0
    assert ended.out.startswith("Usage: authproxy ")


@pytest.mark.parametrize("verb", ["run", "check", "health", "token"])
async def test_a_broken_configuration_ends_every_verb_alike(start, folder, verb):
    """
    Code 2, one line per problem with its place, and no traceback, whatever the verb.
    """
    (folder / "proxy.yaml").write_text("version: 1\nroutes: []\nissuer: {}\n")
    words = (verb, "dev") if verb == "token" else (verb,)

    ended = await (await start(*words)).end()

    assert ended.code == 2
    assert ended.out == ""
    assert "proxy.yaml:3:1  issuer  unknown setting" in ended.err
    assert 'did you mean "issuers"?' in ended.err
    assert "proxy.yaml:2:" in ended.err
    assert "Traceback" not in ended.err


async def test_the_command_itself_imports_little(environ):
    """
    What takes long is imported within it, where Ctrl-C ends it in words: no traceback.
    """
    code = "import sys, proxy.cli.command; print({'pydantic', 'aiohttp', 'yaml'} & {*sys.modules})"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, env=environ, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()

    assert out == b"set()\n"
