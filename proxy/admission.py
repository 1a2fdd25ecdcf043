"""
The part of a request's story in which it is found out who calls, and whether they may.

Mostly this is known at once, and for the whole of a connection. Where an issuer must be asked about
a caller's token first, the request goes on in a task, like one that waits for a token, and begins
once more when the answer is there; nothing has gone upstream before.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from proxy.callers.registry import NOBODY
from proxy.callers.verifier import PENDING
from proxy.core.forward_errors import ForwardUnauthenticated
from proxy.core.target import parse_authority, parse_host, with_path
from proxy.errors import (
    BadRequest,
    CallerCheckUnavailable,
    CallerForbidden,
    CallerUnauthenticated,
    Internal,
)
from proxy.tasks import spawn
from proxy.wire.exchange import Exchange
from proxy.wire.peer import local_address

if TYPE_CHECKING:
    from proxy.callers.registry import Identity
    from proxy.core.admit import Rule
    from proxy.errors import ProxyError
    from proxy.generation import Errand, Generation
    from proxy.house import House
    from proxy.known import Known


class Admission(Exchange):
    """
    A request whose caller must be found out.

    Attributes:
        asked: What came of asking who calls; None if nobody was asked.
        caller_name: Who calls; None for nobody known.
        doubt: Why nobody could be asked; None if somebody could.
        is_forward: It is in forward mode (`core.forward`).
    """

    __slots__ = (
        "asked",
        "caller_name",
        "doubt",
        "errand",
        "gateway",
        "generation",
        "is_forward",
        "known",
        "request_id",
    )

    asked: Identity | None
    caller_name: str | None
    doubt: CallerCheckUnavailable | None
    errand: Errand | None
    gateway: House
    generation: Generation
    is_forward: bool
    known: Known
    request_id: str

    def _pass_door(self) -> None:
        """
        See whether the listener takes the request, and whether that is in forward mode: it asks for
        a URL that is not the proxy's own.

        Raises:
            CallerForbidden: It does not take it.
        """
        fields, listener = self.fields, self.caller.listener
        door, routes = self.generation.doors[listener], self.generation.forward
        unwelcome = self.known.unwelcome
        if self.method == b"CONNECT":
            return  # whoever sends it is to read why it is not served
        if self.target[:1] != b"/":
            with suppress(BadRequest):  # it is answered as what it is
                asked = parse_authority(self.target)
                if fields.host:
                    _ = parse_host(fields.host)  # RFC 9112 §3.2: malformed, though it says nothing
                if door.is_own(asked, local_address(self.caller.transport), routes.names):
                    unwelcome = door.refusal(asked.host, fields.aside)
                else:
                    unwelcome = door.unmannerly(fields.aside)
                    self.is_forward = True
                    self.target = with_path(self.target)
        if unwelcome:
            self._deny(CallerForbidden(unwelcome))

    def _admit(self, rule: Rule | None) -> bool:
        """
        Find out who calls, and see whether the listener and the route let them.

        Args:
            rule: The route's; None if it lists nobody, or there is no route.

        Returns:
            False if somebody must be asked first; this request then begins once more.

        Raises:
            CallerUnauthenticated: Somebody must be named, and nobody was.
            CallerForbidden: Somebody was, who is not on a list.
            CallerCheckUnavailable: Nobody could be asked.
        """
        known = self.known
        if self.started < known.until:
            name = known.caller
        else:
            identity = self.asked or known.identify(self.fields, self.caller)
            if identity is PENDING:
                _ = spawn(self.gateway.tasks, self._find_out(), name="caller")
                return False
            name = identity.name
        self.caller_name = name
        for each in (self.generation.entrances[self.caller.listener].rule, rule):
            if each is not None and name not in each.names:
                self._judge(each)
        return True

    def _judge(self, rule: Rule) -> None:
        """
        Turn the caller away, or say that it would have been.
        """
        denial = rule.denial(self.caller_name)
        if denial is not None:
            if self.is_forward and isinstance(denial, CallerUnauthenticated):
                denial = ForwardUnauthenticated(denial.reason)
            self._deny(self.doubt or denial, enforced=rule.enforced)

    def _deny(self, error: ProxyError, *, enforced: bool = True) -> None:
        """
        Count and log that the caller is denied; raise the error if that is enforced.
        """
        metrics = self.generation.metrics
        counted = metrics.denied if enforced else metrics.reported
        counted[error.code] += 1
        self.gateway.denials.say(
            error,
            self.generation.entrances[self.caller.listener].name,
            route=None if self.errand is None else self.errand.route,
            caller=self.caller_name,
            client=self.caller.peer,
            enforced=enforced,
        )
        if enforced:
            raise error

    async def _find_out(self) -> None:
        """
        Ask whose the caller's token is, and begin once more.
        """
        evidence = self.known.evidence(self.fields, self.caller)
        try:
            self.asked = await self.generation.callers.find_out(evidence)
            self.known.note(self.asked)
        except CallerCheckUnavailable as error:
            self.asked, self.doubt = NOBODY, error
        except Exception as bug:  # noqa: BLE001 - one request must not take the loop's callback down
            self._bug(bug)
            return
        if not self.done:
            self.begin()

    def _bug(self, bug: Exception) -> None:
        """
        Something that cannot happen did: the traceback goes to the log, the caller gets a 500.
        """
        self.gateway.log.error("internal.error", request_id=self.request_id, exc_info=bug)
        self.keep = False
        self.fail(Internal("a bug; see internal.error with this request id"))
