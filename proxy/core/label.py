"""
What an event may say of a credential: names and fingerprints, never the credential.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from proxy.core.credential import (
    ClientKey,
    ClientSecret,
    Exchange,
    FixedToken,
    PrivateKey,
    SystemKey,
)

if TYPE_CHECKING:
    from proxy.core.credential import Credential, ServiceUser


def key_id(credential: Credential) -> str | None:
    """
    Return what the issuer calls this key; None if it is no key, or has no name.
    """
    match credential:
        case PrivateKey():
            return credential.key_id
        case ClientKey() | SystemKey():
            return credential.key.key_id
        case Exchange(client):
            return key_id(client)
        case ClientSecret() | FixedToken():
            return None
        case _:
            assert_never(credential)


def label(user: ServiceUser) -> dict[str, Any]:
    """
    Return the facts by which an event names a service user and its credentials.

    `fingerprint` is left out of a client secret, which somebody may have made up and another could
    find by trying; `key_id` is there only if the first credential has one, `of` (how many) only if
    there are several.
    """
    facts: dict[str, Any] = {"service_user": user.name, "method": user.method}
    if not _made_up(user.credential):
        facts["fingerprint"] = user.credential.fingerprint
    if (known_as := key_id(user.credential)) is not None:
        facts["key_id"] = known_as
    if user.spares:
        facts["of"] = len(user.credentials)
    return facts


def _made_up(credential: Credential) -> bool:
    match credential:
        case ClientSecret() | Exchange(client=ClientSecret()):
            return True
        case _:
            return False
