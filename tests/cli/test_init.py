from __future__ import annotations

import json
import stat

import click
import pytest
import yaml

from proxy.cli.answers import as_issuer, as_upstream, offer_chmod
from proxy.cli.first_config import Answers, write
from proxy.config.load import load
from proxy.errors import ConfigError


@pytest.fixture
def credentials(config):
    """
    The sandbox's folder of credential files.
    """
    return config.parent


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://acme.zitadel.cloud", "https://acme.zitadel.cloud"),
        ("acme.zitadel.cloud", "https://acme.zitadel.cloud"),
        (" acme.zitadel.cloud/ ", "https://acme.zitadel.cloud"),
        ("HTTPS://acme.zitadel.cloud//", "https://acme.zitadel.cloud"),
        ("https://acme.zitadel.cloud/ui/console/users?x", "https://acme.zitadel.cloud"),
        (
            "https://acme.zitadel.cloud/.well-known/openid-configuration",
            "https://acme.zitadel.cloud",
        ),
        ("https://auth.example.com/realms/one", "https://auth.example.com/realms/one"),
        ("localhost:8080", "http://localhost:8080"),
        ("[::1]:8080/", "http://[::1]:8080"),
    ],
)
def test_an_issuer_is_known_by_what_people_call_it(text, url, capsys):
    """
    Scheme, slashes and the console's paths are put right, and what was made of it is said.
    """
    assert as_issuer(text) == url
    assert (url in capsys.readouterr().err) == (text != url)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no URL"),
        ("http://acme.zitadel.cloud", "write https://"),
        ("ftp://acme.zitadel.cloud", "scheme"),
        ("https://me:pw@acme.zitadel.cloud", "user name"),
        ("https://ac me", "host"),
    ],
)
def test_what_is_no_issuer_is_said(text, said):
    """
    In words that say what to write.
    """
    with pytest.raises(click.BadParameter, match=said):
        as_issuer(text)


def test_an_upstream_keeps_its_path():
    """
    Only what means nothing is dropped.
    """
    assert as_upstream("api.example.com/") == "https://api.example.com"
    assert as_upstream("https://api.example.com/v2/") == "https://api.example.com/v2/"


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        (
            ("--key-file", "provisioner.json"),
            {
                "method": "private_key_jwt",
                "scopes": ["openid", "urn:zitadel:iam:org:project:id:zitadel:aud"],
            },
        ),
        (
            (
                "--client-id",
                "reporter",
                "--client-secret-file",
                "reporter.secret",
                "--scope",
                "openid",
            ),
            {"method": "client_credentials", "client_id": "reporter", "scopes": ["openid"]},
        ),
        (("--token-file", "dev.pat"), {"method": "personal_access_token"}),
    ],
    ids=["key", "client", "token"],
)
async def test_a_script_answers_everything(
    call, sandbox, credentials, monkeypatch, words, settings
):
    """
    No question, a file for its owner alone, which every verb can use, and what to do next.
    """
    monkeypatch.chdir(credentials)
    (credentials / "proxy.yaml").unlink()

    result = call("init", "--issuer", sandbox.url, "--no-online", *words)

    made = credentials / "proxy.yaml"
    assert result.exit_code == 0
    assert "ok  proxy.yaml is written" in result.stdout
    assert "  authproxy run\n" in result.stdout
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    (user,) = yaml.safe_load(made.read_text())["service_users"].values()
    assert settings.items() <= user.items()
    assert str(credentials) not in made.read_text()  # the folder may be moved
    assert load(made, {}, now=0.0).settings.routes[0].upstream.text == sandbox.url
    assert sorted(path.name for path in credentials.glob(".proxy-*")) == []


async def test_it_is_tried_with_the_issuer(start, sandbox, credentials, folder):
    """
    What it writes works, or it is said why not: code 1, and the file is there to be mended.
    """
    key = str(credentials / "provisioner.json")

    good = await (await start("init", "--issuer", sandbox.url, "--key-file", key)).end()
    sandbox.faults.set("token-invalid-grant")
    bad = await (
        await start("init", "--issuer", sandbox.url, "--key-file", key, "-o", "other.yaml")
    ).end()

    assert good.code == 0
    assert "1 service user checked with the issuers" in good.out
    assert "  authproxy curl /auth/v1/users/me\n" in good.out
    assert bad.code == 1
    assert "authproxy check --online --config other.yaml" in bad.out
    assert (folder / "other.yaml").exists()


async def test_questions_are_asked_until_they_are_answered(call, sandbox, credentials, folder):
    """
    A wrong answer is explained and asked for again.
    """
    answers = f"http://far.example\n{sandbox.url}\n4\n3\nnone.pat\n{credentials}/dev.pat\n\n"

    result = call("init", "--no-online", stdin=answers.encode())

    assert result.exit_code == 0
    for said in ("write https://", "write 1, 2 or 3", "the file does not exist"):
        assert said in result.stderr
    assert "personal_access_token" in (folder / "proxy.yaml").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "nobody is there to ask; write --issuer"),
        (("--issuer", "http://far.example"), "--issuer: http:// to another machine"),
        (("--issuer", "x", "--key-file", "none.json"), "--key-file: the file does not exist"),
        (("--issuer", "x", "--key-file", "app.json"), "this is an application's key"),
        (("--issuer", "x", "--key-file", "pat"), "goes with --token-file"),
        (("--issuer", "x", "--token-file", "app.json"), "goes with --key-file"),
        (("--issuer", "x", "--token-file", "open.pat"), "run chmod 640"),
        (("--issuer", "x", "--client-id", "a"), "write --client-secret-file"),
        (("--issuer", "x", "--token-file", "pat", "--key-file", "app.json"), "one credential"),
        (("--output", "none/proxy.yaml"), "the folder of none/proxy.yaml does not exist"),
        (("--output", ".", "--force"), ". is a folder"),
        (("--listen", "0.0.0.0:8080"), "--listen: other machines could connect to 0.0.0.0:8080"),
        (("--listen", "here"), "--listen: it is no address; write host:port"),
        (("--admin", "here"), "--admin: it is no address; write host:port"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_used_is_said_and_nothing_is_written(call, folder, words, said):
    """
    Code 2; nothing is put right silently, and nothing is left behind.
    """
    for name, text, mode in (
        ("app.json", json.dumps({"type": "application", "key": "x"}), 0o600),
        ("pat", "a" * 40, 0o600),
        ("open.pat", "a" * 40, 0o644),
    ):
        (folder / name).write_text(text)
        (folder / name).chmod(mode)

    result = call("init", "--no-online", *words, stdin=b"")

    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert sorted(path.name for path in folder.iterdir()) == ["app.json", "open.pat", "pat"]
    assert stat.S_IMODE((folder / "open.pat").stat().st_mode) == 0o644


def test_a_file_that_is_there_stays(call, folder):
    """
    Nothing is asked, nothing written.
    """
    (folder / "proxy.yaml").write_text("mine")

    result = call("init", "--issuer", "x")

    assert result.exit_code == 2
    assert "--force writes over it" in result.stderr
    assert (folder / "proxy.yaml").read_text() == "mine"


@pytest.mark.parametrize("yes", [True, False])
def test_closing_an_open_file_is_offered(folder, monkeypatch, yes):
    """
    Where somebody is there to say yes.
    """
    path = folder / "open.pat"
    path.write_text("x")
    path.chmod(0o644)
    monkeypatch.setattr("click.confirm", lambda *_, **__: yes)

    offer_chmod(path, asks=True)

    assert stat.S_IMODE(path.stat().st_mode) == (0o640 if yes else 0o644)


def test_nothing_is_left_of_what_cannot_be_used(folder):
    """
    Neither a file nor half of one; the problems bear the name it would have had.
    """
    path = folder / "proxy.yaml"

    with pytest.raises(ConfigError) as caught:
        write(path, "version: 2\n", {}, now=0.0, force=False)

    assert {problem.file for problem in caught.value.problems} == {str(path)}
    assert list(folder.iterdir()) == []


def test_a_file_made_meanwhile_is_not_written_over(folder):
    """
    Somebody may have been quicker; by force it is taken over.
    """
    (folder / "token").write_text("a" * 30)
    (folder / "token").chmod(0o600)
    answers = Answers(
        "https://a.example", "https://a.example", "personal_access_token", folder / "token"
    )
    path = folder / "proxy.yaml"
    path.write_text("mine")

    with pytest.raises(FileExistsError):
        write(path, answers.text(folder), {}, now=0.0, force=False)
    assert path.read_text() == "mine"
    write(path, answers.text(folder), {}, now=0.0, force=True)
    assert "a.example" in path.read_text()
    assert sorted(each.name for each in folder.iterdir()) == ["proxy.yaml", "token"]
