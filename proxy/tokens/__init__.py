"""
A usable token for every service user, at any moment.

keeper
    Holds one slot per service user; mints, renews ahead, answers a 401 (`keeper`, `slot`,
    `supply`).
backoff
    What is remembered of failed mints: how long to leave the issuer alone (`backoff`).
flight
    One piece of work for all who wait for it (`flight`).
mint
    One request to a token endpoint (`mint`), at the address discovery found (`discovery`), over
    the one way this program has to an issuer (`line`).
store
    Where tokens lie between generations of the configuration (`store`).
"""
