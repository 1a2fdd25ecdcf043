from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import sys

import pytest

from proxy.private.lobby import End, Lobby, owner

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
async def test_the_owner_gets_through(echo):
    """
    Bytes go both ways, and the end of one direction leaves the other open.
    """
    async with Lobby(echo) as lobby:
        assert lobby.guarded
        assert await ask(lobby.port) == b"HELLO"


async def test_others_are_turned_away_unheard(echo, table):
    """
    A connection the table does not show as this user's gets nothing, not even an answer.
    """
    other = os.getuid() + 1
    async with Lobby(echo, (table(row(f"{LOCAL}:1F90", f"{LOCAL}:2328", other)),)) as lobby:
        assert await ask(lobby.port) == b""
        assert lobby.turned_away == 1


@pytest.mark.skipif(sys.platform != "linux", reason="the table of sockets is Linux's")
async def test_what_was_reset_is_not_taken_for_the_next_of_its_port(tmp_path):
    """
    What somebody sent and took back gets nowhere, though the port is one of this user's by then.
    """
    heard = []

    async def serve(reader, writer):
        heard.append(await reader.read())
        writer.close()

    path = tmp_path / "heard.sock"
    async with await asyncio.start_unix_server(serve, path), Lobby(path) as lobby:
        place = ("127.0.0.1", lobby.port)
        first = socket.create_connection(place)  # nobody accepts it before the loop turns
        own = first.getsockname()
        first.sendall(b"theirs")
        first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        first.close()
        with socket.create_connection(place, source_address=own) as second:
            second.sendall(b"ours")
            second.shutdown(socket.SHUT_WR)
            second.setblocking(False)
            await asyncio.get_running_loop().sock_recv(second, 1)
        assert heard == [b"ours"]
        assert lobby.turned_away == 1


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
