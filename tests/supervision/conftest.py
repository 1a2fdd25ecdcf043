"""
A service manager that hears what it is told.
"""

from __future__ import annotations

import pytest

from tests.supervision.manager import Manager


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    """
    A service manager that listens, by a path and in the abstract namespace.
    """
    name = str(tmp_path / "notify")
    made = Manager("@" + name if request.param == "abstract" else name)
    yield made
    made.close()
