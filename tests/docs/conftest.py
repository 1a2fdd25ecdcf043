"""
One sandbox and one forker for all pages.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from proxy.sandbox.keys import SandboxKeys
from proxy.sandbox.options import SandboxOptions
from proxy.sandbox.server import Sandbox
from tests.docs.blocks import ROOT
from tests.docs.story import Story
from tests.docs.supplies import Supplies

FORKER = Path(__file__).parent / "forker.py"


@pytest.fixture(scope="session")
def stand() -> Iterator[Sandbox]:
    """
    A sandbox that runs in a thread of its own, for commands that block.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    sandbox = Sandbox(SandboxOptions(keys=SandboxKeys.generate()))
    asyncio.run_coroutine_threadsafe(sandbox.__aenter__(), loop).result(20)
    yield sandbox
    asyncio.run_coroutine_threadsafe(sandbox.__aexit__(None, None, None), loop).result(20)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(scope="session")
def supplies(stand: Sandbox) -> Supplies:
    """
    Credentials that are good at the sandbox, and certificates.
    """
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    return Supplies(
        key_json=stand.key_json.reveal(),
        application_json=stand.add_application_key().reveal(),
        pem=json.loads(stand.key_json.reveal())["key"],
        secret=stand.client_secret.reveal(),
        token=stand.pat.reveal(),
        certificate=issued.cert_chain_pems[0].bytes().decode(),
        certificate_key=issued.private_key_pem.bytes().decode(),
        authority=authority.cert_pem.bytes().decode(),
    )


@pytest.fixture(scope="session")
def forking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """
    The socket of a running forker.
    """
    path = tmp_path_factory.mktemp("forker") / "socket"
    process = subprocess.Popen(
        [sys.executable, FORKER, str(path)],
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.read(1) == b"+", "the command line cannot be imported"
        yield path
        process.kill()


@pytest.fixture
def story(
    stand: Sandbox, supplies: Supplies, forking: Path, tmp_path: Path
) -> Iterator[Callable[[], Story]]:
    """
    Begin a page's story.
    """
    begun: list[Story] = []

    def begin() -> Story:
        begun.append(
            Story(tmp_path, supplies, stand.url, stand.backend_url, stand.project_id, forking)
        )
        return begun[-1]

    yield begin
    for each in begun:
        each.end()
