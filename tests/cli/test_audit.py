from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
WHOLE = next(example for example in EXAMPLES if "version: 1" in example)

PAGE = (ROOT / "docs/howto/audit.md").read_text()

CANARY = "hunter2Canary"
RISKY = f"""\
version: 1
listen: [{{address: 10.0.0.1:8080, callers: [anonymous]}}]
issuers: {{z: {{url: "https://acme.zitadel.cloud"}}}}
service_users:
  dev: {{issuer: z, method: personal_access_token, token: {CANARY}}}
routes:
  - {{name: orders, match: {{path: /orders/}}, upstream: "https://orders.acme.com", service_user: dev}}
"""


@pytest.fixture
def risky(folder):
    """
    A configuration with findings of several severities, two of them high.
    """
    path = folder / "proxy.yaml"
    path.write_text(RISKY)
    path.chmod(0o600)
    return path


@pytest.fixture
def safe(config):
    """
    The sandbox's own configuration, whose worst finding is a medium one.
    """
    return config


def test_findings_for_people(call, risky):
    """
    Severity, rule, place, what, why and what to write instead; the worst first, and counts.
    """
    result = call("audit")

    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0] == "high    AP020  proxy.yaml:2:35  listen[0].callers"
    assert lines[1].startswith(
        "        whoever can reach this machine may use its service users; write"
    )
    assert lines[2].startswith("        The network then is the only thing")
    assert lines[3] == "high    AP001  proxy.yaml:5:51  service_users.dev.token"
    assert re.fullmatch(r"2 high, \d medium, \d low, \d note", lines[-1])


def test_findings_for_scripts(call, risky):
    """
    One JSON document: the verdict, counts by severity, and each finding with all its facts.
    """
    result = call("audit", "--format", "json")

    assert result.exit_code == 1
    said = json.loads(result.stdout)
    first = said["findings"][0]
    assert said["ok"] is False
    assert said["file"] == "proxy.yaml"
    assert said["counts"]["high"] == 2
    assert sum(said["counts"].values()) == len(said["findings"])
    assert first.pop("why").endswith(".")
    assert first == {
        "file": "proxy.yaml",
        "rule": "AP020",
        "name": "anonymous-listener",
        "severity": "high",
        "line": 2,
        "column": 35,
        "path": "listen[0].callers",
        "what": "whoever can reach this machine may use its service users",
        "instead": "write callers: [NAME, …], or listen on 127.0.0.1 or a Unix socket",
    }


def test_findings_for_code_hosts(call, risky):
    """
    SARIF 2.1.0 on standard output, by this version of the program.
    """
    result = call("audit", "--format", "sarif")

    assert result.exit_code == 1
    log = json.loads(result.stdout)
    assert log["version"] == "2.1.0"
    assert log["runs"][0]["tool"]["driver"]["name"] == "authproxy"
    assert log["runs"][0]["results"][0]["ruleId"] == "AP020"


@pytest.mark.parametrize("form", ["text", "json", "sarif"])
def test_no_secret_is_printed(call, risky, form):
    """
    The secret in the file is reported, not repeated.
    """
    result = call("audit", "--format", form, ZITADEL_PAT=CANARY)

    assert "AP001" in result.stdout
    assert CANARY not in result.output


@pytest.mark.parametrize(
    ("bar", "bad", "good"),
    [("never", 0, 0), ("high", 1, 0), ("medium", 1, 1), ("low", 1, 1)],
)
def test_the_bar_decides_the_exit_code(call, risky, safe, bar, bad, good):
    """
    1 if a finding is as bad as --fail-on says or worse, else 0; the findings are the same.
    """
    on_bad = call("audit", "--fail-on", bar)
    on_good = call("audit", "--fail-on", bar, "--config", str(safe))

    assert (on_bad.exit_code, on_good.exit_code) == (bad, good)
    assert on_bad.stdout == call("audit").stdout


def ending_key(safe):
    """
    Return the sandbox's key file, made to be its owner's alone and to end one day.
    """
    key = next(
        path for path in safe.parent.glob("*.json") if '"serviceaccount"' in path.read_text()
    )
    key.chmod(0o600)
    key.write_text(
        json.dumps(json.loads(key.read_text()) | {"expirationDate": "2199-01-01T00:00:00Z"})
    )
    return key


def test_nothing_found_is_said(call, safe):
    """
    A configuration without findings is four zeros.
    """
    key = ending_key(safe)
    safe.write_text(
        WHOLE.replace("key.json", key.name)
        + "listen: unix:/run/authproxy/proxy.sock\nadmin: unix:/run/authproxy/admin.sock\n"
    )

    result = call("audit", "--fail-on", "low", "--config", str(safe))

    assert result.exit_code == 0
    assert result.stdout == "0 high, 0 medium, 0 low, 0 note\n"


def test_the_page_shows_what_is_printed(call, folder, safe):
    """
    The example in docs/howto/audit.md is a run of the configuration above it.
    """
    example, shown = re.findall(r"^```(?:yaml)?\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[:2]
    ending_key(safe).rename(folder / "key.json")
    (folder / "proxy.yaml").write_text(example)

    result = call("audit")

    assert shown == f"$ authproxy audit\n{result.stdout}"


def test_what_cannot_be_used_is_not_audited(call, folder):
    """
    Code 2, with the problems `check` would show, and nothing on standard output.
    """
    (folder / "proxy.yaml").write_text("version: 2\n")

    result = call("audit", "--format", "sarif")

    assert result.exit_code == 2
    assert result.stdout == ""
    assert "proxy.yaml:1:1" in result.stderr


def test_standard_input_is_audited(call):
    """
    Findings have lines there too; SARIF has no file to point into.
    """
    text = call("audit", "--config", "-", stdin=RISKY.encode())
    sarif = call("audit", "--config", "-", "--format", "sarif", stdin=RISKY.encode())

    assert text.stdout.startswith("high    AP020  stdin:2:35  listen[0].callers")
    (location,) = json.loads(sarif.stdout)["runs"][0]["results"][0]["locations"]
    assert "physicalLocation" not in location


def test_variables_are_audited(call):
    """
    A start without a file has findings without lines.
    """
    environ = {
        "AUTHPROXY_ISSUER": "https://acme.zitadel.cloud",
        "AUTHPROXY_UPSTREAM": "https://acme.zitadel.cloud",
        "AUTHPROXY_TOKEN": CANARY,
    }

    result = call("audit", "--format", "json", **environ)
    text = call("audit", **environ)

    assert text.stdout.startswith("high    AP033  environment  routes[0].match\n")
    found = {each["rule"]: each for each in json.loads(result.stdout)["findings"]}
    assert CANARY not in result.stdout
    assert {"AP002", "AP003", "AP007", "AP022", "AP033"} <= found.keys()
    assert found["AP007"]["file"] == "environment"
    assert found["AP007"]["line"] == 0
    assert found["AP007"]["path"].endswith(".token")


def test_the_starter_has_no_high_finding(call):
    """
    What everybody begins with is nothing to be ashamed of.
    """
    result = call("audit", "--format", "json", "--config", str(ROOT / "proxy.yaml"))

    assert result.exit_code == 0
    assert json.loads(result.stdout)["counts"]["high"] == 0


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_readmes_examples_have_no_high_finding(call, folder, sandbox, example):
    """
    Nobody copies a hole from the first page.
    """
    written = sandbox.write(folder / "sandbox")
    key = next(
        path for path in written.parent.glob("*.json") if '"serviceaccount"' in path.read_text()
    )
    key.rename(folder / "key.json")
    text = example if "version: 1" in example else WHOLE + example
    (folder / "proxy.yaml").write_text(text)

    result = call("audit", "--format", "json")

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["counts"]["high"] == 0
