from __future__ import annotations

import base64
import subprocess
import sys
from dataclasses import replace
from urllib.parse import parse_qs, parse_qsl, unquote_plus

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc import jwt

from proxy.core.credential import (
    ClientSecret,
    FixedToken,
    Issuer,
    PrivateKey,
    ServiceUser,
    identity,
    private_key,
)
from proxy.core.grant import introspection_request, token_request
from proxy.core.key import parse_pem
from proxy.core.secret import Secret
from proxy.errors import CredentialInvalid

NOW = 1_700_000_000.6
ISSUER = Issuer("zitadel", "https://acme.example")


def pem(key, form="pkcs1", passphrase=None) -> Secret:
    """
    Return a key as a PEM text.
    """
    formats = {
        "pkcs1": serialization.PrivateFormat.TraditionalOpenSSL,
        "pkcs8": serialization.PrivateFormat.PKCS8,
    }
    lock = (
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption()
    )
    return Secret(key.private_bytes(serialization.Encoding.PEM, formats[form], lock).decode())


@pytest.fixture(scope="module")
def rsa_key():
    """
    A key pair as cryptography knows it.
    """
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def key(rsa_key) -> PrivateKey:
    """
    The same as a credential.
    """
    return private_key(pem(rsa_key), key_id="k1", user_id="u1")


def user(credential, *scopes, issuer=ISSUER) -> ServiceUser:
    """
    Return a service user with this credential.
    """
    return ServiceUser("reporter", issuer, credential, scopes)


def form(request) -> dict[str, str]:
    """
    Return the fields of a token request.
    """
    return dict(parse_qsl(request.body.reveal(), strict_parsing=True))


def decoded(request, key):
    """
    Return the assertion of a token request, its signature verified.
    """
    return jwt.decode(form(request)["assertion"], key.key, algorithms=["RS256"])


def test_an_assertion_is_what_zitadel_wants(key):
    """
    RS256 with the key's id, issuer as audience byte for byte, user as iss and sub, a short life.
    """
    odd = replace(ISSUER, url="https://ACME.example:443/")

    request = token_request(user(key, "openid", issuer=odd), NOW, "jti-1")
    assertion = decoded(request, key)

    assert assertion.header == {"alg": "RS256", "kid": "k1", "typ": "JWT"}
    assert assertion.claims == {
        "iss": "u1",
        "sub": "u1",
        "aud": "https://ACME.example:443/",
        "iat": 1_699_999_990,
        "exp": 1_700_000_300,
        "jti": "jti-1",
    }


def test_the_form_has_the_jwt_bearer_grant_and_no_client_authentication(key):
    """
    RFC 7523 §2.1: grant, assertion, scope; nothing else says who asks.
    """
    request = token_request(user(key, "openid"), NOW, "jti-1")

    assert set(form(request)) == {"grant_type", "assertion", "scope"}
    assert form(request)["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert request.headers() == {"Content-Type": "application/x-www-form-urlencoded"}


def test_each_assertion_has_its_own_jti(key):
    """
    Authlib writes the jti into the claims it is given; no two assertions may share them.
    """
    first = decoded(token_request(user(key), NOW, "jti-1"), key)
    second = decoded(token_request(user(key), NOW, "jti-2"), key)

    assert (first.claims["jti"], second.claims["jti"]) == ("jti-1", "jti-2")


def test_a_clock_at_the_epoch_is_taken_as_it_is(key):
    """
    Authlib takes an iat of 0 for a missing one and reads the real clock; here time is a parameter.
    """
    claims = decoded(token_request(user(key), 3.0, "jti-1"), key).claims

    assert (claims["iat"], claims["exp"]) == (1, 303)


def test_scopes_are_sorted_and_sent_once(key):
    """
    A token does not depend on the order of its scopes, so the order is fixed.
    """
    request = token_request(user(key, "profile", "openid", "profile"), NOW, "jti-1")

    assert form(request)["scope"] == "openid profile"
    assert "scope" not in form(token_request(user(key), NOW, "jti-1"))


def test_an_expired_key_is_not_sent(key):
    """
    What the key file says of its own end is believed: the issuer would answer with a riddle.
    """
    old = replace(key, expires=NOW)

    with pytest.raises(CredentialInvalid, match="k1 has expired; create a new one for user u1"):
        token_request(user(old), NOW, "jti-1")


ODD = ("svc+u@x:p%s", "a b&c=d:é%2B")


def test_basic_credentials_are_form_encoded_first():
    """
    RFC 6749 §2.3.1: both halves are encoded, so that +, % and : arrive as they were.
    """
    request = token_request(user(ClientSecret(ODD[0], Secret(ODD[1])), "openid"), NOW, "jti-1")
    scheme, _, pair = request.headers()["Authorization"].partition(" ")
    halves = base64.b64decode(pair).decode("ascii").split(":")

    assert scheme == "Basic"
    assert halves[0] == "svc%2Bu%40x%3Ap%25s"
    assert tuple(map(unquote_plus, halves)) == ODD
    assert form(request) == {"grant_type": "client_credentials", "scope": "openid"}


def test_post_credentials_go_into_the_form_and_nowhere_else():
    """
    RFC 6749 §2.3: exactly one client authentication per request.
    """
    request = token_request(user(ClientSecret(ODD[0], Secret(ODD[1]), "post")), NOW, "jti-1")

    assert form(request) == {
        "grant_type": "client_credentials",
        "client_id": ODD[0],
        "client_secret": ODD[1],
    }
    assert "Authorization" not in request.headers()


def test_a_personal_access_token_is_never_minted():
    """
    There is no token request for it; to ask for one is a bug.
    """
    with pytest.raises(ValueError, match="never minted by"):
        token_request(user(FixedToken(Secret("pat"))), NOW, "jti-1")


def test_a_request_and_its_values_show_no_secret(key):
    """
    Neither user nor request give anything away when they are printed.
    """
    users = (
        user(key),
        user(ClientSecret("c", Secret("canary-s"))),
        user(ClientSecret("c", Secret("canary-s"), "post")),
        user(FixedToken(Secret("canary-p"))),
    )
    shown = repr(users) + repr([token_request(one, NOW, "jti-1") for one in users[:3]])

    assert "canary" not in shown
    assert "BEGIN" not in shown
    assert "eyJ" not in shown


def test_a_request_names_what_an_answer_must_not_repeat(key):
    """
    An issuer may echo what it was sent; mint and refusal hide it.
    """
    basic = token_request(user(ClientSecret("c", Secret("s"))), NOW, "jti-1")
    signed = token_request(user(key), NOW, "jti-1")

    assert basic.hide == (Secret("s"), Secret("Yzpz"))
    assert signed.hide == (Secret(parse_qs(signed.body.reveal())["assertion"][0]),)


@pytest.mark.parametrize("shape", ["pkcs1", "pkcs8"])
def test_both_shapes_of_pem_are_read(rsa_key, key, shape):
    """
    ZITADEL writes PKCS#1, people bring PKCS#8: it is the same key.
    """
    assert private_key(pem(rsa_key, shape), key_id="k1", user_id="u1") == key


UNUSABLE = {
    "nonsense": (lambda: Secret("canary"), "is not readable as PEM"),
    "empty": (lambda: Secret(""), "is not readable as PEM"),
    "cut short": (
        lambda: Secret("-----BEGIN RSA PRIVATE KEY-----\ncanary\n-----END RSA PRIVATE KEY-----\n"),
        "is not readable as PEM",
    ),
    "encrypted": (
        lambda: pem(rsa.generate_private_key(65537, 2048), "pkcs8", b"pass"),
        "is encrypted; store it without",
    ),
    "elliptic": (lambda: pem(ec.generate_private_key(ec.SECP256R1()), "pkcs8"), "is not RSA"),
    "short": (lambda: pem(rsa.generate_private_key(65537, 1024)), "shorter than 2048 bits"),
    "public": (
        lambda: Secret(
            rsa.generate_private_key(65537, 2048)
            .public_key()
            .public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            .decode()
        ),
        "is not readable as PEM",
    ),
}


@pytest.mark.parametrize(("make", "words"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_an_unusable_key_is_named_as_such(make, words):
    """
    The reason says what is wrong with the key and shows none of it.
    """
    with pytest.raises(CredentialInvalid, match=words) as caught:
        private_key(make(), key_id="k1", user_id="u1")

    assert "canary" not in caught.value.reason


@pytest.mark.parametrize("part", ["d", "dmp1", "dmq1", "iqmp", "e"])
def test_a_damaged_key_is_refused(rsa_key, part):
    """
    Each number of an RSA key has to go with the others: a wrong one would sign, and give away the key.
    """
    numbers = rsa_key.private_numbers()
    public = numbers.public_numbers
    parts = {name: getattr(numbers, name) for name in ("p", "q", "d", "dmp1", "dmq1", "iqmp")}
    parts["e"] = public.e
    parts[part] ^= 1 << 9
    changed = rsa.RSAPublicNumbers(parts.pop("e"), public.n)
    made = rsa.RSAPrivateNumbers(**parts, public_numbers=changed)
    damaged = made.private_key(unsafe_skip_rsa_key_validation=True)

    with pytest.raises(CredentialInvalid, match="is not readable as PEM"):
        parse_pem(pem(damaged))


def test_an_identity_depends_on_what_the_token_depends_on(key):
    """
    Issuer, method, credential and scopes make the identity; names and order of scopes do not.
    """
    base = user(ClientSecret("c", Secret("canary-1")), "a", "b")
    same = replace(base, name="other", scopes=("b", "a", "b"), required=False)
    others = (
        replace(base, issuer=replace(ISSUER, url="https://b.example")),
        replace(base, scopes=("a",)),
        replace(base, credential=ClientSecret("d", Secret("canary-1"))),
        replace(base, credential=ClientSecret("c", Secret("canary-2"))),
        replace(base, credential=FixedToken(Secret("canary-1"))),
        replace(base, credential=key),
        replace(base, credential=replace(key, key_id="k2")),
        replace(base, credential=replace(key, user_id="u2")),
    )

    assert identity(same) == identity(base)
    assert len({identity(base), *map(identity, others)}) == 1 + len(others)
    assert "canary" not in str([identity(one) for one in (base, *others)])


def test_no_second_http_stack_and_nothing_deprecated_is_imported():
    """
    Authlib is used for its grants alone: its clients and its old jose module stay out.
    """
    code = (
        "import sys, proxy.core.grant, proxy.core.refusal, proxy.tokens.keeper, proxy.tokens.mint\n"
        "wrong = {'httpx', 'httpx2', 'requests', 'authlib.jose'} & set(sys.modules)\n"
        "sys.exit(str(wrong) if wrong else 0)"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )

    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_question_about_a_token_hides_all_that_is_in_it():
    """
    RFC 7662 §2.1: the token, what kind it is, and who asks; an answer that echoes any is cut.
    """
    client = ClientSecret("app", Secret("s e"), auth="post")
    request = introspection_request(client, ISSUER, Secret("a+b"), NOW, "jti-1")

    assert dict(parse_qsl(request.body.reveal())) == {
        "token": "a+b",
        "token_type_hint": "access_token",
        "client_id": "app",
        "client_secret": "s e",
    }
    assert request.authorization is None
    assert {secret.reveal() for secret in request.hide} == {"a+b", "a%2Bb", "s e", "s+e"}
