"""
What the proxy says of itself.

sink
    Lines on their way out: never blocks the loop, says what it had to drop.
file
    Lines on their way to a file that may be rotated.
access
    One line per request.
audit
    One line per request that took a token upstream, if that is wanted.
log
    Every other event, through structlog.
console
    What both look like to a person.
metrics, cells
    Every metric, and what is counted for it; how a request is counted.
crowd
    That there is no room for another caller, in words and not once per caller.
reading, exposition
    What is looked up instead of counted; the text that Prometheus scrapes.
"""
