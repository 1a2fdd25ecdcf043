from __future__ import annotations

import asyncio
import warnings
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the SDK imports authlib.jose, which is deprecated
    from zitadel_client.auth.no_auth_authenticator import NoAuthAuthenticator
    from zitadel_client.exceptions import ApiError
    from zitadel_client.models.user_service_get_user_by_id_request import (
        UserServiceGetUserByIDRequest,
    )
    from zitadel_client.models.user_service_list_users_request import (
        UserServiceListUsersRequest,
    )
    from zitadel_client.zitadel import Zitadel


def without_credential(url: str) -> Any:
    """
    Return a client that authenticates nowhere.
    """
    return Zitadel(NoAuthAuthenticator(url))


def names(client: Any) -> list[str]:
    """
    Return the names of the users a client lists.
    """
    listed = client.users.list_users(UserServiceListUsersRequest())
    return [user.username for user in listed.result]


async def test_the_official_sdk_needs_no_credential_behind_the_proxy(sandbox, through):
    """
    An SDK client that authenticates nowhere lists users: the proxy brings the token.
    """
    listed = await asyncio.to_thread(lambda: names(without_credential(through.url)))

    assert listed == ["provisioner", "reporter", "dev"]
    assert sandbox.hits[-1].user == "provisioner"
    assert sandbox.hits[-1].target == "/zitadel.user.v2.UserService/ListUsers"


async def test_the_sdks_own_token_is_replaced(sandbox, through):
    """
    An SDK client that must have some token may hold a dummy: it never reaches the API.
    """
    listed = await asyncio.to_thread(lambda: names(Zitadel.with_access_token(through.url, "dummy")))

    assert listed == ["provisioner", "reporter", "dev"]
    assert sandbox.hits[-1].user == "provisioner"
    assert len(sandbox.hits[-1].authorizations) == 1


async def test_an_upstreams_refusal_reaches_the_sdk_as_its_own_error(through):
    """
    What the API answers to an unknown call comes out of the SDK as ApiError with that status.
    """

    def ask() -> Any:
        request = UserServiceGetUserByIDRequest(userId="nobody")
        return without_credential(through.url).users.get_user_by_id(request)

    with pytest.raises(ApiError) as caught:
        await asyncio.to_thread(ask)

    assert caught.value.code == 404


async def test_the_proxys_own_refusal_reaches_the_sdk_as_its_error_too(sandbox, serve):
    """
    Token trouble comes out of the SDK as ApiError 503, never as 401, with the code in its body.
    """
    sandbox.faults.set("token-500")
    through = await serve()

    with pytest.raises(ApiError) as caught:
        await asyncio.to_thread(lambda: names(without_credential(through.url)))

    assert caught.value.code == 503
    assert "mint_unavailable" in str(caught.value.response_body)
