"""
Requests for other hosts' URLs, byte by byte: what reaches the upstream, and what a caller reads.
"""

from __future__ import annotations

import base64
import hashlib
import json

import pytest

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
KEY = b"the-callers-own-key"
CALLERS = {
    "callers": {"ci": {"api_key_sha256": hashlib.sha256(KEY).hexdigest()}},
    "listen": [{"address": "127.0.0.1:8080", "callers": ["ci"]}],
}


def basic(name, password):
    """
    Return a Proxy-Authorization line as clients make it of a proxy's URL.
    """
    return b"Proxy-Authorization: Basic " + base64.b64encode(name + b":" + password)


@pytest.fixture
def ask(call, upstream):
    """
    Send a request; return its answer's status, head and body. `UP` stands for the upstream's
    address, `OWN` for the proxy's.
    """
    upstream.answer = OK

    async def ask(line, *fields, body=b""):
        caller = await call()
        own = caller.writer.get_extra_info("peername")[1]
        head = b"\r\n".join((line + b" HTTP/1.1", *fields, b"", b""))
        head = head.replace(b"UP", b"127.0.0.1:%d" % upstream.port)
        caller.send(head.replace(b"OWN", b"127.0.0.1:%d" % own) + body)
        head, body = await caller.message(bodyless=line.startswith(b"HEAD"))
        return int(head.split(b" ")[1]), head, body

    return ask


async def test_the_upstreams_own_url(ask, upstream, proxy):
    """
    It goes up in origin-form with the upstream's Host, whatever Host said, and the token; what is
    between the caller and the proxy does not.
    """
    status, _, body = await ask(
        b"GET http://UP/x?y=http://z", b"Host: evil.com", b"Proxy-Connection: keep-alive"
    )

    assert (status, body) == (200, b"ok")
    head = upstream.seen[0]
    assert head.startswith(b"GET /x?y=http://z HTTP/1.1\r\n")
    assert b"Host: 127.0.0.1:%d\r\n" % upstream.port in head
    assert b"Authorization: Bearer tok-1\r\n" in head
    assert b"evil" not in head
    assert b"proxy-connection" not in head.lower()
    assert (await proxy.record())["path"] == "/x"


@pytest.mark.parametrize(
    "target",
    [
        b"http://evil.com/", b"http://evil.com/management/v1/x", b"https://evil.com/",
        b"http://127.0.0.1/", b"http://localhost/", b"http://localhost:1/", b"http://127.0.0.1:1/",
        b"http://[::1]/", b"http://0.0.0.0/", b"http://169.254.169.254/latest/meta-data/",
        b"http://proxy.test/", b"https://UP/", b"http://evil.com.UP/",
    ],
)  # fmt: skip
@pytest.mark.parametrize("host", [b"UP", b"OWN", b"localhost"])
async def test_another_hosts_url_gets_no_answer_of_the_api(target, host, ask, upstream, proxy):
    """
    A route for every path is not for every host: whoever asked for another one learns so, and no
    token goes anywhere.
    """
    status, _, body = await ask(b"GET " + target, b"Host: " + host)

    assert status in (400, 404)
    assert status == 404 or target == b"http://evil.com.UP/"
    assert upstream.seen == []
    if status == 404:
        assert json.loads(body)["code"] == "no_route"
        assert "NO_PROXY" in json.loads(body)["detail"]
        record = await proxy.record()
        assert record["error"].startswith("no_route: no route is for ")
        assert record["path"] == "/" + "/".join(target.decode().split("/")[3:])


@pytest.mark.parametrize(
    "target",
    [
        b"http://user@UP/", b"http://UP@evil.com/", b"http://user:pass@UP/", b"http://@UP/",
        b"ftp://UP/", b"ws://UP/", b"file:///etc/passwd", b"http:///x", b"http://", b"http:UP",
        b"http://UP\\@evil.com/", b"http://UP#@evil.com/", b"http://127.0.0.1:99999/",
        b"http://127.0.0.1:0/", b"http://[::1/", b"http://" + b"a" * 4000 + b"/", b"UP", b"UP/x",
        b"http://UP/\x7f", b"http://UP/%zz", b"http://UP/v1/..", b"http://UP/a#b",
    ],
)  # fmt: skip
@pytest.mark.parametrize("guarded", [False, True], ids=["open", "guarded"])
async def test_what_is_no_url_of_a_host_is_refused(target, guarded, ask, upstream, proxy):
    """
    Userinfo, other schemes and broken hosts are bad requests, and nobody's own host either; a
    listener with callers tells them alone.
    """
    routes = [{"name": "v1", "match": {"path": "/v1"}}]
    await proxy.start(routes, **(CALLERS if guarded else {}))

    status, _, body = await ask(b"GET " + target, b"Host: localhost")

    if b"\x7f" in target:  # the parser's to see, before anybody is asked who they are
        guarded = False
    assert status in ({401, 407} if guarded else {400})
    assert upstream.seen == []
    assert b"v1" not in body


async def test_a_malformed_host_is_refused_all_the_same(ask, upstream):
    """
    RFC 9112 §3.2: also where it says nothing, and where the URL is known from another request.
    """
    assert (await ask(b"GET http://UP/x", b"Host: a"))[0] == 200
    assert (await ask(b"GET http://UP/x", b"Host: u@a"))[0] == 400
    assert len(upstream.seen) == 1


async def test_the_proxys_own_address_is_no_other_host(ask, upstream):
    """
    RFC 9112 §3.2.2: a server takes absolute-form too; it means what the path alone does.
    """
    assert (await ask(b"GET http://OWN/x?y", b"Host: a"))[0] == 200
    assert upstream.seen[0].startswith(b"GET /x?y HTTP/1.1\r\n")


@pytest.mark.parametrize("name", [b"localhost", b"LOCALHOST.", b"127.0.0.1"])
async def test_loopback_by_its_names(name, call, upstream):
    """
    With the listener's port it is the listener.
    """
    upstream.answer = OK
    caller = await call()
    port = caller.writer.get_extra_info("peername")[1]
    caller.send(b"GET http://%b:%d/ HTTP/1.1\r\nHost: a\r\n\r\n" % (name, port))

    assert (await caller.message())[0].startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"http://proxy.acme.com/x", 200),
        (b"https://Proxy.acme.com/x", 200),
        (b"http://proxy.acme.com:81/x", 404),
        (b"http://one.corp.acme.com/x", 404),
        (b"http://other.acme.com/x", 404),
        (b"http://localhost/x", 404),
        (b"http://UP/x", 200),
        (b"http://routed.acme.com/named", 200),
        (b"http://routed.acme.com/x", 404),
    ],
)
async def test_names_of_the_listener_are_its_own(target, status, ask, proxy):
    """
    Those under `hosts` mean the proxy, unless a route is for them; its wildcards name nobody. What
    a route is for need not be under `hosts`.
    """
    hosts = ["proxy.acme.com", "*.corp.acme.com", "routed.acme.com", "localhost"]
    routes = [
        {"name": "all"},
        {"name": "named", "match": {"host": "routed.acme.com", "path": "/named"}},
    ]
    await proxy.start(routes, listen=[{"address": "127.0.0.1:8080", "hosts": hosts}])

    assert (await ask(b"GET " + target, b"Host: evil.com"))[0] == status


async def test_an_own_address_that_is_not_under_hosts(ask, proxy):
    """
    What the listener does not answer to as Host, it does not answer to as a URL.
    """
    await proxy.start(listen=[{"address": "127.0.0.1:8080", "hosts": ["proxy.acme.com"]}])

    assert (await ask(b"GET http://OWN/x", b"Host: proxy.acme.com"))[0] == 403


@pytest.mark.parametrize("field", [b"Origin: http://evil.com", b"Sec-Fetch-Site: cross-site"])
async def test_pages_are_kept_out_as_ever(field, ask, upstream):
    """
    A browser that uses the proxy shows pages too.
    """
    assert (await ask(b"GET http://UP/x", b"Host: UP", field))[0] == 403
    assert upstream.seen == []


async def test_a_page_under_a_rebound_name_is_kept_out_as_ever(ask, upstream):
    """
    It asks for paths, as of any server.
    """
    assert (await ask(b"GET /x", b"Host: evil.com"))[0] == 403
    assert upstream.seen == []


@pytest.mark.parametrize(
    "field",
    [
        basic(b"anybody", KEY),
        basic(b"", KEY),
        b"Proxy-Authorization: Bearer " + KEY,
        b"X-Api-Key: " + KEY,
    ],
)
@pytest.mark.parametrize("target", [b"http://UP/x", b"/x"])
async def test_a_key_in_the_proxys_url(field, target, ask, upstream, proxy):
    """
    It is the caller's key, as whatever user it stands there, and goes no further.
    """
    await proxy.start(**CALLERS)

    assert (await ask(b"GET " + target, b"Host: UP", field))[0] == 200
    assert (await proxy.record())["caller"] == "ci"
    assert KEY not in upstream.seen[0]
    assert b"proxy-authorization" not in upstream.seen[0].lower()
    assert base64.b64encode(KEY)[:-3] not in upstream.seen[0]


@pytest.mark.parametrize(
    "field",
    [
        b"X: y",
        basic(b"ci", b"wrong"),
        basic(KEY, b""),
        basic(KEY, b"x"),
        b"Proxy-Authorization: Basic !!!",
        b"Proxy-Authorization: Basic",
        b"Authorization: Basic " + base64.b64encode(b":" + KEY),
    ],
)
@pytest.mark.parametrize("target", [b"http://UP/x", b"http://evil.com/x"])
async def test_without_a_key_407_says_how(field, target, ask, upstream, proxy):
    """
    In forward mode the challenge is a proxy's; which hosts have routes is not for everybody.
    """
    await proxy.start(**CALLERS)

    status, head, body = await ask(b"GET " + target, b"Host: UP", field)

    assert status == 407
    assert head.startswith(b"HTTP/1.1 407 Proxy Authentication Required\r\n")
    assert b'Proxy-Authenticate: Basic realm="authproxy"\r\n' in head
    assert b'Proxy-Authenticate: Bearer realm="authproxy"\r\n' in head
    assert b"WWW-Authenticate" not in head
    assert b"Proxy-Status: authproxy; error=http_request_denied" in head
    assert json.loads(body)["code"] == "caller_unauthenticated"
    assert json.loads(body)["status"] == 407
    assert upstream.seen == []
    assert (await proxy.record())["status"] == 407


@pytest.mark.parametrize("target", [b"/x", b"http://OWN/x"])
async def test_otherwise_it_is_401(target, ask, proxy):
    """
    Asked as a server, it answers as one.
    """
    await proxy.start(**CALLERS)

    status, head, _ = await ask(b"GET " + target, b"Host: a")

    assert status == 401
    assert b"WWW-Authenticate: Bearer" in head
    assert b"Proxy-Authenticate" not in head


@pytest.mark.parametrize("guarded", [False, True], ids=["open", "guarded"])
@pytest.mark.parametrize("host", [b"api.example.com:443", b"evil.com"])
async def test_connect_is_explained(guarded, host, call, upstream, proxy):
    """
    Whoever asks for a tunnel is told why there is none, and what to write, whoever it is; the
    connection closes.
    """
    await proxy.start(**(CALLERS if guarded else {}))
    caller = await call(b"CONNECT api.example.com:443 HTTP/1.1\r\nHost: %b\r\n\r\nGET / H" % host)

    head, _, body = (await caller.rest()).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
    assert b"\r\nAllow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS" in head
    assert b"\r\nConnection: close" in head
    assert b'; details="method_not_supported: write http:// instead of https://' in head
    told = json.loads(body)
    assert (told["code"], told["status"]) == ("method_not_supported", 405)
    assert "http:// instead of https://" in told["detail"]
    assert upstream.connections == []


async def test_connect_to_port_80_is_explained_otherwise(call, proxy):
    """
    The client was given http:// already, and asks for a tunnel all the same.
    """
    await proxy.start()
    caller = await call(b"CONNECT api.example.com:80 HTTP/1.1\r\nHost: api.example.com:80\r\n\r\n")

    head, _, body = (await caller.rest()).partition(b"\r\n\r\n")

    assert b"; details=\"method_not_supported: turn off the client's tunnel for http://" in head
    assert "instead of https://" not in json.loads(body)["detail"]


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        (b"http://UP", b"*"),
        (b"http://UP/", b"/"),
        (b"http://UP?x", b"/?x"),
        (b"http://UP/x", b"/x"),
    ],
)
async def test_options_of_a_url(target, sent, ask, upstream):
    """
    RFC 9112 §3.2.4: a URL without a path and query asks about the whole server behind it.
    """
    assert (await ask(b"OPTIONS " + target, b"Host: UP"))[0] == 200
    assert upstream.seen[0].startswith(b"OPTIONS %b HTTP/1.1\r\n" % sent)


async def test_options_of_the_proxy_itself(ask, upstream):
    """
    The asterisk is about the proxy, and so is a request that may go no further.
    """
    assert (await ask(b"OPTIONS *", b"Host: localhost"))[0] == 204
    assert (await ask(b"OPTIONS http://UP/", b"Host: UP", b"Max-Forwards: 0"))[0] == 204
    assert upstream.seen == []


async def test_one_connection_takes_both_modes(call, upstream):
    """
    Clients keep a proxy's connection for all hosts, and what is remembered of one request is not
    another's.
    """
    upstream.answer = OK
    caller = await call()
    own = caller.writer.get_extra_info("peername")[1]
    hosts = [b"127.0.0.1:%d" % port for port in (upstream.port, own)]
    for _ in range(2):
        for host, status in ((hosts[0], b"200"), (hosts[1], b"200"), (b"evil.com", b"404")):
            caller.send(b"GET http://%b/x HTTP/1.1\r\nHost: %b\r\n\r\n" % (host, hosts[0]))
            assert (await caller.message())[0].split(b" ")[1] == status
        caller.send(b"GET /x HTTP/1.1\r\nHost: %b\r\n\r\n" % hosts[0])
        assert (await caller.message())[0].split(b" ")[1] == b"200"

    assert len(upstream.seen) == 6
    assert len({head.split(b"X-Request-Id")[0] for head in upstream.seen}) == 1


async def test_a_body_goes_up(ask, upstream):
    """
    Forward mode is about where to; the rest is as ever.
    """
    status, _, _ = await ask(b"POST http://UP/x", b"Host: UP", b"Content-Length: 3", body=b"abc")

    assert status == 200
    assert upstream.seen[0].endswith(b"\r\n\r\nabc")
