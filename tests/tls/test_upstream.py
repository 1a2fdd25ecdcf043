"""
How upstreams are met: verified, resumed, with a certificate of our own.
"""

from __future__ import annotations

import gc
import ssl
import weakref

import pytest
import trustme

from proxy.tls.upstream import upstream_tls

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_the_next_connection_resumes(run, echo, client, served, ca_file, version):
    """
    A connection begun after another to the same server makes half a handshake, by either version.
    """

    async def scenario():
        context = upstream_tls(ca_file)
        async with echo(served("localhost", newest=version)) as port:
            async with client(port, context) as first:
                fresh = first.tls.session_reused
            del first
            async with client(port, context) as second, client(port, context) as third:
                return fresh, second.tls.session_reused, third.tls.session_reused

    assert run(scenario()) == (False, True, True)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_a_connection_beside_another_resumes(run, echo, client, served, ca_file, version):
    """
    The first need not have ended: a pool that grows makes half handshakes.
    """

    async def scenario():
        context = upstream_tls(ca_file)
        async with (
            echo(served("localhost", newest=version)) as port,
            client(port, context),
            client(port, context) as second,
        ):
            return second.tls.session_reused

    assert run(scenario())


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_a_session_stays_with_its_name_and_context(run, echo, client, served, ca_file, version):
    """
    Neither another server name nor another context resumes what one has begun.
    """

    async def scenario():
        context, other = upstream_tls(ca_file), upstream_tls(ca_file)
        async with echo(served("a.test", "b.test", newest=version)) as port:
            async with client(port, context, "a.test"):
                pass
            async with client(port, context, "b.test") as renamed:
                pass
            async with client(port, other, "a.test") as elsewhere:
                pass
            async with client(port, context, "a.test") as again:
                return [each.tls.session_reused for each in (renamed, elsewhere, again)]

    assert run(scenario()) == [False, False, True]


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_an_upstream_may_forget(run, echo, client, served, ca_file, version):
    """
    A server that cannot resume makes a whole handshake, and serves.
    """

    async def scenario():
        context = upstream_tls(ca_file)
        async with (
            echo(served("localhost", newest=version)) as one,
            echo(served("localhost", newest=version)) as restarted,
        ):
            async with client(one, context):
                pass
            async with client(restarted, context) as second:
                return second.tls.session_reused, await second.ask(b"still there")

    assert run(scenario()) == (False, b"still there")


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_a_failed_handshake_leaves_no_session(run, echo, client, served, ca_file, version):
    """
    Whoever could not show a good certificate is not resumed, since that would ask for none.
    """

    async def scenario():
        context = upstream_tls(ca_file)
        stranger = served("localhost", by=trustme.CA(), newest=version)
        async with echo(stranger) as port:
            for _ in range(2):
                with pytest.raises(ssl.SSLCertVerificationError):
                    async with client(port, context):
                        pass
        gc.collect()
        return context.latest, context.sessions

    assert run(scenario()) == ({}, {})


def test_a_context_is_let_go_with_its_sessions(run, echo, client, served, ca_file):
    """
    Sessions and contexts hold each other; a configuration that is replaced leaves neither behind.
    """

    async def scenario():
        context = upstream_tls(ca_file)
        async with echo(served("localhost")) as port:
            for _ in range(2):
                async with client(port, context):
                    pass
        assert context.sessions
        return weakref.ref(context)

    left = run(scenario())
    gc.collect()
    assert left() is None


@pytest.mark.parametrize(
    ("names", "asked", "trusted"),
    [
        (["localhost"], "localhost", True),
        (["*.acme.test"], "api.acme.test", True),
        (["*.acme.test"], "a.b.acme.test", False),
        (["other.test"], "localhost", False),
        (["127.0.0.1"], "127.0.0.1", True),
        (["localhost"], "127.0.0.1", False),
        (["127.0.0.2"], "127.0.0.1", False),
        (["::1"], "::1", True),
        (["127.0.0.1"], "::1", False),
    ],
)
def test_the_certificate_must_hold_the_name(
    run, echo, client, served, ca_file, names, asked, trusted
):
    """
    A name by its DNS names, an address by its IP addresses, and nothing instead.
    """

    async def scenario():
        async with echo(served(*names)) as port, client(port, upstream_tls(ca_file), asked):
            pass

    if trusted:
        run(scenario())
    else:
        with pytest.raises(ssl.SSLCertVerificationError):
            run(scenario())


def test_the_systems_authorities_are_the_default(run, echo, client, served):
    """
    Without a file of authorities, one nobody knows is refused.
    """

    async def scenario():
        async with echo(served("localhost")) as port, client(port, upstream_tls(None)):
            pass

    with pytest.raises(ssl.SSLCertVerificationError):
        run(scenario())


def test_what_is_offered(run, echo, client, served, ca_file):
    """
    HTTP/1.1 alone, TLS 1.2 at least, no compression, no renegotiation.
    """

    async def scenario():
        context = upstream_tls(ca_file)
        async with echo(served("localhost")) as port, client(port, context) as made:
            return context, made.tls.selected_alpn_protocol()

    context, protocol = run(scenario())
    assert protocol == "http/1.1"
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.options & ssl.OP_NO_RENEGOTIATION


def test_a_client_certificate_is_shown(run, echo, client, served, ca_file, authority, written):
    """
    An upstream that asks for a certificate gets the route's; without one it serves nobody.
    """
    pair = written(authority.issue_cert("proxy.test"), "client")

    async def scenario(context):
        asking = served("localhost", newest=ssl.TLSVersion.TLSv1_2)
        asking.load_verify_locations(ca_file)
        asking.verify_mode = ssl.CERT_REQUIRED
        async with echo(asking) as port, client(port, context):
            pass

    run(scenario(upstream_tls(ca_file, *pair)))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        run(scenario(upstream_tls(ca_file)))


def test_large_data_passes_whole(run, echo, client, served, ca_file):
    """
    Reading a record at a time loses and reorders nothing.
    """
    data = bytes(range(256)) * 4096

    async def scenario():
        context = served("localhost")
        async with echo(context) as port, client(port, upstream_tls(ca_file)) as made:
            return await made.ask(data)

    assert run(scenario()) == data
