from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CONFIG = """
version: 1
admin: "off"
issuers: {zitadel: {url: "https://acme.zitadel.cloud"}}
service_users:
  dev: {issuer: zitadel, method: personal_access_token, token: {env: PAT}}
routes:
  - {name: api, upstream: "https://acme.zitadel.cloud", service_user: dev}
"""

full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")


@pytest.fixture
def shell(folder, environ):
    """
    Run a line of shell in which $A is the command; return code and standard error.
    """
    (folder / "proxy.yaml").write_text(CONFIG)

    def run(line: str, **more: str) -> tuple[int, str]:
        ended = subprocess.run(
            ["/bin/sh", "-c", line],
            cwd=folder,
            env=environ | {"A": f"{sys.executable} -m proxy", "PAT": "t" * 40} | more,
            capture_output=True,
            timeout=30,
            check=False,
        )
        return ended.returncode, ended.stderr.decode()

    return run


@pytest.mark.parametrize(
    "line",
    ["$A exec -- true >&-", "$A exec -- true <&- >&- 2>&-", "$A token dev <&- >&-"],
)
def test_a_process_without_its_standard_streams_does_its_work(shell, line):
    """
    No file or socket gets a number below 3, which uvloop ends a process for.
    """
    assert shell(line) == (0, "")


@full
def test_a_full_disk_is_said_in_words(shell):
    """
    Code 1 and one line, no traceback, not even at the very end.
    """
    assert shell("$A schema >/dev/full") == (
        1,
        "the output cannot be written: No space left on device\n",
    )


def test_what_an_encoding_lacks_is_replaced(shell):
    """
    The `…` of a verb's help and an arrow in its answers fail nowhere.
    """
    for words in ("exec --help", "explain GET /x"):
        assert shell(f"$A {words}", PYTHONIOENCODING="latin-1") == (0, "")
