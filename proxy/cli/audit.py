"""
`authproxy audit`: what does this configuration allow that somebody may regret?
"""

from __future__ import annotations

import json
import os
import time
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final, Literal

import click

from proxy.audit.evidence import gather
from proxy.audit.report import audit
from proxy.audit.rule import SEVERITIES
from proxy.audit.sarif import document
from proxy.cli.terminal import config_option, load_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.audit.report import Finding, Report
    from proxy.audit.rule import Severity

_COLOURS: Final[Mapping[Severity, str]] = {
    "high": "red",
    "medium": "yellow",
    "low": "cyan",
    "note": "white",
}


@click.command("audit")
@config_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "sarif"]),
    default="text",
    show_default=True,
    help="For people, for scripts, or SARIF 2.1.0 for code hosts and editors.",
)
@click.option(
    "--fail-on",
    "bar",
    type=click.Choice(["high", "medium", "low", "never"]),
    default="high",
    show_default=True,
    help="Exit code 1 if a finding is as bad as this or worse.",
)
@click.pass_context
def command(
    ctx: click.Context,
    config: str | None,
    form: Literal["text", "json", "sarif"],
    bar: Literal["high", "medium", "low", "never"],
) -> None:
    """
    Look for risks in a configuration that works: what, where, why it matters, what to write instead.

    Exit code 0, or 1 if a finding is as bad as --fail-on says, or 2 if the configuration cannot be
    used. Nothing is sent anywhere, and no secret is printed.
    """
    loaded = load_config(config)
    now = time.time()  # noqa: TID251 - a verb starts here
    report = audit(loaded, gather(loaded, os.environ, now))
    failed = bar != "never" and report.reaches(bar)
    if form == "text":
        _show(report)
    elif form == "json":
        click.echo(json.dumps(_facts(report, failed=failed), indent=2))
    else:
        click.echo(json.dumps(document(report, _version()), indent=2))
    ctx.exit(1 if failed else 0)


def _show(report: Report) -> None:
    for finding in report.findings:
        severity = finding.rule.severity
        head = click.style(f"{severity:<7}", fg=_COLOURS[severity], bold=severity == "high")
        click.echo(f"{head} {finding.rule.id}  {_where(report, finding)}  {finding.path}")
        click.echo(f"        {finding.what}; {finding.instead}")
        click.echo(click.style(f"        {finding.rule.why}", dim=True))
    if report.findings:
        click.echo()
    counted = report.counts()
    click.echo(", ".join(f"{counted[severity]} {severity}" for severity in SEVERITIES))


def _where(report: Report, finding: Finding) -> str:
    if not finding.line:
        return report.origin
    return f"{report.origin}:{finding.line}:{finding.column}"


def _facts(report: Report, *, failed: bool) -> dict[str, object]:
    return {
        "ok": not failed,
        "file": report.origin,
        "counts": report.counts(),
        "findings": [{"file": report.origin} | finding.facts() for finding in report.findings],
    }


def _version() -> str:
    try:
        return version("zitadel-authproxy")
    except PackageNotFoundError:
        return "0.0.0"
