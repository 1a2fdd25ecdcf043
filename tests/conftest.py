"""
What holds for all tests: in CI nothing is skipped for want of a tool.
"""

from __future__ import annotations

import os

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """
    Turn a `heavy` test that skipped into a failure where everything should have been installed.
    """
    report = yield
    if report.skipped and item.get_closest_marker("heavy") and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where it must run: {report.longrepr}"
    return report
