from __future__ import annotations

import base64
import traceback
from dataclasses import replace

import pytest
from aiohttp import web
from joserfc import jwt

from proxy.core.credential import ClientSecret, FixedToken
from proxy.core.secret import Secret
from proxy.errors import MintRejected, MintUnavailable, TokenError


async def test_a_client_secret_gets_a_token(mint, reporter, issuer, time):
    """
    One POST to the discovered endpoint, with Basic credentials; the token counts from the asking.
    """
    minted = await mint(reporter)

    assert minted.token.value == Secret("t1")
    assert minted.token.born == time.now
    assert [(one.method, one.path) for one in issuer.asked] == [
        ("GET", "/.well-known/openid-configuration"),
        ("POST", "/oauth/v2/token"),
    ]
    asked = issuer.asked[1]
    assert asked.form == {"grant_type": "client_credentials", "scope": "openid"}
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert asked.headers["accept-encoding"] == "identity"
    pair = base64.b64decode(asked.headers["authorization"].removeprefix("Basic "))
    assert pair == b"reporter:canary-secret"


async def test_odd_characters_arrive_as_they_were(mint, reporter, issuer):
    """
    What stands in Basic credentials and in the form is read back the same.
    """
    odd = ("svc+u@x:p%s", "a b&c=d:é%2B")
    await mint(replace(reporter, credential=ClientSecret(odd[0], Secret(odd[1]), "post")))

    form = issuer.asked[-1].form
    assert form["client_id"] == odd[0]
    assert form["client_secret"] == odd[1]
    assert "authorization" not in issuer.asked[-1].headers


async def test_a_private_key_gets_a_token(mint, provisioner, issuer):
    """
    The assertion on the wire verifies with the public key, and the next one has another jti.
    """
    await mint(provisioner)
    await mint(provisioner)

    public = type(provisioner.credential.key).import_key(
        provisioner.credential.key.as_dict(private=False)
    )
    claims = [
        jwt.decode(one.form["assertion"], public, algorithms=["RS256"]).claims
        for one in issuer.asked
        if one.method == "POST"
    ]
    assert [one["jti"] for one in claims] == ["jti-1", "jti-2"]
    assert all(one["aud"] == issuer.url and one["iss"] == one["sub"] == "u1" for one in claims)
    assert "authorization" not in issuer.asked[-1].headers


async def test_no_cookie_is_kept(mint, reporter, issuer):
    """
    ZITADEL sets a cookie with every answer; none is ever sent back.
    """
    first = web.json_response({"access_token": "a", "token_type": "Bearer", "expires_in": 60})
    first.set_cookie("zitadel.useragent", "canary")
    issuer.script.append(first)

    await mint(reporter)
    await mint(reporter)

    assert all("cookie" not in one.headers for one in issuer.asked)


async def test_a_note_is_passed_on(mint, reporter, issuer):
    """
    What was odd about an answer reaches the keeper's log line.
    """
    issuer.script.append(web.json_response({"access_token": "a", "token_type": "Bearer"}))

    assert "expires_in is missing" in (await mint(reporter)).note


async def test_a_redirect_is_refused(mint, reporter, issuer):
    """
    A token request goes to the configured endpoint or nowhere.
    """
    issuer.script.append(
        web.Response(status=307, headers={"Location": issuer.url + "/oauth/v2/token?elsewhere"})
    )

    with pytest.raises(MintRejected, match="redirects, which is not followed"):
        await mint(reporter)
    assert issuer.tokens_asked == 1


async def test_retry_after_comes_with_the_error(mint, reporter, issuer):
    """
    Seconds and dates are both understood.
    """
    issuer.script.append(web.Response(status=429, headers={"Retry-After": "7"}))
    issuer.script.append(
        web.Response(status=503, headers={"Retry-After": "Tue, 14 Nov 2023 22:30:30 GMT"})
    )

    for expected in (7.0, 30.0):
        with pytest.raises(MintUnavailable) as caught:
            await mint(reporter)
        assert caught.value.retry_after == expected


BODIES = {
    "html": b"<html>canary-token</html>",
    "empty": b"",
    "gzip": base64.b64decode("H4sIAAAAAAACA6tWSkxOTi0ujk9JLUktKlayUqpUqgUAZ4A2Jw=="),
    "truncated": b'{"access_token":"canary-token","token_type":"Bea',
    "nested": b'{"access_token":' + b"[" * 90_000,
    "large": b'{"access_token":"' + b"x" * 300_000 + b'"}',
    "duplicates": b'{"access_token":"canary-token","access_token":"b","token_type":"Bearer"}',
    "injection": b'{"access_token":"canary-token\\r\\nX: y","token_type":"Bearer"}',
    "echo": b'{"error":"canary-secret","error_description":"canary-secret"}',
}


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_a_hostile_body_is_a_token_error_without_secrets(
    mint, reporter, issuer, body, status
):
    """
    Whatever the body, the outcome is a TokenError, and nothing sent or received shows in it.
    """
    issuer.script.append(web.Response(status=status, body=body))

    with pytest.raises(TokenError) as caught:
        await mint(reporter)

    shown = "".join(traceback.format_exception(caught.value))
    link: BaseException | None = caught.value
    while link is not None:
        shown += repr(link) + repr(vars(link))
        link = link.__cause__ or link.__context__
    assert "canary" not in shown
    assert base64.b64encode(b"reporter:canary-secret").decode() not in shown


async def test_an_endless_body_is_not_read(mint, reporter, issuer):
    """
    Reading stops at the cap, not when the issuer does.
    """
    sent = 0

    async def endless(request):
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(1600):  # 100 MiB
            try:
                await response.write(b" " * 65536)
            except ConnectionError:
                break
            sent += 65536
        return response

    issuer.script.append(endless)

    with pytest.raises(MintUnavailable, match="more than 262144 bytes"):
        await mint(reporter)
    assert sent < 50_000_000


async def test_a_personal_access_token_is_not_minted(mint, reporter):
    """
    Asking is a bug of ours and shows as one.
    """
    with pytest.raises(ValueError, match="never minted"):
        await mint(replace(reporter, credential=FixedToken(Secret("canary"))))
