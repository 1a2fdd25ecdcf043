"""
Folders with a configuration in them, good and bad, and their audits.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from proxy.audit.evidence import gather
from proxy.audit.report import Report, audit
from proxy.config.load import load
from tests.audit.parts import BAD, CANARY, ENVIRON, GOOD, NOW


@pytest.fixture(scope="session")
def pem() -> str:
    """
    A private key.
    """
    key = rsa.generate_private_key(65537, 2048)
    form = PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()


@pytest.fixture(scope="session")
def texts(pem: str) -> dict[str, str]:
    """
    Text by file name: keys with and without an end, a secret, certificates.
    """
    authority = trustme.CA()
    server = authority.issue_cert("localhost")
    made = {
        "key.pem": pem,
        "secret": CANARY,
        "ca.pem": authority.cert_pem.bytes().decode(),
        "server.pem": server.cert_chain_pems[0].bytes().decode(),
        "server.key": server.private_key_pem.bytes().decode(),
    }
    ends = {"never": None, "long": "2030-01-01", "soon": "2027-02-01", "over": "2026-12-31"}
    for name, end in ends.items():
        key = {"type": "serviceaccount", "keyId": name, "key": pem, "userId": "u"}
        dated = {"expirationDate": f"{end}T00:00:00Z"} if end else {}
        made[f"{name}.json"] = json.dumps(key | dated)
    return made


@pytest.fixture
def folder(tmp_path: Path, texts: dict[str, str]) -> Path:
    """
    A folder with those files, for their owner alone.
    """
    made = tmp_path / "etc"
    made.mkdir(mode=0o700)
    for name, text in texts.items():
        (made / name).write_text(text)
        (made / name).chmod(0o600)
    return made


@pytest.fixture
def audited(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Report]:
    """
    Audit a configuration's text, written as proxy.yaml for its owner alone.
    """

    def run(text: str, now: float = NOW, mode: int = 0o600) -> Report:
        path = folder / "proxy.yaml"
        path.write_text(text)
        path.chmod(mode)
        monkeypatch.chdir(folder)
        loaded = load(Path("proxy.yaml"), ENVIRON, now=now)
        return audit(loaded, gather(loaded, ENVIRON, now))

    return run


@pytest.fixture
def bad(audited: Callable[..., Report], folder: Path) -> Report:
    """
    The report on the bad configuration, whose files lie badly as well.
    """
    (folder / ".git").mkdir()
    (folder / "open").mkdir()
    (folder / "open").chmod(0o777)
    (folder / "ca.pem").rename(folder / "open" / "ca.pem")
    (folder / "over.json").chmod(0o640)
    return audited(BAD, mode=0o660)


@pytest.fixture
def found(audited: Callable[..., Report]) -> Callable[..., list[tuple[str, str]]]:
    """
    Audit a configuration made of parts; return the findings as rule and path.
    """

    def run(only: str = "", **parts: str) -> list[tuple[str, str]]:
        report = audited("\n".join({**GOOD, **parts}.values()))
        pairs = sorted((each.rule.id, each.path) for each in report.findings)
        return [pair for pair in pairs if pair[0].startswith(only)]

    return run
