"""
Whether requests are told to a collector of traces, and which.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated, Literal

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema

from proxy.config.network import Url, parse_url
from proxy.config.section import Section, Text, wrong

OFF = "off"


def parse_collector(value: object) -> Url | Literal["off"]:
    """
    Return `off`, or the collector's URL.
    """
    if value == OFF:
        return "off"
    if isinstance(value, bool):
        raise wrong("is no URL", "write http://HOST:4318/v1/traces, or off")
    return parse_url(value)


Collector = Annotated[
    Url | Literal["off"],
    PlainValidator(parse_collector),
    PlainSerializer(str),
    WithJsonSchema(
        {"type": "string", "pattern": "^(off|[Hh][Tt][Tt][Pp][Ss]?://[^/?#@]+(/[^?#]*)?)$"}
    ),
]


def can_trace() -> bool:
    """
    Say whether what the extra `otel` brings is installed.
    """
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http.trace_exporter") is not None
    except ImportError:
        return False


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise wrong("is no share", "write a number from 0 to 1, such as 0.1")
    return float(value)


Share = Annotated[
    float,
    PlainValidator(_share),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1}),
]


class Traces(Section):
    """
    Spans of requests, told to an OpenTelemetry collector; needs the extra `otel`.
    """

    otlp_endpoint: Collector | None = Field(
        default=None,
        description=(
            "Where spans are sent by OTLP over HTTP, path included, such as "
            "http://localhost:4318/v1/traces; or off, whatever the environment says. Default: as "
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT say; without them, "
            "nowhere."
        ),
    )
    sample: Share = Field(
        default=0.1,
        description=(
            "The share of requests that are told of, from 0 to 1, where the caller does not say by "
            "its traceparent. Default: 0.1."
        ),
    )
    service_name: Text | None = Field(
        default=None,
        description=(
            "What this proxy is called in traces. Default: as OTEL_SERVICE_NAME says, else authproxy."
        ),
    )
