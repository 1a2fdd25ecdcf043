"""
`authproxy token`: a usable token for a service user, for scripts and for looking at.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from proxy.cli.names import service_users
from proxy.cli.table import bar, span
from proxy.cli.terminal import config_option, load_config, run_async
from proxy.config.minted import Minted
from proxy.keeping import open_keeper
from proxy.surroundings import real_clock

if TYPE_CHECKING:
    from proxy.config.load import Loaded
    from proxy.config.service_user import ServiceUser
    from proxy.core.clock import Clock
    from proxy.core.token import Token


@click.command("token")
@click.argument("user", shell_complete=service_users)
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print age and claims, not the token.")
@click.option("--header", is_flag=True, help="Print the whole Authorization header line.")
@click.option(
    "--exec-credential",
    is_flag=True,
    help="Print what kubectl takes from a credential plugin (client.authentication.k8s.io/v1).",
)
def command(
    user: str, config: str | None, *, as_json: bool, header: bool, exec_credential: bool
) -> None:
    """
    Print a usable token of service user USER.

    \b
      curl -H "$(authproxy token dev --header)" https://acme.zitadel.cloud/auth/v1/users/me
      authproxy token provisioner --json

    The token goes to standard output and nothing else does; at a terminal, how long it lives and
    what it is for follow on standard error. Exit code 1 if the issuer gives none.
    """
    if as_json + header + exec_credential > 1:
        raise click.UsageError(
            "--json prints no token, --header and --exec-credential print one: use one of them"
        )
    loaded = load_config(config)
    if user not in loaded.settings.service_users:
        known = ", ".join(loaded.settings.service_users)
        raise click.UsageError(f"no service user {_shown(user)}; there are: {known}")
    token, clock = run_async(_fetch(loaded, user))
    facts = _facts(user, loaded.settings.service_users[user].method, token, clock.boot())
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    text = token.value.reveal()
    if exec_credential:
        click.echo(json.dumps(_for_kubectl(text, facts["expires_in"], clock.wall()), indent=2))
        return
    click.echo(f"Authorization: Bearer {text}" if header else text)
    if sys.stdout.isatty() and sys.stderr.isatty():
        click.secho(
            _hint(facts, loaded.settings.service_users[user]),
            dim=True,
            err=True,
        )


async def _fetch(loaded: Loaded, user: str) -> tuple[Token, Clock]:
    clock = real_clock()
    async with asyncio.timeout(30), open_keeper(loaded, os.environ, clock, only=user) as keeper:
        return await keeper.get(user), clock


def _for_kubectl(text: str, expires_in: int | None, now: float) -> dict[str, Any]:
    """
    Return a token as kubectl wants it.

    Source: Kubernetes, client.authentication.k8s.io/v1 ExecCredential.
    """
    status: dict[str, Any] = {"token": text}
    if expires_in is not None:
        ends = datetime.fromtimestamp(now + expires_in, UTC)
        status["expirationTimestamp"] = ends.strftime("%Y-%m-%dT%H:%M:%SZ")
    kind = "ExecCredential"
    return {"apiVersion": "client.authentication.k8s.io/v1", "kind": kind, "status": status}


def _hint(facts: dict[str, Any], user: ServiceUser) -> str:
    """
    Return what a person wants to know of a token, on one line.
    """
    parts = [f"{facts['service_user']}, {facts['method']}, {facts['format']}"]
    left, age = facts["expires_in"], facts["age"]
    if left is None:
        parts.append("its end is not known")
    else:
        parts.append(f"{bar(left / max(left + (age or 0), 1))} ends in {span(left)}")
    if isinstance(user, Minted):
        parts.append(f"scopes {' '.join(user.requested_scopes)}")
    audience = (facts["claims"] or {}).get("aud")
    named = audience if isinstance(audience, list) else [audience]
    parts += (f"aud {_shown(each, 200)}" for each in named if isinstance(each, str))
    return "# " + "  ".join(parts)


def _shown(name: str, most: int = 40) -> str:
    """
    Return *name*, which is none of ours and may be anything, fit for one line of a terminal.
    """
    return "".join(each if each.isprintable() else "?" for each in name[:most])


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
