"""
The JSON Schema of proxy.yaml, for editors.

Made from the models; only the ways of writing are added that the models never see: one address
instead of a list of listeners. What a schema cannot say (references, ties, files) `check` says.
"""

from __future__ import annotations

from typing import Any, Final

from proxy.config.model import Settings

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """
    Return the schema of proxy.yaml, draft 2020-12, with every setting described.
    """
    schema = Settings.model_json_schema()
    listen = schema["properties"]["listen"]
    address = schema["$defs"]["Listener"]["properties"]["address"]
    listen["anyOf"] = [
        {"type": "string", "pattern": address["pattern"]},
        {key: listen.pop(key) for key in ("type", "items", "minItems")},
    ]
    key = schema["$defs"]["PrivateKeyJwt"]
    ids = ["key_pem_file", "key_id", "user_id"]
    absent = {"not": {"anyOf": [{"required": [name]} for name in ids]}}
    key["oneOf"] = [
        {"required": ["key_file"], **absent},
        {"required": ids, "not": {"required": ["key_file"]}},
    ]
    schema["$defs"]["Caller"] |= {"minProperties": 1, "maxProperties": 1}
    _tidy(schema)
    return {"$schema": DRAFT, "title": "proxy.yaml", **schema}


def _tidy(node: object) -> None:
    """
    Take out what pydantic adds for Python: titles, and null for what is left out.
    """
    if isinstance(node, list):
        for item in node:
            _tidy(item)
    if not isinstance(node, dict):
        return
    if isinstance(node.get("title"), str):
        del node["title"]
    options = node.get("anyOf")
    if isinstance(options, list) and {"type": "null"} in options:
        kept = [option for option in options if option != {"type": "null"}]
        del node["anyOf"]
        node.update(kept[0] if len(kept) == 1 else {"anyOf": kept})
    if "default" in node and node["default"] is None:
        del node["default"]
    for value in node.values():
        _tidy(value)
