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
formats, ecs, logfmt, combined, console
    The forms both can have: which one it is, those for machines, and the one for a person.
traces, spool, otlp
    What is told of requests and mints in traces; spans on their way out; how OpenTelemetry has them.
opening
    Opens traces, by the settings and the environment.
metrics, cells
    Every metric, and what is counted for it; how a request is counted.
crowd
    That there is no room for another caller, in words and not once per caller.
reading, exposition
    What is looked up instead of counted; the text that Prometheus scrapes.
"""
