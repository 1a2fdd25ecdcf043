"""
Evidence → whom of the configuration it is.

Theory of operation
-------------------
What a request shows counts before what its connection tells: whoever shows a credential is known by
it or by nothing, even where the certificate, the user or the network would be somebody's. A key is
looked for first, so no key of ours is ever sent to an issuer; then tokens, by every issuer that
vouches for callers, as far as their word is known at once. Where it is not, somebody must be asked,
which the request has to wait for (`find_out`).

Of several callers that it could be, it is the first that connects from the networks it must.

How long an answer holds comes with it. What an issuer vouches for ends with the token, and is looked
up again after a few seconds (which is cheap: the verifier remembers), so that its verifier decides
for how long it is believed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from proxy.callers.connection import Connections, within
from proxy.callers.credential import Keys, Vouched
from proxy.callers.verifier import PENDING
from proxy.errors import CallerCheckUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from ipaddress import IPv4Network, IPv6Network

    from proxy.callers.evidence import Evidence
    from proxy.callers.verifier import Pending
    from proxy.core.clock import Clock

LOOK_AGAIN: Final = 5.0
"""Seconds after which a verifier's word is looked up again (rule of ours)."""


@dataclass(frozen=True, slots=True)
class Identity:
    """
    Who calls, and for how long that is so.

    Attributes:
        name: The caller's; None for nobody known.
        until: Boot-clock seconds.
    """

    name: str | None
    until: float = math.inf


NOBODY: Final = Identity(None, -math.inf)
"""Nobody is known now; the next request is looked at anew."""


@dataclass(frozen=True, slots=True)
class Registry:
    """
    The callers of a configuration.

    Attributes:
        clock: What time it is.
        keys: Callers by their keys.
        vouched: Callers by the tokens of issuers.
        connections: Callers by their connections.
        networks: The networks that a caller must connect from, by its name; none if any will do.
    """

    clock: Clock
    keys: Keys = field(default_factory=Keys)
    vouched: tuple[Vouched, ...] = ()
    connections: Connections = field(default_factory=Connections)
    networks: Mapping[str, tuple[IPv4Network | IPv6Network, ...]] = field(default_factory=dict)

    def identify(self, evidence: Evidence) -> Identity | Pending:
        """
        Return who calls; PENDING if somebody must be asked first.
        """
        credential = evidence.credential
        if credential is None:
            return Identity(self._first(self.connections.owners_of(evidence.peer), evidence))
        owner = self.keys.owner(credential)
        if owner is not None or not self.vouched:
            return Identity(self._first(() if owner is None else (owner,), evidence))
        pending = False
        for each in self.vouched:
            claims = each.look(credential)
            if claims is PENDING:
                pending = True
            elif claims is not None and (found := self._vouched_for(each, claims, evidence)):
                return found
        return PENDING if pending else NOBODY

    async def find_out(self, evidence: Evidence) -> Identity:
        """
        Return who calls, asking whoever must be asked.

        Raises:
            CallerCheckUnavailable: Somebody who could know cannot be asked, and nobody else knows.
        """
        known = self.identify(evidence)
        if known is not PENDING:
            return known
        credential = evidence.credential
        assert credential is not None
        trouble: CallerCheckUnavailable | None = None
        for each in self.vouched:
            claims = each.look(credential)
            if claims is PENDING:
                try:
                    claims = await each.verifier.ask(credential)
                except CallerCheckUnavailable as error:
                    trouble = trouble or error
                    continue
            if claims is not None and (found := self._vouched_for(each, claims, evidence)):
                return found
        if trouble is not None:
            raise trouble
        return NOBODY

    def _vouched_for(
        self, vouched: Vouched, claims: Mapping[str, object], evidence: Evidence
    ) -> Identity | None:
        name = self._first(vouched.owners(claims), evidence)
        if name is None:
            return None
        ends = claims.get("exp")
        left = LOOK_AGAIN
        if isinstance(ends, (int, float)) and not isinstance(ends, bool):
            left = min(left, ends - self.clock.wall())
        return Identity(name, self.clock.boot() + left) if left > 0 else None

    def _first(self, names: Iterable[str], evidence: Evidence) -> str | None:
        """
        Return the first of these callers that connects from where it must.
        """
        for name in names:
            wanted = self.networks.get(name)
            if wanted is None or any(within(evidence.peer.address, network) for network in wanted):
                return name
        return None
