"""
The part that decides: values and pure functions, no I/O, no clock, no log.

target, route, admit, headers, decide
    Request target → route → may this caller → which headers → one frozen `Decision`.
door
    Whether a listener takes a request at all, or keeps a web page out.
address, destination
    What kind of IP address this is, and whether an upstream may turn out to have it.
credential, key, keyfile
    Who a service user is and what it proves that with; private keys, and ZITADEL's file of one.
grant, token
    Service user → token request; token response → `Token`, and how long it may be handed out.
refusal, advice, label
    What an issuer's no means; what may have caused it; what an event may say of a credential.
secret, clock
    The type every credential travels in; what time is, as a parameter.
"""
