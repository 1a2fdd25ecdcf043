from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.sandbox.fault_list import ROWS
from proxy.sandbox.faults import parse_fault

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "howto" / "test-with-faults.md").read_text(encoding="utf-8")


def test_the_page_lists_every_fault_as_it_is():
    """
    The table is the registry: same faults, same order, same words.
    """
    table = PAGE.partition("## All faults")[2]
    rows = [line for line in table.splitlines() if line.startswith("| `")]

    assert rows == [f"| `{name}` | {row.text} | {row.meaning} |" for name, row in ROWS.items()]


def test_the_page_names_no_fault_that_does_not_exist():
    """
    Every option and every control path on the page would be taken.
    """
    options = re.findall(r"--fault ([^\s`]+)", PAGE)
    paths = re.findall(r"/sandbox/faults/([a-z0-9-]+)(?:\?value=([^'&]+))?", PAGE)
    table = PAGE.partition("## What to try")[2].partition("## In a test")[0]
    tried = [
        name
        for line in table.splitlines()[3:]
        if line.startswith("| ")
        for name in re.findall(r"`([a-z]+(?:-[a-z0-9]+)*)`", line.split("|")[2])
    ]

    assert len(options) > 1
    assert len(paths) > 4
    assert len(tried) > 10
    for option in options:
        parse_fault(option)
    for name, value in paths:
        parse_fault(f"{name}={value}" if value else name.replace("token-body", "token-body="))
    for name in tried:
        parse_fault(name)


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
def test_the_pages_program_runs(block):
    """
    What a person copies does what it says.
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )

    assert (done.returncode, done.stderr) == (0, "")
