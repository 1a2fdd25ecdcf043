from __future__ import annotations

import json

import pytest

BROKEN = """\
version: 1
listen: 0.0.0.0:8080
issuers:
  zitadel: {url: ftp://acme.example}
service_users:
  reporter: {issuer: zitadle, method: personal_access_token, token: {file: nowhere}}
routes:
  - {name: a, upstream: "https://api.example/?q=1", service_user: reporter}
  - {name: a, match: {path: orders}, upstream: "https://api.example", service_user: reportr}
"""


def test_a_good_file_is_counted(call, config):
    """
    A configuration that can be used: code 0, and what is in it.
    """
    result = call("check", "--config", str(config))

    assert result.exit_code == 0
    assert result.stdout == f"ok  {config}: 1 listener, 1 issuer, 3 service users, 12 routes\n"
    assert result.stderr == ""


def test_a_good_file_as_json(call, config):
    """
    With --json the verdict is a document.
    """
    result = call("check", "--json", "--config", str(config))

    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"ok": True, "problems": [], "warnings": []}


def test_every_problem_is_listed(call, folder):
    """
    All problems at once in the order of the file, each with place, path and remedy; code 2.
    """
    (folder / "proxy.yaml").write_text(BROKEN)

    result = call("check")

    assert result.exit_code == 2
    assert result.stdout == ""
    *lines, count = result.stderr.splitlines()
    assert count == f"{len(lines)} problems"
    places = [line.split("  ")[1] for line in lines]
    assert places[0].startswith("listen")
    for place in (
        "issuers.zitadel.url",
        "service_users.reporter.issuer",
        "service_users.reporter.token",
    ):
        assert place in places
    positions = [tuple(map(int, line.split("  ")[0].split(":")[1:])) for line in lines]
    assert positions == sorted(positions)
    assert 'did you mean "zitadel"?' in result.stderr
    assert 'did you mean "reporter"?' in result.stderr
    assert any("upstream" in place for place in places)
    assert any("name" in place for place in places)
    assert any("match.path" in place for place in places)


def test_problems_as_json(call, folder):
    """
    With --json each problem has its file, line, column, path, text and remedy; still code 2.
    """
    (folder / "proxy.yaml").write_text(BROKEN)

    result = call("check", "--json")

    assert result.exit_code == 2
    found = json.loads(result.stdout)
    assert found["ok"] is False
    assert {"file", "line", "column", "path", "what", "instead"} == found["problems"][0].keys()
    assert {problem["file"] for problem in found["problems"]} == {"proxy.yaml"}
    assert all(problem["line"] > 0 for problem in found["problems"])
    assert len(found["problems"]) >= 7


def test_a_doubtful_file_is_usable_and_warned_about(call, config):
    """
    A warning does not make the configuration unusable, and shows no secret.
    """
    text = config.read_text()
    config.write_text(text.replace("profile]", "'urn:zitadel:iam:org:project:id:1']"))

    result = call("check", "--config", str(config))
    as_json = call("check", "--json", "--config", str(config))

    assert result.exit_code == as_json.exit_code == 0
    assert result.stderr.startswith(f"warning  {config}:")
    assert 'add ":aud"' in result.stderr
    assert len(json.loads(as_json.stdout)["warnings"]) == 1


def test_a_dead_credential_is_warned_about_and_refuses_nothing(call, config):
    """
    The other routes can be served: code 0, with the date and what to do.
    """
    text = config.read_text()
    config.write_text(text.replace("token: {file:", "expires: 2021-03-04\n    token: {file:"))

    result = call("check", "--config", str(config))
    as_json = call("check", "--json", "--config", str(config))

    assert result.exit_code == as_json.exit_code == 0
    assert "service_users.dev.expires  the token ended on 2021-03-04" in result.stderr
    assert result.stderr.rstrip().endswith("make a new one in the console")
    assert [each["path"] for each in json.loads(as_json.stdout)["warnings"]] == [
        "service_users.dev.expires"
    ]


def test_a_file_on_standard_input(call, config):
    """
    --config - reads standard input, and calls it so.
    """
    good = call("check", "--config", "-", stdin=config.read_bytes())
    bad = call("check", "--config", "-", stdin=b"version: 2\n")

    assert good.exit_code == 0
    assert "ok  stdin: " in good.stdout
    assert bad.exit_code == 2
    assert bad.stderr.startswith("stdin:1:")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no settings"),
        (b"\x00\x01\x02", ""),
        (b"version: 1\nversion: 1\n", "twice"),
        (b"a: [1, 2\n", "proxy.yaml:"),
        (b"- just\n- a list\n", "no settings"),
        (b"version: &a [*a]\n", ""),
        ("version: 1\nlisten: \u2028\n".encode(), ""),
        (b"\xff\xfe\x00", ""),
        (b"!!python/object/apply:os.system [id]\n", ""),
    ],
    ids=["empty", "zeros", "twice", "open", "list", "cycle", "separator", "utf-16", "tag"],
)
def test_what_is_no_configuration_is_refused_in_words(call, folder, content, said):
    """
    Whatever is in the file, `check` ends with code 2 and says something.
    """
    (folder / "proxy.yaml").write_bytes(content)

    result = call("check")

    assert result.exit_code == 2
    assert result.stderr
    assert said in result.stderr


def test_a_file_that_is_not_there_is_named(call):
    """
    A file named and not found is a problem with that name.
    """
    result = call("check", "--config", "elsewhere.yaml")

    assert result.exit_code == 2
    assert result.stderr.startswith("elsewhere.yaml  file  cannot be read")
    assert "write the path of a proxy.yaml that exists" in result.stderr


def test_a_secret_in_the_wrong_place_is_not_repeated(call, folder):
    """
    No message repeats a value, wherever it was put by mistake.
    """
    (folder / "proxy.yaml").write_text(
        "version: 1\nissuers: {z: {url: 'https://z.example', client_secret: s3cr3t-canary}}\n"
        "service_users: {u: {issuer: z, method: s3cr3t-canary, token: [s3cr3t-canary]}}\n"
        "routes: [{name: s3cr3t-canary!, upstream: 's3cr3t-canary', service_user: s3cr3t-canary}]\n"
    )

    result = call("check")
    as_json = call("check", "--json")

    assert result.exit_code == as_json.exit_code == 2
    assert "s3cr3t-canary" not in result.output + as_json.output
