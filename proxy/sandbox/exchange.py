"""
Token exchange (RFC 8693): an application turns one token into another, for the same user or, with
an actor, for somebody else.

Source: ZITADEL internal/api/oidc/token_exchange.go. A result that carries an actor is good for
introspection and userinfo but refused by ZITADEL's own APIs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from joserfc import jwt
from joserfc.errors import JoseError

from proxy.sandbox.clients import find_application, parse_client
from proxy.sandbox.replies import OAuthRefusedError
from proxy.sandbox.verify import AssertionRefusedError, Terms, verify_assertion

if TYPE_CHECKING:
    from aiohttp import web

    from proxy.sandbox.instance import Instance
    from proxy.sandbox.mints import Mint
    from proxy.sandbox.users import Application, ServiceUser

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"

ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"
JWT = "urn:ietf:params:oauth:token-type:jwt"
USER_ID = "urn:zitadel:params:oauth:token-type:user_id"

# Types that say who it is about, but not that the client may act for them.
NEEDS_ACTOR = frozenset({USER_ID, JWT})

# Scopes that give rights, not claims: never more of them than the tokens shown have.
RIGHTS = ("offline_access", "urn:zitadel:iam:org:")


@dataclass(frozen=True, slots=True)
class Party:
    """
    What a subject or actor token says.

    Attributes:
        user: Whose token it is.
        audience: Whom it is meant for.
        scopes: Its scopes; empty for those types that have none.
        actor: User id of who acts in it already; empty if nobody does.
    """

    user: ServiceUser
    audience: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    actor: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What an exchange comes to.

    Attributes:
        user: Whose token it will be.
        client: Who asked.
        requested: The token type to give out.
        audience: Whom it is meant for.
        scopes: Its scopes.
        actor: User id of who acts in it; empty if nobody does.
    """

    user: ServiceUser
    client: Application
    requested: str
    audience: tuple[str, ...]
    scopes: tuple[str, ...]
    actor: str


class Exchange:
    """
    Decides what token requests of this grant come to.

    Args:
        instance: The instance it belongs to.
    """

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def decide(
        self, request: web.Request, form: dict[str, str], mint: Mint, issuer: str
    ) -> Outcome:
        """
        Check a request and say what it comes to.

        Raises:
            OAuthRefusedError: The client, a token, the audience or a scope is not right.
        """
        client = self._client(request, form, mint, issuer)
        if not self._instance.options.token_exchange:
            raise OAuthRefusedError("invalid_request", "Errors.TokenExchange.FeatureDisabled")
        if mint.resource:
            raise OAuthRefusedError("invalid_target", "resource parameter not supported")
        subject = self._party("subject", form, client, issuer)
        mint.user = subject.user.name
        if form.get("actor_token") or form.get("subject_token_type") in NEEDS_ACTOR:
            actor = self._party("actor", form, client, issuer)
            if not actor.user.roles:
                raise OAuthRefusedError("invalid_request", "Errors.PermissionDenied", status=403)
            acting = actor.user.user_id
        else:
            actor, acting = subject, subject.actor
        requested = form.get("requested_token_type") or ACCESS_TOKEN
        if requested not in {ACCESS_TOKEN, JWT, ID_TOKEN}:
            raise OAuthRefusedError(
                "invalid_request", "Errors.TokenExchange.Token.TypeNotSupported"
            )
        audience = _audience(mint.audience, subject, actor)
        scopes = _scopes(mint.scopes, subject, actor)
        return Outcome(subject.user, client, requested, audience, scopes, acting)

    def _client(
        self, request: web.Request, form: dict[str, str], mint: Mint, issuer: str
    ) -> Application:
        sent = parse_client(request.headers.get("Authorization", ""), form)
        mint.client_auth = sent.how
        known = sent.assertion or sent.client_id in self._instance.users.applications
        client = find_application(self._instance, sent, issuer)
        if not known or (client is None and sent.assertion):
            raise OAuthRefusedError("invalid_client", "client not found")
        if client is None or (
            sent.how != "assertion" and self._instance.faults.take("secret-wrong")
        ):
            raise OAuthRefusedError("invalid_client", "invalid secret")
        if not client.exchange:
            raise OAuthRefusedError("unauthorized_client", "grant_type token-exchange not allowed")
        return client

    def _party(self, role: str, form: dict[str, str], client: Application, issuer: str) -> Party:
        """
        Return what a token of the request says.

        Args:
            role: `subject` or `actor`.
            form: Parameters of the request.
            client: Who asks.
            issuer: The issuer identifier this request is meant for.
        """
        text, kind = form.get(f"{role}_token", ""), form.get(f"{role}_token_type", "")
        party: Party | None = None
        if kind == ACCESS_TOKEN:
            party = self._by_access_token(text, client)
        elif kind == ID_TOKEN:
            party = self._by_id_token(text, issuer)
        elif kind == JWT and role == "subject":
            party = self._by_jwt(text, client, issuer)
        elif kind == USER_ID and role == "subject":
            user = self._instance.users.by_id(text)
            party = None if user is None else Party(user)
        if party is None:
            raise OAuthRefusedError("invalid_request", f"{role}_token invalid")
        if not party.user.active:
            raise OAuthRefusedError("invalid_request", "Errors.User.NotActive")
        return party

    def _by_access_token(self, text: str, client: Application) -> Party | None:
        alive = self._instance.alive(text)
        if alive is None or not client.meant_by(alive.token):
            return None
        token = alive.token
        return Party(alive.user, token.audience, token.scopes, token.actor)

    def _by_id_token(self, text: str, issuer: str) -> Party | None:
        try:
            claims = jwt.decode(text, self._instance.tokens.public, algorithms=["RS256"]).claims
        except (JoseError, ValueError):
            return None
        user = self._instance.users.by_id(str(claims.get("sub", "")))
        # Only a hint who it is about: that it is over does not matter.
        if user is None or claims.get("iss") != issuer:
            return None
        audience = claims.get("aud", [])
        return Party(user, tuple(audience if isinstance(audience, list) else [audience]))

    def _by_jwt(self, text: str, client: Application, issuer: str) -> Party | None:
        """
        Return whom a JWT is about that the application signed itself.
        """
        terms = Terms(
            audiences=(issuer,),
            now=self._instance.now(),
            key_of=lambda key_id, _: self._instance.usable_key(client, key_id),
            self_issued=False,
        )
        try:
            claims = verify_assertion(text, terms).claims
        except AssertionRefusedError:
            return None
        user = self._instance.users.by_id(str(claims["sub"]))
        return None if user is None else Party(user)


def _audience(asked: tuple[str, ...], subject: Party, actor: Party) -> tuple[str, ...]:
    if not asked:
        return subject.audience or actor.audience
    for each in asked:
        if each not in subject.audience + actor.audience:
            raise OAuthRefusedError(
                "invalid_target", f'audience "{each[:100]}" not found in subject or actor token'
            )
    return asked


def _scopes(asked: tuple[str, ...], subject: Party, actor: Party) -> tuple[str, ...]:
    """
    Return the scopes of the new token; a subject without scopes limits only those that give rights.
    """
    have = subject.scopes + actor.scopes
    for scope in asked:
        limited = actor is subject or bool(subject.scopes) or scope.startswith(RIGHTS)
        if limited and scope not in have:
            raise OAuthRefusedError(
                "invalid_scope", f'scope "{scope[:100]}" not found in subject or actor token'
            )
    return asked or subject.scopes or actor.scopes
