from __future__ import annotations

import asyncio
import socket
import ssl
import traceback

import pytest
import trustme
from aiohttp import web

from proxy.core.credential import Issuer
from proxy.core.grant import TokenRequest
from proxy.core.secret import Secret
from proxy.errors import CredentialInvalid, MintRejected, MintTimeout, MintUnavailable
from proxy.tokens.issuer_clock import IssuerClocks
from proxy.tokens.line import Answer, Line, session, way_to

REQUEST = TokenRequest(Secret("a=canary-body"), Secret("Basic canary-basic"))


@pytest.fixture
async def raw():
    """
    Start a server that answers every connection with the bytes given, then closes.
    """
    servers = []

    async def start(answer: bytes, **options) -> str:
        async def serve(reader, writer):
            got = await reader.read(65536)
            while not got.endswith(b"canary-body") and got[:1] != b"\x16":  # a TLS hello
                got += await reader.read(65536)
            writer.write(answer)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, **options)
        servers.append(server)
        return f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    yield start
    for server in servers:
        server.close()
        await server.wait_closed()


@pytest.fixture(scope="module")
def authority():
    """
    Whom the tests trust.
    """
    return trustme.CA()


@pytest.fixture
def ca_file(authority, tmp_path) -> str:
    """
    Its certificate as a file.
    """
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


def tls(authority, name) -> ssl.SSLContext:
    """
    Return a server context for *name*.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

BROKEN = {
    "closed": (b"", MintUnavailable, "closed the connection without an answer"),
    "not http": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", MintUnavailable, "not answer in well-formed HTTP"),
    "cut short": (OK[:-1], MintUnavailable, "broke off"),
    "cut chunk": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        MintUnavailable,
        "broke off",
    ),
    "bad chunk": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ncanary\r\nab",
        MintUnavailable,
        "broke off|well-formed HTTP",
    ),
    "long header": (
        b"HTTP/1.1 200 OK\r\nX: " + b"canary" * 5000 + b"\r\n\r\n",
        MintUnavailable,
        "not answer in well-formed HTTP",
    ),
}


@pytest.mark.parametrize(("answer", "kind", "words"), BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_answer_is_put_in_words(line, raw, answer, kind, words):
    """
    Each way to break an answer is a MintUnavailable that names the host, and chains nothing.
    """
    host = await raw(answer)

    with pytest.raises(kind, match=words) as caught:
        await line.ask(Issuer("i", f"http://{host}"), f"http://{host}/token", REQUEST)

    assert host in caught.value.reason
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert "canary" not in "".join(traceback.format_exception(caught.value))


async def test_a_refused_connection_says_so(line):
    """
    The likeliest mistake of all: nothing listens there.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(MintUnavailable, match="refuses connections; is it running"):
            await line.ask(Issuer("i", url), url, REQUEST)


async def test_an_unknown_name_says_so(line):
    """
    RFC 6761: a name below `invalid` has no address.
    """
    with pytest.raises(MintUnavailable, match=r"no address is known for issuer.invalid"):
        await line.ask(Issuer("i", "http://issuer.invalid"), "http://issuer.invalid/t", REQUEST)


async def test_an_unreachable_address_says_so(line):
    """
    The broadcast address takes no TCP connection anywhere.
    """
    url = "http://255.255.255.255/token"

    with pytest.raises(MintUnavailable, match=r"255.255.255.255 cannot be reached: \w"):
        await line.ask(Issuer("i", url), url, REQUEST)


async def test_a_silent_issuer_is_given_up(time, issuer):
    """
    The deadline covers the whole exchange.
    """
    issuer.open.clear()
    async with session() as http:
        line = Line(http, IssuerClocks(time.clock), timeout=0.05)
        with pytest.raises(MintTimeout, match=r"did not answer within 0.05 s") as caught:
            await line.ask(Issuer("i", issuer.url), issuer.url + "/oauth/v2/token", REQUEST)
    assert caught.value.__context__ is None


async def test_a_dripping_issuer_is_given_up(time, issuer):
    """
    Nor do single bytes, each in time, keep an exchange alive.
    """
    dripped = asyncio.Event()

    async def drip(request):
        response = web.StreamResponse()
        await response.prepare(request)
        while not dripped.is_set():
            await response.write(b" ")
            await asyncio.sleep(0.005)
        return response

    issuer.script.append(drip)
    async with session() as http:
        with pytest.raises(MintTimeout):
            await Line(http, IssuerClocks(time.clock), timeout=0.05).ask(
                Issuer("i", issuer.url), issuer.url + "/oauth/v2/token", REQUEST
            )
    dripped.set()


@pytest.mark.parametrize("url", ["", "/token", "ftp://host/x", "http://", "http://[::1"])
async def test_a_url_that_is_none_is_rejected(line, url):
    """
    It cannot get better by itself.
    """
    with pytest.raises(MintRejected, match="not a usable url"):
        await line.ask(Issuer("i", "https://acme.example"), url, REQUEST)


async def test_a_certificate_of_ones_own_authority_is_trusted(line, raw, authority, ca_file):
    """
    ca_file names whom to trust.
    """
    host = await raw(OK, ssl=tls(authority, "127.0.0.1"))

    answer = await line.ask(
        Issuer("i", f"https://{host}", ca_file=ca_file), f"https://{host}/t", REQUEST
    )

    again = await line.ask(
        Issuer("i", f"https://{host}", ca_file=ca_file), f"https://{host}/t", REQUEST
    )

    assert (answer.status, answer.body) == (200, b"{}")
    assert again == answer


async def test_an_unknown_authority_is_not_trusted(line, raw, authority):
    """
    There is no way to switch verification off.
    """
    host = await raw(OK, ssl=tls(authority, "127.0.0.1"))

    with pytest.raises(MintUnavailable, match=r"certificate of .* is not trusted.*ca_file"):
        await line.ask(Issuer("i", f"https://{host}"), f"https://{host}/t", REQUEST)


async def test_a_certificate_of_another_name_is_not_trusted(line, raw, authority, ca_file):
    """
    The name of the url is the one that counts.
    """
    host = await raw(OK, ssl=tls(authority, "other.example"))

    with pytest.raises(MintUnavailable, match=r"certificate of .* is not trusted"):
        await line.ask(
            Issuer("i", f"https://{host}", ca_file=ca_file), f"https://{host}/t", REQUEST
        )


async def test_plain_http_behind_an_https_url_says_so(line, raw):
    """
    A port mixed up gets its own words.
    """
    host = await raw(OK)

    with pytest.raises(MintUnavailable, match=r"no TLS connection to .*does it speak https"):
        await line.ask(Issuer("i", f"https://{host}"), f"https://{host}/t", REQUEST)


@pytest.mark.parametrize("content", [None, "not a certificate"])
async def test_an_unusable_ca_file_says_so(line, tmp_path, content):
    """
    A missing or empty list of authorities trusts nobody, and not everybody.
    """
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)

    with pytest.raises(CredentialInvalid, match="ca_file cannot be read"):
        await line.ask(
            Issuer("i", "https://acme.example", ca_file=str(path)), "https://acme.example/t"
        )


async def test_connect_to_dials_elsewhere_and_keeps_the_name(line, raw, authority, ca_file):
    """
    TLS is checked against the url's name, not against where it was dialled.
    """
    host = await raw(OK, ssl=tls(authority, "acme.example"))
    issuer = Issuer("i", "https://acme.example", connect_to=f"https://{host}", ca_file=ca_file)

    assert (await line.ask(issuer, "https://acme.example/t", REQUEST)).status == 200


async def test_connect_to_keeps_the_host_header(line, issuer):
    """
    ZITADEL computes its issuer from Host, port included, byte for byte.
    """
    named = Issuer("i", "https://ACME.example:443", connect_to=issuer.url)

    await line.ask(named, "https://ACME.example:443/oauth/v2/token?a=%2f+b", REQUEST)

    assert issuer.asked[0].headers["host"] == "ACME.example:443"
    assert issuer.asked[0].path == "/oauth/v2/token?a=%2f+b"
    assert issuer.asked[0].body == b"a=canary-body"


def test_connect_to_is_for_the_issuers_own_urls_only():
    """
    A token endpoint configured elsewhere is dialled where it is.
    """
    issuer = Issuer("i", "https://acme.example", connect_to="http://zitadel.svc:8080")

    inside, host, name = way_to(issuer, "https://acme.example/t")
    outside, other_host, _ = way_to(issuer, "https://login.example/t")

    assert (str(inside), host, name) == (
        "http://zitadel.svc:8080/t",
        "acme.example",
        "acme.example",
    )
    assert (str(outside), other_host) == ("https://login.example/t", "login.example")


def test_an_answer_shows_nothing_of_its_body():
    """
    A body may hold a token.
    """
    assert "canary" not in repr(Answer(200, b"canary"))
