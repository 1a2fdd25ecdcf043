"""
The exact shape of ZITADEL's refusals: OAuth errors, and API errors in REST and Connect form.

Source: ZITADEL internal/api/http/error.go, internal/api/grpc/server (gateway), Connect's error
format. Messages are raw i18n keys, as a server without a translation sends them.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from aiohttp import web

DETAIL_TYPE = "zitadel.v1.ErrorDetail"

# Connect procedures are the paths that name a protobuf service.
CONNECT_PREFIX = "/zitadel."


class OAuthRefusedError(Exception):
    """
    The token or introspection endpoint says no.

    Args:
        error: OAuth error code.
        description: What the answer says.
        status: HTTP status; 400 for nearly everything on ZITADEL, `invalid_client` included.
        reason: What really was wrong, for the sandbox's own record.
    """

    def __init__(
        self, error: str, description: str, *, status: int = 400, reason: str = ""
    ) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = status
        self.reason = reason or description

    def response(self) -> web.Response:
        """
        Return the answer.
        """
        body = {"error": self.error, "error_description": self.description}
        return web.json_response(body, status=self.status, headers={"Cache-Control": "no-store"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """
    One row of the API error table.

    Attributes:
        status: HTTP status in REST and Connect form.
        code: gRPC status code.
        name: The same as Connect's name.
        message: Message without its id.
        detail_id: ZITADEL's error id; empty if the error has no detail.
    """

    status: int
    code: int
    name: str
    message: str
    detail_id: str = ""

    @property
    def text(self) -> str:
        """
        The message as it is sent.
        """
        return f"{self.message} ({self.detail_id})" if self.detail_id else self.message


HEADER_MISSING = Refusal(401, 16, "unauthenticated", "auth header missing")
HEADER_INVALID = Refusal(401, 16, "unauthenticated", "invalid auth header", "AUTH-toLo1")
TOKEN_INVALID = Refusal(401, 16, "unauthenticated", "Errors.Token.Invalid", "AUTH-7fs1e")
NOT_FOR_API = Refusal(403, 7, "permission_denied", "Errors.TokenExchange.Token.NotForAPI")
NO_ROLE = Refusal(403, 7, "permission_denied", "No matching permissions found", "AUTH-5mWD2")
NO_ORG = Refusal(403, 7, "permission_denied", "Organisation doesn't exist", "AUTH-Bs7Ds")
BLOCKED = Refusal(429, 8, "resource_exhausted", "Errors.Limits.Instance.Blocked", "LIMITS-molsj")
NOT_FOUND = Refusal(404, 5, "not_found", "Not Found")
WRONG_METHOD = Refusal(405, 12, "unimplemented", "Method Not Allowed")
BAD_JSON = Refusal(400, 3, "invalid_argument", "proto: syntax error")
INTERNAL = Refusal(500, 13, "internal", "Errors.Internal")


class ApiRefusedError(Exception):
    """
    An API says no.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.text)
        self.refusal = refusal


def api_refusal(path: str, refusal: Refusal) -> web.Response:
    """
    Return a refusal in the form the protocol of this path uses.
    """
    if path.startswith(CONNECT_PREFIX) and refusal not in {NOT_FOUND, WRONG_METHOD}:
        return web.json_response(_connect_body(refusal), status=refusal.status)
    headers = {"WWW-Authenticate": refusal.text} if refusal.code == 16 else None
    return web.json_response(_rest_body(refusal), status=refusal.status, headers=headers)


def _rest_body(refusal: Refusal) -> dict[str, object]:
    detail = {
        "@type": f"type.googleapis.com/{DETAIL_TYPE}",
        "id": refusal.detail_id,
        "message": refusal.message,
    }
    details = [detail] if refusal.detail_id else []
    return {"code": refusal.code, "message": refusal.text, "details": details}


def _connect_body(refusal: Refusal) -> dict[str, object]:
    body: dict[str, object] = {"code": refusal.name, "message": refusal.text}
    if refusal.detail_id:
        # protobuf by hand: field 1 (id) and field 2 (message), both shorter than 128 bytes.
        raw = b"".join(
            bytes([tag, len(text)]) + text
            for tag, text in (
                (0x0A, refusal.detail_id.encode()),
                (0x12, refusal.message.encode()),
            )
        )
        value = base64.b64encode(raw).decode().rstrip("=")
        body["details"] = [{"type": DETAIL_TYPE, "value": value}]
    return body
