"""
What a benchmark stands on.

    machine     which cores, which tools, which versions
    process     one started program: its end, its CPU time, its memory
    scene       what peers are asked to be: routes, caller keys, TLS
    ground      the servers behind every peer, and the peers in front of them
    load        requests made by wrk
    caller      requests made by sockets of our own
    question    a question, its measures and samples; the rounds that gather them
    table       medians and ratios, for a terminal or as JSON
"""
