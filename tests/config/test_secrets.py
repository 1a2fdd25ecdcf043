from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxy.config.secret_source import SecretCredential, SecretEnv, SecretFile
from proxy.config.secrets import read, read_file, read_public, read_token
from proxy.core.secret import Secret
from proxy.errors import CredentialInvalid


@pytest.mark.parametrize(
    "source",
    [
        SecretFile(Path("secret")),
        SecretFile(Path("link")),
        SecretEnv("NAME"),
        SecretCredential("secret"),
        Secret(" s3cret\n"),
    ],
    ids=["file", "link", "env", "credential", "bare"],
)
def test_a_secret_is_read_without_the_blanks_around_it(source, folder):
    """
    Wherever it comes from, a final newline is not part of it.
    """
    environ = {"NAME": "\ts3cret ", "CREDENTIALS_DIRECTORY": str(folder)}

    assert read(source, folder, environ) == Secret("s3cret")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("absent", "the file does not exist"),
        ("open", "every user of this machine"),
        ("pipe", "this is not a regular file"),
        ("dir", "this is a folder"),
        ("big", "the file is larger than 64 KiB"),
        ("loop", "the file cannot be opened"),
        ("latin1", "the file is not UTF-8 text"),
        ("blank", "the secret is empty"),
        ("lines", "the secret is not one line"),
        ("a\0b", "the file cannot be opened"),
        ("x" * 5000, "the file cannot be opened"),
    ],
    ids=lambda value: value[:12],
)
def test_a_file_that_cannot_hold_a_secret_is_refused_in_words(name, reason, folder, canary):
    """
    The reason says what is wrong and keeps both the content and the path to itself.
    """
    with pytest.raises(CredentialInvalid) as caught:
        read(SecretFile(Path(name)), folder, {})

    assert caught.value.reason.startswith(reason)
    assert canary not in caught.value.reason
    assert str(folder) not in caught.value.reason


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_this_process_may_not_read_is_refused(folder):
    """
    Missing permission has its own words.
    """
    (folder / "secret").chmod(0)

    with pytest.raises(CredentialInvalid, match="may not be read by this process"):
        read_file(Path("secret"), folder)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o440, 0o660])
def test_owner_and_group_may_read_a_secret(mode, folder):
    """
    Kubernetes hands secrets to a group; only everybody else is shut out.
    """
    (folder / "secret").chmod(mode)

    assert read_file(Path("secret"), folder) == Secret("s3cret")


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602])
def test_others_may_neither_read_nor_write_a_secret(mode, folder):
    """
    A secret everybody can read, or replace, is none.
    """
    (folder / "secret").chmod(mode)

    with pytest.raises(CredentialInvalid, match="chmod 640"):
        read_file(Path("secret"), folder)


def test_a_public_file_may_be_read_by_all(folder, canary):
    """
    Certificates are no secret.
    """
    assert read_public(Path("open"), folder) == canary


@pytest.mark.parametrize("text", ["Bearer abc", "a b", "a,b", '{"token": "a"}', "ä"])
def test_a_token_is_what_a_header_can_carry(text):
    """
    RFC 6750's b64token: nothing that could end or split the Authorization header.
    """
    with pytest.raises(CredentialInvalid):
        read_token(Secret(text), Path("/"), {})


@pytest.mark.parametrize("text", ["abc", "a.b-c_d~e+f/g==", "0"])
def test_a_bare_token_is_taken(text):
    """
    Opaque tokens and JWTs alike.
    """
    assert read_token(Secret(f"{text}\n"), Path("/"), {}) == Secret(text)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (SecretEnv("NONE"), "variable is not set"),
        (SecretCredential("pat"), "handed over no credentials"),
    ],
    ids=["env", "credential"],
)
def test_what_the_environment_lacks_is_said(source, reason):
    """
    An unset variable, and a service without credentials.
    """
    with pytest.raises(CredentialInvalid, match=reason):
        read(source, Path("/"), {})
