"""
Where a secret comes from: a file, a variable, systemd's credentials; or the text itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - pydantic reads annotations at run time
from typing import Annotated, Final

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from proxy.config.section import wrong
from proxy.config.values import parse_file
from proxy.core.secret import Secret

_VARIABLE: Final = r"[A-Za-z_][A-Za-z0-9_]{0,127}"
_CREDENTIAL: Final = r"[A-Za-z0-9_@:-][A-Za-z0-9_@:.-]{0,127}"


@dataclass(frozen=True, slots=True)
class SecretFile:
    """
    In a file; a relative path starts at the configuration file's folder.
    """

    path: Path


@dataclass(frozen=True, slots=True)
class SecretEnv:
    """
    In an environment variable.
    """

    name: str


@dataclass(frozen=True, slots=True)
class SecretCredential:
    """
    Among the credentials systemd hands a service (`LoadCredential=`).
    """

    name: str


SecretSource = SecretFile | SecretEnv | SecretCredential | Secret

_FORMS: Final = "{file: PATH}, {env: NAME} or {credential: NAME}"


def parse_source(value: object) -> SecretSource:
    """
    Return where the secret comes from; bare text is the secret itself.
    """
    if isinstance(value, str):
        return _bare(value)
    if isinstance(value, (int, float)):
        raise wrong("is no text", f"write {_FORMS}")
    if not isinstance(value, dict) or len(value) != 1:
        raise wrong("is no secret's source", f"write one of {_FORMS}")
    form, name = next(iter(value.items()))
    if form == "file":
        return SecretFile(parse_file(name))
    text = name if isinstance(name, str) else ""
    if form == "env":
        if not re.fullmatch(_VARIABLE, text):
            raise wrong(
                "names no environment variable",
                "write its name without $, as in {env: ZITADEL_PAT}",
            )
        return SecretEnv(text)
    if form == "credential":
        if not re.fullmatch(_CREDENTIAL, text):
            raise wrong("names no credential", "write the name LoadCredential= gives it")
        return SecretCredential(text)
    raise wrong("is no secret's source", f"write one of {_FORMS}")


def _bare(value: str) -> Secret:
    if not value.strip():
        raise wrong("is empty", f"write {_FORMS}")
    if value.startswith("$"):
        raise wrong("is a variable's name, which is not replaced here", "write {env: NAME}")
    return Secret(value)


def _shown(source: SecretSource) -> dict[str, str] | str:
    match source:
        case SecretFile(path):
            return {"file": str(path)}
        case SecretEnv(name):
            return {"env": name}
        case SecretCredential(name):
            return {"credential": name}
        case Secret():
            return str(source)


SecretSetting = Annotated[
    SecretSource,
    PlainValidator(parse_source),
    PlainSerializer(_shown),
    WithJsonSchema(
        {
            "oneOf": [
                {
                    "type": "object",
                    "properties": {form: {"type": "string", "description": text, "minLength": 1}},
                    "required": [form],
                    "additionalProperties": False,
                }
                for form, text in (
                    ("file", "File that holds the secret and nothing else."),
                    ("env", "Environment variable that holds the secret."),
                    ("credential", "Name of a systemd credential (LoadCredential=)."),
                )
            ]
            + [{"type": "string", "minLength": 1, "description": "The secret itself: not advised."}]
        }
    ),
]
