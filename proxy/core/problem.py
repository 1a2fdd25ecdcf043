"""
What a caller reads when the answer is ours: `application/problem+json`, fixed text per error.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.errors import ProxyError

# RFC 9209 §2.3: the registered types, the nearest to each of our codes
PROXY_STATUS = {
    "bad_request": "http_request_error",
    "caller_unauthenticated": "http_request_denied",
    "caller_forbidden": "http_request_denied",
    "caller_check_unavailable": "proxy_internal_error",
    "no_route": "destination_not_found",
    "method_not_supported": "http_request_error",
    "uri_too_long": "http_request_error",
    "headers_too_large": "http_request_error",
    "body_too_large": "http_request_error",
    "request_timeout": "http_request_error",
    "expectation_failed": "http_request_error",
    "rate_limited": "http_request_denied",
    "coding_not_supported": "http_request_error",
    "version_not_supported": "http_request_error",
    "mint_rejected": "proxy_configuration_error",
    "mint_unavailable": "proxy_internal_error",
    "mint_timeout": "proxy_internal_error",
    "credential_invalid": "proxy_configuration_error",
    "upstream_connect": "destination_unavailable",
    "upstream_protocol": "http_protocol_error",
    "upstream_closed": "connection_terminated",
    "upstream_timeout": "http_response_timeout",
    "overloaded": "connection_limit_reached",
    "internal": "proxy_internal_error",
}


def problem(error: ProxyError, request_id: str) -> tuple[bytes, bytes]:
    """
    Return status line with header lines (no empty line yet), and body, of an answer of ours.

    Source: RFC 9457 §3 (body), RFC 9209 §2 (Proxy-Status), RFC 9110 §10.2.3 (Retry-After).
    """
    body = json.dumps(
        {
            "type": f"urn:zitadel-authproxy:problem:{error.code}",
            "title": error.title,
            "status": error.status,
            "detail": error.detail,
            "code": error.code,
            "request_id": request_id,
        }
    ).encode()
    details = f"{error.code}: {error.hint}" if error.hint else error.code
    lines = [
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        f'Proxy-Status: authproxy; error={PROXY_STATUS[error.code]}; details="{details}"',
        f"X-Request-Id: {request_id}",
    ]
    if error.retry_after is not None:
        lines.append(f"Retry-After: {max(1, round(error.retry_after))}")
    elif error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        lines.append("Retry-After: 5")
    if error.status == HTTPStatus.UNAUTHORIZED:
        lines.append('WWW-Authenticate: Bearer realm="authproxy"')
    if error.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        # RFC 9110 §11.7.1; a line each, as clients are known to read one challenge per line
        lines.append('Proxy-Authenticate: Bearer realm="authproxy"')
        lines.append('Proxy-Authenticate: Basic realm="authproxy"')
    if error.status == HTTPStatus.METHOD_NOT_ALLOWED:
        lines.append("Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
    return "".join(f"{line}\r\n" for line in lines).encode(), body
