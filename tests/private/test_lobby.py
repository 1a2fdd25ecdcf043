from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import sys

import pytest

from proxy.cli.terminal import loop_factory
from proxy.private.lobby import End, Lobby, owner
from proxy.private.sockdiag import Found, look_up

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

CLIENT, SERVER = End("127.0.0.1", 0x1F90), End("127.0.0.1", 0x2328)

LOCAL = "0100007F" if sys.byteorder == "little" else "7F000001"
MAPPED = "0" * 16 + ("FFFF0000" if sys.byteorder == "little" else "0000FFFF") + LOCAL


def row(local, remote, uid, inode=7, state="01"):
    """
    Return one line of the system's table.
    """
    return (
        f"   1: {local} {remote} {state} 00000000:00000000 00:00000000 00000000 {uid} 0 {inode} 1\n"
    )


@pytest.fixture
def table(tmp_path):
    """
    Write a table of sockets, and return its path.
    """

    def write(*rows, name="tcp"):
        path = tmp_path / name
        path.write_text(HEAD + "".join(rows))
        return path

    return write


@pytest.mark.parametrize(
    ("rows", "uid"),
    [
        ([row(f"{LOCAL}:1F90", f"{LOCAL}:2328", 1000)], 1000),
        ([row(f"{MAPPED}:1F90", f"{MAPPED}:2328", 1000)], 1000),
        ([row(f"{LOCAL}:2328", f"{LOCAL}:1F90", 1000)], None),
        ([row(f"{LOCAL}:1F90", f"{LOCAL}:2328", 0, inode=0)], None),
        ([row(f"{LOCAL}:1F90", f"{LOCAL}:2328", 1000, state="02")], None),
        (
            [
                row(
                    f"{'0200007F' if sys.byteorder == 'little' else '7F000002'}:1F90",
                    f"{LOCAL}:2328",
                    1000,
                ),
                row(f"{LOCAL}:1F90", f"{LOCAL}:2328", 1001),
            ],
            1001,
        ),
        ([], None),
    ],
    ids=[
        "IPv4",
        "IPv4 in IPv6",
        "the server's own end",
        "closed already",
        "not connected",
        "same ports",
        "unknown",
    ],
)
def test_whose_a_connection_is(table, rows, uid):
    """
    The owner is that of the client's very end, addresses included, and only while it is open.
    """
    assert owner(CLIENT, SERVER, [table(*rows)]) == uid


@pytest.fixture
async def echo(tmp_path):
    """
    A Unix socket that sends back what it gets, in capitals, until it has all.
    """

    async def serve(reader, writer):
        writer.write((await reader.read()).upper())
        writer.close()

    path = tmp_path / "echo.sock"
    server = await asyncio.start_unix_server(serve, path)
    yield path
    server.close()
    await server.wait_closed()


def silent(_client, _server):
    """
    Answer as a system that cannot be asked.
    """
    raise OSError


async def ask(port):
    """
    Send something, end that direction, return the answer.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"hello")
        writer.write_eof()
        return await reader.read()
    except OSError:  # whoever is turned away may find out while speaking
        return b""
    finally:
        writer.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the table of sockets is Linux's")
@pytest.mark.parametrize("asked", [look_up, silent], ids=["asked", "by the table"])
async def test_the_owner_gets_through(echo, asked):
    """
    Bytes go both ways, and the end of one direction leaves the other open.
    """
    async with Lobby(echo, ask=asked) as lobby:
        assert lobby.guarded
        assert await ask(lobby.port) == b"HELLO"


@pytest.mark.parametrize(
    "asked",
    [
        silent,
        lambda *_: Found(1, os.getuid() + 1, 7),
        lambda *_: Found(6, 0, 0),
        lambda *_: Found(2, os.getuid(), 7),
    ],
    ids=["by the table", "another user's", "closed already", "not connected"],
)
async def test_others_are_turned_away_unheard(echo, table, asked):
    """
    A connection the system does not show as this user's gets nothing, not even an answer.
    """
    tables = (table(row(f"{LOCAL}:1F90", f"{LOCAL}:2328", os.getuid() + 1)),)
    async with Lobby(echo, tables, asked) as lobby:
        assert await ask(lobby.port) == b""
        assert lobby.turned_away == 1


@pytest.mark.skipif(sys.platform != "linux", reason="sock_diag is Linux's")
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv4 in IPv6"])
def test_the_system_knows_both_ends(family):
    """
    Whose a connection is, and from when on it is nobody's, is known by its ends alone.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        there = server.getsockname()
        client = socket.socket(family)
        client.connect(there if family == socket.AF_INET else ("::ffff:127.0.0.1", there[1]))
        accepted, here = server.accept()
        try:
            found = look_up(here, there)
        except OSError as error:
            pytest.skip(f"this system does not answer: {error}")
        assert (found.uid, found.inode) == (os.getuid(), os.fstat(client.fileno()).st_ino)
        assert found.is_connected
        client.close()
        assert not look_up(here, there).is_connected
        accepted.close()
        with pytest.raises(OSError, match="No such file"):
            look_up(("127.0.0.1", 1), there)


def usual_loop():
    """
    Return the loop that `authproxy` runs on: uvloop's, where that is installed.
    """
    return (loop_factory() or asyncio.new_event_loop)()


def connection(place, own):
    """
    Connect from this address of one's own.
    """
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(own)
    made.connect(place)
    return made


@pytest.mark.skipif(sys.platform != "linux", reason="the table of sockets is Linux's")
@pytest.mark.parametrize("asked", [look_up, silent], ids=["asked", "by the table"])
@pytest.mark.parametrize("make_loop", [asyncio.new_event_loop, usual_loop])
def test_what_was_reset_is_not_taken_for_the_next_of_its_port(tmp_path, asked, make_loop):
    """
    What somebody sent and took back gets nowhere, though the port is one of this user's by then.
    """
    heard, bugs = [], []

    async def serve(reader, writer):
        heard.append(await reader.read())
        writer.close()

    async def scene():
        asyncio.get_running_loop().set_exception_handler(lambda _, told: bugs.append(told))
        path = tmp_path / "heard.sock"
        async with await asyncio.start_unix_server(serve, path), Lobby(path, ask=asked) as lobby:
            place = ("127.0.0.1", lobby.port)
            # Bound beforehand: a port that connect chooses may be somebody else's too, elsewhere
            first = connection(place, ("127.0.0.1", 0))  # nobody accepts it before the loop turns
            own = first.getsockname()
            first.sendall(b"theirs")
            first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            first.close()
            with connection(place, own) as second:
                second.sendall(b"ours")
                second.shutdown(socket.SHUT_WR)
                second.setblocking(False)
                await asyncio.get_running_loop().sock_recv(second, 1)
            assert lobby.turned_away == 1

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(scene())
    assert heard == [b"ours"]
    assert bugs == []


async def test_without_a_table_it_says_so(echo, tmp_path):
    """
    Where the system does not tell whose connections are, everybody gets through, and that is said.
    """
    async with Lobby(echo, (tmp_path / "none",)) as lobby:
        assert not lobby.guarded
        assert await ask(lobby.port) == b"HELLO"


async def test_it_ends_with_connections_open(echo):
    """
    Whoever is still connected is cut off.
    """
    async with Lobby(echo) as lobby:
        reader, writer = await asyncio.open_connection("127.0.0.1", lobby.port)
        writer.write(b"x")
        await writer.drain()
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()
