from __future__ import annotations

import pytest


def add(sandbox, **route):
    """
    Return an edit that adds a route to the backend's echo.
    """
    route = {"name": "added", "upstream": sandbox.backend_url, "service_user": "reporter"} | route
    return lambda document: document["routes"].append(route)


async def test_request_headers_are_set_and_removed(sandbox, serve):
    """
    A route's `set` wins over the caller's value, and what it removes does not travel.
    """
    through = await serve(
        add(
            sandbox,
            match={"path": "/echo/headers"},
            request_headers={"set": {"x-team": "ours"}, "remove": ["X-Debug"]},
        )
    )

    reply = await through(
        "GET", "/echo/headers", headers={"X-Team": "theirs", "x-debug": "1", "x-kept": "2"}
    )

    assert reply.status == 200
    hit = sandbox.hits[-1]
    assert (hit.values("x-team"), hit.values("x-debug"), hit.values("x-kept")) == (
        ["ours"],
        [],
        ["2"],
    )


@pytest.mark.parametrize(
    ("rewrite", "asked", "arrives"),
    [
        ("/echo/", "/api/v9/a/b?c=%2F", "/echo/a/b?c=%2F"),
        ("/echo/", "/api/v9/", "/echo/"),
        ("/echo", "/api/v9/x%2Fy", "/echo/x%2Fy"),
        ("/echo/v2/", "/api/v9", "/echo/v2"),
    ],
)
async def test_a_matched_prefix_is_rewritten(sandbox, serve, rewrite, asked, arrives):
    """
    rewrite_path replaces the matched prefix alone, and what follows stays as it was.
    """
    through = await serve(add(sandbox, match={"path": "/api/v9/"}, rewrite_path=rewrite))

    reply = await through("GET", asked)

    assert reply.status == 200
    assert sandbox.hits[-1].target == arrives


@pytest.mark.parametrize(
    ("match", "method", "headers", "hit"),
    [
        ({"host": "api.internal"}, "GET", {"Host": "api.internal"}, True),
        ({"host": "api.internal"}, "GET", {"Host": "API.internal:8080"}, True),
        ({"host": "api.internal"}, "GET", {"Host": "other.internal"}, False),
        ({"host": "*.internal"}, "GET", {"Host": "a.b.internal"}, True),
        ({"host": "*.internal"}, "GET", {"Host": "internal"}, False),
        ({"methods": ["POST"]}, "POST", {}, True),
        ({"methods": ["POST"]}, "GET", {}, False),
        ({"headers": {"x-env": "dev"}}, "GET", {"X-Env": "dev"}, True),
        ({"headers": {"x-env": "dev"}}, "GET", {"X-Env": "prod"}, False),
    ],
    ids=str,
)
async def test_host_method_and_header_decide_the_route(sandbox, serve, match, method, headers, hit):
    """
    Conditions beside the path must all hold; the route that has them wins over the one without.
    """
    through = await serve(
        add(sandbox, match={"path": "/echo", **match}, rewrite_path="/echo/special")
    )

    reply = await through(method, "/echo", headers=headers)

    assert reply.status == 200
    assert sandbox.hits[-1].target == ("/echo/special" if hit else "/echo")


async def test_an_authorization_can_be_kept_or_rejected(sandbox, serve):
    """
    A route with authorization: keep lets the caller's own through; reject answers 400.
    """

    def edit(document):
        own = {"upstream": sandbox.backend_url, "service_user": "reporter"}
        document["routes"] += [
            {"name": "kept", "match": {"path": "/echo/k"}, "authorization": "keep", **own},
            {"name": "rejected", "match": {"path": "/echo/r"}, "authorization": "reject", **own},
        ]

    through = await serve(edit)
    mine = {"Authorization": f"Bearer {sandbox.pat.reveal()}"}

    assert (await through("GET", "/echo/k", headers=mine)).json["service_user"] == "dev"
    assert (await through("GET", "/echo/k")).json["service_user"] == "reporter"
    refused = await through("GET", "/echo/r", headers=mine)
    assert (refused.status, refused.code) == (400, "bad_request")
    assert (await through("GET", "/echo/r")).json["service_user"] == "reporter"
