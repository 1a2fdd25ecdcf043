"""
The description of the admin listener's API against a running proxy.
"""

from __future__ import annotations

from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

import proxy

API = yaml.safe_load(
    (Path(proxy.__file__).parent.parent / "docs/reference/admin-api.yaml").read_text()
)


def described():
    """
    Yield each method and path that is described.
    """
    for path, item in API["paths"].items():
        for method in item:
            yield method.upper(), path


def closed(schema):
    """
    Return a schema of which no object may have more than it says.
    """
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    if "properties" in made and "allOf" not in made:
        made["unevaluatedProperties"] = False
    return made


def check(value, name):
    """
    Hold a value against one of the schemas, which must name everything it has.
    """
    schema = {"$ref": f"#/components/schemas/{name}", **closed_components()}
    jsonschema.Draft202012Validator(schema).validate(value)


def closed_components():
    """
    Return the schemas; those that others are made of stay open.
    """
    schemas = API["components"]["schemas"]
    open_ones = {"Outcome": schemas["Outcome"]}
    config = schemas["Status"]["properties"]["config"]
    made = closed({name: schema for name, schema in schemas.items() if name != "Outcome"})
    made["Status"]["properties"]["config"] = config
    return {"components": {"schemas": {**made, **open_ones}}}


async def test_every_route_is_described_and_there(serve):
    """
    Neither more nor less than the listener has.
    """
    through = await serve()
    routes = through.runtime._administration._admin.application().router.routes()
    there = {(route.method, route.resource.canonical) for route in routes if route.method != "HEAD"}

    assert there == set(described())


async def test_answers_are_as_described(serve, session):
    """
    With every field described, in and out of trouble.
    """
    through = await serve(
        lambda document: document["routes"].append(
            {
                "name": "down",
                "match": {"path": "/down/"},
                "upstream": "http://127.0.0.1:9",
                "service_user": "reporter",
            }
        )
    )
    base = f"http://{through.runtime.admin}"
    for path in ("/orders/1", "/nowhere", "/down/1"):
        await through("GET", path)

    async def asked(method, path):
        async with session.request(method, base + path) as response:
            return response.status, await response.json()

    status, told = await asked("GET", "/status.json")
    assert status == 200
    assert len(told["failures"]) == 2
    check(told, "Status")
    for path in ("/explain?url=/orders/1", "/explain?url=/nowhere"):
        check((await asked("GET", path))[1], "Explanation")
    check((await asked("POST", "/service-users/dev/revoke?streams=cut"))[1], "Changed")
    check((await asked("POST", "/service-users/dev/allow"))[1], "Changed")
    status, told = await asked("POST", "/reload")
    assert (status, told["outcome"]) == (200, "unchanged")
    check(told, "Outcome")


@pytest.mark.parametrize("name", ["Status", "ServiceUser", "Route", "Failure", "Explanation"])
def test_what_is_required_is_described(name):
    """
    And what is described is always there.
    """
    schema = API["components"]["schemas"][name]

    assert set(schema["required"]) == set(schema["properties"])
