from __future__ import annotations

import json

import pytest

from proxy.private.told import Told

DONE = {
    "level": "info",
    "event": "request.done",
    "method": "GET",
    "path": "/orders/1",
    "route": "orders",
    "service_user": "reporter",
    "status": 200,
    "upstream_status": 200,
    "error": None,
}


@pytest.fixture
def said():
    """
    What was said.
    """
    return []


@pytest.fixture
def told(said):
    """
    A log that speaks.
    """
    return Told(said.append)


def put(told, **facts):
    """
    Log a record.
    """
    told.put(json.dumps(facts).encode() + b"\n")


@pytest.mark.parametrize(
    "facts",
    [
        DONE,
        DONE | {"status": 403, "upstream_status": 403},
        DONE | {"status": 499, "upstream_status": None, "error": "caller_left"},
        {"event": "token.minted", "level": "info", "service_user": "reporter"},
    ],
    ids=["a request", "refused for what it asks", "the program hung up", "a mint"],
)
def test_nothing_is_said_while_all_is_well(told, said, facts):
    """
    The terminal is the program's; what the upstream answers, the program sees.
    """
    put(told, **facts)

    assert said == []


def test_what_the_proxy_itself_answers_is_explained(told, said):
    """
    Who asked for what, and why it failed.
    """
    put(told, **DONE | {"status": 503, "upstream_status": None, "error": "mint_unavailable: down"})
    put(told, **DONE | {"path": None, "status": 404, "error": "no_route: nothing matches"})
    put(told, **DONE | {"method": None, "path": None, "status": 400, "error": "bad_request: odd"})

    assert said == [
        "GET /orders/1: 503 mint_unavailable: down",
        "GET: 404 no_route: nothing matches",
        "a request: 400 bad_request: odd",
    ]


def test_a_tunnel_is_explained(told, said):
    """
    Who follows a redirect to https:// has asked for none, and does not know the word.
    """
    facts = {"method": "CONNECT", "path": None, "status": 405, "error": "method_not_supported: no"}
    put(told, **DONE | facts)

    (sentence,) = said
    assert "https://" in sentence
    assert "redirects: rewrite" in sentence


def test_a_refused_token_is_explained(told, said):
    """
    A 401 comes from the upstream, and the program cannot know why: it never saw the token.
    """
    put(told, **DONE | {"status": 401, "upstream_status": 401, "error": "token_refused: no"})

    (sentence,) = said
    assert "orders" in sentence
    assert "the token of reporter" in sentence
    assert "authproxy check --online" in sentence


def test_a_sentence_is_said_once_in_a_row(told, said):
    """
    A mint that fails again for the same reason is no news.
    """
    failed = {"event": "token.mint_failed", "level": "warning", "service_user": "a", "reason": "no"}
    for facts in (failed, failed, failed | {"reason": "still no"}, failed):
        put(told, **facts)
    put(told, event="issuer.left_alone", level="warning", issuer="zitadel", seconds=3)

    assert said == [
        "a: token.mint_failed: no",
        "a: token.mint_failed: still no",
        "a: token.mint_failed: no",
        "issuer.left_alone: issuer zitadel, seconds 3",
    ]
