"""
`authproxy completion`: what a shell needs to complete verbs, options and names.
"""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")

PROGRAM = "authproxy"

VARIABLE = "_AUTHPROXY_COMPLETE"
"""How the shell asks; click works it out from the program's name."""


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """
    Print the script by which SHELL completes verbs, options, and names in the configuration.

    \b
    For this session
      eval "$(authproxy completion bash)"
      eval "$(authproxy completion zsh)"       after autoload -Uz compinit && compinit
      authproxy completion fish | source

    \b
    For good
      authproxy completion bash > ~/.local/share/bash-completion/completions/authproxy
      authproxy completion zsh > "${fpath[1]}/_authproxy"
      authproxy completion fish > ~/.config/fish/completions/authproxy.fish

    Service users, callers and paths come from the configuration that the verb would use.
    """
    made = get_completion_class(shell)
    assert made is not None  # click brings these three
    text = made(click.Command(PROGRAM), {}, PROGRAM, VARIABLE).source_vars()
    click.echo(made.source_template % text)
