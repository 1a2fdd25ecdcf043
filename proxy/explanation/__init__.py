"""
What would happen to a request, and why: asked on the command line and of a running proxy.

- question: a request as somebody describes it.
- paper: the settings, as far as it matters to a request.
- head: what the upstream gets.
- story: what the gateway would do with it, told without sending anything.
- words: the story as facts and as lines for people.
"""
