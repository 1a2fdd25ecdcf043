"""
Every error this project raises on purpose.

    ProxyError(code, status, blame)
    ├─ ConfigError(problems)                                        exit code 2
    ├─ RequestRefused · caller
    │    BadRequest 400 · CallerUnauthenticated 401 · CallerForbidden 403 · NoRoute 404
    │    MethodNotSupported 405 · RequestTimeout 408 · BodyTooLarge 413 · UriTooLong 414
    │    ExpectationFailed 417 · RateLimited 429 · HeadersTooLarge 431 · CodingNotSupported 501
    │    VersionNotSupported 505
    ├─ CallerCheckUnavailable · issuer 503
    ├─ TokenError · issuer
    │    MintRejected 502 · MintUnavailable 503 (MintHeldBack) · MintTimeout 504
    │    CredentialInvalid 503
    ├─ UpstreamError · upstream
    │    UpstreamConnect 502 · UpstreamProtocol 502 · UpstreamClosed 502 · UpstreamTimeout 504
    ├─ Overloaded · proxy 503
    └─ Internal · proxy 500                                         a bug; the traceback is logged

A class stands here only if somebody catches it or it has a code of its own; what is said otherwise
in forward mode stands in `core.forward_errors`. What a caller reads (`title`, `detail`, a `hint`
where clients show no body) is fixed per class; what happened in this case (`reason`) is for the log
and never holds a secret, an upstream's address or bytes a parser choked on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.problem import Problem

Blame = Literal["caller", "issuer", "upstream", "proxy", "operator"]


class ProxyError(Exception):
    """
    The root: something went wrong that has a name.

    Args:
        reason: One sentence for the log: what happened here and, where it is known, what to do.
        retry_after: Seconds after which trying again may help; None if nobody knows.
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    blame: ClassVar[Blame] = "proxy"
    title: ClassVar[str] = "Internal error"
    detail: ClassVar[str] = "The proxy failed; its log has the reason under this request id."
    hint: ClassVar[str] = ""

    def __init__(self, reason: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(reason or self.title)
        self.reason = reason or self.title
        self.retry_after = retry_after


class ConfigError(ProxyError):
    """
    The configuration cannot be used; every problem found is listed.
    """

    code = "config_invalid"
    blame: ClassVar[Blame] = "operator"
    title = "Configuration refused"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class RequestRefused(ProxyError):
    """
    The caller asked for something this proxy does not do.
    """

    blame: ClassVar[Blame] = "caller"


class BadRequest(RequestRefused):
    """
    Malformed framing or target; the connection closes.
    """

    code = "bad_request"
    status = 400
    title = "Bad request"
    detail = "The request is not well-formed HTTP/1.1; nothing was forwarded."


class CallerUnauthenticated(RequestRefused):
    """
    The listener or route wants to know who calls, and nobody said so credibly.
    """

    code = "caller_unauthenticated"
    status = 401
    title = "Caller not authenticated"
    detail = "This proxy needs a caller credential in Proxy-Authorization or X-Api-Key."


class CallerForbidden(RequestRefused):
    """
    This caller may not use this listener or route, or nobody may in this way.
    """

    code = "caller_forbidden"
    status = 403
    title = "Caller not allowed"
    detail = "This request may not use this listener or route; the proxy's log says why."


class CallerCheckUnavailable(ProxyError):
    """
    Whoever can tell whether a caller's token is good could not be asked. Never 401: the token may be
    good; and never let in: it may not be.
    """

    code = "caller_check_unavailable"
    status = 503
    blame: ClassVar[Blame] = "issuer"
    title = "Caller cannot be checked"
    detail = "Your token cannot be checked at the moment; try again later."


class NoRoute(RequestRefused):
    """
    No route matches.
    """

    code = "no_route"
    status = 404
    title = "No route"
    detail = "No route matches this host, path and method; `authproxy explain` says why."


class MethodNotSupported(RequestRefused):
    """
    CONNECT and TRACE: nothing this proxy could attach a token to.
    """

    code = "method_not_supported"
    status = 405
    title = "Method not supported"
    detail = "CONNECT and TRACE are not served: point the application at the proxy's own URL."


class RequestTimeout(RequestRefused):
    """
    The caller took too long over its head or body.
    """

    code = "request_timeout"
    status = 408
    title = "Request too slow"
    detail = "The request did not arrive in time."


class BodyTooLarge(RequestRefused):
    """
    The body is larger than the limit.
    """

    code = "body_too_large"
    status = 413
    title = "Body too large"
    detail = "The request body is larger than this proxy forwards."


class UriTooLong(RequestRefused):
    """
    The request target is longer than the limit.
    """

    code = "uri_too_long"
    status = 414
    title = "URI too long"
    detail = "The request target is longer than this proxy reads."


class ExpectationFailed(RequestRefused):
    """
    An `Expect` other than `100-continue` (RFC 9110 §10.1.1).
    """

    code = "expectation_failed"
    status = 417
    title = "Expectation failed"
    detail = "The only expectation this proxy can meet is 100-continue."


class RateLimited(RequestRefused):
    """
    The caller, or all who call the upstream, ask more often or more at once than the configuration
    lets them (RFC 6585 §4).
    """

    code = "rate_limited"
    status = 429
    title = "Too many requests"
    detail = "More requests than this proxy passes on; Retry-After says when to try again."


class HeadersTooLarge(RequestRefused):
    """
    The header section is larger than the limit.
    """

    code = "headers_too_large"
    status = 431
    title = "Headers too large"
    detail = "The request's header section is larger than this proxy reads."


class CodingNotSupported(RequestRefused):
    """
    A transfer coding other than `chunked` (RFC 9112 §6.1).
    """

    code = "coding_not_supported"
    status = 501
    title = "Transfer coding not supported"
    detail = "The only transfer coding this proxy reads is chunked."


class VersionNotSupported(RequestRefused):
    """
    A version of HTTP that is neither 1.1 nor 1.0 (RFC 9110 §15.6.6).
    """

    code = "version_not_supported"
    status = 505
    title = "HTTP version not supported"
    detail = "This proxy speaks HTTP/1.1 and HTTP/1.0."


class TokenError(ProxyError):
    """
    No token could be had for a service user. Never 401: clients read that as "log in".

    Args:
        reason: As for every error.
        retry_after: As for every error.
        shared: The trouble is the issuer's with whoever asks it, not this service user's alone.
        doubtful: It looks like trouble of the issuer's but may be its no to this very credential.
    """

    blame: ClassVar[Blame] = "issuer"

    def __init__(
        self,
        reason: str = "",
        *,
        retry_after: float | None = None,
        shared: bool = False,
        doubtful: bool = False,
    ) -> None:
        super().__init__(reason, retry_after=retry_after)
        self.shared = shared
        self.doubtful = doubtful


class MintRejected(TokenError):
    """
    The issuer said no; trying again soon does not help.
    """

    code = "mint_rejected"
    status = 502
    title = "Issuer refused a token"
    detail = "The issuer refused a token for this route's service user; its operator must act."


class MintUnavailable(TokenError):
    """
    The issuer is down, throttles, or answers nonsense.
    """

    code = "mint_unavailable"
    status = 503
    title = "Issuer unavailable"
    detail = "No token can be had from the issuer at the moment; try again later."


class MintHeldBack(MintUnavailable):
    """
    The issuer was not asked: it is in trouble and left alone for a while.
    """


class MintTimeout(TokenError):
    """
    The issuer did not answer in time.
    """

    code = "mint_timeout"
    status = 504
    title = "Issuer too slow"
    detail = "The issuer did not answer in time; try again later."


class CredentialInvalid(TokenError):
    """
    The service user's own credential cannot be used: expired, unreadable, known dead.
    """

    code = "credential_invalid"
    status = 503
    blame: ClassVar[Blame] = "operator"
    title = "Credential unusable"
    detail = "The credential of this route's service user cannot be used; its operator must act."


class UpstreamError(ProxyError):
    """
    The upstream failed before it answered.
    """

    blame: ClassVar[Blame] = "upstream"


class UpstreamConnect(UpstreamError):
    """
    No connection to the upstream: name, network, TLS.
    """

    code = "upstream_connect"
    status = 502
    title = "Upstream unreachable"
    detail = "No connection to the upstream could be made."


class UpstreamProtocol(UpstreamError):
    """
    The upstream answered something that is not well-formed HTTP/1.1.
    """

    code = "upstream_protocol"
    status = 502
    title = "Upstream answer malformed"
    detail = "The upstream's answer is not well-formed HTTP/1.1; it was not passed on."


class UpstreamClosed(UpstreamError):
    """
    The upstream closed the connection before it answered.
    """

    code = "upstream_closed"
    status = 502
    title = "Upstream closed the connection"
    detail = "The upstream closed the connection before it answered."


class UpstreamTimeout(UpstreamError):
    """
    The upstream did not answer in time.
    """

    code = "upstream_timeout"
    status = 504
    title = "Upstream too slow"
    detail = "The upstream did not answer in time."


class Overloaded(ProxyError):
    """
    A connection or in-flight cap is reached.
    """

    code = "overloaded"
    status = 503
    title = "Proxy overloaded"
    detail = "The proxy is at one of its limits; try again shortly."


class Internal(ProxyError):
    """
    A bug: the traceback is in the log under the same request id.
    """
