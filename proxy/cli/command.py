"""
The `authproxy` command: its verbs, and how a failure ends.

Exit codes: 0 done · 1 something outside failed (issuer, network) · 2 the configuration or the
command line is wrong.
"""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from proxy.cli import streams
from proxy.errors import ConfigError, ProxyError
from proxy.memory import uncollected

VERBS = {
    "run": "serve",
    "check": "check",
    "audit": "audit",
    "explain": "explain",
    "token": "token",
    "curl": "curl",
    "exec": "exec",
    "init": "init",
    "status": "status",
    "reload": "reload",
    "health": "health",
    "revoke": "revoke",
    "allow": "allow",
    "schema": "schema",
    "sandbox": "sandbox",
    "demo": "demo",
    "completion": "completion",
}
"""Verb → module in this folder."""

SUMMARIES = {
    "run": "Serve until SIGTERM or Ctrl-C.",
    "check": "Say everything that is wrong with the configuration.",
    "audit": "Say what the configuration allows that you may regret.",
    "explain": "Say which route a request takes, and why.",
    "token": "Print a usable token of a service user.",
    "curl": "Run curl through the routes; no proxy needs to run.",
    "exec": "Run a program with a proxy of its own.",
    "init": "Write a first proxy.yaml, and try it.",
    "status": "Show how a running proxy fares.",
    "reload": "Have a running proxy read its configuration again.",
    "health": "Ask a running proxy whether it is ready.",
    "revoke": "Take a service user's tokens away, now.",
    "allow": "Undo revoke: get tokens for a service user again.",
    "schema": "Print the JSON Schema of proxy.yaml, for editors.",
    "sandbox": "Run a ZITADEL stand-in and a protected backend, in memory.",
    "demo": "Show the proxy at work before an embedded sandbox.",
    "completion": "Print what a shell needs to complete.",
}
"""What help and shells say of each verb; here, so that no verb must be imported to be listed."""

GROUPS = {
    "Serve": ("run", "demo", "sandbox"),
    "Configure": ("init", "check", "audit", "explain", "schema"),
    "Develop": ("curl", "exec", "token", "completion"),
    "Operate a running proxy": ("status", "reload", "health", "revoke", "allow"),
}
"""How help lists the verbs; one that is not here comes last."""


class Verbs(click.Group):
    """
    Imports a verb's module when it is asked for, and turns failures into exit codes.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """
        Return the verbs.
        """
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """
        Return a verb's command, or None.
        """
        if cmd_name not in VERBS:
            ctx.fail(f"no verb {cmd_name!r}; {_meant(cmd_name)}there are: {', '.join(VERBS)}")
        name = f"proxy.cli.{VERBS[cmd_name]}"
        if name not in sys.modules:
            with uncollected():
                import_module(name)
                gc.freeze()  # modules stay
        command: click.Command = sys.modules[name].command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """
        Return the verbs, or options, that begin so; no verb is imported for that.
        """
        verbs = [
            CompletionItem(verb, help=summary)
            for verb, summary in SUMMARIES.items()
            if verb.startswith(incomplete)
        ]
        return [*verbs, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """
        Write the verbs by what they are for.
        """
        grouped = {verb for verbs in GROUPS.values() for verb in verbs}
        rest = tuple(verb for verb in VERBS if verb not in grouped)
        wide = max(map(len, VERBS))
        for title, verbs in (*GROUPS.items(), ("Other", rest)):
            rows = [(f"{verb:<{wide}}", SUMMARIES[verb]) for verb in verbs]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def main(self, *words: Any, **more: Any) -> Any:
        """
        Begin: the standard streams first.
        """
        streams.prepare()
        return super().main(*words, **more)

    def invoke(self, ctx: click.Context) -> Any:
        """
        Run, and end as the table at the head says.
        """
        if os.environ.get("NO_COLOR"):  # no-color.org
            ctx.color = False
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            for problem in error.problems:
                click.echo(str(problem), err=True)
            ctx.exit(2)
        except ProxyError as error:
            click.secho(f"{error.code}: {error.reason}", fg="red", err=True)
            ctx.exit(1)
        except OSError as error:
            if error.errno not in streams.FULL:
                raise
            streams.drop_output()
            where = error.filename or "the output"
            click.secho(f"{where} cannot be written: {error.strerror}", fg="red", err=True)
            ctx.exit(1)


def _meant(word: str) -> str:
    """
    Ask whether the verb most like *word* was meant; empty if none is like it.
    """
    from difflib import get_close_matches  # only slips need it

    close = get_close_matches(word[:64], VERBS, n=1)
    return f"did you mean {close[0]}? " if close else ""


def versions() -> str:
    """
    Return this version and those of the libraries that matter in a report.
    """
    # Here, since it takes longer to import than all else that help and shells need
    from importlib.metadata import PackageNotFoundError, version

    names = ("aiohttp", "Authlib", "joserfc", "httptools", "uvloop")
    found = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} not installed")
    try:
        own = version("zitadel-authproxy")
    except PackageNotFoundError:
        own = "not installed"
    return f"{own} ({', '.join(found)})"


def _show_version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:  # noqa: FBT001 - click's signature
    if asked and not ctx.resilient_parsing:
        click.echo(f"authproxy {versions()}")
        ctx.exit()


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version and exit.",
)
def main() -> None:
    """
    Attach the right ZITADEL service user's token to outbound API calls.

    Applications call the proxy without any credential; it finds the route, mints or reuses the
    token of the route's service user, and forwards. Try: authproxy demo
    """
