"""
How a client says who it is, and whether an application is what it says.

Source: zitadel/oidc pkg/op/server_http.go `parseClientCredentials`.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from proxy.core.secret import Secret
from proxy.sandbox.replies import OAuthRefusedError
from proxy.sandbox.verify import AssertionRefusedError, Terms, read_assertion, verify_assertion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.sandbox.instance import Instance
    from proxy.sandbox.users import Application

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class ClientAuth:
    """
    How a client says who it is.

    Attributes:
        how: `basic`, `post`, `assertion` or `none` (an id alone).
        client_id: From the header if Basic was sent, else from the form.
        secret: Likewise; empty if none was sent.
        assertion: A client assertion; empty if none was sent.
    """

    how: str
    client_id: str
    secret: Secret
    assertion: str


def parse_client(authorization: str, form: Mapping[str, str]) -> ClientAuth:
    """
    Read a client's credentials from the header and the form.

    Args:
        authorization: Value of the Authorization header; empty if there is none.
        form: Parameters of the request.

    Raises:
        OAuthRefusedError: They are malformed, missing, or there are two kinds at once.
    """
    client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
    assertion, kind = form.get("client_assertion", ""), form.get("client_assertion_type", "")
    by_assertion, by_post = bool(assertion and kind), bool(client_id and secret)
    basic = _basic(authorization)
    if by_assertion + by_post + (basic is not None) > 1:
        raise OAuthRefusedError(
            "invalid_request", "client authentication must not use more than one method"
        )
    if basic is not None:
        return ClientAuth("basic", _unescape(basic[0]), Secret(_unescape(basic[1])), "")
    if not client_id and not assertion:
        raise OAuthRefusedError("invalid_request", "client_id or client_assertion must be provided")
    if assertion and kind != ASSERTION_TYPE:
        raise OAuthRefusedError("invalid_request", f"invalid client_assertion_type {kind[:100]}")
    how = "assertion" if assertion else "post" if secret else "none"
    return ClientAuth(how, client_id, Secret(secret), assertion)


def _basic(authorization: str) -> tuple[bytes, bytes] | None:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        raw = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    client_id, colon, secret = raw.partition(b":")
    return (client_id, secret) if colon else None


def _unescape(half: bytes) -> str:
    # RFC 6749 §2.3.1: both halves are form-encoded.
    if _BAD_ESCAPE.search(half):
        raise OAuthRefusedError("invalid_client", "invalid basic auth header")
    return unquote_to_bytes(half.replace(b"+", b" ")).decode("utf-8", "replace")


def find_application(instance: Instance, client: ClientAuth, issuer: str) -> Application | None:
    """
    Return the application that a client proves to be; None if it proves nothing.
    """
    applications = instance.users.applications
    if not client.assertion:
        found = applications.get(client.client_id)
        good = found is not None and found.secret is not None and found.secret == client.secret
        return found if good else None
    try:
        claimed = applications.get(str(read_assertion(client.assertion).claims.get("iss", "")))
        if claimed is None:
            return None
        terms = Terms(
            audiences=(issuer,),
            now=instance.now(),
            key_of=lambda key_id, _: instance.usable_key(claimed, key_id),
        )
        verify_assertion(client.assertion, terms)
    except AssertionRefusedError:
        return None
    return claimed
