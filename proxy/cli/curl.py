"""
`authproxy curl`: curl through the routes, with a proxy of its own.

curl is told of a proxy and of URLs, nothing else: no token is on its command line, nor in what -v
prints, for the proxy attaches it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from proxy import hygiene
from proxy.cli.child import keep_secrets, run_child, say, warn_of_others
from proxy.cli.curl_arguments import Options, Word, headers, method
from proxy.cli.curl_urls import Asked, Finder, NoWayError, rewritten_file
from proxy.cli.names import paths
from proxy.cli.terminal import load_config, run_async
from proxy.private.opening import open_private
from proxy.private.settings import private_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from proxy.config.load import Loaded
    from proxy.private.opening import Private

OWN: Final = ("--config", "--help")
"""Options of this verb, taken only before curl's first word."""

WAYS: Final = frozenset(
    (
        "abstract-unix-socket", "preproxy", "proxy", "proxy1.0", "socks4", "socks4a", "socks5",
        "socks5-hostname", "unix-socket",
    )
)  # fmt: skip
"""curl's options for another way than to the private proxy."""


class Passing(click.Command):
    """
    Takes its own options at the front, and leaves every other word alone.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """
        Put `--` between both.
        """
        place = 0
        while place < len(args) and args[place].partition("=")[0] in OWN:
            place += 2 if args[place] == "--config" else 1
        rest = args[place:]
        if rest[:1] == ["--"]:
            rest = rest[1:]
        return super().parse_args(ctx, [*args[:place], "--", *rest])


@click.command(
    "curl",
    cls=Passing,
    options_metavar="[--config FILE]",
    context_settings={"help_option_names": ["--help"]},
)
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(),
    help="proxy.yaml; before curl's first argument. Else as for run.",
)
@click.argument(
    "arguments", nargs=-1, type=click.UNPROCESSED, metavar="CURL'S ARGUMENTS…", shell_complete=paths
)
@click.pass_context
def command(ctx: click.Context, config: str | None, arguments: tuple[str, ...]) -> None:
    """
    Run curl through the routes of the configuration; no proxy needs to run.

    \b
      authproxy curl https://acme.zitadel.cloud/management/v1/orgs/me
      authproxy curl /management/v1/orgs/me
      authproxy curl -sS --json @order.json /orders/ | jq

    A URL takes the route that is for it: by the URL of the route's upstream, or by its match.host.
    A path alone takes the route it would take at the running proxy. All options are curl's own (-c
    is its cookie jar; its --config is -K here, or stands behind --). curl never sees a token. It
    asks a proxy of its own on loopback for http:// URLs, which -v and -w show; what leaves this
    machine is what the upstream's URL says.

    The exit code is curl's; 2 if no route leads to a URL.
    """
    program = shutil.which("curl")
    if program is None:
        raise click.ClickException("there is no curl on this machine (not in PATH); install it")
    words = list(_options(program).split(arguments))
    for word in words:
        if word.name in WAYS:
            raise click.UsageError(
                f"{word.words[0]} is another way to connect, without the routes; use curl itself"
            )
    if not any(_names_urls(word) for word in words):
        ctx.exit(run_async(run_child((program, *arguments), os.environ)))
    loaded = load_config(config)
    environ = hygiene.take_secrets(os.environ, loaded.settings)
    keep_secrets()
    ctx.exit(run_async(_run(loaded, environ, program, words)))


def _options(program: str) -> Options:
    """
    Ask curl which options it has; those before 7.73 print all without `all`.
    """
    asked = subprocess.run(  # noqa: S603 - the user's curl
        [program, "--help", "all"], capture_output=True, text=True, check=False
    )
    return Options.read(asked.stdout)


def _names_urls(word: Word) -> bool:
    return bool(word.value) and word.name in {"", "url", "config"}


async def _run(
    loaded: Loaded, environ: Mapping[str, str], program: str, words: Sequence[Word]
) -> int:
    finder = Finder(private_settings(loaded.settings, Path("/proxy.sock")))
    asked = [made for part in _parts(words) for made in _asked(part, finder)]
    users = None if any(word.name == "config" for word in words) else finder.users
    async with open_private(loaded, environ, say, users=users, port=True) as proxy:
        warn_of_others(proxy)
        return await run_child((program, *_arguments(asked, proxy)), _environment(os.environ))


def _parts(words: Sequence[Word]) -> Iterator[list[Word]]:
    """
    Yield the parts of a command line between `--next`, which ends each but the last.
    """
    part: list[Word] = []
    for word in words:
        part.append(word)
        if word.name == "next":
            yield part
            part = []
    yield part


def _asked(part: Sequence[Word], finder: Finder) -> Iterator[Word]:
    """
    Yield words as curl is to have them, their URLs rewritten.
    """
    globbing = not any(word.name == "globoff" for word in part)
    for word in part:
        if word.value is None or word.name not in {"", "url"}:
            yield word
            continue
        asked = Asked(word.value, method(part), headers(part), globbing=globbing)
        url = finder.rewritten(asked)
        yield Word(word.name, url, ("--url", url) if word.name else (url,))


def _arguments(words: Sequence[Word], proxy: Private) -> list[str]:
    """
    Return curl's arguments; what is said of the proxy is said again after each `--next`.
    """
    own = _own(proxy)
    again = [each for name, value in own for each in (f"--{name}", value)]
    made = list(again)
    for place, word in enumerate(words):
        if word.name == "config" and word.value is not None:
            made += ["--config", str(_copied(word.value, proxy, place))]
        else:
            made += word.words
        if word.name == "next":
            made += again
    return made


def _own(proxy: Private) -> tuple[tuple[str, str], ...]:
    """
    Return the options by which curl takes the private proxy for every URL.
    """
    return ("proxy", proxy.url), ("noproxy", "")


def _copied(name: str, proxy: Private, place: int) -> Path:
    """
    Return a copy of a file of curl's options whose URLs are for the private proxy.
    """
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or "it is not UTF-8"
        raise NoWayError(f"curl's options cannot be read from {name}: {why}") from error
    copy = proxy.folder / f"curlrc-{place}"
    copy.touch(mode=0o600)
    copy.write_text(rewritten_file(text, _own(proxy)), encoding="utf-8")
    return copy


def _environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """
    Return curl's environment: without variables that name another proxy.
    """
    return {name: value for name, value in inherited.items() if not name.lower().endswith("_proxy")}
