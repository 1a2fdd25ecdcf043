from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.config.network import TcpAddress, UnixAddress
from proxy.supervision.inheritance import Inherited, inherit

ROOT = str(Path(__file__).parent.parent.parent)

PROBE = """
import json, os, sys
from proxy.supervision.inheritance import inherit
found = inherit(os.environ, os.getpid())
print(json.dumps({
    "left": found.unclaimed(),
    "problems": found.problems,
    "taking_over": found.taking_over,
    "blocking": [each.getblocking() for _, each in found._sockets],
    "inheritable": [each.get_inheritable() for _, each in found._sockets],
    "environ": sorted(name for name in os.environ if "LISTEN" in name or "HANDOVER" in name),
}))
"""


def listening(family=socket.AF_INET, where=("127.0.0.1", 0)):
    """
    Return a socket that listens.
    """
    made = socket.socket(family)
    made.bind(where)
    made.listen()
    return made


@pytest.fixture
def listener():
    """
    A socket that listens on loopback.
    """
    with listening() as made:
        yield made


def probe(names, files, *changes):
    """
    Return what a process makes of these file descriptors.
    """
    numbers = [each.fileno() for each in files]
    activate = Path(__file__).with_name("activate.py")
    launch = [sys.executable, activate, names, ",".join(map(str, numbers)), *changes, "--"]
    done = subprocess.run(
        [*launch, sys.executable, "-c", PROBE],
        pass_fds=numbers,
        env={"PYTHONPATH": ROOT, "PATH": os.environ["PATH"]},
        capture_output=True,
        check=True,
        timeout=30,
    )
    assert done.stderr == b""
    return json.loads(done.stdout)


def where(sock):
    """
    Return its address as written.
    """
    return str(TcpAddress(*sock.getsockname()[:2]))


def test_passed_sockets_are_taken_over(listener, tmp_path):
    """
    Each has its name; none blocks, none is inherited further, and the variables are gone.
    """
    path = str(tmp_path / "s")
    with listening(socket.AF_UNIX, path) as unix:
        found = probe("web:127.0.0.1%3A80", [listener, unix])

    assert found == {
        "left": [f"web ({where(listener)})", f"127.0.0.1:80 (unix:{path})"],
        "problems": [],
        "taking_over": False,
        "blocking": [False, False],
        "inheritable": [False, False],
        "environ": [],
    }


def test_fewer_names_than_sockets(listener):
    """
    A socket without a name is known by its address.
    """
    with listening() as other:
        found = probe("web", [listener, other])

        assert found["left"] == [f"web ({where(listener)})", f"unknown ({where(other)})"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (["LISTEN_PID=1"], None),
        (["LISTEN_PID="], "LISTEN_PID does not say for whom"),
        (["LISTEN_FDS=many"], "LISTEN_FDS is no number"),
        (["LISTEN_FDS=-1"], "LISTEN_FDS is no number"),
        (["LISTEN_FDS=" + "9" * 30], "LISTEN_FDS is no number"),
        (["LISTEN_FDS="], None),
        (["AUTHPROXY_HANDOVER=nonsense", "LISTEN_PID=1"], "AUTHPROXY_HANDOVER names no pipe"),
        (["AUTHPROXY_HANDOVER=3", "LISTEN_PID=1"], "AUTHPROXY_HANDOVER names no pipe"),
        (["AUTHPROXY_HANDOVER=" + "9" * 30, "LISTEN_PID=1"], "AUTHPROXY_HANDOVER names no pipe"),
    ],
    ids=[
        "another's",
        "nobody's",
        "word",
        "negative",
        "huge",
        "none",
        "word pipe",
        "a socket",
        "far",
    ],
)
def test_bad_variables_are_complained_of(changes, problem, listener):
    """
    What is not for this process is left alone; what makes no sense is said, and nothing crashes.
    """
    found = probe("web", [listener], *changes)

    assert found["left"] == []
    assert found["environ"] == []
    assert not found["taking_over"]
    assert len(found["problems"]) == (problem is not None)
    assert problem is None or problem in found["problems"][0]


def test_what_is_no_listening_socket_is_left_out(listener, tmp_path):
    """
    A file, a socket that does not listen, a datagram socket, a closed number: the rest is used.
    """
    with (
        (tmp_path / "f").open("wb") as file,
        socket.socket() as mute,
        socket.socket(type=socket.SOCK_DGRAM) as datagrams,
    ):
        found = probe("a:b:c:d", [file, mute, datagrams, listener], "LISTEN_FDS=5")

    assert found["left"] == [f"d ({where(listener)})"]
    assert [problem.partition(":")[0] for problem in found["problems"]] == [
        "file descriptor 3 is no socket",
        "file descriptor 4 is no stream socket that listens",
        "file descriptor 5 is no stream socket that listens",
        "file descriptor 7 is not open",
    ]


def test_without_variables_there_is_nothing():
    """
    A process that was passed nothing has nothing to claim.
    """
    found = inherit({}, 7)

    assert found.unclaimed() == ()
    assert found.problems == ()
    assert found.claim("admin", TcpAddress("127.0.0.1", 9090)) is None


def test_a_name_goes_before_an_address(listener):
    """
    A listener gets the socket that bears its name, though another is bound to its address.
    """
    port = listener.getsockname()[1]
    with listening() as named:
        found = Inherited([("unknown", listener), ("admin", named)])

        assert found.claim("admin", TcpAddress("127.0.0.1", port)) is named
        assert found.claim("admin", TcpAddress("127.0.0.1", port)) is listener
        assert found.unclaimed() == ()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_an_address_fits_however_it_is_written(host, listener):
    """
    A host's name stands for its addresses; another port, host or kind does not fit.
    """
    port = listener.getsockname()[1]
    found = Inherited([("unknown", listener)])

    assert found.claim("x", TcpAddress(host, 0)) is None
    assert found.claim("x", TcpAddress("127.0.0.2", port)) is None
    assert found.claim("x", TcpAddress("no-such-host.invalid", port)) is None
    assert found.claim("unknown", UnixAddress(Path("/run/x.sock"))) is None
    assert found.claim("x", TcpAddress(host, port)) is listener


def test_a_unix_socket_fits_by_its_path(tmp_path, monkeypatch):
    """
    A relative path is the same place.
    """
    monkeypatch.chdir(tmp_path)
    with listening(socket.AF_UNIX, str(tmp_path / "s")) as unix:
        found = Inherited([("unknown", unix)])

        assert found.claim("x", UnixAddress(tmp_path / "t")) is None
        assert found.claim("x", UnixAddress(Path("s"))) is unix


def test_a_name_stands_for_one_socket_of_each_address():
    """
    A host of two addresses gets both its sockets; two listeners on any free port get one each.
    """
    with listening() as first, listening() as second, listening(socket.AF_INET6, ("::1", 0)) as six:
        found = Inherited([("127.0.0.1:0", first), ("127.0.0.1:0", second)])
        address = TcpAddress("127.0.0.1", 0)
        assert found.claim_all("127.0.0.1:0", address) == (first,)
        assert found.claim_all("127.0.0.1:0", address) == (second,)

        found = Inherited([("localhost:0", first), ("localhost:0", six)])
        assert found.claim_all("localhost:0", TcpAddress("localhost", 0)) == (first, six)


def test_what_nobody_claims_is_closed():
    """
    Whoever connects there is refused instead of left waiting.
    """
    left = listening()
    found = Inherited([("unknown", left)])
    found.close()

    assert left.fileno() == -1
    assert found.unclaimed() == ()


def test_the_process_before_this_one_is_told_once():
    """
    `ready` goes down the pipe, which then ends; a reader that is gone does not matter.
    """
    hearing, speaking = os.pipe()
    found = Inherited(pipe=speaking)
    assert found.taking_over
    for _ in range(2):
        found.serving()

    assert os.read(hearing, 100) == b"ready\n"
    assert os.read(hearing, 100) == b""
    assert found._pipe == -1
    os.close(hearing)

    hearing, speaking = os.pipe()
    os.close(hearing)
    Inherited(pipe=speaking).serving()
