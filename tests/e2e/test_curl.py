from __future__ import annotations

import asyncio
import json
import shutil

import pytest

FORM = ("--header", "Content-Type: application/x-www-form-urlencoded")

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
]


async def curl(*words: str) -> tuple[int, bytes]:
    """
    Run curl without its configuration file; return the answer's status and body.
    """
    process = await asyncio.create_subprocess_exec(
        "curl",
        *("--disable", "--silent", "--show-error", "--noproxy", "*", "--max-time", "15"),
        *("--write-out", "%{stderr}%{http_code}", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    body, status = await process.communicate()
    assert process.returncode == 0, status.decode()
    return int(status), body


@pytest.fixture
async def by_three(sandbox, serve):
    """
    A proxy with a route for each example, each by another method.
    """

    def edit(document):
        routes = document["routes"]
        own = {"upstream": sandbox.url}
        routes[:] = [
            {
                "name": "userinfo",
                "match": {"path": "/oidc/v1/userinfo"},
                "service_user": "provisioner",
                **own,
            },
            {
                "name": "old-userinfo",
                "match": {"path": "/oauth/v2/userinfo"},
                "rewrite_path": "/oidc/v1/userinfo",
                "service_user": "provisioner",
                **own,
            },
            {
                "name": "endpoint",
                "match": {"path": "/echo"},
                "upstream": sandbox.backend_url,
                "service_user": "reporter",
            },
            {
                "name": "management",
                "match": {"path": "/management/v1/"},
                "service_user": "dev",
                **own,
            },
        ]
        document["service_users"]["provisioner"]["scopes"] = ["openid", "profile", "email"]

    return await serve(edit)


@pytest.mark.parametrize("path", ["/oidc/v1/userinfo", "/oauth/v2/userinfo"])
async def test_userinfo_with_a_private_key(sandbox, by_three, path):
    """
    The check of a token by userinfo works without showing one: the answer names the key's user.
    """
    url = by_three.url + path

    status, body = await curl("--request", "POST", "--url", url, *FORM)

    assert status == 200
    assert json.loads(body)["sub"] == sandbox.users["provisioner"].user_id
    hit = next(hit for hit in sandbox.issuer_hits if hit.path == "/oidc/v1/userinfo")
    assert (hit.method, hit.user) == ("POST", "provisioner")
    assert hit.values("content-type") == ["application/x-www-form-urlencoded"]


async def test_an_api_endpoint_with_client_credentials(sandbox, by_three):
    """
    A POST to one's own API arrives there as the service user with the client secret.
    """
    status, body = await curl("--request", "POST", "--url", by_three.url + "/echo", *FORM)

    assert status == 200
    assert json.loads(body)["service_user"] == "reporter"
    assert sandbox.hits[-1].method == "POST"


async def test_the_own_organisation_with_a_personal_access_token(sandbox, by_three):
    """
    The management API answers who we are to whoever owns the personal access token.
    """
    url = by_three.url + "/management/v1/orgs/me"

    status, body = await curl("--request", "GET", "--url", url)

    assert status == 200
    assert json.loads(body)["org"]["id"] == sandbox.org_id
    assert sandbox.hits[-1].user == "dev"
    assert sandbox.hits[-1].target == "/management/v1/orgs/me"


async def test_an_upload_that_asks_first(sandbox, through):
    """
    Curl's Expect: 100-continue is answered by the upstream, and the body follows whole.
    """
    expect = ("--header", "Expect: 100-continue", "--expect100-timeout", "10")

    status, _ = await curl("--data-binary", "x" * 100_000, *expect, through.url + "/upload")

    assert status == 200
    assert sandbox.hits[-1].body_length == 100_000


async def test_a_unix_socket(sandbox, serve, tmp_path):
    """
    A listener on a Unix socket serves like any other, and its file is gone afterwards.
    """
    path = tmp_path / "proxy.sock"

    def edit(document):
        document["listen"] = [{"address": f"unix:{path}"}]

    through = await serve(edit)
    status, body = await curl("--unix-socket", str(path), "http://any/orders/7")

    assert status == 200
    assert json.loads(body) == {"id": "7", "service_user": "reporter"}
    assert path.stat().st_mode & 0o777 == 0o660
    assert (await through.log.wait("request.done"))["client"] == "unix"
