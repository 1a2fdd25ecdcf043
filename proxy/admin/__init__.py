"""
The admin listener: is the proxy alive, is it ready, what are its service users doing, what do its metrics say.
"""
