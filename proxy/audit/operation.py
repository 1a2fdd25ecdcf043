"""
Who operates the proxy, and what is known of it afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.audit.rule import Hit
from proxy.config.network import TcpAddress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.audit.evidence import Evidence


def admin_without_key(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield the admin listener if other machines can reach it without a key.
    """
    settings = evidence.settings
    remote = settings.admin is not None and not settings.admin.loopback
    if remote and settings.admin_key_sha256 is None:
        yield Hit(
            ("admin",),
            "other machines reach the admin listener without a key",
            "write admin_key_sha256, or keep it to loopback or a Unix socket",
        )


def admin_in_clear(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield the admin listener if its key comes over the network.
    """
    settings = evidence.settings
    remote = settings.admin is not None and not settings.admin.loopback
    if remote and settings.admin_key_sha256 is not None:
        yield Hit(
            ("admin",),
            "operators' keys cross the network readable",
            "keep it to loopback or a Unix socket, or to a network only operators reach",
        )


def admin_on_shared_host(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield the admin listener if whoever is on this machine may use it.
    """
    settings = evidence.settings
    local = isinstance(settings.admin, TcpAddress) and settings.admin.loopback
    if local and settings.admin_key_sha256 is None:
        yield Hit(
            ("admin",),
            "every user and program of this machine may look, and switch service users off",
            "on a host you share write admin_key_sha256, or admin: unix:/PATH",
        )


def no_record(evidence: Evidence) -> Iterator[Hit]:
    """
    Yield that callers are told apart, and no record is kept of what they did.
    """
    settings = evidence.settings
    if settings.callers and settings.audit.to == "off":
        yield Hit(
            ("callers",),
            "nothing records which caller's request took which service user's token where",
            "write audit: {to: stdout}, or a file",
        )
