"""
commands.md: every verb with its arguments and options, as the command line itself has them.
"""

from __future__ import annotations

import inspect
import textwrap
from typing import TYPE_CHECKING, Final

import click

from proxy.cli.command import VERBS, main
from tools.reference.page import flat, page, table

if TYPE_CHECKING:
    from collections.abc import Iterator

INTRO: Final = """\
`authproxy VERB --help` says the same at a terminal. `authproxy --version` prints the versions of the program and of the libraries that matter in a report.

Exit codes, unless a verb says otherwise: 0 done, 1 something outside failed (issuer, network, a running proxy), 2 the configuration or the command line is wrong."""


def render() -> str:
    """
    Return the page.
    """
    parts = [INTRO]
    context = click.Context(main, info_name="authproxy")
    for verb in VERBS:
        command = main.get_command(context, verb)
        assert command is not None
        parts += [f"## {verb}", f"```text\n{_usage(verb, command, context)}\n```", *_help(command)]
        options = [_option(each) for each in command.params if isinstance(each, click.Option)]
        shown = [row for row in options if row]
        if shown:
            parts.append(table(("option", "default", "meaning"), shown))
    return page("Commands", *parts)


def _usage(verb: str, command: click.Command, parent: click.Context) -> str:
    context = click.Context(command, info_name=verb, parent=parent)
    return flat(" ".join(["authproxy", verb, *command.collect_usage_pieces(context)]))


def _help(command: click.Command) -> Iterator[str]:
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        mark, _, block = paragraph.partition("\n")
        if mark in {"\b", r"\b"}:  # click's mark for lines that stay as they are
            yield f"```text\n{textwrap.dedent(block)}\n```"
        else:
            yield flat(paragraph)


def _option(option: click.Option) -> tuple[str, str, str] | None:
    if option.hidden:
        return None
    value = ""
    if not option.is_flag and not option.count:
        choices = option.type.choices if isinstance(option.type, click.Choice) else ()
        value = option.metavar or "\\|".join(map(str, choices)) or option.type.name.upper()
        value = f" {value}"
    names = ", ".join([*option.opts, *option.secondary_opts])
    default = option.default if option.show_default is True and not option.is_flag else None
    said = "" if default is None or callable(default) else f"`{_number(default)}`"
    return f"`{names}{value}`".replace("\\|", "|"), said, flat(option.help or "")


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
