"""
The audit trail's lines, and the file they go to.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import proxy.observe.audit
from proxy.core.secret import Secret
from proxy.core.token import Token
from proxy.observe.audit import MARKS, AuditLog, fingerprint
from proxy.observe.file import FileSink

KEY = Secret("canary-key")


class Lines:
    """
    Takes what is put.
    """

    def __init__(self) -> None:
        self.raw = b""
        self.put_once = asyncio.Event()

    def put(self, piece: bytes) -> None:
        """
        Take whole lines.
        """
        self.raw += piece
        self.put_once.set()


def token(text: str) -> Token:
    """
    Return a token.
    """
    return Token(Secret(text), 0.0, 3600.0, "minted")


@pytest.fixture
def lines():
    """
    What was written.
    """
    return Lines()


@pytest.fixture
async def audit(lines):
    """
    A trail at a fixed moment.
    """
    return AuditLog(lines, lambda: 1_800_000_000.25, asyncio.get_running_loop(), KEY)


def written(path: Path) -> list[bytes]:
    """
    Return a file's lines.
    """
    return path.read_bytes().splitlines()


@pytest.fixture
def until(tmp_path):
    """
    Wait until the sink's thread has brought a file to end so.
    """

    def wait(path: Path, last: bytes) -> None:
        pause = threading.Event()
        for _ in range(2000):
            if path.exists() and path.read_bytes().endswith(last):
                return
            pause.wait(0.005)
        raise AssertionError(f"{path} does not end with {last!r}")

    return wait


async def test_a_line_says_when_and_what(audit, lines):
    """
    JSON, the event's own facts behind timestamp, level and event.
    """
    audit.write({"request_id": "a-1", "path": "/ü\n"})
    audit.flush()

    assert json.loads(lines.raw) == {
        "timestamp": "2027-01-15T08:00:00.250Z",
        "level": "info",
        "event": "credential.used",
        "request_id": "a-1",
        "path": "/ü\n",
    }
    assert lines.raw.count(b"\n") == 1


async def test_a_line_alone_does_not_wait_for_ever(audit, lines):
    """
    It is handed over a moment later, without company.
    """
    audit.write({})
    async with asyncio.timeout(20):
        await lines.put_once.wait()

    assert lines.raw.endswith(b"}\n")


async def test_a_person_reads_it_as_other_events(lines):
    """
    One line for the console, control characters escaped.
    """
    audit = AuditLog(lines, lambda: 0.25, asyncio.get_running_loop(), KEY, style="console")
    audit.write({"path": "/\x1b[2J"})
    audit.flush()

    assert lines.raw == b'00:00:00 info credential.used path="/\\u001b[2J"\n'


async def test_a_fingerprint_is_an_hmac_of_the_token(audit):
    """
    So that who has the key and a token finds it; nothing else does.
    """
    made = audit.mark(token("canary-token"))

    assert made == hmac.new(b"canary-key", b"canary-token", "sha256").hexdigest()[:16]
    assert made != audit.mark(token("canary-other"))
    assert made != token("canary-token").fingerprint
    assert made != fingerprint(Secret("another key"), Secret("canary-token"))


def test_openssl_makes_the_same_fingerprint(tmp_path):
    """
    As the module's head says.
    """
    (tmp_path / "KEYFILE").write_text("canary-key\n")
    said = proxy.observe.audit.__doc__
    assert said
    recipe = next(line for line in said.splitlines() if "openssl" in line)
    done = subprocess.run(
        ["sh", "-c", recipe.replace("TOKEN", "canary-token")],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    if b"not found" in done.stderr:
        pytest.skip("openssl is not installed")

    assert done.stdout.strip().decode() == fingerprint(KEY, Secret("canary-token"))


async def test_an_hmac_is_made_once_for_each_token(lines):
    """
    Not once for each request; and what is remembered is bounded.
    """
    asked = []

    class Counting(Secret):
        def reveal(self) -> str:
            asked.append(1)
            return super().reveal()

    audit = AuditLog(lines, lambda: 0.0, asyncio.get_running_loop(), Counting("k"))
    one = token("canary-token")
    for _ in range(100):
        audit.mark(one)
    assert len(asked) == 1
    for number in range(MARKS + 10):
        audit.mark(token(f"t{number}"))
    assert len(audit._marks) <= MARKS


def test_a_file_is_its_owners(tmp_path, until):
    """
    Made with mode 0600 and appended to.
    """
    path = tmp_path / "audit.jsonl"
    for number in range(2):
        sink = FileSink(path)
        sink.put(b"%d\n" % number)
        sink.close()

    assert written(path) == [b"0", b"1"]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("how", ["seen", "told"])
def test_a_file_renamed_away_is_made_anew(tmp_path, until, how):
    """
    As logrotate does, with a signal or without: no line is lost, none is in both.
    """
    path, old = tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.1"
    sink = FileSink(path)
    sink.put(b"1\n")
    until(path, b"1\n")
    path.rename(old)
    if how == "told":
        sink.reopen()
    sink.put(b"2\n")
    until(path, b"2\n")
    path.unlink()
    sink.put(b"3\n")
    sink.close()

    assert written(old) == [b"1"]
    assert written(path) == [b"3"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert sink.dropped == 0


def test_a_full_disk_costs_lines_and_is_told(tmp_path, until):
    """
    Whoever writes goes on; the loss is counted, told on standard error, and where the lines are
    missing once there is room again.
    """
    read, write = os.pipe()
    path = tmp_path / "audit.jsonl"
    sink = FileSink(path, notice=lambda lost: b"lost %d\n" % lost, stderr=write, what="audit lines")
    sink.put(b"1\n")
    until(path, b"1\n")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2, before[1]))
    try:
        sink.put(b"2\n3\n")
        assert os.read(read, 200).startswith(b"authproxy: audit lines are being lost: ")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert sink.dropped == 2
    sink.put(b"4\n")
    until(path, b"4\nlost 2\n")
    sink.close()
    os.close(read)
    os.close(write)

    assert written(path) == [b"1", b"4", b"lost 2"]


@pytest.mark.parametrize("kind", ["folder", "fifo", "absent folder"])
def test_what_cannot_be_appended_to_is_refused_at_once(tmp_path, kind):
    """
    Without waiting for anybody to read a pipe.
    """
    path = tmp_path / "audit.jsonl"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path = path / "audit.jsonl"

    with pytest.raises(OSError, match=r"directory|No such|regular|device"):
        FileSink(path)


def test_importing_the_gateway_does_not_bring_the_trail():
    """
    Off is off: requests without a trail run no line of it.
    """
    root = Path(proxy.__file__).parent.parent
    code = "import proxy.gateway, sys; print('proxy.observe.audit' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, check=True, text=True
    )

    assert done.stdout == "False\n"
