"""
What the log looks like, and how much of it there is.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from proxy.config.section import Section


class Log(Section):
    """
    The lines on standard output.
    """

    format: Literal["auto", "json", "ecs", "combined", "logfmt", "console"] = Field(
        default="auto",
        description=(
            "The form of its lines: json, ecs (Elastic Common Schema), combined (as Apache and nginx "
            "write requests; other events are logfmt), logfmt, console (for a person), or auto: "
            "console on a terminal, else json. --log-format and AUTHPROXY_LOG_FORMAT go before. "
            "Default: auto."
        ),
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info",
        description=(
            "The lowest level of events that are written; requests have a setting of their own. "
            "Default: info."
        ),
    )
    requests: Literal["all", "errors", "off"] = Field(
        default="all",
        description=(
            "Which requests have a line: all, errors (status 400 and above, and whatever else went "
            "wrong), or off. Default: all."
        ),
    )
