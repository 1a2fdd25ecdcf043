"""
The image: what its Dockerfile promises, and what its steps make when they are run without Docker.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.dockerfile import Build, read
from tests.deploy.process import PATIENCE, running

PATH = os.environ["PATH"]
ROOT = Path(__file__).parent.parent.parent
HEAD, BUILD, FINAL = read((ROOT / "Dockerfile").read_text())


def test_the_base_is_pinned_by_a_tag_that_says_python_and_system():
    """
    The same base for both stages, named by Python's version and the system's.
    """
    assert [step.text for step in HEAD] == ["PYTHON=3.13-slim-trixie"]
    assert [stage[0].text for stage in (BUILD, FINAL)] == [
        "python:${PYTHON} AS build",
        "python:${PYTHON}",
    ]


def test_it_runs_as_a_number_that_is_not_root():
    """
    Kubernetes can tell that it is not root only by a number.
    """
    words = [step.word for step in FINAL]
    (user,) = (index for index, word in enumerate(words) if word == "USER")

    assert FINAL[user].text == "65532:65532"
    assert {"RUN", "COPY"}.isdisjoint(words[user:])


def test_it_starts_and_is_asked_by_its_own_command_without_a_shell():
    """
    Signals reach the program itself, and the health check needs no curl.
    """
    said = {step.word: step for step in FINAL}

    assert said["ENTRYPOINT"].listed == ["authproxy"]
    assert said["CMD"].listed == ["run"]
    assert said["STOPSIGNAL"].text == "SIGTERM"
    assert said["HEALTHCHECK"].text.endswith(' CMD ["authproxy", "health"]')


def test_the_builder_is_sent_only_what_it_copies():
    """
    The ignore file lets through exactly the sources of the COPY steps.
    """
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    copied = {source for step in BUILD if step.word == "COPY" for source in step.text.split()[:-1]}

    assert "*" in lines
    assert {line[1:] for line in lines if line.startswith("!")} == {
        source.removeprefix("./") for source in copied
    }


def writes(trace: str) -> set[str]:
    """
    Return the files that strace saw being made, written or removed; devices are none.
    """
    changing = re.compile(
        r"O_WRONLY|O_RDWR|O_CREAT|^\d+\s+(?:mkdir|rename|unlink|creat)", re.MULTILINE
    )
    return {
        line
        for line in trace.splitlines()
        if changing.search(line) and " = -1 " not in line and '"/dev/' not in line
    }


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """
    What the Dockerfile's steps make.
    """
    root = tmp_path_factory.mktemp("image")
    build = Build(root, ROOT, {"EXTRAS": ""})
    build.run([BUILD, FINAL])
    return build


@pytest.mark.heavy
async def test_its_steps_make_a_program_that_serves_and_writes_nothing(installed, tmp_path):
    """
    In an empty environment, with no folder to write to: version, check, sandbox, run and health.
    """
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    command = installed.app / "bin/authproxy"
    bare = {"PATH": str(command.parent), "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/nonexistent"}

    def ask(*words):
        return subprocess.run(
            [command, *words], env=bare, cwd="/", capture_output=True, text=True, check=False
        )

    assert re.match(r"authproxy, version |authproxy \d", ask("--version").stdout)
    trace = tmp_path / "trace"
    config = tmp_path / "sandbox/proxy.yaml"
    made = ("sandbox", "--directory", str(config.parent))
    calls = "open,openat,openat2,creat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat"
    traced = ("-D", "-f", "-qq", "-e", f"trace={calls}", "-o", str(trace), str(command))
    async with running(*made, program=str(command), environ=bare) as sandbox:
        await sandbox.line("Ctrl-C")
        settings = yaml.safe_load(config.read_text())
        settings |= {
            "listen": f"unix:{tmp_path}/proxy.sock",
            "admin": f"unix:{tmp_path}/admin.sock",
        }
        config.write_text(yaml.safe_dump(settings))
        checked = ask("check", "--config", config)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        words = (*traced, "run", "--config", str(config))
        async with running(*words, program="strace", environ=bare | {"PATH": PATH}) as serving:
            await serving.line("proxy.started")
            assert await ready(ask, config) == "ok\n"

    assert {one for one in writes(trace.read_text()) if ".sock" not in one} == set()


async def ready(ask, config):
    """
    Return the last line that `authproxy health` prints once it says that all is well.
    """
    async with asyncio.timeout(PATIENCE):
        while True:
            asked = await asyncio.to_thread(ask, "health", "--config", config)
            if asked.returncode == 0:
                return asked.stdout.splitlines(keepends=True)[-1]


@pytest.mark.heavy
def test_what_is_installed_is_compiled_complete_and_small(installed):
    """
    Every module has its bytecode, every data file of the package is there, no installer is left.
    """
    (package,) = (installed.app / "lib").glob("python3.*/site-packages/proxy")
    sources = {path.relative_to(ROOT / "proxy") for path in (ROOT / "proxy").rglob("*.*")}
    wanted = {path for path in sources if "__pycache__" not in path.parts}
    there = {path.relative_to(package) for path in package.rglob("*.*")}

    assert wanted <= there
    modules = list(package.rglob("*.py"))
    assert all(list(path.parent.glob(f"__pycache__/{path.stem}.*.pyc")) for path in modules)
    assert not (package.parent / "pip").exists()
    assert not list((installed.root / "usr/local/lib").glob("python3.*/site-packages/pip"))
    size = sum(path.stat().st_size for path in installed.app.rglob("*") if path.is_file())
    assert size < 100 * 1024 * 1024
