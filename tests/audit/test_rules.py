from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxy.audit.powers import domain
from proxy.audit.registry import RULES
from proxy.audit.rule import SEVERITIES, at_least
from tests.audit.parts import GOOD

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs/howto/audit.md").read_text()

APIS = "urn:zitadel:iam:org:project:id:zitadel:aud"
KEY = "service_users: {u: {issuer: z, method: private_key_jwt, key_file: long.json, "
PAT = "service_users: {u: {issuer: z, method: personal_access_token, expires: 2030-01-01, "
CLIENT = "service_users: {u: {issuer: z, method: client_credentials, client_id: c, "
TO = "upstream: 'https://orders.acme.com', service_user: u"
ANY = f"routes: [{{name: a, {TO}}}]"
DIGEST = "ab" * 32
OPEN = "listen: [{address: 10.0.0.1:80, tls: {cert_file: server.pem, key_file: server.key, client_ca_file: ca.pem}, callers: "
CI = f"callers: {{ci: {{api_key_sha256: {DIGEST}}}}}"


def route(more: str, name: str = "a", upstream: str = "https://orders.acme.com") -> str:
    """
    Return one route with a path of its own.
    """
    return f"{{name: {name}, match: {{path: /{name}/}}, upstream: '{upstream}', service_user: u, {more}}}"


def test_a_good_configuration_has_no_finding(found):
    """
    Whoever follows all advice is left alone.
    """
    assert found() == []


@pytest.mark.parametrize(
    ("rule", "parts", "paths"),
    [
        ("AP001", {"users": f"{PAT} token: abc}}}}"}, ["service_users.u.token"]),
        ("AP001", {"users": f"{PAT} token: put-the-token-here}}}}"}, []),
        ("AP001", {"users": f"{PAT} token: {{file: secret}}}}}}"}, []),
        ("AP001", {"audit": "audit: {to: stdout, hmac_key: hunter2Canary-hunter2Canary-hunter2Canary}"}, ["audit.hmac_key"]),
        ("AP002", {"users": f"{PAT} token: {{file: secret}}}}}}"}, ["service_users.u.method"]),
        ("AP003", {"users": f"{PAT} token: {{file: secret}}}}}}"}, []),
        ("AP006", {"users": f"{CLIENT} client_secret: {{file: secret}}}}}}"}, ["service_users.u.client_secret"]),
        ("AP006", {"users": f"{CLIENT} client_auth: private_key_jwt, key_pem_file: key.pem}}}}"}, []),
        ("AP020", {"listen": f"{OPEN} [anonymous]}}]"}, []),
        ("AP020", {"listen": f"{OPEN.replace(', client_ca_file: ca.pem', '')} [anonymous]}}]"}, ["listen[0].callers"]),
        ("AP022", {"listen": "listen: 127.0.0.1:80"}, ["listen"]),
        ("AP022", {"listen": "listen: [{address: '[::1]:80'}]"}, ["listen[0].address"]),
        ("AP022", {"listen": "listen: [{address: 127.0.0.1:80, callers: [ci]}]", "callers": CI}, []),
        ("AP022", {"listen": "listen: 127.0.0.1:80", "callers": CI, "routes": f"routes: [{route('callers: [ci]')}]"}, []),
        ("AP023", {"head": "version: 1\nadmin: 0.0.0.0:9090"}, ["admin"]),
        ("AP023", {"head": "version: 1\nadmin: 127.0.0.1:9090"}, []),
        ("AP023", {"head": "version: 1\nadmin: off"}, []),
        ("AP023", {"head": f"version: 1\nadmin: 0.0.0.0:1\nadmin_key_sha256: {DIGEST}"}, []),
        ("AP060", {"head": f"version: 1\nadmin: 127.0.0.1:1\nadmin_key_sha256: {DIGEST}"}, []),
        ("AP061", {"head": f"version: 1\nadmin: 127.0.0.1:1\nadmin_key_sha256: {DIGEST}"}, []),
        ("AP062", {"callers": CI}, ["callers"]),
        ("AP062", {"callers": CI + "\naudit: {to: stdout}"}, []),
        ("AP063", {"listen": f"{OPEN} [anonymous]}}]"}, ["listen[0].address"]),
        ("AP063", {"listen": f"{OPEN} [anonymous], limits: {{rate: 5/s}}}}]"}, []),
        ("AP063", {"listen": f"{OPEN} [ci]}}]", "callers": CI.replace("}}", ", limits: {rate: 5/s}}}")}, []),
        ("AP021", {"listen": f"{OPEN} [anonymous]}}]"}, []),
        ("AP024", {"listen": "listen: [{address: 127.0.0.1:80, hosts: ['*']}]"}, ["listen[0].hosts[0]"]),
        ("AP024", {"listen": f"{OPEN} [anonymous], hosts: ['*']}}]"}, []),
        ("AP024", {"listen": "listen: [{address: 'unix:/run/s', hosts: ['*']}]"}, []),
        ("AP025", {"listen": "listen: [{address: 127.0.0.1:80, browsers: allow}]"}, ["listen[0].browsers"]),
        ("AP025", {"listen": "listen: [{address: 127.0.0.1:80, browsers: allow, require_header: {name: x-mine, value: a}}]"}, []),
        ("AP025", {"listen": "listen: [{address: 'unix:/run/s', browsers: allow}]"}, []),
        ("AP025", {"listen": f"{OPEN} [ci], browsers: allow}}]", "callers": CI}, []),
        ("AP025", {"listen": f"{OPEN} [ci], browsers: allow}}]", "callers": "callers: {ci: {networks: [10.0.0.0/8]}}"}, ["listen[0].browsers"]),
        ("AP025", {"listen": f"{OPEN} [ci], browsers: allow}}]", "callers": "callers: {ci: {mtls_san: a.acme.com}}"}, ["listen[0].browsers"]),
        ("AP027", {"callers": CI, "routes": f"routes: [{route('callers: [ci], mode: report')}]"}, ["routes[0].mode"]),
        ("AP027", {"callers": CI, "routes": f"routes: [{route('callers: [ci]')}]"}, []),
        ("AP028", {"callers": f"callers: {{ci: {{api_key_sha256: {DIGEST}, networks: [10.0.0.0/8]}}}}"}, []),
        ("AP029", {"callers": "callers: {ci: {jwt: {issuer: z, audience: a, claims: {sub: s}}}}"}, []),
        ("AP029", {"listen": f"{OPEN} [ci]}}]", "callers": "callers: {ci: {mtls_san: 'spiffe://cluster/ns/*'}}"}, []),
        ("AP038", {"routes": f"routes: [{route('allow_insecure: true')}]"}, ["routes[0].allow_insecure"]),
        ("AP038", {"routes": f"routes: [{route('allow_insecure: true', upstream='http://orders.acme.com')}]"}, []),
        ("AP039", {"routes": f"routes: [{route('token_echo: redact')}]"}, []),
        ("AP030", {"issuers": "issuers: {z: {url: 'http://id.acme', allow_insecure: true, connect_to: 'http://127.0.0.1:1'}}"}, []),
        ("AP030", {"issuers": "issuers: {z: {url: 'http://127.0.0.1:1'}}"}, []),
        ("AP030", {"issuers": "issuers: {z: {url: 'https://id.acme', allow_insecure: true, connect_to: 'http://id'}}"}, ["issuers.z.connect_to"]),
        ("AP031", {"routes": f"routes: [{route('', upstream='http://[::1]:80')}]"}, []),
        ("AP032", {"routes": ANY}, ["routes[0].match"]),
        ("AP032", {"routes": f"routes: [{{name: a, match: {{methods: [GET]}}, {TO}}}]"}, []),
        ("AP032", {"routes": f"routes: [{{name: a, match: {{host: a.internal}}, {TO}}}]"}, []),
        ("AP033", {"routes": ANY}, []),
        ("AP033", {"users": f"{KEY} audience_projects: [zitadel]}}}}", "routes": ANY}, ["routes[0].match"]),
        ("AP033", {"users": f"{KEY} scopes: ['{APIS}']}}}}", "routes": ANY}, ["routes[0].match"]),
        ("AP033", {"users": f"{PAT} token: {{file: secret}}}}}}", "routes": ANY}, ["routes[0].match"]),
        ("AP035", {"routes": f"routes: [{route('replay: always', upstream='https://acme.zitadel.cloud')}]"}, []),
        ("AP036", {"routes": f"routes: [{route('allow_addresses: [0.0.0.0/0]')}]"}, ["routes[0].allow_addresses[0]"]),
        ("AP036", {"routes": f"routes: [{route('allow_addresses: [169.254.10.0/24]')}]"}, []),
        ("AP037", {"routes": f"routes: [{route('allow_addresses: [169.254.10.0/24]')}]"}, ["routes[0].allow_addresses[0]"]),
        ("AP037", {"routes": f"routes: [{route('allow_addresses: [0.0.0.0/0]')}]"}, []),
        ("AP038", {"routes": f"routes: [{route('allow_addresses: [fd12::/16, 8.8.8.8]')}]"}, [f"routes[0].allow_addresses[{at}]" for at in (0, 1)]),
        ("AP040", {"routes": f"routes: [{route('')}, {route('', 'b', 'https://files.acme.com')}, {route('', 'c', 'http://127.0.0.1:1')}]"}, []),
        ("AP040", {"routes": f"routes: [{route('')}, {route('', 'b', 'https://10.0.0.1')}]"}, ["service_users.u"]),
        ("AP041", {"callers": CI, "routes": f"routes: [{route('callers: [ci]')}, {route('callers: [anonymous]', 'b')}, {route('', 'c')}]"}, []),
        ("AP044", {"users": f"{KEY} scopes: ['{APIS}']}}}}", "routes": f"routes: [{route('', 'v2', 'https://acme.zitadel.cloud')}]"}, []),
        ("AP044", {"users": f"{KEY} scopes: ['{APIS}']}}}}", "routes": f"routes: [{route('', 'ui', 'https://acme.zitadel.cloud')}]"}, ["service_users.u.scopes[0]"]),
        ("AP051", {"issuers": "issuers: {z: {url: 'https://z.example'}, y: {url: 'https://y.example'}}", "callers": "callers: {ci: {jwt: {issuer: y, audience: a}}}"}, []),
        ("AP052", {"callers": CI, "routes": f"routes: [{route('callers: [ci]')}]"}, []),
    ],
)  # fmt: skip
def test_where_a_rule_applies(found, rule, parts, paths):
    """
    A rule finds what it is about, at the setting that makes it so, and leaves its neighbour alone.
    """
    assert found(rule, **parts) == [(rule, path) for path in paths]


def test_parties_of_an_exchange_are_used(found):
    """
    A service user whose token is exchanged needs no route, and what it asks for is the exchange's.
    """
    users = (
        f"{KEY} scopes: ['{APIS}']}},\n"
        " x: {issuer: z, method: token_exchange, client_id: c, client_secret: {file: secret},\n"
        "     subject: {service_user: u}, scopes: [openid]}}"
    )
    routes = f"routes: [{route('').replace('service_user: u', 'service_user: x')}]"

    assert found("AP05", users=users, routes=routes) == []
    assert found("AP044", users=users, routes=routes) == []


def test_a_delegated_token_is_no_good_at_the_apis(found):
    """
    ZITADEL's APIs refuse tokens with an actor, whatever they ask for.
    """
    exchange = (
        "x: {issuer: z, method: token_exchange, client_id: c, client_secret: {file: secret}, "
        f"subject: {{user_id: '7'}}, actor: {{service_user: u}}, scopes: ['{APIS}']}}"
    )
    users = f"{GOOD['users'].removesuffix('}')}, {exchange}}}"
    routes = ANY.replace("service_user: u", "service_user: x")

    assert found("AP033", users=users, routes=routes) == []
    assert found("AP032", users=users, routes=routes) == [("AP032", "routes[0].match")]


def test_a_route_that_names_callers_closes_an_open_listener(found):
    """
    If every route asks who calls, a listener that asks nobody opens nothing.
    """
    listen = "listen: [{address: 10.0.0.1:80, callers: [anonymous]}]"
    closed = found("AP020", listen=listen, callers=CI, routes=f"routes: [{route('callers: [ci]')}]")
    opened = found("AP020", listen=listen, callers=CI, routes=GOOD["routes"])

    assert closed == []
    assert opened == [("AP020", "listen[0].callers")]


@pytest.mark.parametrize(
    ("mode", "folder_mode", "rules"),
    [
        (0o600, 0o700, []),
        (0o640, 0o755, ["AP012"]),
        (0o660, 0o700, ["AP011", "AP012"]),
        (0o600, 0o1777, []),
    ],
    ids=["private", "group-reads", "group-writes", "sticky-folder"],
)
def test_who_may_read_and_change_a_key(found, folder, mode, folder_mode, rules):
    """
    Rights count as they are on the file and on the folder it could be replaced in.
    """
    inner = folder / "keys"
    inner.mkdir()
    (folder / "long.json").rename(inner / "long.json")
    (inner / "long.json").chmod(mode)
    inner.chmod(folder_mode)

    hits = found(users=GOOD["users"].replace("long.json", "keys/long.json"))

    assert hits == [(rule, "service_users.u.key_file") for rule in rules]


@pytest.mark.parametrize(
    ("mode", "folder_mode", "hits"),
    [
        (0o644, 0o755, []),
        (0o664, 0o755, ["AP011"]),
        (0o666, 0o755, ["AP010"]),
        (0o644, 0o777, ["AP010"]),
        (0o644, 0o1777, []),
    ],
    ids=["good", "group-writes", "all-write", "open-folder", "sticky-folder"],
)
def test_who_may_change_an_authority(found, folder, mode, folder_mode, hits):
    """
    Whoever can change or replace what is trusted can stand in for the issuer.
    """
    inner = folder / "tls"
    inner.mkdir()
    (folder / "ca.pem").rename(inner / "ca.pem")
    (inner / "ca.pem").chmod(mode)
    inner.chmod(folder_mode)
    issuers = "issuers: {z: {url: 'https://acme.zitadel.cloud', ca_file: tls/ca.pem}}"

    assert found(issuers=issuers) == [(rule, "issuers.z.ca_file") for rule in hits]


def test_a_public_file_may_be_read_by_all(audited):
    """
    A configuration without a secret in it is no secret.
    """
    assert audited("\n".join(GOOD.values()), mode=0o644).findings == ()


@pytest.mark.parametrize("mark", ["folder", "file"])
def test_a_work_tree_is_seen_from_below(found, folder, mark):
    """
    A `.git` in any folder above counts, in a linked work tree too, where it is a file.
    """
    git = folder.parent / ".git"
    if mark == "folder":
        git.mkdir()
    else:
        git.write_text("gitdir: elsewhere")

    assert found() == [("AP014", "service_users.u.key_file")]


@pytest.mark.parametrize(
    ("now", "rule"),
    [("2029-11-30", ""), ("2029-12-03", "AP005"), ("2030-01-01", "AP004"), ("2031-01-01", "AP004")],
)
def test_a_key_has_its_time(audited, now, rule):
    """
    From thirty days before its end a key is said to end, from its last second to have ended.
    """
    from proxy.config.values import parse_date

    report = audited("\n".join(GOOD.values()), now=parse_date(now))

    assert [each.rule.id for each in report.findings] == ([rule] if rule else [])


@pytest.mark.parametrize(
    ("host", "same"),
    [
        ("orders.acme.com", "acme.com"),
        ("acme.com.", "acme.com"),
        ("a.b.co.uk", "co.uk"),
        ("orders", "orders"),
        ("10.0.0.1", "10.0.0.1"),
        ("fd00::1", "fd00::1"),
    ],
)
def test_owners_are_guessed_by_two_labels(host, same):
    """
    The last two labels stand for the owner; addresses stand for themselves.
    """
    assert domain(host) == same


def test_rules_are_well_formed():
    """
    Ids are unique and in order, names are unique, and each sentence is one.
    """
    ids = [rule.id for rule in RULES]
    assert ids == sorted(set(ids))
    assert all(re.fullmatch(r"AP\d{3}", each) for each in ids)
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", rule.name) for rule in RULES)
    assert [
        rule.id for rule in RULES if rule.title.endswith(".") or not rule.why.endswith(".")
    ] == []


def test_the_page_has_the_rules_as_they_are():
    """
    The table in docs/howto/audit.md is the registry's, row by row.
    """
    rows = [f"| {each.id} | {each.severity} | {each.title} | {each.why} |" for each in RULES]

    assert re.findall(r"^\| AP\d.*$", PAGE, re.MULTILINE) == rows


@pytest.mark.parametrize("bar", SEVERITIES)
def test_severities_are_ranked(bar):
    """
    High is the worst, and each is at least as bad as itself.
    """
    assert at_least("high", bar)
    assert at_least(bar, bar)
    assert at_least("note", bar) == (bar == "note")
