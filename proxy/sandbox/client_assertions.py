"""
Service users that prove who they are by a signed client assertion (RFC 7523 §2.2).

ZITADEL takes none with the grant client_credentials; many other issuers do. The strict among them
take each `jti` once, so this one does too: a client has to sign a fresh assertion per request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.sandbox.verify import (
    CLIENT_ALGORITHMS,
    AssertionRefusedError,
    Terms,
    read_assertion,
    verify_assertion,
)

if TYPE_CHECKING:
    from proxy.sandbox.clients import ClientAuth
    from proxy.sandbox.instance import Instance
    from proxy.sandbox.users import ServiceUser
    from proxy.sandbox.verify import PublicKey

# Ours: how many used ids are remembered; the oldest go first.
JTI_LIMIT = 100_000


class ClientAssertions:
    """
    Finds the service user a client assertion belongs to.

    Args:
        instance: The instance it belongs to.
    """

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._used: dict[tuple[str, str], None] = {}

    def claimed(self, client: ClientAuth) -> ServiceUser | None:
        """
        Return whom an assertion claims to be from, whether or not that is true.

        Raises:
            AssertionRefusedError: It is no JWT.
        """
        name = read_assertion(client.assertion).claims.get("iss")
        return self._instance.users.by_login_name(str(name))

    def verify(self, client: ClientAuth, audiences: tuple[str, ...]) -> ServiceUser:
        """
        Check a client's assertion and return whose it is.

        Args:
            client: The client's credentials.
            audiences: `aud` must contain one of these: the issuer, or the token endpoint's URL.

        Raises:
            AssertionRefusedError: Something is wrong with it.
        """
        user = self.claimed(client)

        def key_of(key_id: str, _: str) -> PublicKey | None:
            if user is None or not self._instance.visible(user.created):
                return None
            # RFC 7515 §4.1.4: kid is a hint; without one the only key is meant.
            only = next(iter(user.keys), "") if len(user.keys) == 1 else ""
            return self._instance.usable_key(user, key_id or only)

        terms = Terms(
            audiences=audiences,
            now=self._instance.now(),
            key_of=key_of,
            algorithms=CLIENT_ALGORITHMS,
        )
        claims = verify_assertion(client.assertion, terms).claims
        if user is None:
            raise AssertionRefusedError("no service user has this login name")
        if client.client_id and client.client_id != user.login_name:
            raise AssertionRefusedError("client_id is not the assertion's iss")
        self._use(user.login_name, claims.get("jti"))
        return user

    def _use(self, client_id: str, jti: object) -> None:
        if not isinstance(jti, str) or not jti:
            raise AssertionRefusedError("jti is missing")
        if (client_id, jti) in self._used:
            raise AssertionRefusedError("an assertion with this jti was used before")
        while len(self._used) >= JTI_LIMIT:
            del self._used[next(iter(self._used))]
        self._used[client_id, jti] = None
