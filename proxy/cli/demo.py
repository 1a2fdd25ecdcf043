"""
`authproxy demo`: the main job, told step by step.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
from typing import TYPE_CHECKING, Any

import click

from proxy.cli.terminal import run_async
from proxy.demo import SAMPLES, Demo, Sample, Told, open_demo
from proxy.observe.console import printable

if TYPE_CHECKING:
    from http import HTTPStatus


MINTED = 2
"""How many of the three service users have their tokens minted."""

NARROW, WIDE = 60, 100
"""Columns a line is cut for, at least and at most, whatever the terminal's width."""

INDENT = 14
"""Columns before an answer's body."""


@click.command("demo")
@click.option("--once", is_flag=True, help="End after the sample requests instead of serving on.")
@click.pass_context
def command(ctx: click.Context, *, once: bool) -> None:
    """
    Show the proxy at work before an embedded sandbox: three methods, no credential in the client.

    Needs no account and no network. Afterwards it goes on serving, to be tried with curl, until
    Ctrl-C. Exit code 1 if a step did not come out as it should.
    """
    ctx.exit(0 if run_async(_tell(once=once)) else 1)


async def _tell(*, once: bool) -> bool:
    async with open_demo() as demo:
        _introduce(demo)
        right = await _rounds(demo)
        right = await _without(demo) and right
        if not once:
            await _serve_on(demo)
        return right


def _introduce(demo: Demo) -> None:
    click.echo()
    click.echo(_bold("authproxy: one proxy, three ways to be a service user"))
    click.echo()
    click.echo("  client ──── no credential ────▶ authproxy ──── Bearer token ────▶ API")
    click.echo()
    for name, url, what in (
        ("authproxy", demo.url, "attaches the token its route names"),
        ("ZITADEL", demo.sandbox.url, "a stand-in that verifies what it is shown"),
        ("backend", demo.sandbox.backend_url, "asks ZITADEL about each token it sees"),
    ):
        click.echo(f"  {name:<10} {click.style(f'{url:<22}', fg='cyan')}  {_dim(what)}")
    click.echo()


async def _rounds(demo: Demo) -> bool:
    click.echo(_bold("1  Before anybody asks: tokens, renewed before they end"))
    minted = {}
    for _ in range(MINTED):
        line = await demo.log.mint()
        minted[line["service_user"]] = line
    for sample in SAMPLES:
        _show_token(sample, minted.get(sample.user))
    click.echo()
    click.echo(_bold("2  Requests from a client that knows nothing of tokens"))
    first = [await demo.ask(sample) for sample in SAMPLES]
    for told in first:
        _show(told)
    click.echo()
    click.echo(_bold("3  The same again: no token is minted"))
    second = [await demo.ask(sample) for sample in SAMPLES]
    for told in second:
        _show_again(told)
    mints = demo.sandbox.mints.requests
    click.echo(
        f"  {len(first) + len(second)} requests; ZITADEL was asked for {mints} tokens in all."
    )
    click.echo()
    return all(told.status == 200 for told in (*first, *second)) and mints == MINTED


def _show_token(sample: Sample, line: dict[str, Any] | None) -> None:
    who = click.style(f"{sample.user:<12}", fg="magenta")
    if line is None:
        click.echo(f"  {who} {sample.method:<22} read from its file, never minted")
    elif line["event"] == "token.minted":
        click.echo(
            f"  {who} {sample.method:<22} minted in {line['seconds'] * 1e3:.0f} ms, "
            f"good for {line['lifetime'] / 3600:.1f} h"
        )
    else:
        reason = str(line.get("reason", line["event"]))
        click.secho(_cut(f"  {sample.user} {printable(reason)}", _columns()), fg="red")


def _show(told: Told) -> None:
    sample = told.sample
    click.echo()
    click.echo(f"  {_bold('GET ' + sample.path)}   {_dim('sent without Authorization')}")
    click.echo(f"    as        {click.style(sample.user, fg='magenta')}, {sample.method}")
    click.echo(f"    attached  {click.style(told.attached, fg='yellow')}")
    if told.target != f"GET {sample.path}":
        click.echo(f"    upstream  {told.target}")
    click.echo(f"    answer    {_status(told.status)} {_dim(f'in {told.duration:.1f} ms')}")
    click.echo(" " * INDENT + _dim(_cut(printable(told.body), _columns() - INDENT)))


def _show_again(told: Told) -> None:
    click.echo(
        f"  {told.sample.path:<26} {told.sample.user:<12} {_status(told.status)}  "
        f"{click.style(told.token, fg='green')} token  {_dim(f'in {told.duration:.1f} ms')}"
    )


async def _without(demo: Demo) -> bool:
    path = SAMPLES[0].path
    click.echo(_bold("4  The same request straight to ZITADEL, without the proxy"))
    status, body = await demo.ask_directly(path)
    click.echo(f"  GET {path}   {_status(status)}")
    click.echo(f"  {_dim(_cut(printable(body), _columns() - 2))}")
    click.echo()
    return status == 401


async def _serve_on(demo: Demo) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    click.echo(_bold("Your turn. The proxy goes on serving until Ctrl-C:"))
    for sample in SAMPLES:
        click.echo(f"  curl {demo.url}{sample.path}")
    click.echo(f"  curl {demo.url}/echo")
    click.echo()
    async with asyncio.TaskGroup() as group:
        reporting = group.create_task(_report(demo), name="report")
        await stop.wait()
        reporting.cancel()
    click.echo("\nStopped; nothing is kept.")


async def _report(demo: Demo) -> None:
    """
    Print a line for each further request.
    """
    while True:
        line = await demo.log.request()
        went = f"{line['route']} as {line['service_user']}" if line["route"] else "no route"
        token = f", token {line['token']}" if line["token"] else ""
        tail = f"→ {went}{token}, {line['duration_ms']} ms"
        asked = printable(f"  {line['status']} {line['method']} {line['path']}")
        click.echo(f"{_cut(asked, _columns() - len(tail) - 1)} {_dim(tail)}")


def _columns() -> int:
    """
    Return for how many columns lines are cut; 80 where there is no terminal.
    """
    return min(max(shutil.get_terminal_size().columns, NARROW), WIDE)


def _cut(text: str, width: int) -> str:
    """
    Return the start of a text if it is wider than *width* columns.
    """
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _status(status: HTTPStatus) -> str:
    return click.style(f"{status.value} {status.phrase}", fg="green" if status < 400 else "red")


def _bold(text: str) -> str:
    return click.style(text, bold=True)


def _dim(text: str) -> str:
    return click.style(text, dim=True)
