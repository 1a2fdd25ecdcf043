"""
What somebody answers, made into what proxy.yaml wants; a wrong answer is refused in words.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import click
from pydantic_core import PydanticCustomError

from proxy.config.network import UnixAddress, is_loopback, parse_address, parse_admin, parse_url
from proxy.config.secret_source import SecretFile
from proxy.config.secrets import read, read_file, read_token
from proxy.core.keyfile import parse_key_json
from proxy.errors import CredentialInvalid

if TYPE_CHECKING:
    from proxy.config.network import Url

Kind: TypeAlias = Literal["private_key_jwt", "client_credentials", "personal_access_token"]

OTHERS: Final = stat.S_IRWXO

# What people copy from the address bar or the documentation, beyond the instance's own URL
_TAIL: Final = re.compile(r"/+(?:\.well-known/.*|ui/.*|oauth/.*|oidc/.*)?\Z")

_BARE: Final = re.compile(r"(\[[^\]]*\]|[^:/]*)(?::\d+)?(?:/|\Z)")


def as_issuer(text: str) -> str:
    """
    Return the issuer's URL for what somebody calls it: with a scheme, without a final slash or what
    the console's address has behind the host. What was changed is said.
    """
    meant = _TAIL.sub("", _with_scheme(text.strip()))
    url = _url(meant)
    if url.scheme == "http" and not url.loopback:
        raise click.BadParameter(
            "http:// to another machine would show secrets to the network; write https://"
        )
    plain = f"{url.scheme}://{meant.partition('://')[2]}"
    if plain != text:
        click.secho(f"issuer  {plain}", dim=True, err=True)
    return plain


def as_upstream(text: str) -> str:
    """
    Return the upstream's URL.
    """
    meant = _with_scheme(text.strip())
    url = _url(meant)
    if url.scheme == "http" and not url.loopback:
        raise click.BadParameter(
            "http:// to another machine would show the token to the network; write https://"
        )
    return meant[:-1] if url.path == "/" else meant


def as_listen(text: str) -> str:
    """
    Return the address of a listener without callers: one that only this machine reaches.
    """
    try:
        address = parse_address(text)
    except PydanticCustomError as error:
        raise click.BadParameter(_said(error)) from None
    if isinstance(address, UnixAddress) or is_loopback(address.host):
        return text
    raise click.BadParameter(
        f"other machines could connect to {text}, and nothing would say who may; begin with "
        f"127.0.0.1:{address.port}, and write that address into the file later, with its callers"
    )


def as_admin(text: str) -> str:
    """
    Return the address of the admin listener, or `off`.
    """
    try:
        parse_admin(text)
    except PydanticCustomError as error:
        raise click.BadParameter(_said(error)) from None
    return text


def as_id(text: str) -> str:
    """
    Return an id: one printable line.
    """
    text = text.strip()
    if not text or not text.isprintable():
        raise click.BadParameter("write one line of text")
    return text


def credential(path: Path, kind: Kind) -> None:
    """
    See that a file holds a credential of this kind.

    Raises:
        click.BadParameter: It does not; the message says what it is instead, where that shows.
    """
    try:
        match kind:
            case "private_key_jwt":
                text = read_file(path, Path.cwd())
                if _token_like(text.reveal()):
                    raise click.BadParameter(
                        "this looks like a token, not a key; a personal access token goes with "
                        "--token-file"
                    )
                parse_key_json(text)
            case "client_credentials":
                _no_json(read_file(path, Path.cwd()).reveal())
                read(SecretFile(path), Path.cwd(), {})
            case "personal_access_token":
                _no_json(read_file(path, Path.cwd()).reveal())
                read_token(SecretFile(path), Path.cwd(), {})
    except CredentialInvalid as error:
        raise click.BadParameter(error.reason) from error


def offer_chmod(path: Path, *, asks: bool) -> None:
    """
    Offer to close a file that others may read; without somebody to ask it is refused later, in words.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return
    if not mode & OTHERS or not asks:
        return
    closed = mode & ~OTHERS
    if click.confirm(
        f"Every user of this machine may read it. Set its mode to {closed:o}?",
        default=True,
        err=True,
    ):
        try:
            path.chmod(closed)
        except OSError as error:
            raise click.BadParameter(f"its mode cannot be set: {error.strerror}") from error


def _with_scheme(text: str) -> str:
    """
    Return *text* with a scheme: https, or http for this machine.
    """
    if "://" in text or not text:
        return text
    found = _BARE.match(text)
    here = found is not None and is_loopback(found[1].strip("[]"))
    return f"{'http' if here else 'https'}://{text}"


def _said(error: PydanticCustomError) -> str:
    context = error.context or {}
    return f"it {context.get('what')}; {context.get('instead')}"


def _url(text: str) -> Url:
    try:
        return parse_url(text)
    except PydanticCustomError as error:
        raise click.BadParameter(_said(error)) from None


def _token_like(text: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z0-9._~+/-]{20,}=*", text.strip()))


def _no_json(text: str) -> None:
    if text.strip().startswith(("{", "-----BEGIN")):
        raise click.BadParameter("this is a key, not a secret alone; a key goes with --key-file")
