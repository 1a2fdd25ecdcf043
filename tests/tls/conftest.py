"""
Certificates made for the test, servers that echo, and both event loops.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import dataclass

import pytest
import trustme
import uvloop


@pytest.fixture(scope="session")
def authority():
    """
    A certificate authority nobody trusts by default.
    """
    return trustme.CA()


@pytest.fixture
def ca_file(authority, tmp_path):
    """
    The authority's certificate as a file.
    """
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture
def written(tmp_path):
    """
    Write a certificate of trustme's and its key; return both paths.
    """

    def write(issued, name="server", folder=tmp_path):
        cert, key = folder / f"{name}.pem", folder / f"{name}.key"
        cert.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        key.write_bytes(issued.private_key_pem.bytes())
        key.chmod(0o600)
        return cert, key

    return write


@pytest.fixture
def served(authority):
    """
    Make a server's context for these names.
    """

    def make(*names, by=authority, newest=ssl.TLSVersion.TLSv1_3):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        by.issue_cert(*names).configure_cert(context)
        context.maximum_version = newest
        context.set_alpn_protocols(["h2", "http/1.1"])
        return context

    return make


@pytest.fixture
def trusting(authority):
    """
    A caller's context that trusts the test's authority.
    """
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request):
    """
    Run a coroutine on each kind of loop; whatever the loop itself complains of fails the test.
    """

    def run(work):
        complaints = []

        async def watched():
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: complaints.append(context))
            async with asyncio.timeout(20):
                return await work

        try:
            with asyncio.Runner(loop_factory=request.param) as runner:
                return runner.run(watched())
        finally:
            assert complaints == []

    return run


class Echo(asyncio.Protocol):
    """
    Sends back what it gets.
    """

    def connection_made(self, transport):
        """
        Keep the transport.
        """
        self.transport = transport

    def data_received(self, data):
        """
        Send it back.
        """
        self.transport.write(data)


@contextlib.asynccontextmanager
async def echo(context, **options):
    """
    Serve an echo by this context; yield the port.
    """
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0, ssl=context, **options)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@dataclass
class Client:
    """
    A standing connection.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def tls(self):
        """
        Its TLS object.
        """
        return self.writer.get_extra_info("ssl_object")

    @property
    def names(self):
        """
        The names in the certificate it was shown.
        """
        return [name for _, name in self.tls.getpeercert()["subjectAltName"]]

    async def ask(self, data=b"hello"):
        """
        Send *data* and return as much of an answer.
        """
        self.writer.write(data)
        return await self.reader.readexactly(len(data))

    async def close(self):
        """
        Close it, and wait until that is done.
        """
        self.writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def client(port, context, name="localhost"):
    """
    Yield a connection to a port of this machine that has had one answer.
    """
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname=name
    )
    made = Client(reader, writer)
    try:
        await made.ask()
        yield made
    finally:
        await made.close()


@pytest.fixture(name="echo")
def _echo():
    """
    Serve an echo by a context; yields the port.
    """
    return echo


@pytest.fixture(name="client")
def _client():
    """
    Connect; yields a connection that has had one answer.
    """
    return client
