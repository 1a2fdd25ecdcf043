"""
A proxy for one program, which lives as long as the program does.

`settings`: what such a proxy makes of a configuration. `told`: its log, as sentences for whoever
waits at the terminal. `lobby`: the port on loopback that lets in its own user alone; `sockdiag` knows
whose a connection is. `opening`: all of it together.
"""
