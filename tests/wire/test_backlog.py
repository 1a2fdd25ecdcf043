from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from functools import partial

import pytest
import trustme

from proxy.wire import backlog
from proxy.wire.backlog import stop_accepting

WAITING = 5


class Greeting(asyncio.Protocol):
    """
    Answers the first bytes of a connection, and closes.
    """

    def connection_made(self, transport):
        """
        Note the transport.
        """
        self.transport = transport

    def data_received(self, data):
        """
        Answer.
        """
        self.transport.write(b"got " + data)
        self.transport.close()


@pytest.fixture
def owner():
    """
    Tasks of connections that are adopted.
    """
    return set()


def adopt(accepted, **options):
    """
    Make a connection of a socket.
    """
    return asyncio.get_running_loop().connect_accepted_socket(Greeting, accepted, **options)


async def read(client):
    """
    Return all that comes on a socket.
    """
    reader, writer = await asyncio.open_connection(sock=client)
    async with asyncio.timeout(10):
        data = await reader.read()
    writer.close()
    return data


def connect(where, said=b"it"):
    """
    Connect and send a request, without a turn of the loop: nobody can have accepted it.
    """
    client = socket.socket(socket.AF_UNIX if isinstance(where, str) else socket.AF_INET)
    try:
        client.connect(where)
        client.sendall(said)
    except OSError:
        client.close()
        raise
    return client


@pytest.mark.parametrize("kind", ["loopback", "network", "unix"])
async def test_who_waits_in_the_backlog_is_let_in(kind, owner, tmp_path, both_loops, monkeypatch):
    """
    A connection that stands when the server closes is served; one that comes later is not.
    """
    if kind == "network":
        monkeypatch.setattr(backlog, "SETTLE", 0.01)
    loop = asyncio.get_running_loop()
    path = str(tmp_path / "s")
    host = "0.0.0.0" if kind == "network" else "127.0.0.1"
    server = await (
        loop.create_unix_server(Greeting, path)
        if kind == "unix"
        else loop.create_server(Greeting, host, 0)
    )
    where = path if kind == "unix" else ("127.0.0.1", server.sockets[0].getsockname()[1])
    clients = [connect(where) for _ in range(WAITING)]
    await stop_accepting([(server, adopt)], owner)

    assert await asyncio.gather(*map(read, clients)) == [b"got it"] * WAITING
    with pytest.raises(ConnectionRefusedError):
        connect(where)


async def test_who_waits_may_shake_hands_yet(owner, both_loops):
    """
    Over TLS as well, though that takes a while; a failed handshake is the end of that one alone.
    """
    authority = trustme.CA()
    context, trusting = (
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH),
        ssl.create_default_context(),
    )
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(trusting)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Greeting, "127.0.0.1", 0, ssl=context)
    where = server.sockets[0].getsockname()
    clients = [socket.create_connection(where) for _ in range(2)]
    plain = connect(where, b"GET / HTTP/1.1\r\n\r\n")
    await stop_accepting([(server, partial(adopt, ssl=context))], owner)

    assert len(owner) == 3
    await read(plain)
    for client in clients:
        reader, writer = await asyncio.open_connection(
            sock=client, ssl=trusting, server_hostname="localhost"
        )
        writer.write(b"it")
        assert await reader.read() == b"got it"
        writer.close()
    await asyncio.gather(*owner)


async def test_a_handshake_that_comes_to_nothing_is_broken_off(owner, both_loops):
    """
    Whoever says nothing is let go when the tasks are cancelled, and nothing is left of it.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server = await asyncio.get_running_loop().create_server(Greeting, "127.0.0.1", 0, ssl=context)
    silent = socket.create_connection(server.sockets[0].getsockname())
    await stop_accepting([(server, partial(adopt, ssl=context))], owner)
    (task,) = owner
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert await read(silent) == b""
    assert task.cancelled() or task.exception() is None


async def test_a_socket_another_process_listens_on_is_only_closed(owner, both_loops):
    """
    Who waits there is the other one's: nobody is reset, and nobody passed over.
    """
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as shared:
        server = await loop.create_server(Greeting, sock=shared.dup())
        client = connect(shared.getsockname())
        await stop_accepting([(server, adopt)], owner, shared=True)
        later = connect(shared.getsockname())

        for each in (client, later):
            accepted, _ = shared.accept()
            assert accepted.recv(2) == b"it"
            accepted.close()
            each.close()
    assert not owner


async def test_who_has_left_the_backlog_is_passed_over(owner):
    """
    A connection that was reset before it was let in harms nobody.
    """
    server = await asyncio.get_running_loop().create_server(Greeting, "127.0.0.1", 0)
    where = server.sockets[0].getsockname()
    gone, stays = connect(where), connect(where)
    gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    gone.close()
    await stop_accepting([(server, adopt)], owner)

    assert await read(stays) == b"got it"
    with contextlib.suppress(OSError):
        await asyncio.gather(*owner)
