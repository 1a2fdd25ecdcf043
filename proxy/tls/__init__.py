"""
TLS at both ends: 1.2 and later, HTTP/1.1 alone.

record
    What reads a connection: one record at a time.
upstream
    How upstreams are met: verified, resumed, with a client certificate where a route has one.
listener
    What callers see: certificates, exchanged when their files change.
reading
    All files of a listener, read once; which name leads to which certificate.
certificate
    A certificate as it lies in a file: its names, its end.
watch
    Looks at listeners' files every few seconds.
"""
