"""
Service users, their credentials, and the applications that may introspect.

Mutable on purpose: a test or a person changes a user while the sandbox runs, as an administrator
would, and the next request sees it.
"""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proxy.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.sandbox.tokens import AccessToken
    from proxy.sandbox.verify import PublicKey

# Source: ZITADEL cmd/defaults.yaml, SecretGenerators.ClientSecret.
SECRET_LENGTH = 64
SECRET_ALPHABET = string.ascii_letters + string.digits

# Looks like a ZITADEL id; a fixed start keeps ids equal from one run to the next.
FIRST_ID = 340_000_000_000_000_001

ADMINISTRATOR = "ORG_OWNER"


def make_client_secret() -> Secret:
    """
    Return a client secret of the form ZITADEL makes.
    """
    return Secret("".join(secrets.choice(SECRET_ALPHABET) for _ in range(SECRET_LENGTH)))


@dataclass(slots=True)
class MachineKey:
    """
    The public half of a user's or application's key, as the issuer knows it.

    Attributes:
        key_id: What an assertion's `kid` must say.
        public: The key.
        expires: Seconds since the epoch; None for never.
        visible: Seconds since the epoch from which look-ups find it.
        created: Seconds since the epoch.
    """

    key_id: str
    public: PublicKey = field(repr=False)
    expires: float | None = None
    visible: float = 0.0
    created: float = 0.0


@dataclass(slots=True)
class ServiceUser:
    """
    A service user (ZITADEL: service account, machine user).

    Attributes:
        user_id: An assertion's `iss` and `sub`.
        name: User name within the organisation; how the sandbox's own records call it.
        login_name: The `client_id` of the client credentials grant; may differ from the name.
        active: False once deactivated or locked: no mint, and its tokens are dead.
        human: True for a person's account, which has no client secret.
        jwt: Whether its access tokens are JWTs; opaque by default.
        roles: Roles at the organisation; empty means it may call only what is about itself.
        secret: Client secret; None if none was generated.
        keys: Its machine keys by key id.
        created: Seconds since the epoch.
        secret_created: Seconds since the epoch.
    """

    user_id: str
    name: str
    login_name: str
    active: bool = True
    human: bool = False
    jwt: bool = False
    roles: tuple[str, ...] = (ADMINISTRATOR,)
    secret: Secret | None = None
    keys: dict[str, MachineKey] = field(default_factory=dict)
    created: float = 0.0
    secret_created: float = 0.0


@dataclass(slots=True)
class Application:
    """
    An application: what a resource server introspects as, or what exchanges tokens.

    Attributes:
        app_id: Its id.
        client_id: Its client id.
        project_id: The project it belongs to; tokens must have it in their audience.
        secret: Client secret; None if it has only keys.
        keys: Its keys by key id.
        exchange: Whether it may exchange tokens: an OpenID Connect application with that grant.
    """

    app_id: str
    client_id: str
    project_id: str
    secret: Secret | None = None
    keys: dict[str, MachineKey] = field(default_factory=dict)
    exchange: bool = False

    def meant_by(self, token: AccessToken) -> bool:
        """
        Tell whether a token is meant for this application; a personal one is meant for all.
        """
        if token.kind == "personal":
            return True
        return self.project_id in token.audience or self.client_id in token.audience


class Users:
    """
    Everybody the instance knows, found by name, id or login name.

    System API users are not among them: they stand in the server's own settings, under `system`.
    """

    def __init__(self) -> None:
        self._users: dict[str, ServiceUser] = {}
        self.applications: dict[str, Application] = {}
        self.system: dict[str, ServiceUser] = {}
        self._next_id = FIRST_ID

    def new_id(self) -> str:
        """
        Return an id nothing here has yet: 18 digits.
        """
        self._next_id += 65_537
        return str(self._next_id)

    def add(self, name: str, *, login_name: str = "", now: float = 0.0) -> ServiceUser:
        """
        Add a service user without any credential.

        Args:
            name: Its user name; must be new.
            login_name: Its login name if that differs.
            now: Seconds since the epoch.
        """
        if name in self._users:
            raise ValueError(f"there is a service user {name!r} already")
        user = ServiceUser(self.new_id(), name, login_name or name, created=now)
        self._users[name] = user
        return user

    def add_application(
        self, project_id: str, *, secret: Secret | None = None, exchange: bool = False
    ) -> Application:
        """
        Add an application to a project.
        """
        app = Application(self.new_id(), self.new_id(), project_id, secret, exchange=exchange)
        self.applications[app.client_id] = app
        return app

    def __getitem__(self, name: str) -> ServiceUser:
        return self._users[name]

    def __iter__(self) -> Iterator[ServiceUser]:
        return iter(self._users.values())

    def __len__(self) -> int:
        return len(self._users)

    def by_id(self, user_id: str) -> ServiceUser | None:
        """
        Return the user with an id, None if there is none.
        """
        return next((user for user in self if user.user_id == user_id), None)

    def by_login_name(self, login_name: str) -> ServiceUser | None:
        """
        Return the user with a login name, None if there is none.
        """
        return next((user for user in self if user.login_name == login_name), None)

    def remove(self, name: str) -> None:
        """
        Remove a user; its tokens die with it.
        """
        del self._users[name]
