"""
The part that moves bytes: HTTP/1.1 between a caller's connection and an upstream's.

message
    Heads and framing as values: what RFC 9112 lets in, and which header plays which role.
connection, reading, downstream
    One caller's connection, in three layers: read, held, written, closed; bytes into requests;
    requests taking turns, within their time.
upstream, pool
    One connection to an upstream, and the pool of them per origin.
exchange
    One request and its response between the two: back-pressure, early answers, replay.
sweep
    Deadlines without a timer per request.

Nothing here knows a route, a user or a token; what to do with a request is the business of the
`Exchange` subclass its owner brings.
"""
