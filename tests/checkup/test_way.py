from __future__ import annotations

import ssl

import pytest
import trustme

from proxy.checkup.way import no_discovery
from proxy.core.credential import Issuer
from proxy.errors import MintRejected, MintUnavailable
from proxy.sandbox.options import SandboxOptions
from proxy.sandbox.server import Sandbox

DAY = 86_400.0
API_SCOPE = "urn:zitadel:iam:org:project:id:zitadel:aud"


def oks(steps):
    """
    Return how the steps ended, in a word each.
    """
    words = {True: "ok", False: "failed", None: "-"}
    return " ".join(f"{name}:{words[step.ok]}" for name, step in steps.items())


def slash(desk):
    """
    Write a slash behind the url.
    """
    desk.issuer["url"] += "/"


def another_host(desk):
    """
    Let the document name another host.
    """
    desk.issuer["url"], desk.issuer["connect_to"] = "http://localhost:1", desk.sandbox.url
    desk.sandbox.faults.set("discovery-wrong-issuer")


def unknown_instance(desk):
    """
    Ask by a name the instance does not have.
    """
    desk.issuer["url"], desk.issuer["connect_to"] = "https://other.example", desk.sandbox.url


def nobody_there(desk):
    """
    Name a port nobody listens on.
    """
    desk.issuer["url"] = "http://127.0.0.1:1"


def nobody_there_by_another_way(desk):
    """
    Dial a port nobody listens on.
    """
    desk.issuer["connect_to"] = "http://127.0.0.1:1"


def no_such_name(desk):
    """
    Name a host that does not exist.
    """
    desk.issuer["url"] = "https://nowhere.invalid"


def https_for_http(desk):
    """
    Write https for http.
    """
    desk.issuer["url"] = desk.sandbox.url.replace("http:", "https:")


def fault(name):
    """
    Return what switches a fault of the sandbox on.
    """
    return lambda desk: desk.sandbox.faults.set(name)


@pytest.mark.parametrize(
    ("spoil", "said", "instead"),
    [
        (slash, "calls itself http://127.0.0.1:", "(the slash at the end differs)"),
        (another_host, "https://wrong-issuer.invalid", "(the host differs); if it must be dialled"),
        (unknown_instance, "does not know the host it was asked as", "instance's own domain"),
        (nobody_there, "refuses connections", "is it running?"),
        (nobody_there_by_another_way, "(dialled at http://127.0.0.1:1)", "is it running?"),
        (no_such_name, "no address is known for nowhere.invalid", "DNS"),
        (https_for_http, "no TLS connection", "write connect_to: http://"),
        (fault("discovery-500"), "(answered 500)", "the issuer's trouble"),
        (fault("discovery-html"), "is not JSON", "curl http://127.0.0.1:"),
        (fault("discovery-garbage"), "is not UTF-8", "check url"),
        (fault("discovery-foreign-endpoint"), "elsewhere.invalid", "write it as token_endpoint"),
        (fault("down"), "closed the connection without an answer", "write https://"),
    ],
    ids=[
        "slash",
        "another host",
        "unknown instance",
        "refused",
        "connect_to refused",
        "no name",
        "https for http",
        "500",
        "html",
        "garbage",
        "foreign endpoint",
        "down",
    ],
)
async def test_why_an_issuer_is_none(desk, spoil, said, instead):
    """
    A discovery that fails says what happened and what to do, and nothing else is tried.
    """
    desk.only("provisioner")
    spoil(desk)

    steps = (await desk.run())["provisioner"]

    assert oks(steps).startswith("discovery:failed clock:- mint:- userinfo:-")
    assert said in steps["discovery"].said
    assert instead in steps["discovery"].instead
    assert steps["mint"].said == "not tried"
    assert desk.sandbox.mints.requests == 0


async def test_a_certificate_nobody_trusts(desk_of, keys, tmp_path):
    """
    An authority that is not known is to be named as ca_file; then all is well.
    """
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with Sandbox(SandboxOptions(keys=keys, tls=context)) as sandbox:
        desk = desk_of(sandbox, tmp_path / "tls")
        desk.only("provisioner")
        before = (await desk.run())["provisioner"]
        desk.issuer["ca_file"] = desk.keep("ca.pem", authority.cert_pem.bytes().decode())
        after = (await desk.run())["provisioner"]
        desk.issuer["ca_file"] = desk.keep("ca.pem", trustme.CA().cert_pem.bytes().decode())
        other = (await desk.run())["provisioner"]

    assert "is not trusted" in before["discovery"].said
    assert "issuers.zitadel.ca_file" in before["discovery"].instead
    assert oks(after) == "discovery:ok clock:ok mint:ok userinfo:ok api:ok"
    assert "has not the authority" in other["discovery"].instead


ISSUER = Issuer("zitadel", "https://acme.example")


def renamed(url, name):
    """
    Return what is said when the issuer at *url* calls itself *name*.
    """
    reason = f"the issuer at {url} calls itself {name}; url must be the same, byte for byte"
    return no_discovery(MintRejected(reason), Issuer("zitadel", url))


@pytest.mark.parametrize(
    ("url", "name", "instead"),
    [
        ("https://a.example/", "https://a.example", "(the slash at the end differs)"),
        ("https://a.example", "https://a.example/", "(the slash at the end differs)"),
        ("http://a.example", "https://a.example", "(http and https differ); it goes"),
        ("https://a.example", "http://a.example", "ExternalSecure: true"),
        ("https://a.example:8443", "https://a.example", "add connect_to: https://a.example:8443"),
        ("https://a.example:443", "https://a.example", "(the port differs)"),
        ("https://10.0.0.1", "https://a.example", "add connect_to: https://10.0.0.1"),
        ("https://a.example/x", "https://a.example/y", "(the path differs)"),
        ("https://a.example", "nothing", "no issuer's document"),
        ("https://a.example", "http://[", "check url"),
    ],
    ids=[
        "slash too many",
        "slash missing",
        "https",
        "http",
        "port",
        "usual port",
        "host",
        "path",
        "nothing",
        "no url",
    ],
)
def test_which_part_of_a_url_differs(url, name, instead):
    """
    Of two names that are not the same it says which part differs, and what to write.
    """
    words = renamed(url, name)

    assert words.said == f"the issuer calls itself {name}, and url is {url}"
    assert instead in words.instead
    assert (f"write url: {name} " in words.instead) == (name not in {"nothing", "http://["})


@pytest.mark.parametrize(
    ("error", "said", "instead"),
    [
        (
            MintRejected(
                "there is no discovery document at https://acme.example; check url, or write"
                " token_endpoint (answered 301)"
            ),
            "there is a redirect at https://acme.example (answered 301)",
            "curl -sI https://acme.example/.well-known/openid-configuration",
        ),
        (
            MintUnavailable(
                "the certificate of acme.example is not trusted: certificate has expired; check"
            ),
            "has expired",
            "must be renewed",
        ),
        (
            MintUnavailable(
                "the certificate of acme.example is not trusted: Hostname mismatch, certificate is"
                " not valid for 'acme.example'.; check url and ca_file"
            ),
            "Hostname mismatch",
            "is for another name",
        ),
        (
            MintUnavailable("acme.example does not answer in well-formed HTTP"),
            "well-formed",
            "look at what listens there",
        ),
    ],
    ids=["redirect", "expired", "name", "no http"],
)
def test_what_the_sandbox_does_not_do(error, said, instead):
    """
    Redirects, certificates of others and what is no HTTP are told apart.
    """
    words = no_discovery(error, ISSUER)

    assert said in words.said
    assert instead in words.instead
