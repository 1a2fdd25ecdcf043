from __future__ import annotations

import pytest


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
