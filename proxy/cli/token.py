"""
`authproxy token`: a usable token for a service user, for scripts and for looking at.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import os
from typing import TYPE_CHECKING, Any

import click

from proxy.cli.terminal import config_option, load_config, run_async
from proxy.keeping import open_keeper
from proxy.runtime import real_clock

if TYPE_CHECKING:
    from proxy.config.load import Loaded
    from proxy.core.token import Token


@click.command("token", short_help="Print a usable token of a service user.")
@click.argument("user")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print age and claims, not the token.")
@click.option("--header", is_flag=True, help="Print the whole Authorization header line.")
def command(user: str, config: str | None, *, as_json: bool, header: bool) -> None:
    """
    Print a usable token of service user USER.

    The token goes to standard output and nothing else does. Exit code 1 if the issuer gives none.
    """
    if as_json and header:
        raise click.UsageError("--json prints no token, --header prints one: use one of them")
    loaded = load_config(config)
    if user not in loaded.settings.service_users:
        known = ", ".join(loaded.settings.service_users)
        raise click.UsageError(f"no service user {_shown(user)}; there are: {known}")
    token, now = run_async(_fetch(loaded, user))
    if as_json:
        method = loaded.settings.service_users[user].method
        click.echo(json.dumps(_facts(user, method, token, now), indent=2))
    elif header:
        click.echo(f"Authorization: Bearer {token.value.reveal()}")
    else:
        click.echo(token.value.reveal())


async def _fetch(loaded: Loaded, user: str) -> tuple[Token, float]:
    clock = real_clock()
    async with asyncio.timeout(30), open_keeper(loaded, os.environ, clock, only=user) as keeper:
        token = await keeper.get(user)
        return token, clock.boot()


def _shown(name: str) -> str:
    """
    Return *name*, which is none of ours and may be anything, fit for one line of a terminal.
    """
    return "".join(each if each.isprintable() else "?" for each in name[:40])


def _facts(user: str, method: str, token: Token, now: float) -> dict[str, Any]:
    """
    Return what may be shown of a token; *now* in seconds of the boot clock.
    """
    expires_in = token.serve_until - now
    return {
        "service_user": user,
        "method": method,
        "fingerprint": token.fingerprint,
        "age": None if token.kind == "static" else round(now - token.born),
        "expires_in": None if math.isinf(expires_in) else round(expires_in),
        "format": "opaque" if _claims(token) is None else "jwt",
        "claims": _claims(token),
    }


def _claims(token: Token) -> dict[str, Any] | None:
    """
    Return a JWT's claims, unverified (they are only shown); None for an opaque token.
    """
    parts = token.value.reveal().split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    return claims if isinstance(claims, dict) else None
