"""
ZITADEL's key JSON, and the RSA key in it.

A service user's key as the console downloads it:
`{"type": "serviceaccount", "keyId": …, "key": PEM, "expirationDate": …, "userId": …}`. Older files
have no `expirationDate`; `9999-12-31T23:59:59Z` means never. Machine keys are RSA; an application's
key (`"type": "application"`, with `clientId` and `appId` for `userId`) is of no use for the JWT grant;
it is what an API application asks about tokens with. No message holds anything of the file.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from proxy.core.credential import ClientKey
from proxy.core.key import parse_pem, signing_key
from proxy.core.secret import Secret
from proxy.errors import CredentialInvalid

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import rsa

_MAX_TEXT: Final = 200
"""An id longer than this is none (ZITADEL's have 18 digits; limit of ours)."""

_WHERE: Final = "download one in the console: Users, Service Users, the user, Keys, New, type JSON"

_APP_WHERE: Final = (
    "download one in the console: Projects, the project, the API application, Keys, New, type JSON"
)

_BARE: Final = (
    "this is a bare private key; write key_pem_file with key_id and user_id instead of key_file"
)


@dataclass(frozen=True, slots=True)
class KeyFile:
    """
    What is needed to sign for a service user.

    Attributes:
        key_id: `kid` of the assertion.
        user_id: `iss` and `sub` of the assertion.
        key: The RSA private key, parsed: that takes tens of milliseconds.
        expires: Seconds since the epoch at which the key stops working; None if never or not said.
    """

    key_id: str
    user_id: str
    key: rsa.RSAPrivateKey = field(repr=False, compare=False)
    expires: float | None = None


def parse_key_json(text: Secret) -> KeyFile:
    """
    Read a service user's key JSON.

    Raises:
        CredentialInvalid: It is something else; the reason says what, and what to do.
    """
    data = _object(text)
    kind = data.get("type")
    if kind == "application":
        raise CredentialInvalid(
            f"this is an application's key; a service user's is needed: {_WHERE}"
        )
    if kind != "serviceaccount":
        raise CredentialInvalid(f'this is no service user\'s key (its "type" differs); {_WHERE}')
    lacking = [name for name in ("keyId", "userId", "key") if not _usable(data.get(name), name)]
    if lacking:
        raise CredentialInvalid(f"the key file lacks a usable {' and '.join(lacking)}; {_WHERE}")
    key = parse_pem(Secret(str(data["key"]).strip()))
    expires = _expiry(data.get("expirationDate"))
    return KeyFile(str(data["keyId"]), str(data["userId"]), key, expires)


def parse_application_key(text: Secret) -> ClientKey:
    """
    Read an application's key JSON: `{"type": "application", "keyId": …, "key": PEM, "appId": …,
    "clientId": …}`. With it an application proves who it is when it asks about tokens.

    Raises:
        CredentialInvalid: It is something else; the reason says what, and what to do.
    """
    data = _object(text, _APP_WHERE, f"this is a bare private key; {_APP_WHERE}")
    if data.get("type") != "application":
        raise CredentialInvalid(f'this is no application\'s key (its "type" differs); {_APP_WHERE}')
    lacking = [name for name in ("keyId", "clientId", "key") if not _usable(data.get(name), name)]
    if lacking:
        words = " and ".join(lacking)
        raise CredentialInvalid(f"the key file lacks a usable {words}; {_APP_WHERE}")
    key = signing_key(Secret(str(data["key"]).strip()), key_id=str(data["keyId"]))
    return ClientKey(str(data["clientId"]), key)


def _object(text: Secret, where: str = _WHERE, bare: str = _BARE) -> dict[str, object]:
    content = text.reveal().strip()
    if content.startswith("-----BEGIN"):
        raise CredentialInvalid(bare)
    data = None
    with suppress(ValueError, RecursionError):  # refused below: their errors hold the content
        data = json.loads(content)
    if not isinstance(data, dict):
        raise CredentialInvalid(f"this is no key JSON; {where}")
    return data


def _usable(value: object, name: str) -> bool:
    if not isinstance(value, str) or not value.strip():
        return False
    return name == "key" or (value.isprintable() and value.isascii() and len(value) <= _MAX_TEXT)


def _expiry(value: object) -> float | None:
    """
    Return when the key ends, in seconds since the epoch; None for never (year 9999) or absent.

    Source: ZITADEL writes RFC 3339; a time without zone is taken as UTC.
    """
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise CredentialInvalid(f"the key's expirationDate is no date; {_WHERE}") from None
    if moment.year == 9999:
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
