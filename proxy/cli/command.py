"""
The `authproxy` command: its verbs, and how a failure ends.

Exit codes: 0 done · 1 something outside failed (issuer, network) · 2 the configuration or the
command line is wrong.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import click

from proxy.cli.terminal import show_problems
from proxy.errors import ConfigError, ProxyError

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
            ctx.fail(f"no verb {cmd_name!r}; there are: {', '.join(VERBS)}")
        module = import_module(f"proxy.cli.{VERBS[cmd_name]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """
        Write the verbs by what they are for.
        """
        grouped = {verb for verbs in GROUPS.values() for verb in verbs}
        rest = tuple(verb for verb in VERBS if verb not in grouped)
        wide = max(map(len, VERBS))
        most = formatter.width - 6 - wide
        for title, verbs in (*GROUPS.items(), ("Other", rest)):
            commands = ((verb, self.get_command(ctx, verb)) for verb in verbs)
            rows = [
                (f"{verb:<{wide}}", each.get_short_help_str(most))
                for verb, each in commands
                if each
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        """
        Run, and end as the table at the head says.
        """
        if os.environ.get("NO_COLOR"):  # no-color.org
            ctx.color = False
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            show_problems(error.problems)
            ctx.exit(2)
        except ProxyError as error:
            click.secho(f"{error.code}: {error.reason}", fg="red", err=True)
            ctx.exit(1)


def versions() -> str:
    """
    Return this version and those of the libraries that matter in a report.
    """
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


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(message=f"%(prog)s {versions()}", version="", prog_name="authproxy")
def main() -> None:
    """
    Attach the right ZITADEL service user's token to outbound API calls.

    Applications call the proxy without any credential; it finds the route, mints or reuses the
    token of the route's service user, and forwards. Try: authproxy demo
    """
