"""
An issuer that repeats what it was sent does not get it into a log.
"""

from __future__ import annotations

import base64
import traceback
from dataclasses import replace
from urllib.parse import quote_plus

import pytest
from aiohttp import web

from proxy.core.credential import ClientSecret
from proxy.core.secret import Secret
from proxy.errors import TokenError

SECRET = "p%4+s s&w=rd/é"


@pytest.mark.parametrize("auth", ["basic", "post"])
@pytest.mark.parametrize("status", [200, 400, 401, 500])
@pytest.mark.parametrize(
    "echo",
    [
        SECRET,
        quote_plus(SECRET),
        base64.b64encode(f"reporter:{quote_plus(SECRET)}".encode()).decode(),
        base64.b64encode(f"reporter:{quote_plus(SECRET)}".encode()).decode().rstrip("="),
    ],
    ids=["as it is", "as in a form", "as in the header", "without padding"],
)
@pytest.mark.parametrize("member", ["error", "error_description", "token_type"])
async def test_a_short_secret_is_not_repeated_in_any_form_it_was_sent_in(
    mint, reporter, issuer, auth, status, echo, member
):
    """
    Plain, form-encoded, and in Basic credentials.
    """
    said = {"error": "invalid_request", member: f"bad: {echo}"}
    if member == "token_type":
        del said["error"]
    issuer.script.append(web.json_response(said, status=status))
    user = replace(reporter, credential=ClientSecret("reporter", Secret(SECRET), auth))

    with pytest.raises(TokenError) as caught:
        await mint(user)
    text = "".join(traceback.format_exception(caught.value))
    assert SECRET not in text
    assert quote_plus(SECRET) not in text
    if auth == "basic":
        assert echo not in text
