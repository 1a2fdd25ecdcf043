"""
configuration.md: every setting of proxy.yaml, group by group, as the models have it.

A group's example comes from the starter file, proxy.yaml at the root, with its commented settings
switched on.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from proxy.config.schema import json_schema
from proxy.config.service_user import METHODS
from proxy.config.words import SECTIONS
from tools.reference.kind import kind
from tools.reference.page import flat, page, table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

INTRO: Final = """\
Everything that can stand in `proxy.yaml`. [`proxy.yaml`](../../proxy.yaml) at the root is a commented starter with every setting;
`authproxy schema` prints the JSON Schema for editors, `authproxy check` says what is wrong in a file, all at once and with line and column.

The file is found by `--config`, else `$AUTHPROXY_CONFIG`, `./proxy.yaml`, `/etc/authproxy/proxy.yaml`; `-` is standard input. Relative paths start at the file's
own folder. A setting that is not listed here is refused, as are two of the same name. In headings, `NAME` is a name you choose and `[]` an entry of a list."""

UNITS: Final = """\
| written as | is |
| --- | --- |
| time | a number with `ms`, `s`, `m` or `h`: `500ms`, `5s`, `1.5h` |
| size | a whole number with `B`, `KiB`, `MiB` or `GiB`: `64KiB` |
| rate | requests per second, minute or hour: `50/s`, `600/m`, `1000/h` |
| name | letters, digits, `.`, `_` and `-`, up to 40, the first a letter or digit |
| secret | `{file: PATH}`, `{env: NAME}` or `{credential: NAME}` (systemd's); the secret itself is taken, and `check` warns |
| date | `2027-01-31`, or with a time `2027-01-31T12:00:00Z`; UTC |"""


def render(starter: str) -> str:
    """
    Return the page.

    Args:
        starter: The text of the starter file.
    """
    schema = json_schema()
    examples = excerpts(starter)
    parts = [INTRO, "## How values are written", UNITS]
    found = tuple(_groups(schema))
    headed = {title for title, _, _ in found}
    for title, group, top in found:
        parts.append(f"## {title}" if title else "## The file as a whole")
        parts.append(flat(group.get("description", "")))
        parts.append(table(("setting", "type", "default", "meaning"), _rows(title, group, headed)))
        if not title:
            lone = [
                text for name, text in examples.items() if "\n" not in text and name not in headed
            ]
            parts.append(f"```yaml\n{chr(10).join(lone)}\n```")
        if top in examples:
            parts.append(f"```yaml\n{examples.pop(top)}\n```")
    return page("Configuration", *parts)


def _groups(schema: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """
    Yield title, schema and the top-level setting of each group, methods before their parts.
    """
    groups = schema["$defs"]
    told = False
    for place, model in SECTIONS.items():
        if place[:1] == ("service_users",) and not told:
            told = True
            for method, user in METHODS.items():
                yield f"service_users.NAME, method: {method}", groups[user.__name__], method
        if place:
            yield _title(place), groups[model.__name__], place[0]
        else:
            yield "", dict(schema), ""


def _title(place: tuple[str, ...]) -> str:
    named = {"issuers", "service_users", "callers", "upstreams"}
    words: list[str] = []
    for before, part in zip(("", *place), place, strict=False):
        if part != "*":
            words.append(part)
        elif before in named and len(words) == 1:
            words.append("ORIGIN" if before == "upstreams" else "NAME")
        else:
            words[-1] += "[]"
    return ".".join(words)


def _rows(
    title: str, group: Mapping[str, Any], headed: Collection[str]
) -> Iterator[tuple[str, str, str, str]]:
    needed = group.get("required", ())
    for name, setting in group["properties"].items():
        meaning, default = _told(setting)
        if name in needed:
            default = "needed"
        target = anchor(title, name)
        mark = "" if target in headed else f'<a id="{target}"></a>'  # a heading is a mark itself
        yield f"{mark}`{name}`", kind(setting), default, meaning


def anchor(title: str, name: str) -> str:
    """
    Return what a link to a setting says behind its #.
    """
    words = re.findall(r"[A-Za-z_]+", title.replace("NAME", "").replace("ORIGIN", ""))
    return "-".join([*(word for word in words if word != "method"), name])


def _told(setting: Mapping[str, Any]) -> tuple[str, str]:
    """
    Return a setting's description without its default, and the default.
    """
    text = flat(setting.get("description", ""))
    meaning, marker, default = text.rpartition("Default: ")
    if not marker:
        return text, ""
    return meaning.strip(), default.removesuffix(".")


def excerpts(starter: str) -> dict[str, str]:
    """
    Return for each top-level setting, and for each method, what the starter file shows of it with
    everything switched on and without its comments.
    """
    lines = []
    for line in starter.splitlines():
        live = re.sub(r"^( *)#(?=[^ #])", r"\1", line)
        if live.strip() and not live.lstrip().startswith("#"):
            lines.append(live)
    found: dict[str, list[str]] = {}
    for line in lines:
        if not line.startswith(" "):
            found[line.partition(":")[0]] = []
        list(found.values())[-1].append(line)
    found |= _by_method(found.pop("service_users"))
    return {name: "\n".join(block) for name, block in found.items() if name != "version"}


def _by_method(section: list[str]) -> dict[str, list[str]]:
    entries: list[list[str]] = []
    for line in section[1:]:
        if re.match(r"  \S", line):
            entries.append([])
        entries[-1].append(line)
    found: dict[str, list[str]] = {}
    for entry in entries:
        method = (
            next(line for line in entry if line.startswith("    method:")).split(":")[1].strip()
        )
        found.setdefault(method, section[:1]).extend(entry)
        found[method] = list(found[method])
    return found
