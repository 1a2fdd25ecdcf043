"""
What the proxy says of itself.

sink
    Lines on their way out: never blocks the loop, says what it had to drop.
access
    One line per request.
log
    Every other event, through structlog.
console
    What both look like to a person.
"""
