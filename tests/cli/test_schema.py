from __future__ import annotations

import json

import yaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]


def test_the_schema_takes_what_the_sandbox_writes(call, config):
    """
    `schema` prints a valid JSON Schema that accepts a whole working file and refuses a broken one.
    """
    result = call("schema")

    assert result.exit_code == 0
    schema = json.loads(result.stdout)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    document = yaml.safe_load(config.read_text())
    assert list(validator.iter_errors(document)) == []
    document["routes"][0]["upstraem"] = "https://api.example"
    assert list(validator.iter_errors(document))
