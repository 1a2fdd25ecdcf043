"""
Service users: one model per method, told apart by `method`.

The methods come in families: a key of its own (`key_user`), a client of the issuer (`client_user`),
the tokens of others (`exchange_user`); and the one that has its token from the start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

from pydantic import Field

from proxy.config.client_user import ClientCredentials
from proxy.config.exchange_user import TokenExchange
from proxy.config.key_user import PrivateKeyJwt, SystemJwt
from proxy.config.minted import AnyUser, Flaw
from proxy.config.secret_source import SecretSetting  # noqa: TC001 - pydantic reads annotations at run time
from proxy.config.section import OneOrMore  # noqa: TC001 - pydantic reads annotations at run time
from proxy.config.values import Date  # noqa: TC001 - pydantic reads annotations at run time

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class PersonalAccessToken(AnyUser):
    """
    Holds a token that was made in the console; nothing is minted.
    """

    several: ClassVar[tuple[str, ...]] = ("token",)

    method: Literal["personal_access_token"] = Field(
        description="How tokens are had: one fixed token."
    )
    token: OneOrMore[SecretSetting] = Field(
        description=(
            "The token: {file: PATH}, {env: NAME} or {credential: NAME}; or a list of them: the "
            "next one is used once the one before has been refused."
        )
    )
    expires: OneOrMore[Date] | None = Field(
        default=None,
        description=(
            "When the token ends, as 2027-01-31 or 2027-01-31T12:00:00Z (UTC): the token itself "
            "does not say. For several tokens a list, a date for each. Default: unknown, so nobody "
            "is warned."
        ),
    )

    @classmethod
    def flaws(cls, entry: Mapping[str, object]) -> Iterator[Flaw]:
        """
        Yield that there is not one date for each token.
        """
        tokens, dates = entry.get("token"), entry.get("expires")
        many = len(tokens) if isinstance(tokens, list) else 1
        said = len(dates) if isinstance(dates, list) else 1
        if "token" in entry and dates is not None and many and said and many != said:
            what = f"has {_counted(said, 'date')} for {_counted(many, 'token')}"
            yield Flaw("expires", what, "write one for each token, in their order")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


ServiceUser = Annotated[
    PrivateKeyJwt | ClientCredentials | PersonalAccessToken | SystemJwt | TokenExchange,
    Field(discriminator="method"),
]

METHODS: Final[Mapping[str, type[AnyUser]]] = {
    "private_key_jwt": PrivateKeyJwt,
    "client_credentials": ClientCredentials,
    "personal_access_token": PersonalAccessToken,
    "system_jwt": SystemJwt,
    "token_exchange": TokenExchange,
}
