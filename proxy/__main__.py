"""
`python -m proxy` is `authproxy`.
"""

from proxy.cli.command import main

if __name__ == "__main__":
    main(prog_name="authproxy")
