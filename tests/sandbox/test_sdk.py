from __future__ import annotations

import asyncio
import json
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from proxy.sandbox.server import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

with warnings.catch_warnings(action="ignore"):  # the SDK imports authlib.jose, which warns
    from zitadel_client.auth.client_credentials_authenticator import (
        ClientCredentialsAuthenticator,
    )
    from zitadel_client.exceptions import ApiError
    from zitadel_client.models.user_service_list_users_request import (
        UserServiceListUsersRequest,
    )
    from zitadel_client.zitadel import Zitadel


@pytest.fixture
async def live(options):
    """
    A sandbox on the machine's clock, as the SDK signs by it.
    """
    async with Sandbox(options) as sandbox:
        yield sandbox


async def names(make: Callable[[], Any]) -> list[str]:
    """
    List users with an SDK client made and used in a thread.
    """

    def work() -> list[str]:
        client = make()
        listed = client.users.list_users(UserServiceListUsersRequest())
        return [user.username for user in listed.result]

    return await asyncio.to_thread(work)


async def test_the_sdk_lists_users_with_a_private_key(live, tmp_path):
    """
    The official SDK's key authenticator works against the sandbox as it is.
    """
    live.write(tmp_path)
    key_file = str(tmp_path / "provisioner.json")

    listed = await names(lambda: Zitadel.with_private_key(live.url, key_file))

    assert listed == ["provisioner", "reporter", "dev"]
    assert live.mints.count(user="provisioner", ok=True) == 1
    assert live.hits[-1].values("content-type") == ["application/json"]


async def test_the_sdk_lists_users_with_client_credentials(live):
    """
    The official SDK's secret authenticator works; a user without role sees itself alone.
    """
    secret = live.client_secret.reveal()

    listed = await names(lambda: Zitadel.with_client_credentials(live.url, "reporter", secret))

    assert listed == ["reporter"]
    assert live.mints.count(user="reporter", grant="client_credentials", ok=True) == 1


async def test_the_sdk_lists_users_with_an_access_token(live):
    """
    The official SDK's token authenticator works and mints nothing.
    """
    token = live.pat.reveal()

    listed = await names(lambda: Zitadel.with_access_token(live.url, token))

    assert listed == ["provisioner", "reporter", "dev"]
    assert live.mints.requests == 0


async def test_the_sdk_reports_a_dead_token(live):
    """
    The SDK reads the sandbox's refusal as an API error with its status.
    """
    live.revoke()

    with pytest.raises(ApiError) as caught:
        await names(lambda: Zitadel.with_access_token(live.url, live.pat.reveal()))

    assert caught.value.code == 401


async def test_the_sdk_without_the_audience_scope_is_refused(live):
    """
    With its default scopes taken away the SDK gets a token, and the API refuses it.
    """

    def make() -> Any:
        builder = ClientCredentialsAuthenticator.builder(
            live.url, "reporter", live.client_secret.reveal()
        )
        return Zitadel(builder.scopes("openid").build())

    with pytest.raises(ApiError) as caught:
        await names(make)

    assert caught.value.code == 401
    assert "AUTH-7fs1e" in json.dumps(str(caught.value.response_body))
    assert live.mints.successes == 1
