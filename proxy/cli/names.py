"""
Names out of the configuration, for the shell to complete.

The configuration is read as it is, right or wrong, and nothing is ever said: whoever presses the
tabulator wants names, or nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from click.shell_completion import CompletionItem

from proxy.config import environment
from proxy.config.load import find
from proxy.config.source import read
from proxy.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import click


def service_users(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """
    Return the service users, each with its method.
    """
    users = _table(_settings(ctx).get("service_users"))
    notes = {name: _text(_table(user).get("method")) for name, user in users.items()}
    return _offered(notes.items(), incomplete)


def callers(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """
    Return the callers.
    """
    names = (*_table(_settings(ctx).get("callers")), "anonymous")
    return _offered(((name, "") for name in names), incomplete)


def paths(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """
    Return the paths that routes begin with, each with its route; files for anything else.
    """
    if not incomplete.startswith("/"):
        return files(ctx, _, incomplete)
    routes = _settings(ctx).get("routes")
    entries = [_table(entry) for entry in (routes if isinstance(routes, list) else ())]
    pairs = (
        (_text(_table(entry.get("match")).get("path")) or "/", _text(entry.get("name")))
        for entry in entries
    )
    return _offered(pairs, incomplete)


def files(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """
    Leave it to the shell to complete a file's name.
    """
    return [CompletionItem(incomplete, type="file")]


def _settings(ctx: click.Context) -> Mapping[str, Any]:
    return written(ctx.params.get("config"))


def written(config: str | None) -> Mapping[str, Any]:
    """
    Return a configuration as it is written, right or wrong; nothing where it cannot be read.

    Args:
        config: What `--config` said.
    """
    try:
        source = find(config, os.environ, Path())
        if source == "-":
            return {}
        drafted = (
            environment.draft(os.environ, Path.cwd()) if source is None else read(source, None)
        )
    except (ConfigError, OSError):
        return {}
    return drafted.data


def _table(value: object) -> dict[str, Any]:
    return {str(name): each for name, each in value.items()} if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _offered(pairs: Iterable[tuple[str, str]], incomplete: str) -> list[CompletionItem]:
    return [
        CompletionItem(name, help=note or None)
        for name, note in pairs
        if name.startswith(incomplete) and (name + note).isprintable()
    ]
