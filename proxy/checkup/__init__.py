"""
Whether service users can really get tokens: what `check --online` asks, and what answers mean.

course
    The steps and the asking: discovery, clock, mint, userinfo, one of ZITADEL's own APIs.
reach
    Where the routes of a service user lead: what its token must be good for.
verdict
    What an answer means: a step that passed, failed or was skipped, in words.
way
    Why there is no way to an issuer, or none to be believed, and what to do about it.
diagnosis
    Why there is no token, or none that is taken, by what the steps before have excluded.
words
    The reason of a `TokenError`, taken apart.
claims
    What can be read in a token that is a JWT, and which scopes it shows no trace of.
"""
