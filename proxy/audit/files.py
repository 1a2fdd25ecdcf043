"""
Who may read and change the files a configuration is made of.

Secrets that everybody may read are refused before it comes to an audit.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from proxy.audit.credentials import written_out
from proxy.audit.rule import Hit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.audit.evidence import Evidence


def changed_by_others(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each file that everybody may change, or put another in the place of.
    """
    for fact in evidence.files:
        if fact.mode & stat.S_IWOTH:
            yield Hit(fact.place, "every user of this machine may change the file", "chmod o-w it")
        elif fact.folder & stat.S_IWOTH and not fact.folder & stat.S_ISVTX:
            yield Hit(
                fact.place,
                "every user of this machine may put another file in its place",
                "chmod o-w the folder it is in",
            )


def changed_by_group(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each file that its group may change.
    """
    for fact in evidence.files:
        if fact.mode & stat.S_IWGRP and not fact.mode & stat.S_IWOTH:
            yield Hit(fact.place, "its group may change the file", "chmod g-w it")


def read_by_group(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each secret that its group may read.
    """
    for fact in evidence.files:
        if fact.private and fact.mode & stat.S_IRGRP:
            yield Hit(
                fact.place,
                "its group may read the secret",
                "chmod 600 it, unless the group is this service's alone",
            )


def written_out_and_readable(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield the configuration file if it holds a secret and more than its owner may read it.
    """
    if next(written_out(evidence), None) is None:
        return
    for fact in evidence.files:
        if not fact.place and fact.mode & (stat.S_IRGRP | stat.S_IROTH):
            yield Hit(
                (), "holds a secret, and more than its owner may read it", "take the secret out"
            )


def in_work_tree(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield each secret that lies in a git work tree.
    """
    for fact in evidence.files:
        if fact.private and fact.in_work_tree:
            yield Hit(
                fact.place,
                "the file with the secret lies in a git work tree",
                "keep it outside, or at least in .gitignore",
            )
