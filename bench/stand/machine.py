"""
The machine: which cores play which part, which tools it has, and what to say about it in a table.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
"""The project's root folder."""

PACKAGES = {
    "nginx": "Debian package nginx-light",
    "setpriv": "Debian package util-linux",
    "taskset": "Debian package util-linux",
    "wrk": "Debian package wrk",
}
"""Program → what installs it."""

MODULES = {"aiohttp": "aiohttp", "httptools": "httptools", "trustme": "trustme", "uvloop": "uvloop"}
"""Python module → the PyPI package that holds it."""


class Missing(Exception):
    """
    Something that has to be installed first; the text says what.
    """


def need(*programs: str) -> None:
    """
    Raise `Missing` unless all programs and modules are there.
    """
    lacking = [f"{name}: install {PACKAGES[name]}" for name in programs if not which(name)]
    for module, package in MODULES.items():
        if importlib.util.find_spec(module) is None:
            lacking.append(f"{module}: install PyPI package {package} into {sys.prefix}")
    if lacking:
        raise Missing("\n".join(lacking))


def which(program: str) -> str | None:
    """
    Return a program's path; Debian keeps daemons where not every user's PATH looks.
    """
    return shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def cores() -> tuple[int, int]:
    """
    Return the core for the peers and the one for everything else; the same if there is only one.
    """
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[1] if len(usable) > 1 else usable[0]


def facts(extra: dict[str, str]) -> dict[str, str]:
    """
    Return what a reader has to know of the machine and the versions, by name.

    Args:
        extra: Versions the peers say of themselves.
    """
    known = {
        "machine": f"{_processor()}, {os.cpu_count()} cores, Linux {platform.release()}",
        "python": f"{platform.python_version()} ({platform.python_compiler()})",
        "load": f"{os.getloadavg()[0]:.1f} at the end, over one minute",
    }
    for package in ("uvloop", "httptools", "aiohttp"):
        known[package] = package_version(package)
    known["wrk"] = said_version("wrk", "-v")
    return known | extra


def package_version(package: str) -> str:
    """
    Return an installed package's version.
    """
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def said_version(program: str, option: str) -> str:
    """
    Return the version a program says when asked with *option*.
    """
    path = which(program) or program
    said = subprocess.run([path, option], capture_output=True, text=True, timeout=20, check=False)
    found = re.search(r"\d+\.\d+(?:\.\d+)?", said.stdout + said.stderr)
    return found[0] if found else "unknown"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
