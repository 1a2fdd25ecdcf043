from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from proxy.config.load import load
from tests.docs.blocks import ALL, PAGES, ROOT, Block, blocks
from tests.docs.supplies import completed, environ, replaced, supply

LANGUAGES = {"sh", "yaml", "json", "python", "text", "ini", "promql", "toml", ""}
YAML = [block for block in ALL if block.language == "yaml"]
STORIES = [path for path in PAGES if any(each.language == "sh" for each in blocks(path))]
TOOLS = ("curl", "jq", "openssl")


def accept(document, folder, supplies):
    """
    Load a proxy.yaml, with all it names in place.
    """
    moved = supply(document, folder, supplies)
    variables = environ(document, supplies, folder / "credentials")
    path = folder / "proxy.yaml"
    path.write_text(yaml.safe_dump(replaced(document, lambda text: moved.get(text, text))))
    path.chmod(0o600)
    load(path, variables, now=0.0)


@pytest.mark.parametrize("block", ALL, ids=str)
def test_a_block_says_what_it_is(block):
    """
    A block that nobody knows how to check is none of ours; a mark says why.
    """
    assert block.language in LANGUAGES
    assert all(block.marks.get(mark) != "" for mark in ("not run", "fails", "file", "foreign"))


@pytest.mark.parametrize("block", YAML, ids=str)
def test_every_yaml_block_is_accepted(block, supplies, tmp_path):
    """
    A proxy.yaml or a part of one is what the program takes; YAML of others is at least YAML.
    """
    if "foreign" not in block.marks:
        assert block.whole or block.fragment, "neither proxy.yaml nor marked as foreign"
        accept(block.data if block.whole else completed(block.data), tmp_path, supplies)
        return
    for document in yaml.safe_load_all(block.text):
        for text in (document.get("data") or {}).values() if isinstance(document, dict) else ():
            if isinstance(text, str) and text.startswith("version: 1"):
                accept(Block(block.page, block.line, "yaml", text, {}).data, tmp_path, supplies)


@pytest.mark.parametrize("block", [each for each in ALL if each.language == "json"], ids=str)
def test_every_json_block_is_json(block):
    """
    What is shown as JSON can be read as JSON.
    """
    assert isinstance(json.loads(block.text), dict)


@pytest.mark.heavy
@pytest.mark.parametrize("page", STORIES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_works(page, story):
    """
    A page's commands, run in order as a reader would, do not fail, and print what is shown.
    """
    script = blocks(page)
    commands = [each for each in script if each.language == "sh" and "not run" not in each.marks]
    if not commands:
        return
    for tool in TOOLS:
        if shutil.which(tool) is None and any(tool in each.text for each in commands):
            pytest.skip(f"{tool} is not installed")
    told = story()
    if not any(each.whole for each in script):
        told.configure(sandbox_yaml(told))
    for before, block in zip([script[0], *script], script, strict=False):
        if block.whole:
            told.configure(block, block.marks.get("file", "proxy.yaml"))
        elif "file" in block.marks:
            told.write(block)
        elif block in commands:
            told.run(block)
        elif "prints" in block.marks:
            assert before.language == "sh"
            told.printed(block)


def sandbox_yaml(told):
    """
    Return what a reader has whose page shows no proxy.yaml: one that uses each method.
    """
    text = (Path(__file__).parent / "proxy.yaml").read_text()
    return Block("the reader's own proxy.yaml", 1, "yaml", text, {})
