"""
What single values look like: durations, dates, files, and the types of all that is one text.

Each is written in proxy.yaml as text with its unit, parsed once, and a number or frozen value from
there on. The parsers raise `wrong(…)` and never repeat what they were given.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from proxy.config.network import (
    NETWORK,
    PATH,
    Address,
    Network,
    Url,
    parse_address,
    parse_admin,
    parse_network,
    parse_path,
    parse_url,
)
from proxy.config.section import wrong

DURATION: Final = r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h)"
_ADDRESS: Final = "unix:/.+|[^:*].*:[0-9]{1,5}"
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_STEPS: Final = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}

MAX_SECONDS: Final = 24 * 3600.0
"""A deadline of more than a day is a mistake (limit of ours)."""


def parse_duration(value: object, least: float = 0.001, most: float = MAX_SECONDS) -> float:
    """
    Return seconds for text such as `5s`, `500ms`, `2m`, `1h`; only from *least* to *most* of them.
    """
    found = re.fullmatch(DURATION, value) if isinstance(value, str) else None
    if found is None:
        bare = isinstance(value, (int, float)) and not isinstance(value, bool)
        bare = bare or (isinstance(value, str) and value.replace(".", "", 1).isdecimal())
        raise wrong(
            "has no unit" if bare else "is no duration", "write it like 5s, 500ms, 2m or 1h"
        )
    seconds = float(found[1]) * _UNITS[found[2]]
    if not least <= seconds <= most:
        span = f"write something from {show_duration(least)} to {show_duration(most)}"
        raise wrong("is out of range", span)
    return seconds


def show_duration(seconds: float) -> str:
    """
    Return *seconds*, to the millisecond, with the largest unit that needs no fraction.
    """
    thousandths = round(seconds * 1000)
    if not thousandths:
        return "0s"
    unit = next(unit for unit, size in _STEPS.items() if not thousandths % size)
    return f"{thousandths // _STEPS[unit]}{unit}"


def parse_date(value: object) -> float:
    """
    Return seconds since the epoch for `2027-01-31` (its first instant, UTC) or an RFC 3339 time.
    """
    try:
        moment = datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise wrong("is no date", "write it like 2027-01-31 or 2027-01-31T12:00:00Z") from None
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()


def parse_file(value: object) -> Path:
    """
    Return the path; a relative one starts at the folder of the configuration file.
    """
    if isinstance(value, list):
        raise wrong("is a list, and only one file can stand here", "write one path")
    if not isinstance(value, str) or not value or not value.isprintable():
        raise wrong("is no file's path", "write one, such as /run/secrets/name")
    if value.startswith("-----BEGIN"):
        raise wrong(
            "is a key or certificate itself", "save it to a file and write that file's path"
        )
    return Path(value)


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()


Seconds = Annotated[
    float,
    PlainValidator(parse_duration),
    PlainSerializer(show_duration),
    WithJsonSchema({"type": "string", "pattern": f"^{DURATION}$"}),
]
ListenAddress = Annotated[
    Address,
    PlainValidator(parse_address),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "pattern": f"^({_ADDRESS})$"}),
]
AdminAddress = Annotated[
    Address | None,
    PlainValidator(parse_admin),
    PlainSerializer(lambda address: str(address or "off")),
    WithJsonSchema({"type": "string", "pattern": f"^(off|{_ADDRESS})$"}),
]
HttpUrl = Annotated[
    Url,
    PlainValidator(parse_url),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://[^/?#@]+(/[^?#]*)?$"}),
]
IpNetwork = Annotated[
    Network,
    PlainValidator(parse_network),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "pattern": f"^{NETWORK}$"}),
]
UrlPath = Annotated[
    str, PlainValidator(parse_path), WithJsonSchema({"type": "string", "pattern": f"^{PATH}$"})
]
Date = Annotated[
    float,
    PlainValidator(parse_date),
    PlainSerializer(_iso),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}"}),
]
File = Annotated[
    Path,
    PlainValidator(parse_file),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "minLength": 1}),
]
