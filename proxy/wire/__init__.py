"""
The part that moves bytes: HTTP/1.1 between a caller's connection and an upstream's.

roles, message, plain, protocol
    Heads and framing as values: what RFC 9112 lets in, and which header plays which role. Heads in
    the form nearly all have are cut without a parser; what it takes for HTTP is watched.
connection, reading, downstream
    One caller's connection, in three layers: read, held, written, closed; bytes into requests;
    requests taking turns, within their time.
answering, upstream, shelf, waiting, pool
    One connection to an upstream, in two layers: what it answers, and its being taken and given
    back; those at rest, those who wait for one, and the pool of them.
origin, dial, resolve, local, breaker
    Where connections go, how one comes to stand, which addresses are this machine's own, and when
    not to try.
exchange
    One request and its response between the two: back-pressure, early answers, replay, tunnel.
limits, wheel
    What callers and upstreams may use up, and one timer for all deadlines.

Nothing here knows a route, a user or a token; what to do with a request is the business of the
`Exchange` subclass its owner brings.
"""
