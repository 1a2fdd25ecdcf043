"""
A usable token for every service user, at any moment.

keeper
    Holds one slot per service user; mints, renews ahead, answers a 401 (`keeper`, `slot`,
    `state`, `refusals`), by the means it is given (`means`).
supply
    Brings a new token to a slot: from the store or with one of the user's credentials (`supply`),
    by asking once or a few times (`attempt`).
backoff, breaker
    How long a service user's failures are remembered (`backoff`), and its issuer left alone
    (`breaker`, `knock`, `vigil`).
flight
    One piece of work for all who wait for it (`flight`).
mint
    One request to a token endpoint (`mint`), at the address the issuer names (`discovery`,
    `metadata`), with the time it is there (`issuer_clock`), over the one way this program has to
    an issuer (`line`). Whether a token is alive (`standing`).
revocation
    Who an operator has revoked, whatever the generation of the configuration.
issuers
    All of this process's dealings with issuers, for every generation of the configuration.
store
    Where tokens lie between generations (`store`).
"""
