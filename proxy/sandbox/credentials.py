"""
Hands out credentials as ZITADEL's console would: keys, secrets, personal access tokens; ordinary
ones for a start, odd ones for tests.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from proxy.sandbox.keys import (
    NEVER,
    KeyPair,
    application_json,
    public_key,
    service_account_json,
)
from proxy.sandbox.system import ONLY_KEY, SYSTEM_ROLE
from proxy.sandbox.tokens import AccessToken
from proxy.sandbox.users import MachineKey, ServiceUser, make_client_secret

if TYPE_CHECKING:
    from proxy.core.secret import Secret
    from proxy.sandbox.instance import Instance
    from proxy.sandbox.users import Application


class Credentials:
    """
    Makes credentials for the users and applications of an instance.

    Args:
        instance: The instance.
    """

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def key_json(
        self,
        user: ServiceUser,
        *,
        pair: KeyPair | None = None,
        expires: float | None = None,
        visible_after: float = 0.0,
        pkcs8: bool = False,
    ) -> Secret:
        """
        Give a user a further key and return its file's text.

        Args:
            user: Whose key it is.
            pair: The pair; None makes one (about 0.1 s).
            expires: Seconds since the epoch, past ones too; None for never.
            visible_after: Seconds from now during which look-ups do not find it yet.
            pkcs8: Write the PEM as PKCS#8 instead of ZITADEL's PKCS#1.
        """
        pair = pair or KeyPair.generate()
        key = self._new_key(pair, expires=expires, visible_after=visible_after)
        user.keys[key.key_id] = key
        end = NEVER if expires is None else datetime.fromtimestamp(expires, UTC)
        return service_account_json(key.key_id, user.user_id, pair.pem(pkcs8=pkcs8), end)

    def application_key_json(self, app: Application, *, pair: KeyPair | None = None) -> Secret:
        """
        Give an application a key and return its file's text.
        """
        pair = pair or KeyPair.generate()
        key = self._new_key(pair, expires=None, visible_after=0.0)
        app.keys[key.key_id] = key
        return application_json(key.key_id, app.app_id, app.client_id, pair.pem())

    def client_secret(self, user: ServiceUser) -> Secret:
        """
        Generate a user's client secret; the one it had is dead at once.
        """
        user.secret = make_client_secret()
        user.secret_created = self._instance.now()
        return user.secret

    def pat(self, user: ServiceUser, *, expires: float | None = None) -> Secret:
        """
        Give a user a further personal access token.

        Args:
            user: Whose it is.
            expires: Seconds since the epoch, past ones too; None for never.
        """
        instance = self._instance
        token = AccessToken(
            token_id=instance.users.new_id(),
            user_id=user.user_id,
            scopes=("openid", "profile"),
            audience=(instance.zitadel_project,),
            issuer="",
            created=instance.now(),
            expires=NEVER.timestamp() if expires is None else expires,
            kind="personal",
        )
        return instance.tokens.issue(token)

    def public_key(self, user: ServiceUser, pem: str, key_id: str) -> None:
        """
        Register the public half of a key that was made elsewhere.

        Args:
            user: Whose key it is.
            pem: RSA, or EC on the curve P-256, as PEM.
            key_id: The key id; an older key with it is replaced.

        Raises:
            ValueError: The PEM holds no such key.
        """
        user.keys[key_id] = MachineKey(key_id, public_key(pem), created=self._instance.now())

    def system_user(self, name: str, *, pair: KeyPair | None = None) -> Secret:
        """
        Add a System API user and return its private key as PEM.

        Args:
            name: Its name, the `iss` and `sub` of the JWTs it signs.
            pair: Its key pair; None makes one (about 0.1 s).
        """
        pair, now = pair or KeyPair.generate(), self._instance.now()
        user = ServiceUser(name, name, name, roles=(SYSTEM_ROLE,), created=now)
        user.keys[ONLY_KEY] = MachineKey(ONLY_KEY, pair.public, created=now)
        self._instance.users.system[name] = user
        return pair.pem()

    def _new_key(self, pair: KeyPair, *, expires: float | None, visible_after: float) -> MachineKey:
        now = self._instance.now()
        return MachineKey(
            key_id=self._instance.users.new_id(),
            public=pair.public,
            expires=expires,
            visible=now + visible_after if visible_after else 0.0,
            created=now,
        )
