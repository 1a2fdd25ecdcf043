from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.client_user import ClientCredentials
from proxy.config.key_user import PrivateKeyJwt
from proxy.config.load import load
from proxy.config.network import TcpAddress
from proxy.config.secret_source import SecretEnv, SecretFile
from proxy.config.service_user import PersonalAccessToken
from proxy.errors import ConfigError

PLACE = {
    "AUTHPROXY_ISSUER": "https://acme.zitadel.cloud",
    "AUTHPROXY_UPSTREAM": "https://api.example.com",
}
KEY = {"AUTHPROXY_KEY_FILE": "key.json"}
CLIENT = {"AUTHPROXY_CLIENT_ID": "job", "AUTHPROXY_CLIENT_SECRET": "s3cret"}
TOKEN = {"AUTHPROXY_TOKEN": "pat-1"}
API = "urn:zitadel:iam:org:project:id:zitadel:aud"


@pytest.fixture
def start(folder, monkeypatch):
    """
    Start from these variables, in the folder of the files.
    """
    monkeypatch.chdir(folder)
    return lambda environ: load(None, environ, now=1.8e9)


def test_a_key_file_an_issuer_and_an_upstream_are_enough(start):
    """
    Three variables give one route for everything, on the default listeners.
    """
    loaded = start(PLACE | KEY)

    settings = loaded.settings
    assert [str(listener.address) for listener in settings.listen] == ["127.0.0.1:8080"]
    assert settings.admin == TcpAddress("127.0.0.1", 9090)
    user = settings.service_users["default"]
    assert isinstance(user, PrivateKeyJwt)
    assert (user.key_file, user.scopes) == ((Path("key.json"),), ("openid", API))
    route = settings.routes[0]
    assert (route.name, route.match.path, str(route.upstream)) == (
        "default",
        "/",
        PLACE["AUTHPROXY_UPSTREAM"],
    )
    assert (loaded.origin, loaded.files, loaded.warnings) == (
        "environment",
        (loaded.base / "key.json",),
        (),
    )
    assert loaded.where(("routes", 0)) == "environment"


@pytest.mark.parametrize(
    ("variables", "kind", "source"),
    [
        (CLIENT, ClientCredentials, SecretEnv("AUTHPROXY_CLIENT_SECRET")),
        (
            {"AUTHPROXY_CLIENT_ID": "job", "AUTHPROXY_CLIENT_SECRET_FILE": "secret"},
            ClientCredentials,
            SecretFile(Path("secret")),
        ),
        (TOKEN, PersonalAccessToken, SecretEnv("AUTHPROXY_TOKEN")),
        (
            {"AUTHPROXY_TOKEN_FILE": "secret", "AUTHPROXY_TOKEN": ""},
            PersonalAccessToken,
            SecretFile(Path("secret")),
        ),
    ],
    ids=["secret", "secret-file", "token", "token-file"],
)
def test_each_method_has_its_variables(variables, kind, source, start):
    """
    A secret stays where it is: the settings hold the variable's or file's name.
    """
    user = start(PLACE | variables).settings.service_users["default"]

    assert isinstance(user, kind)
    assert (source,) in {getattr(user, "client_secret", None), getattr(user, "token", None)}


def test_a_key_that_ended_is_told_by_its_variable(start):
    """
    The configuration is usable; what to do is a warning.
    """
    loaded = start(PLACE | {"AUTHPROXY_KEY_FILE": "expired.json"})

    assert [str(warning) for warning in loaded.warnings] == [
        "environment  AUTHPROXY_KEY_FILE  the key ended on 2021-03-04, and this service user has no other: its requests are answered 503; download a new one in the console"
    ]


def test_listeners_and_scopes_can_be_said(start):
    """
    The optional variables take what proxy.yaml takes.
    """
    settings = start(
        PLACE | CLIENT | {
            "AUTHPROXY_LISTEN": "0.0.0.0:80", "AUTHPROXY_CALLERS": "anonymous",
            "AUTHPROXY_ADMIN": "off", "AUTHPROXY_SCOPES": "openid  profile",
        }
    ).settings  # fmt: skip

    assert (str(settings.listen[0].address), settings.listen[0].callers) == (
        "0.0.0.0:80",
        ("anonymous",),
    )
    assert settings.admin is None
    assert getattr(settings.service_users["default"], "scopes", None) == ("openid", "profile")


@pytest.mark.parametrize(
    ("variables", "problems"),
    [
        (
            {"AUTHPROXY_LISTEN": "127.0.0.1:80", "HOME": "/"},
            ["environment  file  no configuration: no proxy.yaml here or in /etc/authproxy, and no AUTHPROXY_ variables; write --config FILE; or set AUTHPROXY_ISSUER, AUTHPROXY_KEY_FILE and AUTHPROXY_UPSTREAM; or try `authproxy demo`, which needs neither"],
        ),
        (
            KEY | {"AUTHPROXY_UPSTEAM": "https://a"},
            [
                "environment  AUTHPROXY_ISSUER  is not set; set it, as in AUTHPROXY_ISSUER=https://acme.zitadel.cloud",
                "environment  AUTHPROXY_UPSTREAM  is not set; set it, as in AUTHPROXY_UPSTREAM=https://api.example.com; AUTHPROXY_UPSTEAM is set: a slip?",
            ],
        ),
        (
            PLACE,
            ["environment  AUTHPROXY_KEY_FILE  is not set, nor is another credential; set it, or AUTHPROXY_CLIENT_ID with AUTHPROXY_CLIENT_SECRET_FILE, or AUTHPROXY_TOKEN_FILE"],
        ),
        (
            PLACE | {"AUTHPROXY_CLIENT_ID": "job"},
            ["environment  AUTHPROXY_CLIENT_SECRET  is not set although AUTHPROXY_CLIENT_ID is; set it, or AUTHPROXY_CLIENT_SECRET_FILE"],
        ),
        (
            PLACE | {"AUTHPROXY_CLIENT_SECRET": "hunter2Canary"},
            ["environment  AUTHPROXY_CLIENT_ID  is not set although a client secret is; set both"],
        ),
        (
            PLACE | KEY | TOKEN | {"AUTHPROXY_TOKEN_FILE": "secret"},
            [
                "environment  AUTHPROXY_KEY_FILE  is set together with AUTHPROXY_TOKEN; keep one, unset the rest",
                "environment  AUTHPROXY_TOKEN_FILE  is set together with AUTHPROXY_TOKEN; unset one of them",
            ],
        ),
        (
            {"AUTHPROXY_ISSUER": "acme", "AUTHPROXY_UPSTREAM": "https://hunter2Canary@a", "AUTHPROXY_KEY_FILE": "application.json"},
            [
                "environment  AUTHPROXY_ISSUER  is no URL; write it with its scheme: https://host",
                "environment  AUTHPROXY_KEY_FILE  this is an application's key; a service user's is needed: download one in the console: Users, Service Users, the user, Keys, New, type JSON",
                "environment  AUTHPROXY_UPSTREAM  holds a user name or password; remove everything up to the @",
            ],
        ),
        (
            PLACE | {"AUTHPROXY_TOKEN": "Bearer hunter2Canary", "AUTHPROXY_LISTEN": "0.0.0.0:80", "AUTHPROXY_ADMIN": "no", "AUTHPROXY_SCOPES": "unused"},
            [
                "environment  AUTHPROXY_ADMIN  is no address; write host:port, [::1]:port or unix:/path",
                "environment  AUTHPROXY_LISTEN  other machines can connect here, and nothing says who may; set AUTHPROXY_CALLERS=anonymous, or use a proxy.yaml with callers",
                "environment  AUTHPROXY_SCOPES  is set together with AUTHPROXY_TOKEN, whose scopes are fixed; unset it",
                'environment  AUTHPROXY_TOKEN  the secret is not a bare token; store it alone, without "Bearer"',
            ],
        ),
        (
            PLACE | KEY | {"AUTHPROXY_CALLERS": "ci", "AUTHPROXY_SCOPES": 'a"b'},
            [
                "environment  AUTHPROXY_CALLERS  no such caller; without a file, anonymous is the only one",
                'environment  AUTHPROXY_SCOPES  is no scope; write visible ASCII without " and \\',
            ],
        ),
    ],
    ids=["nothing", "typo", "no-credential", "no-secret", "no-id", "too-many", "bad-values", "bad-options", "bad-lists"],
)  # fmt: skip
def test_what_is_missing_or_contradicts_names_the_variable(variables, problems, start):
    """
    All at once, in the order of their names, never with a value.
    """
    with pytest.raises(ConfigError) as caught:
        start(variables)

    assert [str(problem) for problem in caught.value.problems] == problems
