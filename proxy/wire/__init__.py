"""
The part that moves bytes: HTTP/1.1 between a caller's connection and an upstream's.

roles, message, request, response, plain
    Heads and framing as values: what RFC 9112 lets in, and which header plays which role. Heads in
    the form nearly all have are cut without a parser.
connection, request_parser, reading, deadlines, downstream
    One caller's connection, in five layers: read, held, written, closed; what goes through the
    parser; bytes into requests; what takes too long; requests taking turns.
pace, parting, peer, service
    What such a connection looks to: whether a body comes too slowly, whether a caller that sends
    nothing more is still there, who that is, and who owns its exchanges.
relaying, response_parser, answering, upstream
    One connection to an upstream, in four layers: what is on its way to the caller; what goes
    through the parser; bytes into responses; being taken and given back.
echo
    What must not come back in a response, found and blotted out.
parser, protocol, kernel
    What either side reads by: the parser's complaints and its silence, the protocol a request line
    names, and what the kernel tells of a connection that is not read.
shelf, waiting, pool
    Connections at rest, those who wait for one, and the pool of them.
origin, dial, resolve, local, breaker
    Where connections go, how one comes to stand, which addresses are this machine's own, and when
    not to try.
turn, exchange
    One request and its response between the two: what the caller is told and that it ends once;
    back-pressure, early answers, replay.
tunnel, frames
    What an exchange becomes whose upgrade was accepted, and where its frames end.
limits, wheel
    What callers and upstreams may use up, and one timer for all deadlines.

Nothing here knows a route, a user or a token; what to do with a request is the business of the
`Exchange` subclass its owner brings.
"""
