from __future__ import annotations

import json
import shutil
import subprocess

import click
import pytest

from proxy.cli.curl_arguments import Options, headers, method
from proxy.cli.curl_urls import Asked, Finder, rewritten_file
from proxy.config.load import load
from proxy.private.settings import private_settings

HELP = """\
Usage: curl [options...] <url>
 -K, --config <file>      Read config from a file
 -c, --cookie-jar <filename> Write cookies to <filename> after operation
     --compressed         Request compressed response
 -d, --data <data>        HTTP POST data
     --data-raw <data>    HTTP POST data, '@' allowed
 -G, --get                Put the post data in the URL and use GET
 -I, --head               Show document info only
 -H, --header <header/@file> Pass custom header(s) to server
     --json <data>        HTTP POST JSON
 -:, --next               Make next URL use its separate set of options
 -X, --request <method>   Specify request method to use
 -s, --silent             Silent mode
 -S, --show-error         Show error even when -s is used
 -T, --upload-file <file> Transfer local FILE to destination
     --url <url>          URL to work with
"""

OPTIONS = Options.read(HELP)

ROUTES = """
version: 1
issuers: {zitadel: {url: "https://acme.zitadel.cloud"}}
service_users:
  one: {issuer: zitadel, method: client_credentials, client_id: a, client_secret: {env: A}}
  two: {issuer: zitadel, method: client_credentials, client_id: b, client_secret: {env: A}}
routes:
  - {name: api, match: {path: /management/v1/}, upstream: "https://acme.zitadel.cloud", service_user: one}
  - name: orders
    match: {path: /orders/}
    upstream: https://api.example.com
    rewrite_path: /v2/orders/
    service_user: two
  - name: inner
    match: {host: inner.internal, methods: [POST], headers: {x-kind: a}}
    upstream: https://in.example.com
    service_user: two
"""

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["/a", "http://b/"], [("", "/a"), ("", "http://b/")]),
        (
            ["-sSXPOST", "/a"],
            [("silent", None), ("show-error", None), ("request", "POST"), ("", "/a")],
        ),
        (["-sX", "PUT"], [("silent", None), ("request", "PUT")]),
        (["-c", "/jar", "/a"], [("cookie-jar", "/jar"), ("", "/a")]),
        (
            ["--header", "A: /b", "--compressed", "/a"],
            [("header", "A: /b"), ("compressed", None), ("", "/a")],
        ),
        (["--cookie", "/jar"], [("cookie-jar", "/jar")]),
        (["--url", "/a", "--brand-new", "/b"], [("url", "/a"), ("brand-new", None), ("", "/b")]),
        (["-s", "--", "-a", "--url"], [("silent", None), ("--", None), ("", "-a"), ("", "--url")]),
        (["-H"], [("header", None)]),
        (["-", "-d-"], [("", "-"), ("data", "-")]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value[0], str) else "",
)
def test_urls_are_told_from_options_and_their_values(line, words):
    """
    As the installed curl says of its options; nothing is lost, and nothing gets another meaning.
    """
    split = list(OPTIONS.split(line))

    assert [(word.name, word.value) for word in split] == words


@pytest.mark.parametrize(
    ("line", "verb"),
    [
        ([], "GET"),
        (["-I"], "HEAD"),
        (["-d", "x"], "POST"),
        (["--data-raw", "x"], "POST"),
        (["--json", "{}"], "POST"),
        (["-G", "-d", "x"], "GET"),
        (["-T", "file"], "PUT"),
        (["-d", "x", "-X", "PATCH"], "PATCH"),
    ],
    ids=" ".join,
)
def test_the_method_follows_from_the_options(line, verb):
    """
    Which route is taken may depend on it.
    """
    assert method(list(OPTIONS.split(line))) == verb


def test_headers_come_from_the_command_line():
    """
    Which route is taken may depend on them; what is none is curl's to complain about.
    """
    words = list(OPTIONS.split(["-H", "X-Kind: a", "-HX-B:1", "-H", "@file", "-H", "X-Gone;"]))

    assert headers(words) == {b"x-kind": b"a", b"x-b": b"1"}


@pytest.fixture
def finder(tmp_path):
    """
    Finds routes of ROUTES.
    """
    path = tmp_path / "proxy.yaml"
    path.write_text(ROUTES)
    settings = load(path, {"A": "secret"}, now=0.0).settings
    return Finder(private_settings(settings, tmp_path / "proxy.sock"))


@pytest.mark.parametrize(
    ("asked", "url", "users"),
    [
        (
            Asked("/management/v1/orgs/me"),
            "http://authproxy.internal/management/v1/orgs/me",
            {"one"},
        ),
        (
            Asked("https://acme.zitadel.cloud/management/v1/x?a=b"),
            "http://acme.zitadel.cloud/management/v1/x?a=b",
            {"one"},
        ),
        (
            Asked("acme.zitadel.cloud/management/v1/x"),
            "http://acme.zitadel.cloud/management/v1/x",
            {"one"},
        ),
        (
            Asked("http://api.example.com/v2/orders/1"),
            "http://api.example.com/v2/orders/1",
            {"two"},
        ),
        (Asked("/orders/[1-3]?{a,b}"), "http://authproxy.internal/orders/[1-3]?{a,b}", {"two"}),
        (Asked("/x", "POST", {b"x-kind": b"a"}), "http://inner.internal/x", {"two"}),
        (
            Asked("https://{acme,b}.zitadel.cloud/"),
            "http://{acme,b}.zitadel.cloud/",
            {"one", "two"},
        ),
    ],
    ids=lambda value: value.url if isinstance(value, Asked) else "",
)
def test_a_url_finds_its_route(finder, asked, url, users):
    """
    By its upstream's URL, by a route's host, or by a path alone; only its users are then minted for.
    """
    assert finder.rewritten(asked) == url
    assert finder.users == users


@pytest.mark.parametrize(
    "asked",
    [
        Asked("https://other.example.com/orders/1"),
        Asked("https://api.example.com/orders/1"),
        Asked("https://acme.zitadel.cloud:8443/management/v1/"),
        Asked("/nothing"),
        Asked("http://inner.internal/x", "GET", {b"x-kind": b"a"}),
        Asked("http://[::1]:8080/orders/1"),
    ],
    ids=lambda asked: asked.url,
)
def test_a_url_without_a_route_is_refused_with_the_routes_there_are(finder, asked):
    """
    Before anything is sent: a host nobody named must not get a token by its path.
    """
    with pytest.raises(click.ClickException) as caught:
        finder.rewritten(asked)

    assert caught.value.exit_code == 2
    first, title, *lines = caught.value.message.splitlines()
    assert first.startswith(f"no route leads to {asked.method} {asked.url}")
    assert title == "The routes are:"
    assert [line.split() for line in lines] == [
        ["api", "/management/v1/", "→", "https://acme.zitadel.cloud", "as", "one"],
        ["orders", "/orders/", "→", "https://api.example.com", "as", "two"],
        [
            "inner",
            "POST",
            "inner.internal/",
            "with",
            "x-kind:",
            "a",
            "→",
            "https://in.example.com",
            "as",
            "two",
        ],
    ]
    assert finder.users == set()


@pytest.mark.parametrize("url", ["http://127.0.0.1:7/a", "127.0.0.1:7/a", "[::1]:7/a"])
def test_a_url_without_a_scheme_means_what_the_upstream_speaks(tmp_path, url):
    """
    As curl itself asks by http:// then; an https:// URL there is refused, and the scheme is why.
    """
    host = url.removeprefix("http://").partition("/")[0]
    text = ROUTES.partition("routes:")[0]
    text += f'routes: [{{name: here, upstream: "http://{host}", service_user: one}}]\n'
    (tmp_path / "proxy.yaml").write_text(text)
    settings = load(tmp_path / "proxy.yaml", {"A": "secret"}, now=0.0).settings
    finder = Finder(private_settings(settings, tmp_path / "proxy.sock"))

    assert finder.rewritten(Asked(url)) == f"http://{host}/a"
    with pytest.raises(click.ClickException, match="is an http:// one; write http://"):
        finder.rewritten(Asked(f"https://{host}/a"))


def test_many_routes_are_not_all_listed(tmp_path):
    """
    Where no route leads to a URL, a screen's worth of them is said.
    """
    rows = "".join(
        f'  - {{name: "r{n}", match: {{path: /r{n}}}, upstream: "https://a.example", '
        "service_user: one}\n"
        for n in range(25)
    )
    (tmp_path / "proxy.yaml").write_text(f"{ROUTES.partition('routes:')[0]}routes:\n{rows}")
    settings = load(tmp_path / "proxy.yaml", {"A": "secret"}, now=0.0).settings

    with pytest.raises(click.ClickException) as caught:
        Finder(private_settings(settings, tmp_path / "proxy.sock")).rewritten(Asked("/none"))

    assert len(caught.value.message.splitlines()) == 23
    assert caught.value.message.endswith("\nand 5 more")


def test_a_url_that_is_not_http_is_refused(finder):
    """
    Other schemes go past every route.
    """
    with pytest.raises(click.ClickException, match="ftp:// is not HTTP"):
        finder.rewritten(Asked("ftp://acme.zitadel.cloud/x"))


def test_urls_in_a_file_of_options_are_rewritten():
    """
    However they are written; what `next` forgets is said again.
    """
    text = (
        'url = "https://a/x"\n--url https://b/y\nurl=https://c\nnext\nheader = "a: https://d"\n'
        'url = "/orders/1?a=b"\nurl=/orders/2\noutput = /tmp/url\n'
    )

    assert rewritten_file(text, [("proxy", "http://127.0.0.1:1")]) == (
        'url = "http://a/x"\n--url http://b/y\nurl=http://c\nnext\nproxy = "http://127.0.0.1:1"\n'
        'header = "a: https://d"\nurl = "http://authproxy.internal/orders/1?a=b"\n'
        "url=http://authproxy.internal/orders/2\noutput = /tmp/url\n"
    )


@needs_curl
async def test_curl_goes_through_the_routes(start, sandbox, config, folder):
    """
    A path and an upstream's URL, each with its own options; the proxy's variables are not asked.
    """
    (folder / "more").write_text(f'url = "{sandbox.url}/auth/v1/users/me"\nsilent\n')
    words = (
        "-sS",
        "/orders/7",
        "--next",
        "-sS",
        "-c",
        "jar",
        f"{sandbox.url}/management/v1/orgs/me",
    )
    more = {"http_proxy": "http://127.0.0.1:1", "AUTHPROXY_CONFIG": str(config)}

    ended = await (await start("curl", *words, **more)).end()
    by_file = await (await start("curl", "--config", str(config), "-K", "more")).end()

    assert (ended.code, ended.err) == (0, "")
    order, org = ended.out.replace("}{", "}\n{").splitlines()
    assert json.loads(order)["service_user"] == "reporter"
    assert json.loads(org)["org"]["name"] == "Sandbox"
    assert (folder / "jar").exists()
    assert (by_file.code, by_file.err) == (0, "")
    assert json.loads(by_file.out)["user"]["userName"] == "provisioner"


@needs_curl
async def test_no_token_shows_and_a_failure_is_explained(start, sandbox, config):
    """
    What curl tells holds no credential; what the proxy answers is explained on standard error; the
    exit code is curl's.
    """
    sandbox.faults.set("token-invalid-client")

    ended = await (
        await start("curl", "--config", str(config), "-vsf", "/dev/auth/v1/users/me")
    ).end()
    failed = await (await start("curl", "--config", str(config), "-sf", "/orders/1")).end()

    assert ended.code == 0
    assert "> GET http://authproxy.internal/dev/auth/v1/users/me" in ended.err
    assert "uthorization" not in ended.err
    assert sandbox.pat.reveal() not in ended.out + ended.err
    assert failed.code == 22
    assert "authproxy: GET /orders/1: 502 mint_rejected: " in failed.err
    assert sandbox.mints.requests == 1


@needs_curl
def test_what_is_not_about_a_url_is_left_to_curl(call, folder):
    """
    Its own complaints need no configuration; ours are about ways past the routes.
    """
    help_of_ours = call("curl", "--help")
    other_way = call("curl", "-x", "http://127.0.0.1:1", "/orders/1")

    assert help_of_ours.stdout.startswith("Usage: authproxy curl ")
    assert other_way.exit_code == 2
    assert "-x is another way to connect" in other_way.stderr


def test_a_machine_without_curl(call, folder):
    """
    It is said what is missing.
    """
    result = call("curl", "/orders/1", PATH=str(folder))

    assert result.exit_code == 1
    assert "there is no curl on this machine" in result.stderr


@needs_curl
def test_the_installed_curl_tells_its_options():
    """
    Its help is still in the form that is read here.
    """
    text = subprocess.run(
        ["curl", "--help", "all"], capture_output=True, text=True, check=True
    ).stdout
    options = Options.read(text)

    assert options.short["X"] == "request"
    assert (options.valued["request"], options.valued["silent"]) == (True, False)
    assert options.valued["next"] is False
