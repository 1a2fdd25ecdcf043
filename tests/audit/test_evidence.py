from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxy.audit.evidence import gather
from proxy.config.load import load
from tests.audit.parts import ENVIRON, GOOD, NOW


@pytest.fixture
def loaded(folder, monkeypatch):
    """
    Load the good configuration, with a secret of systemd's beside its key.
    """
    monkeypatch.chdir(folder)
    secret = "client_secret: {credential: secret}"
    other = f", c: {{issuer: z, method: client_credentials, client_id: c, {secret}}}}}"
    parts = GOOD | {"users": GOOD["users"].removesuffix("}") + other}
    Path("proxy.yaml").write_text("\n".join(parts.values()))
    return load(Path("proxy.yaml"), environ(folder), now=NOW)


def environ(folder):
    """
    Return an environment with systemd's credentials in it.
    """
    return ENVIRON | {"CREDENTIALS_DIRECTORY": str(folder)}


def test_it_has_the_files_and_when_keys_end(loaded, folder):
    """
    The configuration itself, key files, and what systemd hands over; which of them are secret.
    """
    evidence = gather(loaded, environ(folder), NOW)

    assert [(fact.place, fact.private) for fact in evidence.files] == [
        ((), False),
        (("service_users", "u", "key_file", 0), True),
        (("service_users", "c", "client_secret", 0), True),
    ]
    assert evidence.ends == {("service_users", "u", "key_file", 0): 1893456000.0}
    assert not any(fact.in_work_tree for fact in evidence.files)


def test_a_file_that_has_gone_meanwhile_is_left_out(loaded, folder):
    """
    Between check and audit a file may go: that is the next start's to say.
    """
    (folder / "long.json").unlink()

    evidence = gather(loaded, environ(folder), NOW)

    assert [fact.place for fact in evidence.files][1:] == [
        ("service_users", "c", "client_secret", 0)
    ]
    assert evidence.ends == {}


def test_links_are_followed(loaded, folder):
    """
    The rights of the file behind a link are what counts.
    """
    (folder / "elsewhere").write_text("x")
    (folder / "elsewhere").chmod(0o660)
    (folder / "secret").unlink()
    (folder / "secret").symlink_to("elsewhere")

    evidence = gather(loaded, environ(folder), NOW)

    assert [oct(fact.mode & 0o777) for fact in evidence.files][-1] == "0o660"


def test_nothing_shows_a_secret(loaded, folder):
    """
    Evidence can be printed.
    """
    evidence = gather(loaded, environ(folder), NOW)

    assert (folder / "secret").read_text() not in repr(evidence)
    assert os.fspath(folder) not in repr(evidence)
