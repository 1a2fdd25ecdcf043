"""
Who may call: by key, certificate, user, network or token, on a listener or a route; and what an
upstream sees of it.
"""

from __future__ import annotations

import os
import socket
import ssl
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

CI = "key-of-ci-5c0ffee"
BILLING = "key-of-billing-5eed"


@pytest.fixture
async def guarded(serve, secrets):
    """
    A listener for two callers, with routes for both, for one of them, and for everyone.
    """

    def edit(document):
        digests = {name: sha256(key.encode()).hexdigest() for name, key in KEYS.items()}
        document["callers"] = {name: {"api_key_sha256": each} for name, each in digests.items()}
        document["listen"] = [{"address": "127.0.0.1:0", "callers": ["ci", "billing"]}]
        next(each for each in document["routes"] if each["name"] == "orders")["callers"] = [
            "billing"
        ]

    through = await serve(edit)
    yield through
    assert CI.encode() not in through.log.raw
    assert BILLING.encode() not in through.log.raw


KEYS = {"ci": CI, "billing": BILLING}

WAYS = [
    pytest.param(lambda key: {"X-Api-Key": key}, id="X-Api-Key"),
    pytest.param(lambda key: {"Proxy-Authorization": f"Bearer {key}"}, id="Proxy-Authorization"),
    pytest.param(lambda key: {"proxy-authorization": f"bearer {key}"}, id="small letters"),
]


@pytest.mark.parametrize("way", WAYS)
async def test_a_known_caller_passes_and_its_key_stays_here(sandbox, guarded, way):
    """
    A caller on the list is served; the upstream gets the service user's token and no key.
    """
    reply = await guarded("GET", "/echo", headers=way(CI) | {"X-Request-Id": "known"})

    assert reply.status == 200
    hit = sandbox.hits[-1]
    assert hit.values("x-api-key") == hit.values("proxy-authorization") == []
    assert CI not in str(hit.headers)
    assert (await guarded.log.wait("request.done", request_id="known"))["caller"] == "ci"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Api-Key": "wrong"},
        {"X-Api-Key": ""},
        {"Proxy-Authorization": f"Basic {CI}"},
        {"Proxy-Authorization": "Bearer "},
        {"Authorization": f"Bearer {CI}"},
        {"X-Api-Key": sha256(CI.encode()).hexdigest()},
    ],
    ids=str,
)
async def test_an_unknown_caller_is_challenged(sandbox, guarded, headers):
    """
    Whoever is not known gets 401 with a challenge, and nothing goes up.
    """
    reply = await guarded("GET", "/echo", headers=headers)

    assert (reply.status, reply.code) == (401, "caller_unauthenticated")
    assert reply.headers["WWW-Authenticate"].startswith("Bearer")
    assert reply.headers["Proxy-Status"].startswith("authproxy; error=http_request_denied")
    assert sandbox.hits.total == 0
    assert (await guarded.log.done(reply))["caller"] is None


async def test_a_known_caller_may_not_use_every_route(sandbox, guarded):
    """
    A caller that is known but not on the route's list gets 403; the one that is gets through.
    """
    refused = await guarded("GET", "/orders/1", headers={"X-Api-Key": CI})
    served = await guarded("GET", "/orders/1", headers={"X-Api-Key": BILLING})

    assert (refused.status, refused.code) == (403, "caller_forbidden")
    assert "WWW-Authenticate" not in refused.headers
    assert served.status == 200
    assert sandbox.hits.total == 1
    assert (await guarded.log.done(refused))["caller"] == "ci"


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "HEAD"])
async def test_no_method_is_let_in_without_a_caller(sandbox, guarded, method):
    """
    The question who calls comes before anything else, by every method.
    """
    assert (await guarded(method, "/echo", data=None)).status == 401
    assert sandbox.hits.total == 0


async def test_callers_keys_never_go_up_where_nobody_asks_for_them(sandbox, through):
    """
    Also on an open listener X-Api-Key and Proxy-Authorization are not for the upstream.
    """
    headers = {"X-Api-Key": "k", "Proxy-Authorization": "Bearer k"}

    reply = await through("GET", "/echo", headers=headers)

    assert reply.status == 200
    assert sandbox.hits[-1].values("x-api-key") == []
    assert sandbox.hits[-1].values("proxy-authorization") == []


async def test_each_listener_has_its_own_callers(serve, tmp_path, session, sandbox):
    """
    A listener with callers asks for them although another one is open.
    """
    path = tmp_path / "open.sock"

    def edit(document):
        document["callers"] = {"ci": {"api_key_sha256": sha256(CI.encode()).hexdigest()}}
        document["listen"] = [
            {"address": "127.0.0.1:0", "callers": ["ci"]},
            {"address": f"unix:{path}"},
        ]

    through = await serve(edit)

    assert (await through("GET", "/echo")).code == "caller_unauthenticated"
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as local,
        local.get("http://any/echo") as response,
    ):
        assert response.status == 200


async def test_two_free_ports_keep_their_callers_apart(serve):
    """
    Two listeners on any free port each keep their own list of callers.
    """

    def edit(document):
        document["callers"] = {"ci": {"api_key_sha256": sha256(CI.encode()).hexdigest()}}
        document["listen"] = [
            {"address": "127.0.0.1:0", "callers": ["ci"]},
            {"address": "127.0.0.1:0"},
        ]

    through = await serve(edit)
    closed, opened = (f"http://{each}/echo" for each in through.runtime.addresses)

    assert (await through("GET", closed)).status == 401
    assert (await through("GET", opened)).status == 200


def issued(authority, *names):
    """
    Return a client's certificate with these alternative names, and its key, both as PEM.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    ca = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    ca_key = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, form, serialization.NoEncryption()
    )


@pytest.fixture
def showing(authority, tmp_path):
    """
    Make a caller's TLS settings that show a certificate with these names.
    """

    def make(*names):
        path = tmp_path / "client.pem"
        path.write_bytes(issued(authority, *names))
        context = ssl.create_default_context()
        authority.configure_trust(context)
        context.load_cert_chain(path)
        return context

    return make


@pytest.fixture
async def mutual(serve, key_file, ca_file):
    """
    A TLS listener for two callers known by certificate and one by key; `orders` is for one of them.
    """

    def edit(document):
        document["callers"] = {
            "app": {"mtls_san": ["app.example", "spiffe://cluster/ns/a/sa/app"]},
            "space": {"mtls_san": "spiffe://cluster/ns/b/*"},
            "ci": {"api_key_sha256": sha256(CI.encode()).hexdigest()},
        }
        document["listen"] = [
            {
                "address": "127.0.0.1:0",
                "tls": {**key_file, "client_ca_file": ca_file},
                "callers": ["app", "space", "ci"],
            }
        ]
        orders = next(each for each in document["routes"] if each["name"] == "orders")
        orders["callers"] = ["app"]

    return await serve(edit, scheme="https")


DNS, URI = x509.DNSName, x509.UniformResourceIdentifier


@pytest.mark.parametrize(
    ("names", "caller", "statuses"),
    [
        ([DNS("app.example")], "app", (200, 200)),
        ([DNS("other.example"), DNS("APP.example")], "app", (200, 200)),
        ([URI("spiffe://cluster/ns/a/sa/app")], "app", (200, 200)),
        ([URI("spiffe://cluster/ns/b/sa/any")], "space", (200, 403)),
        ([URI("spiffe://cluster/ns/b")], None, (401, 401)),
        ([URI("spiffe://cluster/ns/a/sa/app"), URI("spiffe://other/x")], None, (401, 401)),
        ([DNS("sub.app.example")], None, (401, 401)),
    ],
    ids=["name", "one of several", "SPIFFE id", "below", "not below", "two ids", "subdomain"],
)
async def test_a_caller_is_known_by_its_certificate(
    sandbox, mutual, showing, names, caller, statuses
):
    """
    By an exact name in it, or a SPIFFE id below a path; any other certificate of the authority is
    not enough.
    """
    context = showing(*names)
    replies = [await mutual("GET", path, ssl=context) for path in ("/echo", "/orders/1")]

    assert tuple(reply.status for reply in replies) == statuses
    assert (await mutual.log.done(replies[0]))["caller"] == caller
    assert sandbox.hits.total == statuses.count(200)


@pytest.mark.parametrize(
    ("headers", "caller"),
    [
        ({}, "app"),
        ({"X-Api-Key": CI}, "ci"),
        ({"X-Api-Key": "wrong"}, None),
        ({"X-Api-Key": ""}, None),
        ({"Proxy-Authorization": "Basic YTpi"}, None),
        ({"Authorization": "Bearer for-the-upstream"}, "app"),
    ],
    ids=str,
)
async def test_what_a_caller_shows_counts_before_its_certificate(mutual, showing, headers, caller):
    """
    A wrong key is a wrong caller, whatever certificate it comes with.
    """
    reply = await mutual("GET", "/echo", ssl=showing(DNS("app.example")), headers=headers)

    assert reply.status == (200 if caller else 401)
    assert (await mutual.log.done(reply))["caller"] == caller


async def test_a_forwarded_certificate_proves_nothing(mutual, showing):
    """
    Headers that tell of a certificate are anybody's to send.
    """
    headers = {"X-Forwarded-Client-Cert": "URI=spiffe://cluster/ns/a/sa/app", "X-Client-Cert": "x"}
    reply = await mutual("GET", "/echo", ssl=showing(DNS("nobody.example")), headers=headers)

    assert reply.status == 401


@pytest.mark.parametrize(
    ("unix", "status"),
    [
        ({"uid": [os.getuid()]}, 200),
        ({"gid": [os.getgid()]}, 200),
        ({"uid": [os.getuid()], "gid": [os.getgid()]}, 200),
        ({"uid": [os.getuid() + 1]}, 401),
        ({"uid": [os.getuid()], "gid": [os.getgid() + 1]}, 401),
    ],
    ids=["user", "group", "both", "another user", "another group"],
)
@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="the system does not tell")
async def test_a_caller_is_known_by_who_runs_it(serve, sandbox, tmp_path, unix, status):
    """
    On a Unix socket the kernel tells the user and the group, and nobody else can.
    """
    path = tmp_path / "caller.sock"

    def edit(document):
        document["callers"] = {"local": {"unix": unix}}
        document["listen"] = [{"address": f"unix:{path}", "callers": ["local"]}]

    through = await serve(edit)
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as local,
        local.get("http://any/echo") as response,
    ):
        assert response.status == status
    done = await through.log.wait("request.done", client="unix")
    assert done["caller"] == ("local" if status == 200 else None)
    assert sandbox.hits.total == (status == 200)


@pytest.mark.parametrize(
    ("caller", "headers", "status"),
    [
        ({"networks": ["127.0.0.0/8"]}, {}, 200),
        ({"networks": ["10.0.0.0/8"]}, {}, 401),
        ({"networks": ["10.0.0.0/8"]}, {"X-Forwarded-For": "10.0.0.1", "Forwarded": "for=10.0.0.1"}, 401),
        ({"networks": ["127.0.0.0/8"], "api_key_sha256": "KEY"}, {}, 401),
        ({"networks": ["127.0.0.0/8"], "api_key_sha256": "KEY"}, {"X-Api-Key": CI}, 200),
        ({"networks": ["10.0.0.0/8"], "api_key_sha256": "KEY"}, {"X-Api-Key": CI}, 401),
        ({"networks": ["127.0.0.0/8"]}, {"X-Api-Key": CI}, 401),
    ],
    ids=["inside", "outside", "said to be inside", "no key", "key inside", "key outside", "a key"],
)  # fmt: skip
async def test_a_caller_is_known_by_its_network(serve, caller, headers, status):
    """
    By the address it connects from alone; beside a key both must hold.
    """
    key = sha256(CI.encode()).hexdigest()
    known = {name: key if value == "KEY" else value for name, value in caller.items()}

    def edit(document):
        document["callers"] = {"office": known}
        document["listen"] = [{"address": "127.0.0.1:0", "callers": ["office"]}]

    through = await serve(edit)

    assert (await through("GET", "/echo", headers=headers)).status == status


async def test_a_page_does_not_come_in_by_its_machines_address(serve):
    """
    Where the address alone lets callers in on loopback, hosts that a page may have are refused.
    """

    def edit(document):
        document["callers"] = {"here": {"networks": ["127.0.0.0/8"]}}
        document["listen"] = [{"address": "127.0.0.1:0", "callers": ["here"]}]

    through = await serve(edit)

    assert (await through("GET", "/echo", headers={"Host": "rebound.example.com"})).status == 403
    assert (await through("GET", "/echo")).status == 200


async def test_report_mode_lets_in_and_says_so(sandbox, serve):
    """
    What would have been denied is served, logged with enforced: false, and counted apart.
    """

    def edit(document):
        document["callers"] = {"ci": {"api_key_sha256": sha256(CI.encode()).hexdigest()}}
        document["listen"] = [{"address": "127.0.0.1:0", "callers": ["ci"], "mode": "report"}]

    through = await serve(edit)
    reply = await through("GET", "/echo")

    assert reply.status == 200
    assert sandbox.hits.total == 1
    event = await through.log.wait("caller.denied")
    assert (event["enforced"], event["route"], event["caller"]) == (False, "echo", None)
    assert through.runtime.metrics.reported["caller_unauthenticated"] == 1
    assert not any(through.runtime.metrics.denied.values())


@pytest.fixture
async def vouched(sandbox, serve, secrets, config):
    """
    A listener for callers with a JWT or any token of the issuer.
    """
    key = sandbox.add_application_key()
    secrets.further.append(key)
    path = config.parent / "application.json"
    path.write_text(key.reveal())
    path.chmod(0o600)

    def edit(document):
        document["issuers"]["zitadel"]["introspection"] = {"key_file": str(path)}
        document["callers"] = {
            "laptop": {"jwt": {"issuer": "zitadel", "audience": sandbox.project_id}},
            "worker": {"introspection": {"issuer": "zitadel", "claims": {"username": "opaque"}}},
        }
        document["listen"] = [
            {
                "address": "127.0.0.1:0",
                "callers": ["laptop", "worker"],
                "caller_credential": "authorization",
            }
        ]

    return await serve(edit)


@pytest.mark.parametrize(("name", "jwt"), [("laptop", True), ("worker", False)])
async def test_a_caller_is_known_by_a_token_of_its_issuer(sandbox, vouched, name, jwt):
    """
    A JWT by the issuer's keys, an opaque token by asking; the upstream sees another token.
    """
    user = sandbox.add_user("opaque" if not jwt else "signed", jwt=jwt)
    token = sandbox.issue(user, sandbox.backend_scopes).reveal()
    before = sandbox.hits.total
    for header in ("Authorization", "Proxy-Authorization"):
        reply = await vouched("GET", "/echo", headers={header: f"Bearer {token}"})

        assert reply.status == 200, reply.body
        assert (await vouched.log.done(reply))["caller"] == name
        assert token not in str(sandbox.hits[-1].headers)
    assert sandbox.hits.total == before + 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: token[:-4] + "AAAA",
        lambda token: token[::-1],
        lambda token: f"{token} {token}",
        lambda _: "nobody",
    ],
    ids=["signature", "backwards", "two", "another"],
)
@pytest.mark.parametrize("jwt", [True, False])
async def test_a_token_that_is_not_good_is_nobodys(sandbox, vouched, jwt, spoil):
    """
    It is challenged, and nothing goes up.
    """
    user = sandbox.add_user("opaque", jwt=jwt)
    token = sandbox.issue(user, sandbox.backend_scopes).reveal()
    reply = await vouched("GET", "/echo", headers={"Authorization": f"Bearer {spoil(token)}"})

    assert (reply.status, reply.code) == (401, "caller_unauthenticated")
    assert sandbox.hits.total == 0


async def test_a_token_nobody_can_check_is_not_let_in(sandbox, vouched):
    """
    While the issuer does not answer: 503 and when to come back, not 401.
    """
    user = sandbox.add_user("opaque")
    token = sandbox.issue(user, sandbox.backend_scopes).reveal()
    sandbox.faults.set("introspection-500")
    reply = await vouched("GET", "/echo", headers={"Authorization": f"Bearer {token}"})

    assert (reply.status, reply.code) == (503, "caller_check_unavailable")
    assert reply.headers["Retry-After"]
    assert sandbox.hits.total == 0
