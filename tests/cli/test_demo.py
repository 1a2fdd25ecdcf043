from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios

import aiohttp
import pytest

METHODS = ("private key JWT", "client credentials", "personal access token")


async def test_the_demo_shows_all_three_methods_and_ends(start):
    """
    `demo --once` takes seconds, shows each method at work, and ends with code 0; no colours in a pipe.
    """
    ended = await (await start("demo", "--once")).end()

    assert (ended.code, ended.err) == (0, "")
    for method in METHODS:
        assert method in ended.out
    assert ended.out.count("200 OK") == 6
    assert "401 Unauthorized" in ended.out
    assert "Bearer" in ended.out
    assert "\x1b" not in ended.out


async def in_terminal(columns: int, folder, environ) -> str:
    """
    Return what `demo --once` writes to a terminal of so many columns.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "demo", "--once"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=slave,
        stderr=slave,
        cwd=folder,
        env=environ | {"TERM": "xterm"},
    )
    os.close(slave)

    def read() -> bytes:
        text = b""
        while True:
            try:
                piece = os.read(master, 65_536)
            except OSError:  # the last one closed its end
                return text
            if not piece:
                return text
            text += piece

    async with asyncio.timeout(20):
        text = await asyncio.to_thread(read)
        assert await process.wait() == 0
    os.close(master)
    return text.decode()


def widths(text: str) -> list[int]:
    """
    Return how many columns each line takes, colours aside.
    """
    return [len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in text.splitlines()]


async def test_in_a_terminal_the_demo_has_colours(folder, environ):
    """
    Where a person reads, status and credential stand out.
    """
    text = await in_terminal(80, folder, environ)

    assert "\x1b[32m200 OK" in text
    assert "\x1b[31m401 Unauthorized" in text


@pytest.mark.parametrize(("columns", "widest"), [(80, 80), (300, 100)])
async def test_no_line_of_the_demo_wraps(folder, environ, columns, widest):
    """
    Bodies are cut to the terminal's width, and no fixed line is wider than 80 columns.
    """
    text = await in_terminal(columns, folder, environ)

    assert "…" in text
    assert max(widths(text)) <= widest


async def test_a_pipe_gets_lines_for_80_columns(start):
    """
    Where there is no terminal, lines are cut for 80 columns, and so is what is told of later calls.
    """
    demo = await start("demo", PYTHONUNBUFFERED="1")
    url = await demo.line("curl ")
    async with aiohttp.ClientSession() as session, session.get(url + "/long" * 50) as response:
        await response.read()
    assert (await demo.line("404 GET ")).endswith(" ms")
    assert max(widths((await demo.end(signal.SIGINT)).out)) <= 80

    once = await (await start("demo", "--once")).end()
    assert 70 < max(widths(once.out)) <= 80


async def test_the_second_round_mints_nothing(start):
    """
    The tokens of the second round are told for what they are: cached, and the static one's own.
    """
    out = (await (await start("demo", "--once")).end()).out
    second = out.partition("no token is minted")[2].partition("4  ")[0]

    assert [second.count(f"{token} token") for token in ("cached", "static")] == [2, 1]
    assert "asked for 2 tokens in all" in second


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_demo_serves_on_until_told_to_stop(start, number):
    """
    Without --once the proxy can be tried with curl as the demo says, each call is told, and Ctrl-C
    ends it with code 0.
    """
    demo = await start("demo", PYTHONUNBUFFERED="1")
    url = await demo.line("curl ")

    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert response.status == 200
    assert "provisioner, token cached" in await demo.line("200 GET ")

    ended = await demo.end(number)
    assert (ended.code, ended.err) == (0, "")
    assert "Stopped" in ended.out


async def test_two_demos_do_not_mind_each_other(start):
    """
    If its usual port is taken the demo takes another one.
    """
    first, second = await start("demo"), await start("demo")
    urls = {await first.line("curl "), await second.line("curl ")}

    assert len(urls) == 2
    assert (await first.end(signal.SIGINT)).code == 0
    assert (await second.end(signal.SIGINT)).code == 0
