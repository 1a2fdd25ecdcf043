from __future__ import annotations

import asyncio
import os
import shutil
import sys
import textwrap
from pathlib import Path

import pytest
from click.shell_completion import BashComplete

import proxy
from proxy.cli.command import GROUPS, VERBS, main

ROOT = str(Path(proxy.__file__).parent.parent)

PROGRAM = f"""#!{sys.executable}
import sys
from proxy.cli.command import main
sys.exit(main(prog_name="authproxy"))
"""


@pytest.fixture
def complete(call, config, monkeypatch):
    """
    Return what would be offered after these words, for the one begun last.
    """
    monkeypatch.setenv("AUTHPROXY_CONFIG", str(config))

    def offered(*words):
        shell = BashComplete(main, {}, "authproxy", "_AUTHPROXY_COMPLETE")
        return [item.value for item in shell.get_completions(list(words[:-1]), words[-1])]

    return offered


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("st",), ["status"]),
        (("re",), ["reload", "revoke"]),
        (("status", "--w"), ["--watch"]),
        (("completion", ""), ["bash", "zsh", "fish"]),
        (("token", ""), ["provisioner", "reporter", "dev"]),
        (("token", "--json", "r"), ["reporter"]),
        (("revoke", "p"), ["provisioner"]),
        (("allow", "--cut", "d"), ["dev"]),
        (("explain", "--caller", ""), ["anonymous"]),
        (("curl", "-sS", "/m"), ["/management/v1/"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
async def test_verbs_options_and_names_are_offered(complete, words, offered):
    """
    Names are those of the configuration.
    """
    assert complete(*words) == offered


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("service_users: {a: {method: nonsense}, b: 3}\nlisten: [", []),
        ("service_users: {a: {method: nonsense}, b: 3}\nodd: 1\n", ["a", "b"]),
        ("service_users: 3\nroutes: {}\n", []),
    ],
    ids=["no YAML", "wrong settings", "wrong shapes"],
)
async def test_a_broken_configuration_is_no_obstacle(complete, config, text, offered):
    """
    What can be read of it is offered; nothing is ever said.
    """
    config.write_text(text)

    assert complete("token", "") == offered
    assert complete("curl", "/") == []
    assert complete("explain", "--caller", "") == ["anonymous"]


async def test_another_configuration_may_be_named(complete, config, tmp_path):
    """
    `--config` on the line that is completed counts.
    """
    other = tmp_path / "other.yaml"
    other.write_text("service_users: {elsewhere: {}}\n")

    assert complete("token", "--config", str(other), "") == ["elsewhere"]
    assert complete("token", "--config", str(tmp_path / "none"), "") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_printed(call, shell):
    """
    For each shell, about this program.
    """
    result = call("completion", shell)

    assert (result.exit_code, result.stderr) == (0, "")
    assert f"_AUTHPROXY_COMPLETE={shell}_complete" in result.stdout


SCRIPTS = {
    "bash": """
        eval "$(authproxy completion bash)"
        COMP_WORDS=(authproxy token r) COMP_CWORD=2
        _authproxy_completion authproxy r token
        printf '%s\\n' "${COMPREPLY[@]}"
    """,
    "zsh": """
        compdef() { echo "compdef $*"; }
        compadd() { :; }
        eval "$(authproxy completion zsh)"
        functions _authproxy_completion >/dev/null && echo defined
    """,
    "fish": """
        authproxy completion fish | source
        complete -C "authproxy token r"
    """,
}

SAID = {"bash": "reporter", "zsh": "defined", "fish": "reporter\tclient_credentials"}


@pytest.mark.heavy
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_in_a_real_shell(config, tmp_path, shell):
    """
    The shell takes the script, and completes by it.
    """
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    program = tmp_path / "bin" / "authproxy"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    program.chmod(0o755)
    environ = os.environ | {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": ROOT,
        "AUTHPROXY_CONFIG": str(config),
        "HOME": str(tmp_path),
    }

    process = await asyncio.create_subprocess_exec(
        shell,
        "-c",
        textwrap.dedent(SCRIPTS[shell]),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environ,
    )
    out, err = await asyncio.wait_for(process.communicate(), 20)

    assert out.decode().strip().splitlines()[-1:] == [SAID[shell]], err.decode()


def test_every_verb_has_its_place_in_the_help():
    """
    Help lists verbs by what they are for, each once.
    """
    placed = [verb for verbs in GROUPS.values() for verb in verbs]

    assert sorted(placed) == sorted(VERBS)
