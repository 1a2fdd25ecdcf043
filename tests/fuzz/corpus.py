"""
Odd requests and responses, each one question parsers have been known to answer differently.

The comments name the paragraph that says what is right.
"""

from __future__ import annotations

HOST = b"Host: a.example\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
TAIL = b"GET /tail HTTP/1.1\r\nHost: a.example\r\n\r\n"
"""What would be smuggled."""


def get(*lines: bytes, target: bytes = b"/", method: bytes = b"GET") -> bytes:
    """
    Return a request without a body.
    """
    return b"%b %b HTTP/1.1\r\n" % (method, target) + HOST + b"".join(lines) + b"\r\n"


def post(*lines: bytes, body: bytes = b"abc", target: bytes = b"/") -> bytes:
    """
    Return a request with its body as is.
    """
    return b"POST %b HTTP/1.1\r\n" % target + HOST + b"".join(lines) + b"\r\n" + body


# As many CRs and LFs as lines have, but not side by side
SPLICES = (
    b"AX: a\nTransfer-Encoding: chunked",
    b"\rX: a\n\nY: b",
    b"AX: a\nY: b",
    b"X: a\r\nY: b\n",
)


def _hosts() -> list[bytes]:
    # RFC 9112 §3.2
    lines = (
        b"", b"Host: a\r\nHost: a\r\n", b"Host: a\r\nhost: b\r\n", b"Host:\r\n", b"Host: u@b\r\n",
        b"Host: a b\r\n", b"Host: a/b\r\n", b"Host: a:b\r\n", b"Host: a:99999\r\n", b"Host: [::1]:80\r\n",
        b"Host: a,b\r\n", b"Host: a\t\r\n", b"Host:a\r\n", b"Host: A.EXAMPLE.\r\n", b"Host: a?b\r\n",
    )  # fmt: skip
    return [b"GET / HTTP/1.1\r\n" + line + b"\r\n" for line in lines]


def _lengths() -> list[bytes]:
    # RFC 9110 §8.6, RFC 9112 §6.3
    values = (
        b"3", b"3, 3", b"+3", b"-1", b"0x3", b"1_0", b"", b"9" * 30, b"3 3", b"3;", b"\x0b3", b"03",
        b"0", b"00", b"3.0", b"3 ", b"\t3\t", b"18446744073709551619", b"9223372036854775808",
    )  # fmt: skip
    found = [post(b"Content-Length: %b\r\n" % value) for value in values]
    found += [
        post(b"Content-Length: 3\r\nContent-Length: 3\r\n"),
        post(b"Content-Length: 3\r\nContent-Length: 4\r\n"),
        post(b"Content-Length: 3\r\n", b"content-length:3\r\n"),
        post(b"Content-Length : 3\r\n"),
        post(b"Content_Length: 3\r\n", body=b""),
        post(b"Content-Length: 3\r\n", b"Connection: content-length\r\n"),
        get(b"Content-Length: 3\r\n") + b"abc",
        get(b"Content-Length: 0\r\n", method=b"HEAD"),
        get(method=b"POST"),
    ]
    return found


def _codings() -> list[bytes]:
    # RFC 9112 §6.1
    chunks = b"3\r\nabc\r\n0\r\n\r\n"
    values = (
        b"chunked", b"Chunked", b"xchunked", b"chunked, identity", b",chunked", b"chunked,", b"\x0bchunked",
        b"gzip, chunked", b"identity", b"chunked;q=1", b'"chunked"', b"chunked, chunked", b"", b"chunked ",
        b"\tchunked", b"cow", b"chunked\x00", b"chunke\xc4\x91",
    )  # fmt: skip
    found = [post(b"Transfer-Encoding: %b\r\n" % value, body=chunks) for value in values]
    found += [
        post(b"Content-Length: 3\r\n", CHUNKED, body=chunks),
        post(CHUNKED, b"Content-Length: 3\r\n", body=chunks),
        post(CHUNKED, CHUNKED, body=chunks),
        post(CHUNKED, b"Transfer-Encoding: identity\r\n", body=chunks),
        post(b"Transfer-Encoding : chunked\r\n", body=chunks),
        post(b"Transfer_Encoding: chunked\r\n", body=chunks),
        post(b"Transfer-Encoding:\r\n chunked\r\n", body=chunks),
        post(b"X: y\nTransfer-Encoding: chunked\r\n", body=chunks),
        post(b"X: y\rTransfer-Encoding: chunked\r\n", body=chunks),
        post(CHUNKED, b"Connection: transfer-encoding\r\n", body=chunks),
        post(CHUNKED, b"Connection: upgrade\r\nUpgrade: h2c\r\n", body=chunks),
        post(CHUNKED, body=chunks).replace(b"1.1", b"1.0"),
        get(CHUNKED) + chunks,
    ]
    return found


def _chunks() -> list[bytes]:
    # RFC 9112 §7.1
    bodies = (
        b"3\r\nabc\r\n0\r\n\r\n", b"0x3\r\nabc\r\n0\r\n\r\n", b"-0\r\n\r\n", b"0_3\r\nabc\r\n0\r\n\r\n",
        b"3 \r\nabc\r\n0\r\n\r\n", b" 3\r\nabc\r\n0\r\n\r\n", b"+3\r\nabc\r\n0\r\n\r\n",
        b"10000000000000003\r\nabc\r\n0\r\n\r\n", b"3\nabc\n0\n\n", b"3\r\nabc\n0\r\n\r\n", b"3\r\nabc0\r\n\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n", b"3;a\nb\r\nabc\r\n0\r\n\r\n", b"3;a=b;c\r\nabc\r\n0\r\n\r\n",
        b'3;a="\r\n"\r\nabc\r\n0\r\n\r\n', b"3;\r\nabc\r\n0\r\n\r\n", b"3 ; a = b\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabc\r\n0\r\nHost: b\r\n\r\n", b"3\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n",
        b"3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n0\r\nAuthorization: x\r\n\r\n",
        b"3\r\nabc\r\n0\r\nX : y\r\n\r\n", b"3\r\nabc\r\n0\r\n X\r\n\r\n", b"3\r\nabc\r\n0\n\r\n", b"3\r\nabc\r\n0\r\n\n",
        b"3\r\nabc\r\n00000\r\n\r\n", b"000003\r\nabc\r\n0\r\n\r\n", b"g\r\nabc\r\n0\r\n\r\n", b"\r\n0\r\n\r\n",
        b"3\rabc\r0\r\r", b"3\r\r\nabc\r\n0\r\n\r\n", b"A\r\n0123456789\r\n0\r\n\r\n", b"2\r\nabc\r\n0\r\n\r\n",
        b"0\r\n\r\n", b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n", b"f" * 15 + b"\r\nabc", b"3\r\nabc\r\n0;x=y\r\n\r\n",
    )  # fmt: skip
    return [post(CHUNKED, body=body) for body in bodies]


def _lines() -> list[bytes]:
    # RFC 9112 §2.2, §5; RFC 9110 §5.5
    lines = (
        b"X: a\r\n b\r\n", b"X : a\r\n", b" X: a\r\n", b": a\r\n", b"X\r\n", b"X[: a\r\n", b"X\x85: a\r\n",
        b"X: ad\xffmin\r\n", b"X: a\rb\r\n", b"X: a\nY: b\r\n", b"X: a\0b\r\n", b"X\0: ab\r\n", b"X: a\x01b\r\n",
        b"X: a\x7fb\r\n", b"X:\r\n", b"X:a\r\n", b"X:\ta\t\r\n", b"X: a\x0cb\r\n", b"X: \r\n", b"X;: a\r\n",
        b"X Y: a\r\n", b"\tX: a\r\n", b"X: a\r\r\n", b"X: a\n", b"\nX: a\r\n", b"X: \x0ba\r\n", b'"X": a\r\n',
        b"Connection: close\r\nConnection: keep-alive\r\n", b"Connection: host\r\n", b"Connection: ,,close\r\n",
        b"Expect: 100-continue\r\n", b"Expect: 200-ok\r\n", b"Upgrade: h2c\r\nConnection: upgrade\r\n",
        b"Upgrade: websocket\r\nConnection: upgrade\r\n", b"TE: trailers, chunked\r\n", b"Trailer: Host\r\n",
        b"X: " + b"a" * 9000 + b"\r\n", b"X: y\r\n" * 90, b"Authorization: Bearer x\r\n" * 2,
        b"X-Forwarded-For: 1\r\nx_forwarded_for: 2\r\n", b"Max-Forwards: 0\r\n", b"Via: 1.1 authproxy\r\n",
    )  # fmt: skip
    return [get(line) for line in lines]


def _request_lines() -> list[bytes]:
    # RFC 9112 §3, RFC 9110 §2.5, RFC 3986
    lines = (
        b"GET /a b HTTP/1.1", b"GET  / HTTP/1.1", b"GET /  HTTP/1.1", b" GET / HTTP/1.1", b"GET\t/ HTTP/1.1",
        b"GET / HTTP/1.1 ", b"GET /", b"GET / HTTP/0.9", b"GET / HTTP/1.2", b"GET / HTTP/2.0", b"GET / HTTP/1.01",
        b"GET / http/1.1", b"GET / HTTP/ 1.1", b"GET / HTTP/1,1", b"GET / HTTP/1.1\rX", b"GET / HTTP/11.1",
        b"get / HTTP/1.1", b"BREW / HTTP/1.1", b"PRI * HTTP/2.0", b"CONNECT a:443 HTTP/1.1", b"TRACE / HTTP/1.1",
        b"OPTIONS * HTTP/1.1", b"GET * HTTP/1.1", b"GET a:80 HTTP/1.1", b"GET http://a.example/x HTTP/1.1",
        b"GET http://u@a.example/ HTTP/1.1", b"GET https://b/ HTTP/1.1", b"GET http:///x HTTP/1.1",
        b"GET http://a.example?x HTTP/1.1", b"GET ftp://a/ HTTP/1.1", b"GET /a#b HTTP/1.1", b"GET /%zz HTTP/1.1",
        b"GET /\xc3\xa9 HTTP/1.1", b"GET /\0 HTTP/1.1", b"GET /\x7f HTTP/1.1", b"GET //a.b/c HTTP/1.1",
        b"GET /a/../../b HTTP/1.1", b"GET /%2e%2e/b?x=%00 HTTP/1.1", b"GET /a%2Fb;c=d//?x=%20+&&y HTTP/1.1",
        b'GET /|"{}^` HTTP/1.1', b"GET ? HTTP/1.1", b"GET /?a?b HTTP/1.1", b"M-SEARCH / HTTP/1.1",
        b"G\0T / HTTP/1.1", b"GET / HTTP/1.1\0", b"GET /" + b"a" * 9000 + b" HTTP/1.1", b"PURGE / HTTP/1.1",
    )  # fmt: skip
    found = [line + b"\r\n" + HOST + b"\r\n" for line in lines]
    found += [b"GET / HTTP/1.1\r" + line + b"\r\n" + HOST + b"\r\n" for line in SPLICES]
    found += [
        b"\r\n" + get(),
        b"\r\n\r\n" + get(),
        b"\n" + get(),
        b"\r" + get(),
        get().replace(b"\r\n", b"\n"),
    ]
    return found


REQUESTS: tuple[bytes, ...] = (
    *_hosts(), *_lengths(), *_codings(), *_chunks(), *_lines(), *_request_lines(),
)  # fmt: skip

RESPONSES: tuple[bytes, ...] = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nabc",
    b"HTTP/1.1 200 OK\rAX: a\nSet-Cookie: b\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 O\0K\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    b"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/2 200\r\n\r\n",
    b"ICY 200 OK\r\n\r\n",
    b"HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 600 No\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 205 Reset\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
    b"HTTP/1.1 103 Early\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
    b"HTTP/1.1 103 Early\r\nTransfer-Encoding: chunked\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb",
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: caf\xc3\xa9\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nConnection: x-a\r\nX-A: 1\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\na",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\nabc",
    b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
    b"HTTP/1.1 401 Unauthorized\r\n\r\nno",
)
