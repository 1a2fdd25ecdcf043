"""
What the issuer says of itself: OpenID Connect's document, and the same at RFC 8414's place.

Everything in it is built from the host the request names, as ZITADEL does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from proxy.sandbox.exchange import TOKEN_EXCHANGE
from proxy.sandbox.grants import CLIENT_CREDENTIALS, JWT_BEARER, TOKEN
from proxy.sandbox.hits import Hit, read_body
from proxy.sandbox.replies import OAuthRefusedError
from proxy.sandbox.verify import ALGORITHMS, CLIENT_ALGORITHMS

if TYPE_CHECKING:
    from proxy.sandbox.instance import Instance
    from proxy.sandbox.options import SandboxOptions

DISCOVERY = "/.well-known/openid-configuration"
METADATA = "/.well-known/oauth-authorization-server"
INTROSPECT = "/oauth/v2/introspect"
REVOKE = "/oauth/v2/revoke"
KEYS = "/oauth/v2/keys"
USERINFO = "/oidc/v1/userinfo"

WRONG_ISSUER = "https://wrong-issuer.invalid"


class Discovery:
    """
    Answers both well-known paths.

    Args:
        instance: The instance it belongs to.
    """

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    async def answer(self, request: web.Request, hit: Hit, issuer: str) -> web.Response:
        """
        Answer one request.
        """
        await read_body(request, hit)
        faults = self._instance.faults
        await faults.hold("discovery-slow")
        if faults.take("discovery-500"):
            raise OAuthRefusedError("server_error", "Errors.Internal", status=500)
        if request.path == DISCOVERY and faults.take("discovery-404"):
            return web.Response(status=404, text="404 page not found\n")
        if faults.take("discovery-html"):
            return web.Response(
                text="<!doctype html><title>Sign in</title>", content_type="text/html"
            )
        if faults.take("discovery-garbage"):
            return web.Response(body=b'{"issuer": \xff\xfe', content_type="application/json")
        document = _document(issuer, self._instance.options)
        if faults.take("discovery-wrong-issuer"):
            document["issuer"] = WRONG_ISSUER
        if faults.take("discovery-foreign-endpoint"):
            document["token_endpoint"] = faults.text("discovery-foreign-endpoint")
        return web.json_response(document)


def _document(issuer: str, options: SandboxOptions) -> dict[str, object]:
    client_auth = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]
    signing = list(CLIENT_ALGORITHMS if options.client_assertions else ALGORITHMS[:1])
    grants = ["authorization_code", "refresh_token", CLIENT_CREDENTIALS, JWT_BEARER]
    return {
        "issuer": issuer,
        "token_endpoint": issuer + TOKEN,
        "introspection_endpoint": issuer + INTROSPECT,
        "userinfo_endpoint": issuer + USERINFO,
        "revocation_endpoint": issuer + REVOKE,
        "jwks_uri": issuer + KEYS,
        "scopes_supported": ["openid", "profile", "email", "phone", "address", "offline_access"],
        "response_types_supported": ["code", "id_token", "id_token token"],
        "grant_types_supported": [*grants, TOKEN_EXCHANGE] if options.token_exchange else grants,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": client_auth,
        "token_endpoint_auth_signing_alg_values_supported": signing,
        "revocation_endpoint_auth_methods_supported": client_auth,
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "private_key_jwt"],
        "introspection_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS[:1]),
    }
