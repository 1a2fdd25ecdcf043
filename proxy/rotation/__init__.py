"""
Credentials that change, and credentials that end.

rotation
    Reads a service user's files anew when they have changed (`rotation`), by what is seen of them
    (`sight`), in a thread that may hang (`survey`).
expiry
    Says in time, and once, which keys and personal access tokens are about to end (`expiry`).
"""
