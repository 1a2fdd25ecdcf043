"""
The token endpoint: two grants, and every way a token request goes wrong.

Source: zitadel/oidc pkg/op/server_http.go `tokensHandler`; ZITADEL internal/api/oidc
token_jwt_profile.go, client_credentials.go, error.go.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from aiohttp import web

from proxy.sandbox.hits import KEPT_BODY, Hit, read_body
from proxy.sandbox.mints import Mint
from proxy.sandbox.replies import OAuthRefusedError
from proxy.sandbox.token_faults import broken_answer, odd_answer
from proxy.sandbox.verify import (
    AssertionRefusedError,
    parse_client,
    read_assertion,
    verify_assertion,
)

if TYPE_CHECKING:
    from joserfc.jwk import RSAKey

    from proxy.sandbox.instance import Instance
    from proxy.sandbox.tokens import AccessToken
    from proxy.sandbox.users import ServiceUser

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CLIENT_CREDENTIALS = "client_credentials"

SCOPE_MISSING = (
    "The scope of your request is missing. Please ensure some scopes are requested. "
    "If you have any questions, you may contact the administrator of the application."
)


async def read_form(request: web.Request, hit: Hit) -> dict[str, str]:
    """
    Return the parameters of a request: of a form body, then of the query; the first one counts.

    A body that is not declared as a form is not looked into.
    """
    body = await read_body(request, hit)
    if hit.body_length > KEPT_BODY:
        raise OAuthRefusedError("invalid_request", "error parsing form")
    pairs: list[tuple[str, str]] = []
    if request.content_type == "application/x-www-form-urlencoded":
        pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    pairs += parse_qsl(request.rel_url.raw_query_string, keep_blank_values=True)
    form: dict[str, str] = {}
    for name, value in pairs:
        form.setdefault(name, value)
    return form


class TokenEndpoint:
    """
    Answers `/oauth/v2/token`.

    Args:
        instance: The instance it belongs to.
    """

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

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
            form = await read_form(request, hit)
            mint.grant = form.get("grant_type", "")[:100]
            mint.scopes = tuple(form.get("scope", "").split())
            self._attribute(mint, form)
            self._instance.mints.arrive()
            await self._instance.faults.hold("token-slow")
            broken = broken_answer(self._instance.faults, request, mint)
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
            assertion = read_assertion(form.get("assertion", ""))
        except AssertionRefusedError:
            return
        mint.header, mint.claims = assertion.header, assertion.claims
        user = self._instance.users.by_id(str(assertion.claims.get("iss", "")))
        mint.user = user.name if user else mint.user

    def _grant(
        self, request: web.Request, form: dict[str, str], mint: Mint, issuer: str
    ) -> web.Response:
        if mint.grant == JWT_BEARER:
            user = self._by_assertion(form, issuer)
        elif mint.grant == CLIENT_CREDENTIALS:
            user = self._by_secret(request, form, mint)
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
        mint.status = 200
        answer = self._token_answer(text.reveal(), token)
        odd_answer(self._instance.faults, answer)
        headers = {"Cache-Control": "no-store", "Pragma": "no-cache"}
        return web.json_response(answer, headers=headers)

    def _by_assertion(self, form: dict[str, str], issuer: str) -> ServiceUser:
        text = form.get("assertion", "")
        if not text:
            raise OAuthRefusedError("invalid_request", "assertion missing")
        try:
            assertion = verify_assertion(
                text, issuer=issuer, now=self._instance.now(), key_of=self._key_of
            )
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

    def _key_of(self, key_id: str, user_id: str) -> RSAKey | None:
        user = self._instance.users.by_id(user_id)
        if user is None or not self._instance.visible(user.created):
            return None
        return self._instance.usable_key(user, key_id)

    def _by_secret(self, request: web.Request, form: dict[str, str], mint: Mint) -> ServiceUser:
        client = parse_client(request.headers.get("Authorization", ""), form)
        mint.client_auth = client.how
        users = self._instance.users
        user = users.by_login_name(client.client_id)
        if user is None or not self._instance.visible(user.created):
            raise OAuthRefusedError("invalid_client", "client not found")
        mint.user = user.name
        if user.human or user.secret is None or not self._instance.visible(user.secret_created):
            raise OAuthRefusedError("invalid_request", "Errors.User.Machine.Secret.NotExisting")
        if client.secret != user.secret:
            raise OAuthRefusedError("invalid_request", "Errors.User.Machine.Secret.Invalid")
        return user

    def _token_answer(self, text: str, token: AccessToken) -> dict[str, object]:
        answer: dict[str, object] = {"access_token": text, "token_type": "Bearer"}
        expires_in = math.ceil(token.expires - token.created) - 1
        if expires_in > 0:  # Go's omitempty: 0 is absent
            answer["expires_in"] = expires_in
        if "openid" in token.scopes:
            now = int(token.created)
            answer["id_token"] = self._instance.tokens.sign(
                {
                    "iss": token.issuer,
                    "sub": token.user_id,
                    "aud": list(token.audience),
                    "iat": now,
                    "exp": now,  # as ZITADEL's: of no use to a service user
                }
            )
        return answer
