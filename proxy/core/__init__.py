"""
The part that decides: values and pure functions, no I/O, no clock, no log.

target, route, admit, headers, decide
    Request target → route → may this caller → which headers → one frozen `Decision`.
door
    Whether a listener takes a request at all, or keeps a web page out.
address, destination
    What kind of IP address this is, and whether an upstream may turn out to have it.
grant, token
    Service user → token request; token response → `Token`, and how long it may be handed out.
secret, clock
    The type every credential travels in; what time is, as a parameter.
"""
