from __future__ import annotations

import json

import pytest

from proxy import errors
from proxy.core import forward_errors
from proxy.core.problem import PROXY_STATUS, problem

LEAVES = [
    error
    for error in vars(errors).values()
    if isinstance(error, type)
    and issubclass(error, errors.ProxyError)
    and "code" in vars(error)
    and error not in {errors.ProxyError, errors.ConfigError}
]


@pytest.mark.parametrize("error", LEAVES, ids=lambda error: error.code)
def test_problem_of_each_error(error):
    """
    Every error has its RFC 9457 body, its Proxy-Status and nothing of its reason.
    """
    head, body = problem(error("canary reason"), "id-1")
    fields = json.loads(body)

    assert head.startswith(b"HTTP/1.1 %d " % error.status)
    assert fields["status"] == error.status
    assert fields["code"] == error.code
    assert fields["request_id"] == "id-1"
    assert f"Proxy-Status: authproxy; error={PROXY_STATUS[error.code]};".encode() in head
    assert b"Content-Length: %d\r\n" % len(body) in head
    assert b"canary" not in head + body
    assert error.status != 401 or error is errors.CallerUnauthenticated


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (errors.MintUnavailable(retry_after=12.4), b"Retry-After: 12\r\n"),
        (errors.MintUnavailable(retry_after=0.2), b"Retry-After: 1\r\n"),
        (errors.MintUnavailable(), b"Retry-After: 5\r\n"),
        (errors.CallerUnauthenticated(), b"WWW-Authenticate: Bearer"),
        (forward_errors.ForwardUnauthenticated(), b"Proxy-Authenticate: Bearer"),
        (forward_errors.ForwardUnauthenticated(), b"Proxy-Authenticate: Basic"),
        (errors.MethodNotSupported(), b"Allow: GET, "),
        (forward_errors.TunnelNotSupported(), b"Allow: GET, "),
        (
            forward_errors.TunnelNotSupported(),
            b'details="method_not_supported: write http:// instead of',
        ),
        (
            forward_errors.PlainTunnelNotSupported(),
            b"details=\"method_not_supported: turn off the client's tunnel for http:// URLs",
        ),
    ],
)
def test_problem_says_what_to_do(error, line):
    """
    When to come back, how to prove oneself, what is served.
    """
    assert line in problem(error, "i")[0]
