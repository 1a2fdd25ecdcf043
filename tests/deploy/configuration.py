"""
A proxy.yaml of deploy/, judged by the program itself with made-up secrets in the place of the real
ones.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from proxy.config.load import Loaded, load

SECRET = re.compile(r"/run/(?:secrets|credentials|sandbox)/[\w./-]+")
"""Where configurations here have their secrets."""


def judged(text: str, folder: Path, key_json: str) -> Loaded:
    """
    Return the configuration as `authproxy check` accepts it.

    Args:
        text: proxy.yaml.
        folder: Takes the place of / for the secrets.
        key_json: What is in every secret's file that is JSON.

    Raises:
        ConfigError: It does not.
    """
    for name in secrets(text):
        file = folder / name[1:]
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.write_text(key_json if name.endswith(".json") else "a-secret")
        file.chmod(0o440)
    config = folder / "proxy.yaml"
    config.write_text(SECRET.sub(lambda found: str(folder / found[0][1:]), text))
    return load(config, {}, now=datetime.now(UTC).timestamp())


def secrets(text: str) -> set[str]:
    """
    Return the secrets' files a configuration names.
    """
    return set(SECRET.findall(text))
