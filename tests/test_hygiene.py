"""
Secrets leave the environment and stay at hand for those who read them again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import proxy
from proxy.config.load import load
from proxy.hygiene import Environment, take_secrets

ROOT = Path(proxy.__file__).parent.parent

CONFIG = """
version: 1
audit: {to: stdout, hmac_key: {env: AUDIT_KEY}}
issuers: {zitadel: {url: "https://acme.example"}}
service_users:
  dev: {issuer: zitadel, method: personal_access_token, token: [{env: PAT_1}, {env: PAT_2}]}
  job: {issuer: zitadel, method: client_credentials, client_id: a, client_secret: {env: SECRET}}
  swap:
    issuer: zitadel
    method: token_exchange
    client_id: a
    client_secret: {env: SECRET}
    subject: {token: {env: SUBJECT}, type: jwt}
routes: [{name: a, upstream: "https://api.example", service_user: dev}]
"""
SECRET = ("AUDIT_KEY", "PAT_1", "PAT_2", "SECRET", "SUBJECT")


@pytest.fixture
def environ() -> dict[str, str]:
    """
    An environment with a secret behind each name, and without.
    """
    return {name: f"canary-{name}" for name in SECRET} | {"HOME": "/home/a"}


@pytest.fixture
def settings(tmp_path, environ):
    """
    Settings that name each.
    """
    path = tmp_path / "proxy.yaml"
    path.write_text(CONFIG)
    return load(path, environ, now=0.0).settings


def test_variables_that_hold_secrets_are_taken_out(environ, settings):
    """
    Wherever the settings name one; all else stays where it was.
    """
    before = dict(environ)

    taken = take_secrets(environ, settings)

    assert environ == {"HOME": "/home/a"}
    assert dict(taken) == before
    assert taken.get("CREDENTIALS_DIRECTORY") is None


def test_this_programs_own_are_taken_out_though_a_file_is_in_use(environ, settings):
    """
    A token somebody left in the environment is one to lose.
    """
    environ |= {"AUTHPROXY_TOKEN": "canary-a", "AUTHPROXY_CLIENT_SECRET": "canary-b"}
    environ |= {"AUTHPROXY_TOKEN_FILE": "/run/secrets/token"}

    take_secrets(environ, settings)

    assert environ == {"HOME": "/home/a", "AUTHPROXY_TOKEN_FILE": "/run/secrets/token"}


def test_nothing_prints_them(environ, settings):
    """
    Neither repr nor str nor a format shows a value, a plain one included.
    """
    taken = take_secrets(environ, settings)

    for text in (repr(taken), str(taken), f"{taken}"):
        assert text == "<Environment of 6 variables, 5 of them secret>"


def test_a_child_does_not_inherit_them():
    """
    The C library's environment is changed, not a copy of it.
    """
    code = (
        "import os, subprocess\n"
        "from proxy.hygiene import take_secrets\n"
        "take_secrets(os.environ, None)\n"
        "print(subprocess.run(['env'], capture_output=True, text=True).stdout)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "AUTHPROXY_TOKEN": "canary-token", "OTHER": "stays"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "OTHER=stays" in done.stdout
    assert "canary-token" not in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's")
def test_a_process_that_forbids_core_dumps_is_not_dumpable():
    """
    PR_GET_DUMPABLE says so, and the limit is nought for good.
    """
    code = (
        "import ctypes, resource\n"
        "from proxy.hygiene import forbid_core_dumps\n"
        "assert forbid_core_dumps() == ''\n"
        "print(ctypes.CDLL(None).prctl(3), resource.getrlimit(resource.RLIMIT_CORE))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout == "0 (0, 0)\n"


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's")
def test_a_process_that_keeps_to_itself_passes_nothing_of_it_on():
    """
    It is not dumpable itself; what it starts is, and has the limit on cores that it had.
    """
    code = (
        "import ctypes, resource, subprocess, sys\n"
        "from proxy.hygiene import keep_to_itself\n"
        "before = resource.getrlimit(resource.RLIMIT_CORE)\n"
        "assert keep_to_itself() == ''\n"
        "print(ctypes.CDLL(None).prctl(3), flush=True)\n"
        "assert resource.getrlimit(resource.RLIMIT_CORE) == before\n"
        "child = 'import ctypes; print(ctypes.CDLL(None).prctl(3))'\n"
        "subprocess.run([sys.executable, '-c', child], check=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout == "0\n1\n"


def test_an_environment_is_a_mapping_without_surprises():
    """
    A name that is not there is a KeyError, as in any.
    """
    taken = Environment({"A": "1"}, frozenset(("B",)))

    assert "B" not in taken
    with pytest.raises(KeyError):
        taken["B"]
