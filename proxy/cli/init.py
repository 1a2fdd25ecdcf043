"""
`authproxy init`: the first proxy.yaml, by a few questions, and tried online at once.

Each question is an option too, so a script answers all of them on the command line. What is not
answered there is asked; where nobody answers, the default holds or the verb says what it lacks.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from proxy.cli.answers import (
    Kind,
    as_admin,
    as_id,
    as_issuer,
    as_listen,
    as_upstream,
    credential,
    offer_chmod,
)
from proxy.cli.first_config import Answers, write
from proxy.cli.terminal import run_async
from proxy.config.environment import DEFAULT_SCOPES

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.load import Loaded

T = TypeVar("T")

KINDS: dict[str, Kind] = {
    "1": "private_key_jwt",
    "2": "client_credentials",
    "3": "personal_access_token",
}

MENU = """\
What does the service user prove itself by?
  1  its key: the JSON file that the console gave (recommended)
  2  a client id and secret
  3  a personal access token"""

FILE = {
    "private_key_jwt": "Key file",
    "client_credentials": "File with the client secret alone",
    "personal_access_token": "File with the token alone",
}

PATH = click.Path(path_type=Path)


@dataclass(frozen=True, slots=True)
class Given:
    """
    What the command line answers already; None where it does not.
    """

    issuer: str | None
    upstream: str | None
    key_file: Path | None
    client_id: str | None
    client_secret_file: Path | None
    token_file: Path | None
    scopes: tuple[str, ...]
    projects: tuple[str, ...]


@click.command("init")
@click.option("--issuer", metavar="URL", help="The ZITADEL instance, such as acme.zitadel.cloud.")
@click.option("--key-file", type=PATH, metavar="FILE", help="A service user's key JSON.")
@click.option("--client-id", metavar="ID", help="A client id; goes with --client-secret-file.")
@click.option(
    "--client-secret-file", type=PATH, metavar="FILE", help="File with the client secret alone."
)
@click.option(
    "--token-file", type=PATH, metavar="FILE", help="File with a personal access token alone."
)
@click.option("--upstream", metavar="URL", help="Where requests go.  [default: the issuer]")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    help="A scope to ask for; may be repeated.  [default: as needed]",
)
@click.option(
    "--project",
    "projects",
    multiple=True,
    metavar="ID",
    help="Project of the upstream, which the token is then for; may be repeated.",
)
@click.option(
    "--listen", default="127.0.0.1:8080", show_default=True, help="Where callers connect."
)
@click.option(
    "--admin", default="127.0.0.1:9090", show_default=True, help="Health and status, or off."
)
@click.option(
    "-o", "--output", type=PATH, default="proxy.yaml", show_default=True, help="The file to write."
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.option("--no-online", is_flag=True, help="Do not ask the issuer whether it works.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    listen: str,
    admin: str,
    output: Path,
    *,
    force: bool,
    no_online: bool,
    **given: object,
) -> None:
    """
    Ask for issuer and credential, write a small proxy.yaml, and try it with the issuer.

    \b
      authproxy init
      authproxy init --issuer acme.zitadel.cloud --key-file key.json

    A file that is there stays unless with --force. Exit code 1 if the issuer refuses: the file is
    written all the same.
    """
    if output.is_dir():
        raise click.UsageError(f"{output} is a folder; write the path of a file in it")
    if output.exists() and not force:
        raise click.UsageError(f"{output} is there already; --force writes over it")
    if not output.absolute().parent.is_dir():
        raise click.UsageError(f"the folder of {output} does not exist; make it first")
    _asked("", "--listen", as_listen, listen)
    _asked("", "--admin", as_admin, admin)
    answers = _interview(Given(**given), listen, admin)  # type: ignore[arg-type] # click's options
    text = answers.text(output.absolute().parent)
    now = time.time()  # noqa: TID251 - a verb starts here
    try:
        loaded = write(output, text, os.environ, now=now, force=force)
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}") from error
    click.echo(f"{click.style('ok', fg='green')}  {output} is written")
    for problem in loaded.warnings:
        click.secho(f"warning  {problem}", fg="yellow", err=True)
    well = no_online or _try(loaded)
    _next(output, answers, well=well)
    ctx.exit(0 if well else 1)


def _interview(given: Given, listen: str, admin: str) -> Answers:
    """
    Return the answers, asking for what was not given.
    """
    issuer = _asked("Issuer (the ZITADEL instance)", "--issuer", as_issuer, given.issuer)
    kind = _kind(given)
    client_id = ""
    if kind == "client_credentials":
        client_id = _asked("Client id", "--client-id", as_id, given.client_id)
    path = given.key_file or given.client_secret_file or given.token_file
    option = {"client_credentials": "--client-secret-file", "private_key_jwt": "--key-file"}

    def file_of(text: str) -> Path:
        found = Path(text).expanduser()
        offer_chmod(found, asks=sys.stdin.isatty())
        credential(found, kind)
        return found

    file = _asked(
        FILE[kind], option.get(kind, "--token-file"), file_of, None if path is None else str(path)
    )
    upstream = _asked(
        "Upstream (where requests go)", "--upstream", as_upstream, given.upstream, issuer
    )
    scopes, projects = given.scopes, given.projects
    if kind == "personal_access_token":
        scopes = projects = ()
    elif upstream == issuer:
        scopes = scopes or DEFAULT_SCOPES
    elif not scopes and not projects:
        project = _asked("Id of the upstream's project, if it has one", "--project", str, None, "")
        scopes, projects = ("openid",), (project,) if project else ()
    scopes = scopes or (() if kind == "personal_access_token" else ("openid",))
    return Answers(issuer, upstream, kind, file, client_id, scopes, projects, listen, admin)


def _kind(given: Given) -> Kind:
    """
    Return the method that the options mean, or ask.
    """
    meant: list[Kind] = []
    if given.key_file is not None:
        meant.append("private_key_jwt")
    if given.client_id is not None or given.client_secret_file is not None:
        meant.append("client_credentials")
    if given.token_file is not None:
        meant.append("personal_access_token")
    if len(meant) > 1:
        raise click.UsageError(
            "a service user has one credential: --key-file, --client-id with "
            "--client-secret-file, or --token-file"
        )
    if meant:
        return meant[0]
    click.echo(MENU, err=True)
    chosen = _asked("1, 2 or 3", "--key-file, --client-id or --token-file", _choice, None, "1")
    return KINDS[chosen]


def _choice(text: str) -> str:
    if text not in KINDS:
        raise click.BadParameter("write 1, 2 or 3")
    return text


def _asked(
    question: str,
    option: str,
    convert: Callable[[str], T],
    given: str | None,
    default: str | None = None,
) -> T:
    """
    Return an answer: the one given, or else one that somebody gives; a wrong one is asked for again.

    Args:
        question: What is asked.
        option: The option that answers it.
        convert: Makes something of the answer.
        given: What the option said; None if it was not written.
        default: For where nothing is answered; None if something must be.

    Raises:
        click.UsageError: What was given is wrong, or nobody is there to ask.
    """
    if given is not None:
        try:
            return convert(given)
        except click.BadParameter as error:
            raise click.UsageError(f"{option}: {error.message}") from error
    try:
        answer: T = click.prompt(
            question, default=default, value_proc=convert, err=True, show_default=bool(default)
        )
    except click.Abort:
        click.echo(err=True)  # the question's line is still open
        if sys.stdin.isatty():
            raise
        if default is None:
            raise click.UsageError(f"nobody is there to ask; write {option}") from None
        return convert(default)
    return answer


def _try(loaded: Loaded) -> bool:
    """
    Ask the issuer, print what it says; return whether all is well.
    """
    from proxy.cli.online import ask_all, read_users, sheet, sum_up

    paper = sheet()
    done = run_async(ask_all(loaded, read_users(loaded), paper.begin, paper.tell))
    click.echo(f"\n{sum_up(done)}")
    return all(checked.ok for checked in done)


def _next(output: Path, answers: Answers, *, well: bool) -> None:
    """
    Say what to do next.
    """
    named = "" if output == Path("proxy.yaml") else f" --config {shlex.quote(str(output))}"
    own = answers.upstream == answers.issuer
    path = "/auth/v1/users/me" if own else "/"
    click.echo("\nNext:")
    if not well:
        click.echo(f"  authproxy check --online{named}      once it is mended")
    click.echo(f"  authproxy curl{named} {path}")
    click.echo(f"  authproxy run{named}")
    if not answers.listen.startswith("unix:"):
        click.echo(f"  curl http://{answers.listen}{path}")
