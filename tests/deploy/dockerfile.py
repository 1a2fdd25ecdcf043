"""
Reads a Dockerfile, and runs its steps without Docker: in a folder, with a fresh virtual environment
in the place of the base image's Python.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Step:
    """
    One instruction: its word, and what follows on one line.
    """

    word: str
    text: str

    @property
    def listed(self) -> list[str]:
        """
        The exec form's words; an error for the shell form.
        """
        words: list[str] = json.loads(self.text)
        return words


def read(text: str) -> list[list[Step]]:
    """
    Return the stages, each a list of steps that begins with its FROM; what stands before the first
    FROM is a stage of its own.
    """
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    stages: list[list[Step]] = [[]]
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, rest = line.split(maxsplit=1)
        if word == "FROM":
            stages.append([])
        stages[-1].append(Step(word, rest))
    return stages


@dataclass(frozen=True, slots=True)
class Build:
    """
    Where the steps are run.

    Attributes:
        root: Takes the place of / for what the image makes.
        context: The folder that is sent to the builder.
        arguments: Build arguments.
    """

    root: Path
    context: Path
    arguments: Mapping[str, str]

    @property
    def app(self) -> Path:
        """
        What is /opt/authproxy in the image.
        """
        return self.root / "opt/authproxy"

    def base(self) -> Path:
        """
        Make the base image's Python and return its folder of commands.
        """
        base = self.root / "usr/local"
        if not base.exists():
            make = (sys.executable, "-m")
            subprocess.run([*make, "venv", "--without-pip", base], check=True)
            # The newest, as the base image has it: the one that comes with an older Python is slow
            into = ("--python", base / "bin/python", "install", "--quiet", "pip")
            subprocess.run([*make, "pip", *into], check=True)
        return base / "bin"

    def run(self, stages: list[list[Step]]) -> None:
        """
        Run the COPY and RUN steps of these stages.

        Raises:
            subprocess.CalledProcessError: A step failed.
        """
        (self.root / "src").mkdir(parents=True)
        for step in (step for stage in stages for step in stage):
            if step.word == "COPY" and not step.text.startswith("--from"):
                self._copy(step.text.split())
            elif step.word == "RUN":
                self._shell(re.sub(r"--mount=\S+\s*", "", step.text))

    def _copy(self, words: list[str]) -> None:
        *sources, place = words
        for source in sources:
            to = self.root / "src" / place
            if (self.context / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
                shutil.copytree(self.context / source, to, ignore=ignored)
            else:
                shutil.copy(self.context / source, to)

    def _shell(self, line: str) -> None:
        keep = ("LANG", "HTTPS_PROXY", "SSL_CERT_FILE")
        environment = {
            **{name: text for name, text in os.environ.items() if name.startswith(("PIP_", *keep))},
            **self.arguments,
            "PATH": f"{self.base()}:/usr/bin:/bin",
            "HOME": os.environ.get("HOME", "/"),  # pip's cache
        }
        line = line.replace("/opt/authproxy", str(self.app))
        command = ["/bin/sh", "-euc", line]
        subprocess.run(command, check=True, cwd=self.root / "src", env=environment)
