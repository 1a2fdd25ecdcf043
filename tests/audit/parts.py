"""
A good configuration in parts, a bad one whole, and what stands around them.
"""

from __future__ import annotations

from pathlib import Path

CASES = Path(__file__).parent.parent / "cases" / "audit"

BAD = (CASES / "bad.yaml").read_text()
"""A configuration with every finding there is."""

NOW = 1_800_000_000.0
"""2027-01-15T08:00:00Z."""

CANARY = "hunter2Canary"
"""Part of every secret here; no output may hold it."""

ENVIRON = {"PAT": f"{CANARY}-env"}

GOOD = {
    "head": "version: 1\nadmin: unix:/run/authproxy/admin.sock",
    "listen": "listen: unix:/run/authproxy/proxy.sock",
    "issuers": "issuers: {z: {url: 'https://acme.zitadel.cloud'}}",
    "users": "service_users: {u: {issuer: z, method: private_key_jwt, key_file: long.json}}",
    "routes": "routes: [{name: a, match: {path: /orders/}, upstream: 'https://orders.acme.com', service_user: u}]",
}
"""A configuration without any finding, in parts."""
