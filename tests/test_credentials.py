from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from proxy.config.load import load
from proxy.config.model import Settings
from proxy.core.credential import (
    ACCESS_TOKEN,
    JWT_TYPE,
    USER_ID,
    ClientKey,
    ClientSecret,
    Exchange,
    FixedToken,
    Party,
    PrivateKey,
    ServiceUser,
    SystemKey,
)
from proxy.core.secret import Secret
from proxy.credentials import compile_users, credential_files, read_user
from proxy.errors import CredentialInvalid

HEAD = """\
version: 1
issuers: {zitadel: {url: "https://acme.example"}}
service_users:
"""
ROUTE = """
routes: [{name: all, upstream: "https://api.example.com", service_user: %s}]
"""

Prepare = Callable[..., Settings]


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    """
    Return a key as PEM.
    """
    form = PrivateFormat.PKCS8
    return key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()


@pytest.fixture(scope="session")
def texts() -> dict[str, str]:
    """
    What is in which file.
    """
    one, two = (pem(rsa.generate_private_key(65537, 2048)) for _ in range(2))
    key = {"type": "serviceaccount", "userId": "u1"}
    return {
        "new.json": json.dumps(key | {"keyId": "new", "key": one}),
        "old.json": json.dumps(
            key | {"keyId": "old", "key": two, "expirationDate": "2030-01-01T00:00:00Z"}
        ),
        "copy.json": json.dumps(key | {"keyId": "new", "key": one}),
        "rsa.pem": one,
        "ec.pem": pem(ec.generate_private_key(ec.SECP384R1())),
        "subject": "subject-token\n",
        "new": "s3cret-new\n",
        "old": "s3cret-old\n",
    }


@pytest.fixture
def folder(tmp_path: Path, texts: dict[str, str]) -> Path:
    """
    A folder with those files.
    """
    for name, text in texts.items():
        write(tmp_path / name, text)
    return tmp_path


def write(path: Path, text: str) -> None:
    """
    Write a file only its owner may read.
    """
    path.write_text(text)
    path.chmod(0o600)


@pytest.fixture
def environ(folder: Path) -> dict[str, str]:
    """
    An environment with a token, and with a folder of systemd's credentials.
    """
    return {"PAT": "pat-1", "CREDENTIALS_DIRECTORY": str(folder)}


@pytest.fixture
def prepare(folder: Path, environ: dict[str, str]) -> Prepare:
    """
    Load service users written as in proxy.yaml, with a route for *routed*.
    """

    def prepare(users: str, routed: str = "user") -> Settings:
        path = folder / "proxy.yaml"
        indented = "\n".join(f"  {line}" for line in dedent(users).splitlines())
        path.write_text(HEAD + indented + ROUTE % routed)
        return load(path, environ, now=1.8e9).settings

    return prepare


@pytest.fixture
def compiled(
    prepare: Prepare, folder: Path, environ: dict[str, str]
) -> Callable[[str], ServiceUser]:
    """
    Compile the one service user written so.
    """

    def compiled(user: str) -> ServiceUser:
        settings = prepare(f"user: {{issuer: zitadel, {user}}}")
        (result,) = compile_users(settings, folder, environ)
        return result

    return compiled


def test_keys_are_read_in_their_order(compiled):
    """
    The first is the credential, the rest are spares; what else was written is with the user.
    """
    user = compiled(
        "method: private_key_jwt, key_file: [new.json, old.json], scopes: [openid, a], "
        'audience: [b], resource: ["urn:c"], on_rotation: drop'
    )

    first, second = user.credentials
    assert isinstance(first, PrivateKey)
    assert isinstance(second, PrivateKey)
    assert (first.key_id, first.user_id, first.expires) == ("new", "u1", None)
    assert (second.key_id, second.expires) == ("old", 1893456000.0)
    assert (user.scopes, user.audience, user.resource) == (("openid", "a"), ("b",), ("urn:c",))
    assert (user.on_rotation, user.required, user.issuer.url) == (
        "drop",
        True,
        "https://acme.example",
    )


def test_two_files_with_the_same_key_are_one_credential(compiled):
    """
    A key the issuer has refused is not tried again under another file's name.
    """
    user = compiled("method: private_key_jwt, key_file: [new.json, copy.json, old.json]")

    assert [key.key_id for key in user.credentials] == ["new", "old"]


def test_a_bare_key_has_its_ids_beside_it(compiled):
    """
    key_pem_file, key_id and user_id are what a key file says in one.
    """
    user = compiled("method: private_key_jwt, key_pem_file: rsa.pem, key_id: k, user_id: u")

    assert (user.credential.key_id, user.credential.user_id, user.spares) == ("k", "u", ())


def test_secrets_are_read_in_their_order(compiled):
    """
    Each is sent the way client_auth says.
    """
    user = compiled(
        "method: client_credentials, client_id: a, client_auth: post, "
        "client_secret: [{file: new}, {env: PAT}, {credential: old}]"
    )

    assert user.credentials == (
        ClientSecret("a", Secret("s3cret-new"), "post"),
        ClientSecret("a", Secret("pat-1"), "post"),
        ClientSecret("a", Secret("s3cret-old"), "post"),
    )


def test_tokens_have_a_date_each(compiled):
    """
    Dates go with the tokens in their order; without any, nobody knows.
    """
    dated = compiled(
        "method: personal_access_token, token: [{file: new}, {env: PAT}], "
        "expires: [2030-01-01, 2031-01-01]"
    )
    undated = compiled("method: personal_access_token, token: [{file: new}, {env: PAT}]")

    assert dated.credentials == (
        FixedToken(Secret("s3cret-new"), 1893456000.0),
        FixedToken(Secret("pat-1"), 1924992000.0),
    )
    assert [token.expires for token in undated.credentials] == [None, None]
    assert (undated.scopes, undated.on_rotation) == ((), "keep")


@pytest.mark.parametrize(
    ("settings", "algorithm", "key_id", "audience"),
    [
        ("key_pem_file: rsa.pem", "RS256", None, "issuer"),
        ("key_pem_file: rsa.pem, algorithm: PS256, key_id: k", "PS256", "k", "issuer"),
        (
            "key_pem_file: ec.pem, assertion_audience: token_endpoint",
            "ES384",
            None,
            "token_endpoint",
        ),
    ],
    ids=["rsa", "pss", "ec"],
)
def test_a_client_may_have_a_key(compiled, settings, algorithm, key_id, audience):
    """
    It signs as it was told, else in the usual way of such a key.
    """
    credential = compiled(
        f"method: client_credentials, client_id: a, client_auth: private_key_jwt, {settings}"
    ).credential

    assert isinstance(credential, ClientKey)
    assert (credential.client_id, credential.audience) == ("a", audience)
    assert (credential.key.algorithm, credential.key.key_id) == (algorithm, key_id)


@pytest.mark.parametrize(("more", "lifetime"), [("", 1800.0), (", lifetime: 5m", 300.0)])
def test_a_system_user_signs_its_tokens(compiled, more, lifetime):
    """
    By RS256 and without a key id, as ZITADEL's System API wants it.
    """
    user = compiled(f"method: system_jwt, user: robot, key_pem_file: rsa.pem{more}")

    credential = user.credential
    assert isinstance(credential, SystemKey)
    assert (credential.user, credential.lifetime) == ("robot", lifetime)
    assert (credential.key.algorithm, credential.key.key_id) == ("RS256", None)
    assert user.scopes == ()


EXCHANGE = "issuer: zitadel, method: token_exchange, client_id: a"
USERS = f"""\
dev: {{issuer: zitadel, method: personal_access_token, token: {{env: PAT}}}}
robot: {{issuer: zitadel, method: system_jwt, user: robot, key_pem_file: rsa.pem}}
other: {{issuer: zitadel, method: personal_access_token, token: {{file: old}}}}
inner: {{{EXCHANGE}, client_secret: {{env: PAT}}, subject: {{service_user: dev}}, actor: {{service_user: dev}}}}
user:
  {{{EXCHANGE}, client_secret: [{{file: new}}, {{file: old}}], subject: {{service_user: robot}},
   actor: {{service_user: inner}}, requested_token_type: jwt}}
"""


def test_an_exchange_names_its_parties(prepare, folder, environ):
    """
    With each of its client's credentials; a system user's token is a JWT, others are access tokens.
    """
    users = {user.name: user for user in compile_users(prepare(USERS), folder, environ)}

    parties = (
        Party(JWT_TYPE, service_user="robot"),
        Party(ACCESS_TOKEN, service_user="inner"),
        JWT_TYPE,
    )
    assert users["user"].credentials == (
        Exchange(ClientSecret("a", Secret("s3cret-new")), *parties),
        Exchange(ClientSecret("a", Secret("s3cret-old")), *parties),
    )


def test_parties_are_as_required_as_who_needs_them(prepare, folder, environ):
    """
    Those of parties too; a service user neither routed nor needed is not.
    """
    users = compile_users(prepare(USERS), folder, environ)

    assert {user.name for user in users if not user.required} == {"other"}


@pytest.mark.parametrize(
    ("only", "names"),
    [
        ("user", ["dev", "robot", "inner", "user"]),
        ("inner", ["dev", "inner"]),
        ("other", ["other"]),
        ("nobody", []),
    ],
)
def test_one_service_user_brings_its_parties_along(only, names, prepare, folder, environ):
    """
    All the way down, and nobody else: what is not wanted is not read.
    """
    users = compile_users(prepare(USERS), folder, environ, only=only)

    assert [user.name for user in users] == names


@pytest.mark.parametrize(
    ("parties", "subject", "actor"),
    [
        (
            'subject: {user_id: "1"}, actor: {token: {env: PAT}}',
            Party(USER_ID, token=Secret("1")),
            Party(ACCESS_TOKEN, token=Secret("pat-1")),
        ),
        (
            "subject: {token: {file: new}, type: jwt}",
            Party(JWT_TYPE, token=Secret("s3cret-new")),
            None,
        ),
    ],
    ids=["user-id", "token"],
)
def test_a_party_may_be_given(parties, subject, actor, compiled):
    """
    As a user's id, or as a token of the type that was said.
    """
    user = compiled(f"method: token_exchange, client_id: a, client_secret: {{env: PAT}}, {parties}")

    assert (user.credential.subject, user.credential.actor) == (subject, actor)
    assert user.credential.requested_type is None


def test_at_start_every_credential_must_be_readable(prepare, folder, environ):
    """
    A mistake is told while somebody looks.
    """
    settings = prepare(
        "user: {issuer: zitadel, method: private_key_jwt, key_file: [new.json, old.json]}"
    )
    (folder / "old.json").unlink()

    with pytest.raises(CredentialInvalid, match="does not exist"):
        compile_users(settings, folder, environ)


LISTS = {
    "keys": "method: private_key_jwt, key_file: [new.json, old.json]",
    "secrets": "method: client_credentials, client_id: a, client_secret: [{file: new}, {file: old}]",
    "tokens": "method: personal_access_token, token: [{file: new}, {file: old}], expires: [2030-01-01, 2031-01-01]",
    "exchange": "method: token_exchange, client_id: a, client_secret: [{file: new}, {file: old}], subject: {token: {env: PAT}}",
}  # fmt: skip


@pytest.mark.parametrize("gone", [0, 1], ids=["first", "second"])
@pytest.mark.parametrize("text", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("how", ["removed", "emptied", "open"])
def test_later_those_that_can_be_read_are_taken(how, text, gone, prepare, folder, environ):
    """
    A key that was removed, or is half written, does not disturb the other.
    """
    settings = prepare(f"user: {{issuer: zitadel, {text}}}")
    (before,) = compile_users(settings, folder, environ)
    path = credential_files(settings, folder, environ, "user")[gone]
    if how == "removed":
        path.unlink()
    elif how == "emptied":
        path.write_text("")
    else:
        path.chmod(0o644)

    after = read_user(settings, folder, environ, "user")

    assert after == before.acting_with(before.credentials[1 - gone])


def test_later_a_new_credential_is_read(prepare, folder, environ, texts):
    """
    The settings are the same, the files are read anew.
    """
    settings = prepare("user: {issuer: zitadel, method: private_key_jwt, key_file: new.json}")
    write(folder / "new.json", texts["old.json"])

    credential = read_user(settings, folder, environ, "user").credential

    assert isinstance(credential, PrivateKey)
    assert credential.key_id == "old"


def test_without_any_credential_the_first_reason_is_told(prepare, folder, environ):
    """
    The service user stays as it was; the reason is that of the first credential.
    """
    settings = prepare(
        "user: {issuer: zitadel, method: personal_access_token, token: [{file: new}, {file: old}]}"
    )
    (folder / "new").unlink()
    (folder / "old").write_text("")

    with pytest.raises(CredentialInvalid, match="does not exist"):
        read_user(settings, folder, environ, "user")


def test_an_exchange_without_its_subject_cannot_be_read(prepare, folder, environ):
    """
    No other credential of its client stands in for the token it is about.
    """
    settings = prepare(
        f"user: {{issuer: zitadel, {LISTS['exchange'].replace('env: PAT', 'file: subject')}}}"
    )
    (folder / "subject").unlink()

    with pytest.raises(CredentialInvalid, match="does not exist"):
        read_user(settings, folder, environ, "user")


def test_a_service_user_read_anew_is_as_required_as_before(prepare, folder, environ):
    """
    Parties of a token exchange included.
    """
    settings = prepare(USERS)

    assert read_user(settings, folder, environ, "dev").required
    assert not read_user(settings, folder, environ, "other").required


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("method: private_key_jwt, key_file: [new.json, old.json]", ["new.json", "old.json"]),
        ("method: private_key_jwt, key_pem_file: rsa.pem, key_id: k, user_id: u", ["rsa.pem"]),
        ("method: system_jwt, user: robot, key_pem_file: rsa.pem", ["rsa.pem"]),
        ("method: personal_access_token, token: [{env: PAT}, {file: new}, bare]", ["new"]),
        ("method: personal_access_token, token: [{credential: old}]", ["old"]),
        (
            "method: client_credentials, client_id: a, client_auth: private_key_jwt, key_pem_file: ec.pem",
            ["ec.pem"],
        ),
        (
            "method: token_exchange, client_id: a, client_secret: {file: new}, subject: {token: {file: old}}",
            ["new", "old"],
        ),
    ],
    ids=["keys", "pem", "system", "tokens", "systemd", "client-key", "exchange"],
)
def test_the_files_of_a_service_user_are_known(text, names, prepare, folder, environ):
    """
    Whoever watches them gets absolute paths; variables and bare secrets have none.
    """
    settings = prepare(f"user: {{issuer: zitadel, {text}}}")

    files = credential_files(settings, folder, environ, "user")

    assert files == tuple(folder / name for name in names)


def test_without_systemd_there_is_no_file_to_watch(prepare, folder, environ):
    """
    A credential nobody handed over has no path.
    """
    settings = prepare(
        "user: {issuer: zitadel, method: personal_access_token, token: {credential: new}}"
    )
    del environ["CREDENTIALS_DIRECTORY"]

    assert credential_files(settings, folder, environ, "user") == ()
