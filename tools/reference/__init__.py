"""
Writes docs/reference from the program itself: `make docs`.

    page            tables and headings in Markdown, the same on every machine
    configuration   every setting: the models
    errors          every error code: the error tree, with the advice written in `advice`
    metrics         every metric: the declared families
    events          every event of the log, and the keys of the lines written per request
    commands        every verb: the command line itself
    environment     every AUTHPROXY_ variable

What the program says of itself is taken from there; what only a person can say (what to do about an
error, what a variable is for) stands here, and tests/docs holds it against the program.
"""
