"""
What the process and whoever looks after it say to each other.

notify          what a service manager is told: ready, reloading, stopping, still alive
inheritance     listening sockets that were opened by somebody else: a service manager, or the
                process this one takes over from
handover        the same command started once more with this process's sockets, and what becomes
                of it
"""
