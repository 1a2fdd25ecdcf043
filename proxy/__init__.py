"""
An authenticating reverse proxy for outbound API calls.

The nouns, and the room each one lives in:

route, decision
    What to match, where it goes, as whom (`core.route`); what is to be done with one request
    (`core.decide`).
service user, grant, token
    A named identity at an issuer (`core.credential`), the request that gets it a token
    (`core.grant`), and how long that token may be handed out (`core.token`).
keeper
    Holds a usable token per service user and renews it ahead of its end (`tokens.keeper`); made
    for a configuration, whose credentials' files it watches, in `keeping`.
exchange
    One request and its response between a caller's connection and an upstream's (`wire.exchange`).
gateway
    The story of one request, from decision to account (`gateway`); who calls and whether they may
    is `admission`'s part of it, what all requests share is in `house`. Start reading there.
caller
    Who called the proxy, by whatever shows it (`callers`), with what verifies tokens (`vouching`).
audit
    What a configuration allows that its operator may regret (`audit`); who used which service user
    (`audited`, `observe.audit`).
checkup
    Trying each service user at its issuer, step by step (`checkup`).
known, errand
    What follows from a header section (`known`), and from a request line (`generation`), and need
    not be worked out again.
generation
    One loaded configuration: routes, keeper, pools; swapped whole (`generation`).
sandbox
    An in-memory ZITADEL stand-in with a protected backend (`sandbox`).
"""
