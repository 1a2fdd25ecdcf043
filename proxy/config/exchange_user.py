"""
Service users whose tokens are had for the tokens of others (RFC 8693).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field

from proxy.config.client_user import Client
from proxy.config.draft import near
from proxy.config.minted import Flaw
from proxy.config.secret_source import SecretSetting  # noqa: TC001 - pydantic reads annotations at run time
from proxy.config.section import Name, Section, Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TokenType = Literal["access_token", "jwt"]

PARTIES: Final = ("subject", "actor")
"""The settings that name a party."""

_WAYS: Final = ("service_user", "user_id", "token")
_WRITE: Final = "write one of {service_user: NAME}, {user_id: ID} or {token: {file: PATH}}"


class ExchangeParty(Section):
    """
    Whom a token exchange is about: one of service_user, user_id and token.
    """

    service_user: Name | None = Field(
        default=None, description="Name of the service user whose token is exchanged."
    )
    user_id: Text | None = Field(
        default=None,
        description=(
            "Id of a user at ZITADEL, who has given no token; as subject only, and with an actor."
        ),
    )
    token: SecretSetting | None = Field(
        default=None,
        description="A token: {file: PATH}, {env: NAME} or {credential: NAME}.",
    )
    type: TokenType | None = Field(
        default=None, description="What the token is; only with token. Default: access_token."
    )


class TokenExchange(Client):
    """
    Exchanges a token for another (RFC 8693): impersonation, or with an actor delegation.
    """

    method: Literal["token_exchange"] = Field(
        description="How tokens are had: by a client, for the token of somebody else."
    )
    client_id: Text = Field(
        description="Client id of the application that exchanges; at ZITADEL no service user's."
    )
    subject: ExchangeParty = Field(description="Whose token it will be.")
    actor: ExchangeParty | None = Field(
        default=None, description="Who acts for the subject. Default: nobody."
    )
    requested_token_type: TokenType | None = Field(
        default=None, description="What kind of token to ask for. Default: the issuer's choice."
    )

    @classmethod
    def flaws(cls, entry: Mapping[str, object]) -> Iterator[Flaw]:
        """
        Yield what is wrong with each party and between the two, besides what is with any client.
        """
        yield from super().flaws(entry)
        for role in PARTIES:
            party = entry.get(role)
            if isinstance(party, dict):
                yield from _party_flaws(role, party)
        subject, actor = (_spelt(entry.get(role)) for role in PARTIES)
        if "user_id" in subject and "actor" not in entry:
            what = "is about a user by id alone, which proves nothing without an actor"
            yield Flaw("subject", what, "write actor: {service_user: NAME} beside it")
        if "user_id" in actor:
            what = "is a user by id, which proves nothing"
            yield Flaw("actor", what, "write {service_user: NAME} or {token: {file: PATH}}")


def _spelt(party: object) -> set[str]:
    """
    Return the names of a party's settings, spelt right.
    """
    known = ExchangeParty.model_fields
    names = (str(name) for name in party) if isinstance(party, dict) else ()
    return {name if name in known else near(name, known) for name in names}


def _party_flaws(role: str, party: Mapping[str, object]) -> Iterator[Flaw]:
    names = _spelt(party)
    ways = [way for way in _WAYS if way in names]
    if len(ways) > 1:
        yield Flaw(role, f"has {' together with '.join(ways)}", "keep one of them")
    elif not ways:
        yield Flaw(role, "names nobody", _WRITE)
    if "type" in names and "token" not in names:
        yield Flaw(role, "has a type without a token", "remove the type")
