from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.load import SYSTEM_FILE, find, load
from proxy.errors import ConfigError

GOOD = {
    "version": 1,
    "listen": [{"address": "127.0.0.1:8080", "callers": ["ci"]}],
    "admin": "off",
    "issuers": {"zitadel": {"url": "https://acme.zitadel.cloud"}},
    "service_users": {
        "dev": {"issuer": "zitadel", "method": "personal_access_token", "token": {"env": "PAT"}},
        "job": {
            "issuer": "zitadel", "method": "client_credentials", "client_id": "a",
            "client_secret": {"env": "PAT"}, "scopes": ["openid"],
        },
    },
    "callers": {"ci": {"api_key_sha256": "0" * 64}},
    "routes": [
        {
            "name": "all", "upstream": "https://api.example.com", "service_user": "dev",
            "match": {"path": "/a", "headers": {"x-a": "b"}, "methods": ["GET"]},
            "timeouts": {"connect": "5s"}, "request_headers": {"set": {"x-b": "c"}},
        }
    ],
}  # fmt: skip
ENVIRON = {"PAT": "pat-1", "OLD": "pat-0"}
MANY = [{"env": "PAT"}, {"env": "OLD"}]
CLIENT = {"issuer": "zitadel", "method": "token_exchange", "client_id": "a", "client_secret": MANY}
RICH = GOOD | {
    "service_users": {
        **GOOD["service_users"],  # type: ignore[dict-item]
        "old": {
            "issuer": "zitadel", "method": "personal_access_token", "token": MANY,
            "expires": ["2030-01-31", "2031-01-31"], "on_rotation": "drop",
        },
        "desk": CLIENT | {
            "subject": {"user_id": "1"}, "actor": {"service_user": "old"},
            "audience": ["orders"], "requested_token_type": "jwt",
        },
        "guest": CLIENT | {
            "subject": {"token": {"env": "PAT"}, "type": "jwt"}, "resource": ["urn:a"],
        },
    }
}  # fmt: skip
"""With what only some service users have; none of it a file."""


def from_stdin(data: object):
    """
    Load *data* as standard input.
    """
    return load("-", ENVIRON, now=0.0, stdin=BytesIO(json.dumps(data).encode()))


def test_the_first_place_with_a_configuration_wins(tmp_path):
    """
    --config, then the variable, then ./proxy.yaml, then the system's; none is a start without file.
    """
    assert find("a.yaml", {"AUTHPROXY_CONFIG": "b.yaml"}, tmp_path) == Path("a.yaml")
    assert find(None, {"AUTHPROXY_CONFIG": "b.yaml"}, tmp_path) == Path("b.yaml")
    assert find("-", {}, tmp_path) == "-"
    assert find(None, {"AUTHPROXY_CONFIG": ""}, tmp_path) == (
        SYSTEM_FILE if SYSTEM_FILE.exists() else None
    )
    (tmp_path / "proxy.yaml").touch()
    assert find(None, {}, tmp_path) == tmp_path / "proxy.yaml"


def test_a_place_that_cannot_be_looked_at_is_not_passed_over():
    """
    It is taken for the configuration, whose reading then says what is wrong.
    """
    place = Path("x" * 300)

    assert find(None, {}, place) == place / "proxy.yaml"


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("nowhere", "a relative path starts at the folder authproxy was started in"),
        ("/nowhere", "write the path of one that does"),
    ],
)
def test_a_missing_file_is_looked_for_where_it_is_said(name, instead):
    """
    Where a relative path starts is said of a relative path only, and truly.
    """
    data = json.loads(json.dumps(GOOD).replace('{"env": "PAT"}', json.dumps({"file": name})))

    with pytest.raises(ConfigError) as caught:
        from_stdin(data)

    assert {problem.instead for problem in caught.value.problems} == {instead}


@pytest.mark.parametrize(
    ("listen", "admin", "said"),
    [
        ("127.0.0.1:9090", None, "listen"),
        ("unix:/run/a.sock", "unix:/run/a.sock", "admin"),
        ("[::1]:1", "[::1]:1", "admin"),
        ("127.0.0.1:0", "127.0.0.1:0", ""),
        ("127.0.0.1:1", "127.0.0.1:2", ""),
        ("127.0.0.1:9090", "off", ""),
    ],
)
def test_admin_has_an_address_of_its_own(listen, admin, said):
    """
    What a listener has too is refused, where it is written; port 0 is another one each time.
    """
    data = GOOD | {"listen": listen, "admin": admin}
    if admin is None:
        del data["admin"]

    try:
        from_stdin(data)
    except ConfigError as error:
        found = [problem.path for problem in error.problems]
    else:
        found = []

    assert found == ([said] if said else [])


def test_standard_input_is_a_configuration():
    """
    Its paths start at the current folder, and it has no file of its own.
    """
    loaded = from_stdin(GOOD)

    assert (loaded.origin, loaded.base, loaded.files) == ("stdin", Path.cwd(), ())
    assert loaded.where(("routes", 0, "name")) == "stdin:1"


def test_paths_start_at_the_files_folder(folder, monkeypatch):
    """
    Wherever the process stands; the files read are listed for whoever watches them.
    """
    text = json.dumps(GOOD).replace('{"env": "PAT"}', '{"file": "secret"}')
    (folder / "dir" / "proxy.yaml").write_text(text.replace('"secret"', '"../secret"'))
    monkeypatch.chdir(folder / "dir")

    loaded = load(Path("../dir/proxy.yaml"), {}, now=0.0)

    assert loaded.origin == "../dir/proxy.yaml"
    assert loaded.base == folder / "dir"
    assert loaded.files[0] == folder / "dir" / "proxy.yaml"
    assert [path.resolve() for path in loaded.files[1:]] == [folder / "secret"] * 2


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "absent",
            (
                "No such file or directory; "
                "write the path of a proxy.yaml that exists, or - for standard input"
            ),
        ),
        ("dir", "it is a folder; write the path of the file in it"),
        (
            "pipe",
            "it is not a regular file; write the path of a text file, or - for standard input",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_said(name, reason, folder, monkeypatch):
    """
    It neither hangs nor raises anything else.
    """
    monkeypatch.chdir(folder)

    with pytest.raises(ConfigError) as caught:
        load(Path(name), {}, now=0.0)

    assert str(caught.value) == f"{name}  file  cannot be read: {reason}"


def test_variables_beside_a_file_are_not_quietly_ignored():
    """
    Whoever sets them expects something of them.
    """
    environ = ENVIRON | {"AUTHPROXY_ISSUER": "https://hunter2Canary"}

    loaded = load("-", environ, now=0.0, stdin=BytesIO(json.dumps(GOOD).encode()))

    assert [str(warning) for warning in loaded.warnings] == [
        "stdin:1:1  file  AUTHPROXY_ISSUER is set and not used, since there is a file; unset it"
    ]


def test_a_misspelt_variable_is_told():
    """
    It does nothing; what the settings name is meant, and what resembles nothing is another's.
    """
    data = json.loads(json.dumps(GOOD))
    data["service_users"]["own"] = {
        "issuer": "zitadel",
        "method": "personal_access_token",
        "token": {"env": "AUTHPROXY_TOKENS"},
    }
    kubernetes = ("SERVICE_HOST", "SERVICE_PORT", "PORT", "PORT_8080_TCP_ADDR", "ADMIN_PORT")
    environ = {
        **ENVIRON,
        **{f"AUTHPROXY_{name}": "1" for name in kubernetes},
        "AUTHPROXY_TOKENS": "pat",
        "AUTHPROXY_URL": "http://127.0.0.1:1",
        "AUTHPROXY_ISUER": "https://hunter2Canary",
        "AUTHPROXY_ISSUER\x1b": "1",
        "AUTHPROXY_LOGFORMAT": "console",
    }

    loaded = load("-", environ, now=0.0, stdin=BytesIO(json.dumps(data).encode()))

    assert [str(warning) for warning in loaded.warnings] == [
        "stdin:1:1  file  AUTHPROXY_ISUER is no variable of this program; did you mean AUTHPROXY_ISSUER?",
        "stdin:1:1  file  AUTHPROXY_LOGFORMAT is no variable of this program; did you mean AUTHPROXY_LOG_FORMAT?",
    ]


def test_settings_hold_secrets_only_as_secrets():
    """
    A bare secret is in no text the settings can be turned into.
    """
    data = json.loads(json.dumps(GOOD).replace('{"env": "PAT"}', '"hunter2Canary"'))

    loaded = from_stdin(data)

    told = f"{loaded!r} {loaded.settings} {loaded.settings.effective()} {loaded.warnings}"
    assert "hunter2Canary" not in told
    assert len(loaded.warnings) == 2


def test_settings_say_what_a_file_would_say():
    """
    Dumped and read again they are the same, defaults and units included.
    """
    settings = from_stdin(RICH).settings

    assert from_stdin(settings.effective()).settings == settings


def test_what_settings_point_at_is_said_as_a_file_would(folder, environ):
    """
    Files, credentials and dates are written back the way they are written.
    """
    (folder / "proxy.yaml").write_text(
        """
        version: 1
        issuers: {zitadel: {url: "https://acme.zitadel.cloud"}}
        service_users:
          a: {issuer: zitadel, method: personal_access_token, token: {file: secret}, expires: 2027-01-31}
          b: {issuer: zitadel, method: personal_access_token, token: {credential: secret}}
        routes: [{name: all, upstream: "https://api.example.com", service_user: a}]
        """
    )
    environ["CREDENTIALS_DIRECTORY"] = str(folder)

    users = load(folder / "proxy.yaml", environ, now=0.0).settings.effective()["service_users"]

    method = {"issuer": "zitadel", "method": "personal_access_token", "on_rotation": "keep"}
    assert users == {
        "a": method | {"token": {"file": "secret"}, "expires": "2027-01-31T00:00:00+00:00"},
        "b": method | {"token": {"credential": "secret"}},
    }


def test_settings_cannot_be_changed():
    """
    What was checked stays as it was checked.
    """
    settings = from_stdin(GOOD).settings

    with pytest.raises(ValueError, match="frozen"):
        settings.version = 1
    with pytest.raises(TypeError):
        settings.issuers["x"] = settings.issuers["zitadel"]
    with pytest.raises(TypeError):
        settings.routes[0].match.headers["x"] = "y"


@given(st.binary(max_size=300) | st.text(max_size=80).map(str.encode))
def test_any_bytes_are_a_configuration_error(content):
    """
    Nothing but ConfigError comes out, and it has at least one problem.
    """
    with pytest.raises(ConfigError) as caught:
        load("-", {}, now=0.0, stdin=BytesIO(content))

    assert caught.value.problems


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=4,
)


def spots(data, place=()):
    """
    Yield every place in *data*.
    """
    yield place
    children = (
        data.items()
        if isinstance(data, dict)
        else enumerate(data)
        if isinstance(data, list)
        else ()
    )
    for key, value in children:
        yield from spots(value, (*place, key))


@given(st.sampled_from([spot for spot in spots(RICH) if spot]), ANYTHING)
def test_any_value_at_any_place_is_taken_or_refused(place, value):
    """
    Whatever stands wherever, each problem has a position in the file, and nothing else is raised.
    """
    data = json.loads(json.dumps(RICH))
    within = data
    for part in place[:-1]:
        within = within[part]
    within[place[-1]] = value

    try:
        from_stdin(data)
    except ConfigError as error:
        problems = error.problems
    else:
        return
    assert all(problem.line == 1 and problem.column >= 1 for problem in problems)


@given(
    st.sampled_from([spot for spot in spots(RICH) if spot]),
    st.sampled_from(["value", "name", "entry"]),
)
def test_a_secret_planted_anywhere_is_in_no_message(place, form):
    """
    As a value, as a name, as a value under a name that does not exist.
    """
    secret = "Zq9-canary-7Xw0"
    data = json.loads(json.dumps(RICH))
    within = data
    for part in place[:-1]:
        within = within[part]
    within[place[-1]] = {"value": secret, "name": {secret: None}, "entry": {"nothing": secret}}[
        form
    ]
    named = len(place) == 1 and place[0] in {"issuers", "service_users", "callers"}

    try:
        told = str(from_stdin(data).warnings)
    except ConfigError as error:
        told = str(error)
    assert named or secret not in told
