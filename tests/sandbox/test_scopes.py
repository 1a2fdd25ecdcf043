from __future__ import annotations

import pytest

from proxy.sandbox.scopes import audience_of, kept_scopes


@pytest.mark.parametrize(
    ("scope", "kept"),
    [
        ("openid", True),
        ("offline_access", True),
        ("groups", False),
        ("urn:zitadel:iam:org:project:id:1:aud", True),
        ("urn:zitadel:iam:org:project:id:1", True),
        ("urn:zitadel:iam:org:project:role:admin", True),
        ("urn:zitadel:iam:org:projects:roles", True),
        ("urn:zitadel:iam:org:roles:id:9", True),
        ("urn:zitadel:iam:org:id:7", True),
        ("urn:zitadel:iam:org:id:8", False),
        ("urn:zitadel:iam:org:domain:primary:own.example", True),
        ("urn:zitadel:iam:org:domain:primary:other.example", False),
        ("urn:zitadel:iam:user:metadata", True),
        ("urn:zitadel:iam:user:nothing", False),
    ],
)
def test_which_scopes_are_kept(scope, kept):
    """
    Unknown scopes and those of other organisations are dropped.
    """
    assert kept_scopes([scope, scope], org_id="7", org_domain="own.example") == (
        (scope,) if kept else ()
    )


def test_the_audience_is_what_ends_in_aud():
    """
    `zitadel` stands for the instance's own project; a scope without `:aud` adds nothing.
    """
    scopes = [
        "openid",
        "urn:zitadel:iam:org:project:id:zitadel:aud",
        "urn:zitadel:iam:org:project:id:5:aud",
        "urn:zitadel:iam:org:project:id:6",
        "urn:zitadel:iam:org:project:id:5:aud",
    ]

    assert audience_of(scopes, zitadel_project="1") == ("1", "5")
