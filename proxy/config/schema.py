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
    groups = schema["$defs"]
    ids = ["key_pem_file", "key_id", "user_id"]
    groups["PrivateKeyJwt"]["oneOf"] = [
        {"required": ["key_file"], **_without(ids)},
        {"required": ids, **_without(["key_file"])},
    ]
    for name in ("ClientCredentials", "TokenExchange"):
        groups[name]["oneOf"] = _client_proofs()
    party = groups["ExchangeParty"]
    party["oneOf"] = [{"required": [way]} for way in ("service_user", "user_id", "token")]
    party["dependentRequired"] = {"type": ["token"]}
    groups["TokenExchange"] |= {
        "if": {"properties": {"subject": {"required": ["user_id"]}}},
        "then": {"required": ["actor"]},
    }
    groups["Caller"]["minProperties"] = groups["UnixCaller"]["minProperties"] = 1
    groups["Introspection"]["oneOf"] = [
        {"required": ["key_file"], **_without(["client_id", "client_secret"])},
        {"required": ["client_id", "client_secret"], **_without(["key_file"])},
    ]
    ways = [name for name in groups["Caller"]["properties"] if name != "limits"]
    groups["Caller"]["anyOf"] = [{"required": [way]} for way in ways]
    groups["RateLimits"] |= _some_limit()
    _tidy(schema)
    return {"$schema": DRAFT, "title": "proxy.yaml", **schema}


def _without(names: list[str]) -> dict[str, Any]:
    return {"not": {"anyOf": [{"required": [name]} for name in names]}}


def _client_proofs() -> list[dict[str, Any]]:
    """
    Return the ways a client may prove who it is: by a secret, or by a key.
    """
    by_key = {"client_auth": {"const": "private_key_jwt"}}
    strays = ["key_pem_file", "key_id", "algorithm", "assertion_audience"]
    return [
        {
            "required": ["client_secret"],
            "properties": {"client_auth": {"enum": ["basic", "post"]}},
            **_without(strays),
        },
        {
            "required": ["client_auth", "key_pem_file"],
            "properties": by_key,
            **_without(["client_secret"]),
        },
    ]


def _some_limit() -> dict[str, Any]:
    """
    Return what limits must say: a rate or a number that is not off, and no burst without a rate.
    """
    is_on = {"not": {"const": "off"}}
    rate, concurrent = (
        {"required": [name], "properties": {name: is_on}} for name in ("rate", "concurrent")
    )
    return {"anyOf": [rate, concurrent], "dependentSchemas": {"burst": rate}}


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
