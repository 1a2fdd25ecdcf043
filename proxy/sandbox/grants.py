"""
The token endpoint: its grants, and every way a token request goes wrong.

Source: zitadel/oidc pkg/op/server_http.go `tokensHandler`; ZITADEL internal/api/oidc
token_jwt_profile.go, client_credentials.go, error.go.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from aiohttp import web

from proxy.sandbox.client_assertions import ClientAssertions
from proxy.sandbox.clients import parse_client
from proxy.sandbox.exchange import (
    ACCESS_TOKEN,
    ID_TOKEN,
    JWT,
    TOKEN_EXCHANGE,
    Exchange,
)
from proxy.sandbox.form import all_of, first_of, read_pairs
from proxy.sandbox.mints import Mint
from proxy.sandbox.odd_answers import odd_answer
from proxy.sandbox.replies import OAuthRefusedError
from proxy.sandbox.token_faults import broken_answer
from proxy.sandbox.verify import (
    AssertionRefusedError,
    Terms,
    read_assertion,
    verify_assertion,
)

if TYPE_CHECKING:
    from proxy.sandbox.clients import ClientAuth
    from proxy.sandbox.exchange import Outcome
    from proxy.sandbox.hits import Hit
    from proxy.sandbox.instance import Instance
    from proxy.sandbox.tokens import AccessToken
    from proxy.sandbox.users import ServiceUser
    from proxy.sandbox.verify import PublicKey

TOKEN = "/oauth/v2/token"

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CLIENT_CREDENTIALS = "client_credentials"

SCOPE_MISSING = (
    "The scope of your request is missing. Please ensure some scopes are requested. "
    "If you have any questions, you may contact the administrator of the application."
)

# Source: ZITADEL internal/api/oidc/token_exchange.go: TokenTypeNA, for what is no access token.
NO_BEARER = "N_A"


class TokenEndpoint:
    """
    Answers `/oauth/v2/token`.

    Args:
        instance: The instance it belongs to.
    """

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._exchange = Exchange(instance)
        self._client_assertions = ClientAssertions(instance)

    async def answer(self, request: web.Request, hit: Hit, issuer: str) -> web.StreamResponse:
        """
        Answer one token request.

        Args:
            request: The request.
            hit: Its record.
            issuer: The issuer identifier this request is meant for.
        """
        mint = Mint(grant="")
        try:
            pairs = await read_pairs(request, hit)
            form = first_of(pairs)
            mint.grant = form.get("grant_type", "")[:100]
            mint.scopes = tuple(form.get("scope", "").split())
            mint.audience, mint.resource = all_of(pairs, "audience"), all_of(pairs, "resource")
            self._attribute(mint, form)
            self._instance.mints.arrive()
            await self._instance.faults.hold("token-slow")
            broken = await broken_answer(self._instance.faults, request, mint)
            if broken is not None:
                return broken
            return self._grant(request, form, mint, issuer)
        except OAuthRefusedError as refused:
            mint.status, mint.error, mint.reason = refused.status, refused.error, refused.reason
            return refused.response()
        finally:
            self._instance.mints.finish(mint)

    def _attribute(self, mint: Mint, form: dict[str, str]) -> None:
        """
        Note whom a request claims to be for, whether or not that turns out to be true.
        """
        try:
            assertion = read_assertion(form.get("assertion") or form.get("client_assertion", ""))
        except AssertionRefusedError:
            return
        mint.header, mint.claims = assertion.header, assertion.claims
        users, claimed = self._instance.users, str(assertion.claims.get("iss", ""))
        user = users.by_id(claimed) or users.by_login_name(claimed)
        mint.user = user.name if user else mint.user

    def _grant(
        self, request: web.Request, form: dict[str, str], mint: Mint, issuer: str
    ) -> web.Response:
        if mint.grant == JWT_BEARER:
            user = self._by_assertion(form, issuer)
        elif mint.grant == CLIENT_CREDENTIALS:
            user = self._by_client(request, form, mint, issuer)
        elif mint.grant == TOKEN_EXCHANGE:
            answer = self._exchanged(self._exchange.decide(request, form, mint, issuer), issuer)
            return self._sent(answer, mint)
        elif not mint.grant:
            raise OAuthRefusedError("invalid_request", "grant_type missing")
        else:
            raise OAuthRefusedError("unsupported_grant_type", f"{mint.grant} not supported")
        if not mint.scopes:
            raise OAuthRefusedError("invalid_request", SCOPE_MISSING)
        if not user.active:
            raise OAuthRefusedError("invalid_request", "Errors.User.NotActive")
        text, token = self._instance.mint(
            user, mint.scopes, issuer=issuer, client_id=form.get("client_id", "")[:200]
        )
        return self._sent(self._token_answer(text.reveal(), token), mint)

    def _sent(self, answer: dict[str, object], mint: Mint) -> web.Response:
        mint.status = 200
        headers = {"Cache-Control": "no-store", "Pragma": "no-cache"}
        body = odd_answer(self._instance.faults, answer)
        response = web.Response(body=body, content_type="application/json", headers=headers)
        response.charset = "utf-8"
        return response

    def _by_assertion(self, form: dict[str, str], issuer: str) -> ServiceUser:
        text = form.get("assertion", "")
        if not text:
            raise OAuthRefusedError("invalid_request", "assertion missing")
        terms = Terms(audiences=(issuer,), now=self._instance.now(), key_of=self._key_of)
        try:
            assertion = verify_assertion(text, terms)
        except AssertionRefusedError as exc:
            raise self._bad_assertion(str(exc)) from exc
        user = self._instance.users.by_id(str(assertion.claims["sub"]))
        assert user is not None, "its key was found by this id"
        return user

    def _bad_assertion(self, reason: str) -> OAuthRefusedError:
        if self._instance.options.era == "500":
            return OAuthRefusedError("server_error", "Errors.Internal", status=500, reason=reason)
        # The released text of this description is not known; clients must not read it.
        return OAuthRefusedError("invalid_client", "assertion invalid", reason=reason)

    def _key_of(self, key_id: str, user_id: str) -> PublicKey | None:
        user = self._instance.users.by_id(user_id)
        if user is None or not self._instance.visible(user.created):
            return None
        return self._instance.usable_key(user, key_id)

    def _by_client(
        self, request: web.Request, form: dict[str, str], mint: Mint, issuer: str
    ) -> ServiceUser:
        client = parse_client(request.headers.get("Authorization", ""), form)
        mint.client_auth = client.how
        if not client.assertion or not self._instance.options.client_assertions:
            return self._by_secret(client, mint)
        try:
            return self._client_assertions.verify(client, (issuer, issuer + TOKEN))
        except AssertionRefusedError as exc:
            raise self._bad_assertion(str(exc)) from exc

    def _by_secret(self, client: ClientAuth, mint: Mint) -> ServiceUser:
        user = self._instance.users.by_login_name(client.client_id)
        if user is None or not self._instance.visible(user.created):
            raise OAuthRefusedError("invalid_client", "client not found")
        mint.user = user.name
        if user.human or user.secret is None or not self._instance.visible(user.secret_created):
            raise OAuthRefusedError("invalid_request", "Errors.User.Machine.Secret.NotExisting")
        if client.secret != user.secret or self._instance.faults.take("secret-wrong"):
            raise OAuthRefusedError("invalid_request", "Errors.User.Machine.Secret.Invalid")
        return user

    def _token_answer(self, text: str, token: AccessToken) -> dict[str, object]:
        answer: dict[str, object] = {"access_token": text, "token_type": "Bearer"}
        expires_in = math.ceil(token.expires - token.created) - 1
        if expires_in > 0:  # Go's omitempty: 0 is absent
            answer["expires_in"] = expires_in
        if "openid" in token.scopes:
            answer["id_token"] = self._instance.tokens.id_token(token)
        return answer

    def _exchanged(self, outcome: Outcome, issuer: str) -> dict[str, object]:
        """
        Return the answer to an exchange (RFC 8693 §2.2.1).
        """
        instance, user = self._instance, outcome.user
        token = instance.new_token(
            user, outcome.scopes, issuer=issuer, client_id=outcome.client.client_id
        )
        token.audience, token.actor = outcome.audience, outcome.actor
        extra: dict[str, object] = {"issued_token_type": outcome.requested}
        if token.scopes:
            extra["scope"] = " ".join(token.scopes)
        if outcome.requested == ID_TOKEN:
            answer = self._token_answer(instance.tokens.id_token(token), token)
            answer.pop("id_token", None)
            return answer | extra | {"token_type": NO_BEARER}
        as_jwt = outcome.requested == JWT or (outcome.requested == ACCESS_TOKEN and user.jwt)
        return self._token_answer(instance.tokens.issue(token, jwt=as_jwt).reveal(), token) | extra
