from __future__ import annotations

import re
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest

from proxy.config import words
from proxy.config.document import parse
from proxy.config.load import load
from proxy.config.schema import json_schema
from proxy.config.service_user import METHODS

ROOT = Path(__file__).parents[2]
CASES = ROOT / "tests" / "cases" / "config"
SCHEMA = json_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def data_of(text: str) -> object:
    """
    Return *text* as plain data.
    """
    document = parse(text.encode())
    assert not document.findings
    return document.data


def case(name: str) -> str:
    """
    Return a golden case's input.
    """
    return (CASES / f"{name}.case").read_text().split("\n----------\n")[0]


def switched_on(text: str) -> str:
    """
    Return the starter file with every setting behind a # switched on.
    """
    return re.sub(r"^( *)#(?=[^ #])", r"\1", text, flags=re.MULTILINE)


@pytest.fixture
def starter() -> str:
    """
    The commented file at the root.
    """
    return (ROOT / "proxy.yaml").read_text()


@pytest.fixture
def starter_folder(folder: Path, contents):
    """
    A folder with the files the starter names.
    """
    names = {
        "secrets/provisioner.json": "key.json", "secrets/uploader.pem": "key.pem", "secrets/reporter": "secret",
        "secrets/worker.pem": "key.pem", "secrets/operator.pem": "key.pem", "secrets/desk": "secret",
        "tls/server.pem": "server.pem", "tls/server.key": "server.key", "tls/clients-ca.pem": "ca.pem",
        "tls/issuer-ca.pem": "ca.pem", "tls/orders-ca.pem": "ca.pem",
        "tls/shop.pem": "server.pem", "tls/shop.key": "server.key",
        "secrets/introspection.json": "application.json", "secrets/asker": "secret",
        "tls/client.pem": "server.pem", "tls/client.key": "server.key",
    }  # fmt: skip
    for name, content in names.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(contents[content])
        path.chmod(0o600)
    return folder


def test_the_schema_is_a_schema():
    """
    Draft 2020-12, closed at the top.
    """
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["additionalProperties"] is False


def test_every_setting_is_described():
    """
    An editor has a sentence for each.
    """
    groups = [SCHEMA, *SCHEMA["$defs"].values()]
    silent = [
        name
        for group in groups
        for name, setting in group["properties"].items()
        if not setting.get("description", "").endswith(".") and name != "version"
    ]
    assert silent == []


@pytest.mark.parametrize(
    "name",
    ["minimal", "contract", "callers-of-all-kinds", "doors", "json", "limits-all-set", "warnings", "open-door-short-form", "log-and-traces",
     "several-credentials", "credentials-that-end", "not-of-zitadel", "rates"],
)  # fmt: skip
def test_the_schema_takes_what_the_program_takes(name):
    """
    Every way of writing that check accepts; what only check can know is no matter of the schema.
    """
    VALIDATOR.validate(data_of(case(name)))


@pytest.mark.parametrize(
    "name",
    ["a-list", "addresses", "callers", "callers-wrong", "doors-wrong", "limits", "log-and-traces-wrong", "missing-everything", "missing-settings", "route-matches", "route-terms",
     "several-credentials-wrong", "methods-wrong", "exchanges-wrong", "rates-wrong",
     "scopes", "unknown-settings", "urls", "words-that-stay-text", "wrong-methods", "wrong-types"],
)  # fmt: skip
def test_the_schema_refuses_what_has_the_wrong_shape(name):
    """
    An editor shows those mistakes while they are made.
    """
    assert not VALIDATOR.is_valid(data_of(case(name)))


CLIENT = {"issuer": "a", "client_id": "a"}
CREDENTIALS = {"method": "client_credentials", **CLIENT}
SECRET = {"client_secret": {"file": "a"}}
KEY = {"client_auth": "private_key_jwt", "key_pem_file": "a"}
EXCHANGE = {"method": "token_exchange", **CLIENT, **SECRET}


@pytest.mark.parametrize(
    ("user", "taken"),
    [
        (CREDENTIALS | SECRET, True),
        (CREDENTIALS | {"client_secret": [{"file": "a"}, {"env": "A"}]}, True),
        (CREDENTIALS | {"client_secret": []}, False),
        (CREDENTIALS, False),
        (CREDENTIALS | KEY, True),
        (CREDENTIALS | KEY | SECRET, False),
        (CREDENTIALS | SECRET | {"key_id": "k"}, False),
        (CREDENTIALS | {"client_auth": "private_key_jwt"}, False),
        (CREDENTIALS | SECRET | {"resource": ["urn:a"]}, True),
        (CREDENTIALS | SECRET | {"resource": ["urn:a#b"]}, False),
        (EXCHANGE | {"subject": {"service_user": "b"}}, True),
        (EXCHANGE | {"subject": {"service_user": "b", "user_id": "1"}}, False),
        (EXCHANGE | {"subject": {"service_user": "b", "type": "jwt"}}, False),
        (EXCHANGE | {"subject": {"token": {"env": "A"}, "type": "jwt"}}, True),
        (EXCHANGE | {"subject": {"user_id": "1"}}, False),
        (EXCHANGE | {"subject": {"user_id": "1"}, "actor": {"service_user": "b"}}, True),
        (EXCHANGE, False),
        ({"method": "system_jwt", "issuer": "a", "user": "b", "key_pem_file": "c"}, True),
        ({"method": "system_jwt", "issuer": "a", "user": "b", "key_pem_file": ["c"]}, False),
        ({"method": "private_key_jwt", "issuer": "a", "key_file": ["a", "b"]}, True),
    ],
    ids=lambda value: "" if isinstance(value, bool) else " ".join(value),
)  # fmt: skip
def test_the_schema_knows_what_goes_together_in_a_service_user(user, taken):
    """
    Which proofs a client may have, and whom an exchange may be about.
    """
    data = data_of(case("minimal"))
    assert isinstance(data, dict)
    data["service_users"]["dev"] = user

    assert VALIDATOR.is_valid(data) is taken


@pytest.mark.parametrize(
    ("limits", "taken"),
    [
        ({"rate": "50/s"}, True),
        ({"rate": "50/s", "burst": 100, "concurrent": 20}, True),
        ({"concurrent": 20}, True),
        ({"rate": "off", "concurrent": 20}, True),
        ({}, False),
        ({"rate": "off"}, False),
        ({"concurrent": "off"}, False),
        ({"burst": 5, "concurrent": 5}, False),
        ({"rate": "off", "burst": 5, "concurrent": 5}, False),
        ({"rate": 50}, False),
    ],
    ids=str,
)
def test_the_schema_knows_what_limits_must_say(limits, taken):
    """
    Something, and a burst only with a rate; each case as `check` judges it.
    """
    data = data_of(case("minimal"))
    assert isinstance(data, dict)
    data["upstreams"] = {"https://api.example.com": limits}

    assert VALIDATOR.is_valid(data) is taken


def test_the_starter_file_is_accepted_as_it_stands(starter, folder):
    """
    Without a single other file; only its sample token is remarked on.
    """
    path = folder / "proxy.yaml"
    path.write_text(starter)

    loaded = load(path, {}, now=0.0)

    assert [problem.path for problem in loaded.warnings] == ["service_users.dev.token"]
    VALIDATOR.validate(data_of(starter))


def test_the_starter_file_is_accepted_with_everything_switched_on(starter, starter_folder):
    """
    No line behind a # has gone stale.
    """
    path = starter_folder / "proxy.yaml"
    path.write_text(switched_on(starter))

    loaded = load(path, {}, now=0.0)

    assert [problem.path for problem in loaded.warnings] == ["service_users.dev.token"]
    VALIDATOR.validate(data_of(path.read_text()))


def test_the_starter_file_names_every_setting(starter):
    """
    A new setting is explained there, or this fails.
    """
    groups = [SCHEMA, *SCHEMA["$defs"].values()]
    names = {name for group in groups for name in group["properties"]}
    missing = {name for name in names if not re.search(rf"\b{name}:", starter)}
    assert missing == set()


def test_messages_know_every_group_and_every_required_setting():
    """
    The tables of `words` and the models say the same.
    """
    models = {*words.SECTIONS.values(), *METHODS.values()}
    assert {model.__name__ for model in models} == {*SCHEMA["$defs"], "Settings"}
    required = {
        name
        for model in models
        for name, field in model.model_fields.items()
        if field.is_required()
    }
    assert required == set(words.EXAMPLES)
