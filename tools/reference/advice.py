"""
What to do about each error code: written by hand, one entry for each code of the error tree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Advice:
    """
    What a person needs to know about one code.

    Attributes:
        meaning: What has happened, and what has not.
        caller: What the caller can do; empty if nobody calls.
        operator: What whoever runs the proxy does.
    """

    meaning: str
    caller: str
    operator: str


ADVICE: Final = {
    "config_invalid": Advice(
        "The configuration has mistakes and is not used; no caller ever sees this code. Each mistake is a line on standard error: `file:line:column`, the setting, what is"
        " wrong, what to write instead.",
        "",
        "mend the lines that are named; `authproxy check` says when there are none left. A secret's value is never repeated.",
    ),
    "bad_request": Advice(
        "What came is not well-formed HTTP/1.1, can be read in more than one way, or asks for a path that a server could take for another route's. Nothing was forwarded and"
        " the connection closes.",
        "send one Host, one Content-Length or `chunked`, no spaces or control bytes in the target, header values in ASCII, no `..` or `%2f` that leaves the route's path. A TLS"
        " connection to a plain listener looks like this too.",
        "the log's `error` names the rule. If the application brings its own `Authorization` and the route says `authorization: reject`, that is the reason.",
    ),
    "caller_unauthenticated": Advice(
        "The listener or route names [callers](configuration.md#callers-api_key_sha256), and the request shows nothing, or something that is nobody's.",
        "send the key as `Proxy-Authorization: Bearer KEY` or `X-Api-Key: KEY`; with `http_proxy` (then it is 407) write it into the proxy's URL, `http://caller:KEY@…`. It never travels on to the upstream.",
        "compare the hash: `printf %s KEY | sha256sum` must print what stands under `api_key_sha256`. For JWTs the log says what failed: issuer, audience, time, signature or"
        " claim. `authproxy explain … --caller NAME` shows who may use a route.",
    ),
    "caller_forbidden": Advice(
        "The caller is known, or need not be, and still may not: it is not in the route's `callers`, a web page sent the request, or the Host is none this listener is for.",
        "use a route that is yours. A browser's pages are refused on purpose.",
        "the log's `caller.denied` says which rule it was. Add the caller to the route's [`callers`](configuration.md#routes-callers), or the host to the listener's"
        " [`hosts`](configuration.md#listen-hosts). `mode: report` lets everybody through and logs who would have been denied.",
    ),
    "caller_check_unavailable": Advice(
        "The caller's own token cannot be checked now: the issuer's keys or its introspection cannot be had. The caller is not let in, and it is not a 401, for the token may be good.",
        "try again after `Retry-After`.",
        "see whether the issuer answers (`authproxy check --online`), and whether the client that introspects still has a good secret or key.",
    ),
    "no_route": Advice(
        "No route matches the request's host, path, method and headers. Nothing was forwarded.",
        "check the base URL the application was given; with `http_proxy`, name other hosts in `no_proxy`.",
        "`authproxy explain METHOD URL` lists every route and the first reason each lost. A path matches on whole segments: `/orders` takes `/orders/42`, not `/orders42`.",
    ),
    "method_not_supported": Advice(
        "CONNECT or TRACE, which no token can be attached to.",
        "if the application uses `https_proxy`, write `http://` instead of `https://` in its URLs: the proxy speaks TLS to the API. If they say `http://` already, turn off the client's tunnel for those (in undici: `proxyTunnel: false`). Or give it the proxy's address as its base URL.",
        "nothing is wrong with the proxy; see [forward mode](../howto/forward-mode.md).",
    ),
    "request_timeout": Advice(
        "The request's headers or body did not arrive in time, or too slowly on average. The connection closes.",
        "send again, on a better connection or in smaller pieces.",
        "raise [`limits.head_time`, `body_time`](configuration.md#limits-head_time) or lower `body_rate` if such callers are meant to be served.",
    ),
    "body_too_large": Advice(
        "The request's body is larger than `limits.body`.",
        "send less.",
        "raise [`limits.body`](configuration.md#limits-body); without that setting there is no limit.",
    ),
    "uri_too_long": Advice(
        "Path and query together are longer than `limits.target`.",
        "send what is long as a body.",
        "raise [`limits.target`](configuration.md#limits-target), and see that the upstream takes as much.",
    ),
    "headers_too_large": Advice(
        "The request has more or longer header lines than `limits` allow; cookies are the usual reason.",
        "send fewer.",
        "raise [`limits.head` or `limits.headers`](configuration.md#limits-head), and see that the upstream takes as much.",
    ),
    "expectation_failed": Advice(
        "`Expect` holds something other than `100-continue`.",
        "leave the header out.",
        "nothing is wrong with the proxy.",
    ),
    "rate_limited": Advice(
        "A limit on requests over time, or at the same time, is reached: this caller's, this listener's for unknown callers, or this upstream's for all callers together. Nothing was forwarded.",
        "try again after `Retry-After`.",
        "`authproxy_rate_limited_total` says by `scope` and `name` which limit it was; see [limits](configuration.md#upstreams-rate). A 429 without our marks is the upstream's own.",
    ),
    "coding_not_supported": Advice(
        "`Transfer-Encoding` names something other than `chunked`.",
        "compress with `Content-Encoding` instead.",
        "nothing is wrong with the proxy.",
    ),
    "version_not_supported": Advice(
        "The request is neither HTTP/1.1 nor HTTP/1.0.",
        "speak HTTP/1.1. Native gRPC needs HTTP/2 and cannot be served here; ZITADEL's Connect services take plain HTTP/1.1.",
        "nothing is wrong with the proxy.",
    ),
    "mint_rejected": Advice(
        "The issuer was asked for a token and said no: the key or secret is wrong, was deleted or has ended, the user is locked, a scope is refused. Nothing was forwarded. The no is"
        " remembered for 2 to 60 seconds, so that the issuer is not asked again and again.",
        "nothing; whoever runs the proxy must act.",
        "`authproxy check --online` says which step failed and what to do; the log's `token.mint_failed` has the issuer's words and, under `likely`, what can be told from here."
        " See [rotate a credential](../howto/rotate-a-credential.md).",
    ),
    "mint_unavailable": Advice(
        "There is no usable token, and the issuer cannot be reached, throttles, answers nonsense, or is being left alone after failures in a row. Nothing was forwarded.",
        "try again after `Retry-After`.",
        "`authproxy_issuer_resting` and `issuer.left_alone` say since when. As long as a token is good nobody sees this; see [when the issuer fails](../explanation/tokens.md#when-the-issuer-fails)."
        " Once the issuer answers again, tokens are back within about a second.",
    ),
    "mint_timeout": Advice(
        "There is no usable token, and the issuer took the connection and did not answer within ten seconds. Nothing was forwarded.",
        "try again.",
        "as for `mint_unavailable`; a firewall that swallows packets looks like this. `connect_to` and `token_endpoint` say where the issuer is asked.",
    ),
    "credential_invalid": Advice(
        "The service user's own credential cannot be used: its file cannot be read, its end has passed, the issuer no longer knows the personal access token, or an operator has revoked the service user.",
        "nothing; whoever runs the proxy must act.",
        "the log's `error` says which. Put a new credential in place (it is read within seconds, without a restart), or after a revocation `authproxy allow NAME`.",
    ),
    "upstream_connect": Advice(
        "No connection to the upstream: its name has no address, nobody listens, TLS fails, its address is one this proxy never dials (cloud metadata, link-local, its own listeners), or it has"
        " failed several times in a row and is left alone for a moment. Nothing was forwarded.",
        "try again later, if it worked before.",
        "the log's `error` says which. A private authority goes into the route's [`ca_file`](configuration.md#routes-ca_file), a link-local address into"
        " [`allow_addresses`](configuration.md#routes-allow_addresses). `the upstream leads back to this proxy` means just that.",
    ),
    "upstream_protocol": Advice(
        "The upstream's answer is not well-formed HTTP/1.1, or it repeats the service user's token and the route says `token_echo: block`. It was not passed on; the request may have had its effect.",
        "see whether the request took effect before sending it again.",
        "the log's `error` names the rule. An upstream that speaks HTTP/2 only looks like this.",
    ),
    "upstream_closed": Advice(
        "The upstream closed the connection before it answered. The request may have had its effect; one that may be repeated safely was sent once more already.",
        "see whether the request took effect before sending it again.",
        "look at the upstream. If it closes idle connections early, set [`pools.idle`](configuration.md#pools-idle) below its own idle time.",
    ),
    "upstream_timeout": Advice(
        "The upstream took longer than the route's `timeouts` allow. The request may have had its effect.",
        "see whether the request took effect before sending it again.",
        "look at the upstream, or raise [`timeouts.response`](configuration.md#routes-timeouts-response); `connect`, `idle` and `request` are beside it.",
    ),
    "overloaded": Advice(
        "A limit of the proxy itself: connections, requests in flight, requests waiting for a connection to the upstream. Nothing was forwarded.",
        "try again after `Retry-After`.",
        "the log's `error` says which: [`limits.connections`, `limits.in_flight`](configuration.md#limits-connections), or [`pools`](configuration.md#pools-connections) if"
        " `authproxy_upstream_waiting_requests` is high. `limits.lowered` at start means that the system allows too few open files.",
    ),
    "internal": Advice(
        "A bug in the proxy. Nothing is known about the request's effect.",
        "see whether the request took effect before sending it again.",
        "the log's `internal.error` has the traceback under the same `request_id`; please report it, with the version.",
    ),
}
