"""
The one way this program has to an issuer: one HTTP exchange with a deadline and a size cap.

What an HTTP client does to be helpful is off here, because each of it has leaked a credential
somewhere: no redirects (they repeat the body elsewhere), no cookie jar (ZITADEL sets a cookie with
every answer), no proxy or netrc from the environment, no decompression. A connection serves one
exchange: mints are rare, and a POST on a connection the issuer has just closed would fail.

Foreign exceptions become `TokenError` in one table, and are not chained: the `repr` of aiohttp's
holds the request's headers, which may hold the client secret.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from proxy.core.answer import MAX_ANSWER, quoted
from proxy.core.refusal import retry_after_seconds
from proxy.errors import CredentialInvalid, MintRejected, MintTimeout, MintUnavailable, TokenError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.core.credential import Issuer
    from proxy.core.grant import TokenRequest
    from proxy.core.secret import Secret
    from proxy.tokens.issuer_clock import IssuerClocks

# Measured against ZITADEL under load: p99 of a mint about 1 s, rare stalls of 60 s.
DEFAULT_TIMEOUT = 10.0

# Ours: more mints at once than this wait for a connection, within their own deadline.
MAX_CONNECTIONS = 32


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """
    What came back. The body may hold a token: it has no repr.

    Attributes:
        status: The status.
        body: The body, at most `MAX_ANSWER` bytes.
        retry_after: Seconds the issuer asked to wait; None if it did not.
    """

    status: int
    body: bytes
    retry_after: float | None = None


def session() -> aiohttp.ClientSession:
    """
    Return a client session for issuers. Whoever calls closes it.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            # Named, because an installed aiodns would silently take its place and ignore nsswitch.
            resolver=aiohttp.ThreadedResolver(),
            limit=MAX_CONNECTIONS,
            force_close=True,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None),
        headers={
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "authproxy",
        },
    )


class Line:
    """
    The way to the issuers. `_contexts` is filled on first use of each ca_file.

    Args:
        http: A session made by `session()`.
        clocks: Learn from each answer's Date what time it is at its issuer.
        timeout: Seconds for a whole exchange, name look-up to last byte.
    """

    def __init__(
        self,
        http: aiohttp.ClientSession,
        clocks: IssuerClocks,
        *,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        self._http = http
        self._clocks = clocks
        self.timeout = timeout
        self._contexts: dict[str | None, ssl.SSLContext] = {}

    async def ask(
        self,
        issuer: Issuer,
        url: str,
        request: TokenRequest | None = None,
        *,
        bearer: Secret | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - a whole exchange's, as the Line's own
    ) -> Answer:
        """
        GET *url*, or POST *request* to it, and return whatever is answered.

        Args:
            issuer: Whose url it is; decides where to dial and whom to trust.
            url: An absolute URL.
            request: What to POST; None to GET.
            bearer: A token to show.
            timeout: Seconds for this exchange; None for the usual.

        Raises:
            MintTimeout: No complete answer in time.
            MintUnavailable: No answer, a broken one, or one that is too large.
            MintRejected: The url is none.
            CredentialInvalid: The issuer's ca_file cannot be used.
        """
        failure: TokenError
        seconds = self.timeout if timeout is None else timeout
        try:
            async with asyncio.timeout(seconds):
                return await self._exchange(issuer, url, request, bearer)
        except TimeoutError:
            failure = MintTimeout(f"{_host(url)} did not answer within {seconds:g} s", shared=True)
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            failure = _in_words(exc, _host(url))
        raise failure  # outside `except`, so that nothing is chained

    async def _exchange(
        self, issuer: Issuer, url: str, request: TokenRequest | None, bearer: Secret | None
    ) -> Answer:
        dial, host, server_name = way_to(issuer, url)
        headers: Mapping[str, str] = request.headers() if request is not None else {}
        if bearer is not None:
            headers = {**headers, "Authorization": f"Bearer {bearer.reveal()}"}
        async with self._http.request(
            "GET" if request is None else "POST",
            dial,
            data=None if request is None else request.body.reveal().encode("ascii"),
            headers={**headers, "Host": host},
            allow_redirects=False,
            ssl=self._context(issuer.ca_file) if dial.scheme == "https" else True,
            server_hostname=server_name if dial.scheme == "https" else None,
        ) as response:
            said = response.headers
            self._clocks.learn(issuer, said.get("Date"), said.get("Age"))
            body = await _read(response, _host(url))
            wait = retry_after_seconds(said.get("Retry-After"), self._clocks.now(issuer))
            return Answer(response.status, body, wait)

    def trust_anew(self) -> None:
        """
        Read the issuers' ca_files again when they are next needed.
        """
        self._contexts.clear()

    def _context(self, ca_file: str | None) -> ssl.SSLContext:
        context = self._contexts.get(ca_file)
        if context is None:
            try:
                context = ssl.create_default_context(cafile=ca_file)
            except (OSError, ValueError) as exc:
                raise CredentialInvalid(
                    "the issuer's ca_file cannot be read as PEM certificates"
                ) from exc
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            self._contexts[ca_file] = context
        return context


def way_to(issuer: Issuer, url: str) -> tuple[URL, str, str | None]:
    """
    Return where to dial for *url*, and the Host header and TLS name to use there.

    `connect_to` replaces scheme, host and port of urls that have the issuer's own; the Host header
    stays byte for byte what the url says (ZITADEL computes its issuer from it, port included).

    Raises:
        ValueError: Not an absolute http or https url.
    """
    target = URL(url, encoded=True)
    if target.scheme not in {"http", "https"} or not target.host:
        raise ValueError("not an absolute http or https url")
    host = urlsplit(url).netloc.rpartition("@")[2]
    if issuer.connect_to is None or not same_origin(url, issuer.url):
        return target, host, target.host
    via = URL(issuer.connect_to)
    dial = URL.build(
        scheme=via.scheme,
        host=via.host or "",
        port=via.explicit_port,
        path=target.raw_path,
        query_string=target.raw_query_string,
        encoded=True,
    )
    return dial, host, target.host


def same_origin(one: str, other: str) -> bool:
    """
    Say whether two absolute urls have scheme, host and port in common.
    """
    return URL(one, encoded=True).origin() == URL(other, encoded=True).origin()


async def _read(response: aiohttp.ClientResponse, host: str) -> bytes:
    """
    Return the body; too large a one ends the connection.
    """
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > MAX_ANSWER:
            raise MintUnavailable(
                f"{host} answers more than {MAX_ANSWER} bytes; not read", shared=True
            )
        chunks.append(chunk)
    return b"".join(chunks)


def _host(url: str) -> str:
    try:
        netloc = urlsplit(url).netloc
    except ValueError:
        netloc = ""
    return quoted(netloc.rpartition("@")[2], limit=100) or "the issuer"


def _in_words(exc: Exception, host: str) -> TokenError:
    """
    Return what a foreign exception means. The most specific classes stand first.
    """
    match exc:
        case aiohttp.ClientConnectorCertificateError():
            why = getattr(exc.certificate_error, "verify_message", "") or "not valid"
            words = (
                f"the certificate of {host} is not trusted: {quoted(why)}; check url and ca_file"
            )
        case aiohttp.ClientConnectorDNSError():
            words = f"no address is known for {host}; check the name and this host's DNS"
        case aiohttp.ClientSSLError() | ssl.SSLError():
            words = f"no TLS connection to {host}; does it speak https there?"
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
            words = f"{host} refuses connections; is it running?"
        case aiohttp.ClientConnectorError():
            words = f"{host} cannot be reached: {quoted(exc.os_error.strerror) or 'network error'}"
        case ValueError():
            return MintRejected(f"the address of {host} is not a usable url")
        case aiohttp.ClientPayloadError():
            words = f"the answer of {host} broke off"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientConnectionError() | OSError():
            words = f"{host} closed the connection without an answer"
        case _:
            words = f"{host} does not answer in well-formed HTTP"
    return MintUnavailable(words, shared=True)
