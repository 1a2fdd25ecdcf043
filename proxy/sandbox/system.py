"""
System API users: a JWT they signed themselves is the Bearer, no token is ever minted for them.

Source: ZITADEL internal/api/authz/system_token.go: the audience is the configured external origin,
whatever the request says; there is one key per user, so a `kid` does not matter.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from proxy.sandbox.instance import Alive
from proxy.sandbox.tokens import AccessToken
from proxy.sandbox.verify import AssertionRefusedError, Terms, verify_assertion

if TYPE_CHECKING:
    from proxy.sandbox.instance import Instance
    from proxy.sandbox.users import ServiceUser
    from proxy.sandbox.verify import PublicKey

# Paths that only a system user may call.
SYSTEM_PREFIX = "/system/v1/"

SYSTEM_ROLE = "SYSTEM_OWNER"

# The one key of a system user has no id.
ONLY_KEY = ""


class SystemTokens:
    """
    Tells whether a Bearer is a system user's own JWT.

    Args:
        instance: The instance it belongs to.
    """

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._revoked: set[bytes] = set()

    def shown(self, text: str) -> Alive | None:
        """
        Return whose JWT a Bearer is, if it may be used now.
        """
        terms = Terms(
            audiences=(self._instance.external_origin,),
            now=self._instance.now(),
            key_of=self._key_of,
            algorithms=("RS256",),
        )
        try:
            claims = verify_assertion(text, terms).claims
        except AssertionRefusedError:
            return None
        user = self._instance.users.system[str(claims["sub"])]
        token = AccessToken(
            token_id=str(claims.get("jti", "")),
            user_id=user.user_id,
            scopes=(),
            audience=(self._instance.zitadel_project,),
            issuer=user.user_id,
            created=float(str(claims["iat"])),
            expires=float(str(claims["exp"])),
            kind="system",
        )
        return None if self._struck(text, token) else Alive(token, user)

    def _struck(self, text: str, token: AccessToken) -> bool:
        """
        Tell whether a fault makes this token one that is not good (any more).
        """
        digest = sha256(text.encode()).digest()
        if digest not in self._revoked and self._instance.faults.take("revoke-once"):
            self._revoked.add(digest)
        return digest in self._revoked or self._instance.too_young(token)

    def _key_of(self, _: str, name: str) -> PublicKey | None:
        user: ServiceUser | None = self._instance.users.system.get(name)
        return None if user is None else user.keys[ONLY_KEY].public
