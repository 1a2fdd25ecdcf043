"""
Benchmarks: each script here answers one question with a number.

    stand    what a benchmark stands on: machine, processes, upstream, load, table
    peers    what is compared: this proxy, Envoy, nginx, a plain aiohttp relay, mitmproxy

Method: all peers of a question are up at the same time, each on its own port and all on core 0;
load, upstream and token endpoint are on core 1. One cycle visits every peer once, in random order,
for a second or so. Absolute figures of a shared machine swing by a factor of two within seconds, so
what counts is the ratio of two peers within one cycle, and of those the median and the quartiles.

Run: `python -m bench small_get --cycles 6 --seconds 1`, or `python -m bench all`.
"""
