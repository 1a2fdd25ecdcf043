"""
metrics.md: every metric, as `observe.metrics` declares it.
"""

from __future__ import annotations

from typing import Final

from proxy.observe.cells import BUCKETS, RESULTS
from proxy.observe.metrics import DENIALS, FAMILIES, OUTCOMES
from tools.reference.page import code, page, table

INTRO: Final = """\
What `/metrics` on the [admin listener](configuration.md#admin) has, as Prometheus text or OpenMetrics, whichever is asked for. [Watch it](../howto/observe.md) says
which of them to look at and when to be woken.

Labels come from the configuration or from the closed lists below, never from a request: no caller can make new series. Counters start at 0 with the process and go
on through reloads; series of routes that are gone are dropped. Times are seconds."""


def render() -> str:
    """
    Return the page.
    """
    rows = [
        (f'<a id="{each.name}"></a>`{each.name}`', each.kind, _labels(each.labels), each.help)
        for each in FAMILIES
    ]
    process = (
        "Beside these there are the usual `process_*` of the process itself: memory, processor time,"
        " open files, start time."
    )
    values = [
        ("`outcome`", _labels(OUTCOMES), "how a mint ended"),
        ("`result`", _labels(RESULTS), "where a request's token came from"),
        ("`reason`", _labels(DENIALS), "why a caller was turned away"),
        (
            "`le`",
            ", ".join(f"{bound:g}" for bound in BUCKETS),
            "buckets of the histograms, in seconds",
        ),
    ]
    return page(
        "Metrics",
        INTRO,
        table(("metric", "type", "labels", "meaning"), rows),
        process,
        "## Values of labels",
        table(("label", "values", "meaning"), values),
    )


def _labels(names: tuple[str, ...]) -> str:
    return ", ".join(map(code, names))
