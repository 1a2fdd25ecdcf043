"""
A certificate as it lies in a file.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from proxy.errors import CredentialInvalid
from proxy.tls.certificate import parse_certificate

FILE = Path("server.pem")
ENDS = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)


def test_it_says_its_names_and_end(authority):
    """
    DNS names in lower case; addresses are chosen by no name and left out.
    """
    issued = authority.issue_cert("A.test", "*.b.test", "127.0.0.1", not_after=ENDS)

    found = parse_certificate(FILE, issued.cert_chain_pems[0].bytes().decode())

    assert found.names == ("a.test", "*.b.test")
    assert found.ends == ENDS.timestamp()
    assert found.file == FILE


def test_a_common_name_is_no_name():
    """
    A certificate without subject alternative names holds none, whatever its common name says.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a.test")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(ENDS - dt.timedelta(days=1))
        .not_valid_after(ENDS)
        .sign(key, SHA256())
    )

    found = parse_certificate(FILE, made.public_bytes(Encoding.PEM).decode())

    assert found.names == ()


@pytest.mark.parametrize(
    "text",
    ["", "nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"],
    ids=["empty", "no PEM", "no certificate"],
)
def test_what_is_no_certificate_is_refused(text):
    """
    In words, without a byte of it.
    """
    with pytest.raises(CredentialInvalid, match="holds no certificates in PEM"):
        parse_certificate(FILE, text)
