"""
What the verbs share in printing and in finding the configuration.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from proxy.config.load import Loaded, find, load

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from proxy.problem import Problem

F = TypeVar("F", bound="Callable[..., Any]")
T = TypeVar("T")


def config_option(function: F) -> F:
    """
    Add `--config`.
    """
    return click.option(
        "-c",
        "--config",
        metavar="FILE",
        type=click.Path(allow_dash=True),
        help="proxy.yaml; - for standard input. Else $AUTHPROXY_CONFIG, ./proxy.yaml, "
        "/etc/authproxy/proxy.yaml, or the AUTHPROXY_ variables alone.",
    )(function)


def load_config(config: str | None) -> Loaded:
    """
    Load the configuration the way every verb does.

    Raises:
        ConfigError: It cannot be used.
    """
    source = find(config, os.environ, Path())
    return load(source, os.environ, now=time.time())  # noqa: TID251 - a verb starts here


def show_problems(problems: Iterable[Problem]) -> None:
    """
    Print problems to standard error, one a line.
    """
    for problem in problems:
        click.echo(str(problem), err=True)


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """
    Run a coroutine on the fastest loop there is.
    """
    import asyncio

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(work)


def loop_factory() -> Callable[[], Any] | None:
    """
    Return uvloop's loop if it is installed; None for the standard one.
    """
    try:
        import uvloop
    except ImportError:  # pragma: no cover - where uvloop does not install
        return None
    return uvloop.new_event_loop


def label(text: str) -> str:
    """
    Return the left column of a table for people.
    """
    return click.style(f"{text:<10}", dim=True)
