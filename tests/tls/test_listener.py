"""
What callers see: certificates by name, exchanged when their files change.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ssl

import pytest
import trustme

from proxy.config.model import ListenerTls
from proxy.errors import CredentialInvalid
from proxy.tls.listener import DAY, ListenerCertificates
from proxy.tls.upstream import upstream_tls

START = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
NOW = START.timestamp()


class Events:
    """
    Notes what it is told.
    """

    def __init__(self):
        self.told = []

    def __call__(self, event, **facts):
        """
        Note one event.
        """
        self.told.append((event, facts))

    def take(self):
        """
        Return what was told since the last time.
        """
        told, self.told = self.told, []
        return told


@pytest.fixture
def events():
    """
    What the listener told.
    """
    return Events()


@pytest.fixture
def opened(tmp_path, events):
    """
    Make a listener's certificates of pairs of files.
    """

    def make(*pairs, client_ca_file=None):
        first, *others = [{"cert_file": str(cert), "key_file": str(key)} for cert, key in pairs]
        more = {"client_ca_file": str(client_ca_file)} if client_ca_file else {}
        settings = ListenerTls.model_validate({**first, **more, "certificates": others})
        return ListenerCertificates(settings, tmp_path, "127.0.0.1:8443", events)

    return make


@pytest.fixture
def lax():
    """
    A caller's context that takes every certificate and asks for no name.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    return context


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("first.test", "first.test"),
        ("api.shop.test", "api.shop.test"),
        ("API.Shop.Test", "api.shop.test"),
        ("www.shop.test", "*.shop.test"),
        ("a.www.shop.test", "first.test"),
        ("shop.test", "first.test"),
        ("elsewhere.test", "first.test"),
        ("kept.shop.test", "first.test"),
        (None, "first.test"),
        ("127.0.0.1", "first.test"),
    ],
)
def test_the_name_chooses_the_certificate(
    run, echo, client, authority, written, opened, lax, asked, shown
):
    """
    Exact before wildcard, a wildcard for one label, the first for all others and for no name.
    """
    authority.configure_trust(lax)
    names = [("first.test", "kept.shop.test"), ("*.shop.test",), ("api.shop.test",)]
    made = opened(*(written(authority.issue_cert(*each), each[0]) for each in names))

    async def scenario():
        async with echo(made.door) as port, client(port, lax, asked or "") as caller:
            return caller.names[0]

    assert run(scenario()) == shown


def test_what_is_offered(run, echo, client, authority, written, opened, trusting):
    """
    HTTP/1.1 alone, TLS 1.2 at least, tickets, no compression, no renegotiation.
    """
    made = opened(written(authority.issue_cert("localhost")))
    trusting.set_alpn_protocols(["h2", "http/1.1"])

    async def scenario():
        async with echo(made.door) as port, client(port, trusting) as caller:
            return caller.tls.selected_alpn_protocol(), caller.tls.session.has_ticket

    assert run(scenario()) == ("http/1.1", True)
    context = made.door.today
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert not context.options & ssl.OP_NO_TICKET


def test_new_files_serve_new_connections(
    run, echo, client, authority, written, opened, events, trusting
):
    """
    A changed certificate is shown from the next look on; what stands goes on with the old.
    """
    made = opened(written(authority.issue_cert("localhost", "old.test")))

    async def scenario():
        async with echo(made.door) as port, client(port, trusting) as standing:
            made.look(NOW - DAY)
            assert events.take() == []
            issued = authority.issue_cert("localhost", "new.test", not_after=START)
            cert, _ = written(issued)
            made.look(NOW - 100 * DAY)
            async with client(port, trusting) as after:
                return cert, standing.names, await standing.ask(b"still"), after.names

    cert, before, answer, after = run(scenario())
    assert before == ["localhost", "old.test"]
    assert answer == b"still"
    assert after == ["localhost", "new.test"]
    facts = {
        "listener": "127.0.0.1:8443",
        "file": str(cert),
        "names": ("localhost", "new.test"),
        "not_after": "2030-01-01T00:00:00+00:00",
    }
    assert events.take() == [("certificate.reloaded", facts)]


def test_half_a_change_waits_for_the_other(authority, written, opened, events, tmp_path):
    """
    A certificate without its key leaves the old pair, is complained of once, and only if it stays.
    """
    made = opened(written(authority.issue_cert("old.test")))
    first = made.door.today
    cert, key = written(authority.issue_cert("new.test"), "next")

    cert.rename(tmp_path / "server.pem")
    made.look(NOW)
    assert events.take() == []
    for told in (1, 0, 0):
        made.look(NOW)
        rejected = events.take()
        assert len(rejected) == told
        for event, facts in rejected:
            assert event == "certificate.rejected"
            assert facts["file"] == str(tmp_path / "server.key")
            assert facts["reason"].startswith("the key is not that of the certificate")
    assert made.door.today is first

    key.rename(tmp_path / "server.key")
    made.look(NOW)
    assert [event for event, _ in events.take()] == ["certificate.reloaded"]
    assert made.door.today is not first


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda cert, key: cert.unlink(), "the file does not exist"),
        (lambda cert, key: cert.write_bytes(cert.read_bytes()[:300]), "the file holds no cert"),
        (lambda cert, key: cert.write_text(""), "the file holds no certificates"),
        (lambda cert, key: key.write_text("nothing"), "the file holds no private key in PEM"),
        (lambda cert, key: key.chmod(0o644), "every user of this machine may read"),
    ],
    ids=["gone", "cut short", "empty", "no key", "open to all"],
)
def test_what_cannot_be_used_changes_nothing(authority, written, opened, events, spoil, reason):
    """
    Whatever happens to the files, the last good pair serves, and why is said.
    """
    pair = written(authority.issue_cert("localhost"))
    made = opened(pair)
    first = made.door.today

    spoil(*pair)
    made.look(NOW)
    made.look(NOW)

    [(event, facts)] = events.take()
    assert event == "certificate.rejected"
    assert facts["reason"].startswith(reason)
    assert made.door.today is first


@pytest.mark.parametrize(
    ("text", "reason"),
    [(None, "the file does not exist"), ("nothing", "the file holds no certificates")],
    ids=["gone", "none in it"],
)
def test_spoilt_authorities_change_nothing(
    authority, written, opened, events, tmp_path, text, reason
):
    """
    Callers go on to be judged by the authorities that were there before.
    """
    trusted = tmp_path / "clients.pem"
    authority.cert_pem.write_to_path(trusted)
    made = opened(written(authority.issue_cert("localhost")), client_ca_file=trusted)
    first = made.door.today

    trusted.unlink()
    if text is not None:
        trusted.write_text(text)
    made.look(NOW - 10_000 * DAY)
    made.look(NOW - 10_000 * DAY)

    [(event, facts)] = events.take()
    assert event == "certificate.rejected"
    assert facts["file"] == str(trusted)
    assert facts["reason"].startswith(reason)
    assert made.door.today is first


def test_a_turned_link_counts(authority, written, opened, events, tmp_path):
    """
    Kubernetes turns a link to a new folder; the files' own paths never change.
    """
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        written(authority.issue_cert(f"v{version}.test"), folder=tmp_path / version)
    link = tmp_path / "data"
    link.symlink_to("1")
    made = opened((link / "server.pem", link / "server.key"))

    (tmp_path / "turned").symlink_to("2")
    (tmp_path / "turned").rename(link)
    made.look(NOW)

    [(event, facts)] = events.take()
    assert event == "certificate.reloaded"
    assert facts["names"] == ("v2.test",)


def test_an_ended_certificate_replaces_no_other(authority, written, opened, events):
    """
    A certificate that has ended already is not taken over.
    """
    made = opened(written(authority.issue_cert("localhost")))
    first = made.door.today

    written(authority.issue_cert("localhost", not_after=START))
    for _ in range(2):
        made.look(NOW + 1)

    assert events.take()[0][1]["reason"].startswith("the certificate ended on 2030-01-01")
    assert made.door.today is first


def test_an_end_that_comes_near_is_said(authority, written, opened, events):
    """
    At 30, 14, 3 and 1 days once each, and once more when it is over; a new one starts afresh.
    """
    made = opened(written(authority.issue_cert("localhost", not_after=START)))
    told = []
    for left in (31, 30, 29, 20, 14, 4, 2.5, 2, 0.5, 0.1, 0, -1):
        made.look(NOW - left * DAY)
        told += [(event, facts["days"]) for event, facts in events.take()]
    assert told == [
        ("certificate.expiring", 30),
        ("certificate.expiring", 14),
        ("certificate.expiring", 2),
        ("certificate.expiring", 0),
        ("certificate.expired", 0),
    ]

    later = START + dt.timedelta(days=2)
    written(authority.issue_cert("localhost", not_after=later))
    made.look(NOW)
    assert [event for event, _ in events.take()] == ["certificate.reloaded", "certificate.expiring"]


def test_only_what_changed_is_told(authority, written, opened, events):
    """
    Of several certificates the one that was exchanged is named.
    """
    made = opened(*(written(authority.issue_cert(f"{name}.test"), name) for name in "abc"))

    written(authority.issue_cert("b.test"), "b")
    made.look(NOW - 10_000 * DAY)

    assert [facts["names"] for _, facts in events.take()] == [("b.test",)]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_exchanged_authorities_hold_at_once(
    run, echo, client, authority, written, opened, ca_file, events, tmp_path, version
):
    """
    A caller the old authority vouched for gets in no more, not even by a session it still has.
    """
    old, new = trustme.CA(), trustme.CA()
    trusted = tmp_path / "clients.pem"
    old.cert_pem.write_to_path(trusted)
    made = opened(written(authority.issue_cert("localhost")), client_ca_file=trusted)
    shown = written(old.issue_cert("app@example.test"), "client")
    context = upstream_tls(ca_file, *shown)
    context.maximum_version = version

    async def scenario():
        async with echo(made.door) as port:
            async with client(port, context):
                pass
            async with client(port, context) as resumed:
                assert resumed.tls.session_reused
            new.cert_pem.write_to_path(trusted)
            made.look(NOW - 10_000 * DAY)
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                async with client(port, context):
                    pass

    run(scenario())
    assert [event for event, _ in events.take()] == ["certificate.reloaded"]


def test_what_is_wrong_at_the_start_is_said(written, opened, tmp_path, authority):
    """
    There is no old certificate to go on with: it is an error.
    """
    cert, key = written(authority.issue_cert("localhost"))
    key.write_text("nothing")

    with pytest.raises(CredentialInvalid, match="no private key"):
        opened((cert, key))


async def send(port, data):
    """
    Send bytes to a port; return all it answers until it closes or resets.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    answer = b""
    with contextlib.suppress(ConnectionError):
        answer = await reader.read()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return answer


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x00\x05hello",
        b"\x00" * 600,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=["http", "no hello", "zeros", "part of a hello"],
)
def test_who_speaks_no_tls_is_shown_out(run, echo, authority, written, opened, data):
    """
    The connection closes with a TLS alert or nothing, in time, and nothing is raised anywhere.
    """
    made = opened(written(authority.issue_cert("localhost")))

    async def scenario():
        async with echo(made.door, ssl_handshake_timeout=0.2) as port:
            return await send(port, data)

    answer = run(scenario())
    assert answer == b"" or answer[0] == 0x15  # RFC 8446 §5.1: alert


def test_a_caller_that_leaves_in_the_handshake_disturbs_nobody(
    run, echo, client, authority, written, opened, trusting
):
    """
    Neither a close nor a reset before the handshake ends is an error of ours.
    """
    made = opened(written(authority.issue_cert("localhost")))

    async def scenario():
        async with echo(made.door) as port:
            for abort in (False, True):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"\x16\x03\x01")
                await writer.drain()
                if abort:
                    writer.transport.abort()
                else:
                    writer.close()
            async with client(port, trusting) as caller:
                return await caller.ask(b"ok")

    assert run(scenario()) == b"ok"
