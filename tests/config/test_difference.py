"""
What a reload says it has changed.
"""

# ruff: noqa: D103 - each name says what it changes
from __future__ import annotations

import copy

import pytest

from proxy.config.difference import MOST, differences
from proxy.config.model import Settings

CANARY = "canary-5b1f8e"

BASE = {
    "version": 1,
    "listen": [{"address": "127.0.0.1:8080"}],
    "issuers": {"z": {"url": "https://acme.zitadel.cloud"}},
    "service_users": {
        "u": {"issuer": "z", "method": "personal_access_token", "token": f"{CANARY}-u"},
        "v": {"issuer": "z", "method": "personal_access_token", "token": f"{CANARY}-v"},
    },
    "callers": {"job": {"api_key_sha256": "a" * 64}},
    "routes": [
        {
            "name": "one",
            "match": {"path": "/1"},
            "upstream": "https://a.example",
            "service_user": "u",
        },
        {
            "name": "two",
            "match": {"path": "/2"},
            "upstream": "https://b.example",
            "service_user": "v",
        },
    ],
}


def settings(edit=lambda _: None):
    """
    Return the settings after an edit.
    """
    document = copy.deepcopy(BASE)
    edit(document)
    return Settings.model_validate(document)


def added_route(document):
    document["routes"].append({**document["routes"][0], "name": "three", "match": {"path": "/3"}})


def removed_route(document):
    del document["routes"][1]


def changed_route(document):
    document["routes"][0]["upstream"] = f"https://{CANARY}.example"


def turned_routes(document):
    document["routes"].reverse()


def changed_secret(document):
    document["service_users"]["u"]["token"] = f"{CANARY}-other"


def other_method(document):
    document["service_users"]["u"] = {
        "issuer": "z",
        "method": "client_credentials",
        "client_id": CANARY,
        "client_secret": f"{CANARY}-secret",
    }


def moved_listener(document):
    document["listen"][0]["address"] = "127.0.0.1:8081"


def changed_caller(document):
    document["callers"]["job"]["api_key_sha256"] = "b" * 64


def changed_log(document):
    document["log"] = {"level": "debug"}


def changed_limit(document):
    document["limits"] = {"head": "8KiB"}


def admin_key(document):
    document["admin_key_sha256"] = ["c" * 64]


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda _: None, ()),
        (added_route, ("routes: added three",)),
        (removed_route, ("routes: removed two",)),
        (changed_route, ("routes: changed one (upstream)",)),
        (turned_routes, ("routes: in another order",)),
        (changed_secret, ("service_users: changed u (token)",)),
        (other_method, ("service_users: changed u (method)",)),
        (moved_listener, ("listen: added 127.0.0.1:8081; removed 127.0.0.1:8080",)),
        (changed_caller, ("callers: changed job (api_key_sha256)",)),
        (changed_log, ("log: changed (level) (from the next start on)",)),
        (changed_limit, ("limits: changed (head)",)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_names_are_told_and_no_value_is(edit, said):
    """
    What was added, removed and changed is named; neither the old value nor the new one is told.
    """
    told = differences(settings(), settings(edit))

    assert told == said
    assert CANARY not in str(told)
    assert "a" * 64 not in str(told)
    assert "b" * 64 not in str(told)


def test_an_admin_key_is_told_of_without_its_digest():
    """
    A digest is no secret, but nobody's business either.
    """
    (told,) = differences(settings(), settings(admin_key))

    assert told.startswith("admin_key_sha256: ")
    assert "c" * 64 not in told


def test_many_names_are_counted():
    """
    A sentence stays one, however large the file.
    """

    def many(document):
        document["routes"] = [
            {**document["routes"][0], "name": f"r{at}", "match": {"path": f"/{at}"}}
            for at in range(MOST + 5)
        ]

    (told,) = differences(settings(), settings(many))

    assert told.endswith("and 5 more; removed one, two")
    assert f"r{MOST}" not in told
