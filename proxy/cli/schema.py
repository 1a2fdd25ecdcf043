"""
`authproxy schema`: the JSON Schema of proxy.yaml, for editors.
"""

from __future__ import annotations

import json

import click

from proxy.config.schema import json_schema


@click.command("schema")
def command() -> None:
    """
    Print the JSON Schema of proxy.yaml.

    Save it, and name it in the first line of proxy.yaml for completion in editors:
    # yaml-language-server: $schema=./proxy.schema.json
    """
    click.echo(json.dumps(json_schema(), indent=2))
