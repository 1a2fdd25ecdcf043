"""
`authproxy exec`: run a program with a proxy of its own.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import click

from proxy import hygiene
from proxy.cli.child import keep_secrets, run_child, say, warn_of_others
from proxy.cli.names import files
from proxy.cli.terminal import config_option, load_config, run_async
from proxy.private.opening import open_private

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.config.load import Loaded
    from proxy.private.opening import Private

URL = "AUTHPROXY_URL"
SOCKET = "AUTHPROXY_SOCKET"

# POSIX, Environment Variables §8.1: what a shell can set
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

HERE = ("localhost", "127.0.0.1", "::1")
"""What is never asked for through a proxy: the base URL must not be."""


def _settings(
    _: click.Context, __: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """
    Return names and paths; refuse what can be neither.
    """
    pairs = []
    for value in values:
        name, _equals, path = value.partition("=")
        if not NAME.fullmatch(name):
            raise click.BadParameter(f"{name!r} is no variable's name; write NAME or NAME=/PATH")
        if path and not path.startswith("/"):
            raise click.BadParameter(f"the path in {value!r} does not start with /")
        pairs.append((name, path))
    return tuple(pairs)


@click.command(
    "exec",
    context_settings={"allow_interspersed_args": False},
)
@config_option
@click.option(
    "--set",
    "variables",
    multiple=True,
    metavar="NAME[=/PATH]",
    callback=_settings,
    help="Put the base URL, and a path behind it, into this variable too; may be repeated.",
)
@click.option(
    "--no-forward", is_flag=True, help="Leave http_proxy and no_proxy of the program as they are."
)
@click.argument(
    "command",
    nargs=-1,
    type=click.UNPROCESSED,
    required=True,
    shell_complete=files,
    metavar="[--] COMMAND [ARGUMENTS]…",
)
@click.pass_context
def command(
    ctx: click.Context,
    config: str | None,
    variables: tuple[tuple[str, str], ...],
    command: tuple[str, ...],
    *,
    no_forward: bool,
) -> None:
    """
    Run COMMAND with a proxy of its own, which ends when it does.

    \b
    COMMAND finds in its environment
      AUTHPROXY_URL            the base URL, such as http://127.0.0.1:40123
      AUTHPROXY_SOCKET         the same as a Unix socket
      http_proxy, HTTP_PROXY   the base URL: a request for http://HOST/… of a route's host, or of
                               its upstream's, takes that route, over https where the upstream does
    and secrets of the configuration no longer.

    \b
      authproxy exec -- ./app
      authproxy exec --set ZITADEL_URL --set API_BASE=/management/v1 -- ./app --verbose

    The exit code is COMMAND's; 127 if there is none, 128 + N if signal N ended it. Callers need no
    key. On Linux, connections of other users of this machine are not let in.
    """
    loaded = load_config(config)
    environ = hygiene.take_secrets(os.environ, loaded.settings)
    keep_secrets()
    ctx.exit(run_async(_run(loaded, environ, command, variables, forward=not no_forward)))


async def _run(
    loaded: Loaded,
    environ: Mapping[str, str],
    words: tuple[str, ...],
    variables: tuple[tuple[str, str], ...],
    *,
    forward: bool,
) -> int:
    async with open_private(loaded, environ, say, port=True) as private:
        warn_of_others(private)
        return await run_child(words, environment(private, variables, os.environ, forward=forward))


def environment(
    private: Private,
    variables: tuple[tuple[str, str], ...],
    inherited: Mapping[str, str],
    *,
    forward: bool,
) -> dict[str, str]:
    """
    Return a program's environment.

    Args:
        private: Its proxy.
        variables: Names, and paths behind the base URL.
        inherited: What it would have without.
        forward: Whether plain HTTP goes through the proxy too.
    """
    made = {URL: private.url, SOCKET: str(private.socket)}
    if forward:
        told = inherited.get("no_proxy") or inherited.get("NO_PROXY") or ""
        around = ",".join(dict.fromkeys((*filter(None, told.split(",")), *HERE)))
        made |= dict.fromkeys(("http_proxy", "HTTP_PROXY"), private.url)
        made |= dict.fromkeys(("no_proxy", "NO_PROXY"), around)
    made |= {name: private.url + path for name, path in variables}
    return {**inherited, **made}
