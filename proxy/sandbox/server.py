"""
Both servers of a sandbox on loopback, as one async context manager.

    async with Sandbox() as sandbox:
        config = sandbox.write(directory)

Nothing outlives the `async with`: users, keys, tokens and records are in memory only. There are
three service users from the start, one for each method: `provisioner` (key), `reporter` (client
secret), `dev` (personal access token). Everything else is added by the methods here.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

from proxy.core.secret import Secret
from proxy.sandbox.backend import Backend
from proxy.sandbox.credentials import Credentials
from proxy.sandbox.files import SandboxFiles
from proxy.sandbox.instance import Instance, real_clock
from proxy.sandbox.keys import SandboxKeys
from proxy.sandbox.options import SandboxOptions
from proxy.sandbox.scopes import ZITADEL_AUD, project_audience
from proxy.sandbox.sites import BackendSite, IssuerSite, serve
from proxy.sandbox.users import ADMINISTRATOR, make_client_secret

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from proxy.core.clock import Clock
    from proxy.sandbox.faults import Faults
    from proxy.sandbox.hits import HitLog
    from proxy.sandbox.keys import KeyPair
    from proxy.sandbox.mints import MintLog
    from proxy.sandbox.users import Application, ServiceUser, Users

PROVISIONER = "provisioner"
REPORTER = "reporter"
DEV = "dev"


class Sandbox:
    """
    An in-memory ZITADEL stand-in and a protected backend.

    Args:
        options: The settings; None for the defaults.
        clock: What time it is; None for the machine's clock.

    Attributes (inside `async with`):
        url: The issuer identifier under which it is reached directly; no trailing slash.
        backend_url: The protected backend's origin.
        faults: The faults that are on; changed at any time.
        hits: Requests at the APIs and the backend.
        issuer_hits: Requests at the OpenID Connect endpoints, the backend's introspections too.
        mints: Token requests and what came of them.
        users: Everybody the instance knows.
        org_id: Id of the only organisation.
        project_id: Id of the backend's project.
        application: What the backend introspects as.
        exchanger: What may exchange tokens (RFC 8693), with a client id and a secret.
        key_json: The key file of `provisioner`, as downloaded.
        pat: The personal access token of `dev`.
        instance: The state behind both servers.
    """

    url: str
    backend_url: str
    faults: Faults
    hits: HitLog
    issuer_hits: HitLog
    mints: MintLog
    users: Users
    org_id: str
    project_id: str
    application: Application
    exchanger: Application
    key_json: Secret
    pat: Secret
    instance: Instance

    def __init__(
        self, options: SandboxOptions | None = None, *, clock: Clock | None = None
    ) -> None:
        self.options = options or SandboxOptions()
        self._clock = clock or real_clock()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        keys = self.options.keys or await SandboxKeys.generate_together()
        self._populate(Instance(self.options, self._clock, keys), keys.provisioner)
        try:
            await self._serve(self.instance)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    def _populate(self, instance: Instance, provisioner: KeyPair) -> None:
        self.instance = instance
        self.faults, self.users = instance.faults, instance.users
        self.hits, self.issuer_hits, self.mints = (
            instance.hits,
            instance.issuer_hits,
            instance.mints,
        )
        self.org_id, self.project_id = instance.org_id, instance.backend_project
        self._credentials = Credentials(instance)
        self.key_json = self.add_key(self.add_user(PROVISIONER), pair=provisioner)
        self.add_secret(self.add_user(REPORTER, roles=()))
        self.pat = self.add_pat(self.add_user(DEV))
        self.application = self.users.add_application(self.project_id, secret=make_client_secret())
        self.exchanger = self.users.add_application(
            self.project_id, secret=make_client_secret(), exchange=True
        )

    async def _serve(self, instance: Instance) -> None:
        options = self.options
        runner, self.url = await serve(
            IssuerSite(instance), host=options.host, port=options.port, tls=options.tls
        )
        self._stack.push_async_callback(runner.cleanup)
        secure = options.external_secure and options.tls is None
        instance.external_origin = self.url.replace("http:", "https:", 1) if secure else self.url
        backend = Backend(instance, self.application, self.url)
        await backend.start()
        self._stack.push_async_callback(backend.stop)
        runner, self.backend_url = await serve(
            BackendSite(instance, backend),
            host=options.host,
            port=options.backend_port,
            tls=options.backend_tls,
        )
        self._stack.push_async_callback(runner.cleanup)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.faults.clear()  # lets go of the requests that slow ones hold
        await self._stack.aclose()

    @property
    def zitadel_scopes(self) -> tuple[str, ...]:
        """
        Scopes for the ZITADEL APIs.
        """
        return ("openid", ZITADEL_AUD)

    @property
    def backend_scopes(self) -> tuple[str, ...]:
        """
        Scopes for the protected backend.
        """
        return ("openid", "profile", project_audience(self.project_id))

    @property
    def client_secret(self) -> Secret:
        """
        The client secret of `reporter`, as it is now.
        """
        return self.users[REPORTER].secret or Secret("")

    def write(
        self, directory: Path, *, listen: str = "127.0.0.1:8080", admin: str = "127.0.0.1:9090"
    ) -> Path:
        """
        Write the credential files and a complete proxy.yaml, all with mode 0600.

        Args:
            directory: Where; made if it is not there.
            listen: Address of the proxy's listener.
            admin: Address of its admin listener, or `off`.

        Returns:
            The path of proxy.yaml.
        """
        return SandboxFiles(
            issuer=self.url,
            backend=self.backend_url,
            project=self.project_id,
            key_json=self.key_json,
            client_secret=self.client_secret,
            pat=self.pat,
            exchanger_secret=self.exchanger.secret or Secret(""),
        ).write(directory, listen=listen, admin=admin)

    def add_user(
        self,
        name: str,
        *,
        login_name: str = "",
        jwt: bool = False,
        roles: tuple[str, ...] = (ADMINISTRATOR,),
    ) -> ServiceUser:
        """
        Add a service user without any credential.

        Args:
            name: Its user name; must be new.
            login_name: Its login name, if that differs from the name.
            jwt: Whether its access tokens are JWTs.
            roles: Its roles; empty: it may call only what is about itself.
        """
        user = self.users.add(name, login_name=login_name, now=self.instance.now())
        user.jwt, user.roles = jwt, roles
        return user

    def add_key(
        self,
        user: ServiceUser,
        *,
        pair: KeyPair | None = None,
        expires: float | None = None,
        visible_after: float = 0.0,
        pkcs8: bool = False,
    ) -> Secret:
        """
        Give a user a further key and return its file's text; see `Credentials.key_json`.
        """
        return self._credentials.key_json(
            user, pair=pair, expires=expires, visible_after=visible_after, pkcs8=pkcs8
        )

    def add_public_key(self, user: ServiceUser, pem: str, key_id: str) -> None:
        """
        Register the public half of a key made elsewhere (RSA, or EC P-256); client assertions may
        be signed with either, a ZITADEL assertion with RSA only.
        """
        self._credentials.public_key(user, pem, key_id)

    def add_system_user(self, name: str, *, pair: KeyPair | None = None) -> Secret:
        """
        Add a System API user and return its private key as PEM; see `Credentials.system_user`.
        """
        return self._credentials.system_user(name, pair=pair)

    def add_secret(self, user: ServiceUser) -> Secret:
        """
        Generate a user's client secret; the one it had is dead at once.
        """
        return self._credentials.client_secret(user)

    def add_pat(self, user: ServiceUser, *, expires: float | None = None) -> Secret:
        """
        Give a user a further personal access token; *expires* in seconds since the epoch.
        """
        return self._credentials.pat(user, expires=expires)

    def add_application_key(
        self, app: Application | None = None, *, pair: KeyPair | None = None
    ) -> Secret:
        """
        Give an application (the backend's by default) a key and return its file's text.
        """
        return self._credentials.application_key_json(app or self.application, pair=pair)

    def issue(self, user: ServiceUser, scopes: tuple[str, ...]) -> Secret:
        """
        Return an access token without a token request; the tallies do not count it.
        """
        return self.instance.mint(user, scopes, issuer=self.url)[0]

    def revoke(self, user: ServiceUser | None = None) -> int:
        """
        Take back all of a user's tokens (PATs too), or everybody's; return how many.
        """
        return self.instance.tokens.revoke(user.user_id if user else None)

    def __repr__(self) -> str:
        return f"<Sandbox {getattr(self, 'url', 'not started')}>"
