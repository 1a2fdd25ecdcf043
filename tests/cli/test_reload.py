from __future__ import annotations

import json

import pytest

from proxy.cli import reload

DONE = {"outcome": "reloaded", "generation": 4, "changes": [], "problems": [], "warnings": []}


@pytest.fixture
def answered(call, monkeypatch, config):
    """
    Run `reload` with this answer of the proxy's.
    """
    asked = []

    def run(status, told, *words):
        def answer(_ctx, _address, path, method, _key):
            asked.append((method, path))
            return status, told if isinstance(told, str) else json.dumps(told)

        monkeypatch.setattr(reload, "answer", answer)
        result = call("reload", "--config", str(config), *words)
        assert asked.pop() == ("POST", "/reload")
        return result

    return run


async def test_what_changed_is_said(answered):
    """
    The outcome first, then each change; doubts go to standard error.
    """
    told = DONE | {"changes": ["route a is new\x1b[2J"], "warnings": ["proxy.yaml:3 hm"]}

    result = answered(200, told)

    assert result.exit_code == 0
    assert result.stdout == "reloaded: generation 4 serves\n  route a is new[2J\n"
    assert result.stderr == "warning  proxy.yaml:3 hm\n"


async def test_nothing_to_change_is_well(answered):
    """
    Code 0, and that nothing has changed.
    """
    result = answered(200, DONE | {"outcome": "unchanged"})

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "nothing has changed: generation 4 goes on serving\n"


async def test_a_refused_configuration_is_code_1(answered):
    """
    Every problem, and that the earlier one goes on.
    """
    told = DONE | {"outcome": "rejected", "problems": ["proxy.yaml:3:1  x  is wrong", "and more"]}

    result = answered(422, told)
    as_json = answered(422, told, "--json")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        "proxy.yaml:3:1  x  is wrong",
        "and more",
        "refused: generation 4 goes on serving",
    ]
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout) == told


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        (
            404,
            "no such page",
            "not done (404): no such page; this proxy is of a version that does not reload",
        ),
        (401, "send the admin key\n", "not done (401): send the admin key"),
        (200, "[]", "not done (200): []"),
    ],
)
async def test_another_answer_is_code_1(answered, status, text, said):
    """
    An older proxy, a missing key, or something else altogether.
    """
    result = answered(status, text)

    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"{said}\n")
