"""
The Helm chart, rendered: by Helm where it is installed, and by a small program that does what this
chart needs of it, which Go builds in seconds.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.manifests import Manifest

ROOT = Path(__file__).parent.parent.parent
CHART = ROOT / "deploy/helm/authproxy"


class RenderFailed(Exception):
    """
    The chart does not take these values; the message says why.
    """


@dataclass(frozen=True, slots=True)
class Renderer:
    """
    A program that renders charts.

    Attributes:
        program: Helm, or ours.
        ours: Whether it is ours.
    """

    program: str
    ours: bool

    def __call__(self, values: dict[str, Any], folder: Path) -> list[Manifest]:
        """
        Return the manifests for a release `gw` in the namespace `apis`.
        """
        file = folder / "values.yaml"
        file.write_text(yaml.safe_dump(values))
        words = (
            [CHART, file, "gw", "apis"]
            if self.ours
            else [
                "template",
                "gw",
                CHART,
                "--namespace=apis",
                "--values",
                file,
                "--kube-version=1.34",
            ]
        )
        made = subprocess.run(
            [self.program, *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if made.returncode:
            raise RenderFailed(made.stderr)
        return [manifest for manifest in yaml.safe_load_all(made.stdout) if manifest]


def ours(folder: Path) -> Renderer:
    """
    Build our renderer; skip the test where there is no Go, or its modules cannot be had.
    """
    if shutil.which("go") is None:
        pytest.skip("go is not installed")
    program = folder / "render"
    built = subprocess.run(
        ["go", "build", "-trimpath", "-o", program, "."],
        cwd=Path(__file__).parent / "render",
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode:
        pytest.skip(f"the renderer cannot be built: {built.stderr}")
    return Renderer(str(program), ours=True)


def helm() -> Renderer | None:
    """
    Return Helm; None where it is not installed.
    """
    program = shutil.which("helm")
    return None if program is None else Renderer(program, ours=False)
