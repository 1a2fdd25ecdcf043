"""
Listeners that speak TLS, those that want to see a certificate, and upstreams that do.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import ssl
from pathlib import Path

import aiohttp
import pytest
import trustme


@pytest.fixture
def trusting(authority):
    """
    A caller's TLS settings that trust the test's authority.
    """
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def listener(key_file, **more):
    """
    Return an edit that makes the listener speak TLS.
    """
    return lambda document: document.update(
        listen=[{"address": "127.0.0.1:0", "tls": {**key_file, **more}}]
    )


async def test_a_listener_speaks_tls(sandbox, serve, key_file, trusting):
    """
    A caller that trusts the listener's certificate is served as on any other.
    """
    through = await serve(listener(key_file), scheme="https")

    reply = await through("GET", "/orders/1", ssl=trusting)

    assert reply.status == 200
    assert sandbox.hits[-1].user == "reporter"


async def test_a_large_body_over_tls(sandbox, serve, key_file, trusting):
    """
    Bodies pass whole through a TLS listener, too.
    """
    through = await serve(listener(key_file), scheme="https")
    body = bytes(range(256)) * 16_384

    up = await through("POST", "/upload", data=io.BytesIO(body), ssl=trusting)
    down = await through("GET", f"/bytes/{len(body)}", ssl=trusting)

    assert up.status == 200
    assert sandbox.hits[-2].body_length == len(body)
    assert down.body == body


async def test_plain_http_on_a_tls_listener_gets_nothing(sandbox, serve, key_file):
    """
    A caller that does not speak TLS to a TLS listener is not answered.
    """
    through = await serve(listener(key_file))

    with pytest.raises(aiohttp.ClientError):
        await through("GET", "/orders/1")
    assert sandbox.hits.total == 0


async def test_a_client_certificate_is_asked_for(
    sandbox, serve, key_file, ca_file, trusting, authority
):
    """
    With client_ca_file only callers with a certificate of that authority get through.
    """
    through = await serve(listener(key_file, client_ca_file=ca_file), scheme="https")

    with pytest.raises(aiohttp.ClientError):
        await through("GET", "/orders/1", ssl=trusting)
    assert sandbox.hits.total == 0

    authority.issue_cert("app@example.test").configure_cert(trusting)
    assert (await through("GET", "/orders/1", ssl=trusting)).status == 200


async def test_a_client_certificate_of_a_stranger_is_refused(
    sandbox, serve, key_file, ca_file, trusting
):
    """
    A certificate of another authority opens nothing.
    """
    through = await serve(listener(key_file, client_ca_file=ca_file), scheme="https")
    trustme.CA().issue_cert("app@example.test").configure_cert(trusting)

    with pytest.raises(aiohttp.ClientError):
        await through("GET", "/orders/1", ssl=trusting)
    assert sandbox.hits.total == 0


def save(issued, folder, name):
    """
    Write a certificate and its key; return both as `tls:` takes them.
    """
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    key.chmod(0o600)
    return {"cert_file": str(cert), "key_file": str(key)}


def spoil(path):
    """
    Overwrite a file with what is no key.
    """
    Path(path).write_text("not a key")


async def names(port, context, name):
    """
    Return the names in the certificate a listener shows whoever asks for *name*.
    """
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    shown = writer.get_extra_info("peercert")["subjectAltName"]
    writer.close()
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()
    return [value for _, value in shown]


async def test_the_name_chooses_among_certificates(serve, key_file, trusting, authority, tmp_path):
    """
    A listener shows each caller the certificate of the name it asked for.
    """
    other = save(authority.issue_cert("shop.test"), tmp_path, "shop")
    through = await serve(listener(key_file, certificates=[other]), scheme="https")

    assert await names(through.port, trusting, "shop.test") == ["shop.test"]
    assert "localhost" in await names(through.port, trusting, "localhost")


async def test_a_new_certificate_needs_no_restart(
    sandbox, serve, key_file, trusting, authority, tmp_path
):
    """
    Once its files have changed, new callers are shown the new certificate; the log says so.
    """
    through = await serve(listener(key_file), scheme="https")
    assert (await through("GET", "/orders/1", ssl=trusting)).status == 200

    save(authority.issue_cert("localhost", "127.0.0.1", "new.test"), tmp_path, "server")
    [certificates] = through.runtime.certificates
    certificates.look(0.0)

    event = await through.log.wait("certificate.reloaded")
    assert event["level"] == "info"
    assert event["file"] == key_file["cert_file"]
    assert "new.test" in event["names"]
    assert "new.test" in await names(through.port, trusting, "localhost")
    assert (await through("GET", "/orders/1", ssl=trusting)).status == 200
    assert sandbox.hits.total == 2


async def test_a_bad_certificate_is_left_alone(serve, key_file, trusting):
    """
    Files that cannot be used leave the old certificate in place; the log says why.
    """
    through = await serve(listener(key_file), scheme="https")

    spoil(key_file["key_file"])
    [certificates] = through.runtime.certificates
    for _ in range(2):
        certificates.look(0.0)

    event = await through.log.wait("certificate.rejected")
    assert event["level"] == "warning"
    assert event["reason"].startswith("the file holds no private key")
    assert (await through("GET", "/orders/1", ssl=trusting)).status == 200


async def test_tls_on_a_plain_listener_is_a_bad_request(sandbox, through):
    """
    A caller that speaks TLS to a plain listener is answered 400 in plain words, and shown out.
    """
    context = ssl.create_default_context()
    with pytest.raises(ssl.SSLError):
        await asyncio.open_connection(
            "127.0.0.1", through.port, ssl=context, server_hostname="localhost"
        )
    assert sandbox.hits.total == 0

    reader, writer = await asyncio.open_connection("127.0.0.1", through.port)
    writer.write(bytes.fromhex("1603010200010001fc0303") + bytes(500))
    assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.close()


async def test_a_caller_that_does_not_shake_hands_is_shown_out(serve, key_file):
    """
    Whoever connects to a TLS listener and says nothing is disconnected after limits.head_time.
    """

    def edit(document):
        listener(key_file)(document)
        document["limits"] = {"head_time": "100ms"}

    through = await serve(edit, scheme="https")
    reader, writer = await asyncio.open_connection("127.0.0.1", through.port)

    with contextlib.suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()


class Guarded:
    """
    An upstream that serves only callers with a certificate, and answers with its name.

    Attributes:
        url: Its origin.
        seen: For each connection, the caller's name and whether its session was resumed.
    """

    def __init__(self, context, *, keep):
        self._context = context
        self._keep = keep
        self.seen = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self.url = f"https://localhost:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def _serve(self, reader, writer):
        tls = writer.get_extra_info("ssl_object")
        [(_, name)] = tls.getpeercert()["subjectAltName"]
        self.seen.append((name, tls.session_reused))
        more = b"" if self._keep else b"Connection: close\r\n"
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                head = b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n" % (more, len(name))
                writer.write(head + name.encode())
                if not self._keep:
                    break
        writer.close()


@pytest.fixture
def asking(authority, server_tls):
    """
    What an upstream that wants to see a certificate shows.
    """
    authority.configure_trust(server_tls)
    server_tls.verify_mode = ssl.CERT_REQUIRED
    return server_tls


def guarded(url, ca_file, tmp_path, authority, *names):
    """
    Return an edit with a route to the same upstream for each name, with its certificate.
    """

    def route(name):
        files = save(authority.issue_cert(name), tmp_path, name)
        return {
            "name": name,
            "match": {"path": f"/{name}/"},
            "upstream": url,
            "service_user": "dev",
            "ca_file": ca_file,
            "client_cert_file": files["cert_file"],
            "client_key_file": files["key_file"],
        }

    return lambda document: document.update(routes=[route(name) for name in names])


async def test_each_route_shows_its_own_certificate(serve, asking, ca_file, tmp_path, authority):
    """
    Two routes to one upstream never share a connection if their client certificates differ.
    """
    async with Guarded(asking, keep=True) as upstream:
        through = await serve(
            guarded(upstream.url, ca_file, tmp_path, authority, "one.test", "two.test")
        )
        for name in ("one.test", "two.test", "one.test", "two.test"):
            reply = await through("GET", f"/{name}/")
            assert (reply.status, reply.body) == (200, name.encode())

    assert [name for name, _ in upstream.seen] == ["one.test", "two.test"]


async def test_the_next_connection_to_an_upstream_resumes(
    serve, asking, ca_file, tmp_path, authority
):
    """
    An upstream that closes after each answer costs one whole handshake, then halves.
    """
    async with Guarded(asking, keep=False) as upstream:
        through = await serve(guarded(upstream.url, ca_file, tmp_path, authority, "one.test"))
        for _ in range(3):
            assert (await through("GET", "/one.test/")).body == b"one.test"

    assert upstream.seen == [("one.test", False), ("one.test", True), ("one.test", True)]
