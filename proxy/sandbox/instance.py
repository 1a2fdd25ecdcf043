"""
What both servers share: who there is, which tokens live, what goes wrong, what time it is.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.core.clock import Clock
from proxy.sandbox.faults import Faults
from proxy.sandbox.hits import HitLog
from proxy.sandbox.mints import MintLog
from proxy.sandbox.scopes import audience_of, kept_scopes
from proxy.sandbox.tokens import AccessToken, Tokens
from proxy.sandbox.users import Users

if TYPE_CHECKING:
    from proxy.core.secret import Secret
    from proxy.sandbox.keys import SandboxKeys
    from proxy.sandbox.options import SandboxOptions
    from proxy.sandbox.users import Application, MachineKey, ServiceUser
    from proxy.sandbox.verify import PublicKey

ORG_NAME = "Sandbox"
ORG_DOMAIN = "sandbox.localhost"


def real_clock() -> Clock:
    """
    Return the machine's own clock.
    """
    return Clock(wall=time.time, boot=time.monotonic)  # noqa: TID251 - the sandbox may read it


@dataclass(frozen=True, slots=True)
class Alive:
    """
    A token that may be used now, and whose it is.
    """

    token: AccessToken
    user: ServiceUser


class Instance:
    """
    One ZITADEL instance with one organisation.

    Args:
        options: The sandbox's settings.
        clock: What time it is.
        keys: The two key pairs it starts with.

    Attributes:
        external_origin: The issuer identifier under which it is reached directly; set once the
            port is known.
    """

    def __init__(self, options: SandboxOptions, clock: Clock, keys: SandboxKeys) -> None:
        self.options = options
        self.clock = clock
        self.faults = Faults(options.faults)
        self.hits = HitLog(options.hit_limit)
        self.issuer_hits = HitLog(options.hit_limit)
        self.mints = MintLog()
        self.users = Users()
        self.org_id = self.users.new_id()
        self.zitadel_project = self.users.new_id()
        self.backend_project = self.users.new_id()
        self.tokens = Tokens(keys.signing, self.users.new_id())
        self.external_origin = ""

    def now(self) -> float:
        """
        Return the instance's time in seconds since the epoch.
        """
        now = self.clock.wall()
        if self.faults.on("clock-behind"):
            now -= self.faults.seconds("clock-behind")
        if self.faults.on("clock-ahead"):
            now += self.faults.seconds("clock-ahead")
        return now

    def visible(self, created: float) -> bool:
        """
        Tell whether look-ups find what was created at a time (seconds since the epoch).
        """
        return not (
            self.faults.on("projection-lag") and self.now() < created + self.options.projection_lag
        )

    def usable_key(self, owner: ServiceUser | Application, key_id: str) -> PublicKey | None:
        """
        Return the public key with an id; None if it is unknown, expired or not visible yet.
        """
        if self.faults.take("key-unknown"):
            return None
        key: MachineKey | None = owner.keys.get(key_id)
        now = self.now()
        if key is None or now < key.visible or not self.visible(key.created):
            return None
        return None if key.expires is not None and key.expires <= now else key.public

    def mint(
        self, user: ServiceUser, scopes: tuple[str, ...], *, issuer: str, client_id: str = ""
    ) -> tuple[Secret, AccessToken]:
        """
        Give out an access token; nothing is checked here.
        """
        token = self.new_token(user, scopes, issuer=issuer, client_id=client_id)
        return self.tokens.issue(token, jwt=user.jwt), token

    def new_token(
        self, user: ServiceUser, scopes: tuple[str, ...], *, issuer: str, client_id: str
    ) -> AccessToken:
        """
        Return what a new token is about; it is not given out yet.
        """
        now, lifetime = self.now(), self.options.token_lifetime
        if self.faults.take("short-lived"):
            lifetime = self.faults.seconds("short-lived")
        return AccessToken(
            token_id=f"V2_{self.users.new_id()}-at_{self.users.new_id()}",
            user_id=user.user_id,
            scopes=kept_scopes(scopes, org_id=self.org_id, org_domain=ORG_DOMAIN),
            audience=audience_of(scopes, zitadel_project=self.zitadel_project),
            issuer=issuer,
            created=now,
            expires=now + lifetime,
            client_id=client_id,
        )

    def alive(self, text: str) -> Alive | None:
        """
        Return the token with this text if it may be used now.

        Source: ZITADEL internal/query/access_token.go: expiry, revocation and the user's state
        all end a token, whatever its form.
        """
        token = self.tokens.find(text)
        if token is None or token.revoked or token.expires <= self.now():
            return None
        user = self.users.by_id(token.user_id)
        return Alive(token, user) if user is not None and user.active else None

    def shown(self, text: str) -> Alive | None:
        """
        Do as `alive`, for a token shown to an API or the backend: here `revoke-once` and
        `token-young` strike.
        """
        alive = self.alive(text)
        if alive is None:
            return None
        if self.faults.take("revoke-once"):
            alive.token.revoked = True
            return None
        return None if self.too_young(alive.token) else alive

    def too_young(self, token: AccessToken) -> bool:
        """
        Tell whether `token-young` makes the APIs and the backend refuse a token still.
        """
        if token.kind == "personal" or not self.faults.on("token-young"):
            return False
        young = self.now() < token.created + self.faults.seconds("token-young")
        return young and self.faults.take("token-young")
